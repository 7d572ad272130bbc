//! Migrating a container: it is stopped, or its restart is asked for; volumes that aren't shared are copied.

use serde::{Deserialize, Serialize};

use super::{Lxc, disk};
use crate::calls::lxc::mountpoint::{self, Kind, is_mountpoint_key};
use crate::calls::lxc::unlocked;
use crate::jobs::{Job, Next};
use crate::schema::Schema;
use crate::state::World;
use crate::state::guest::{Config, GuestKind};

/// A migration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Migrate {
    pub(crate) vmid: u32,
    pub(crate) node: String,
    pub(crate) target: String,
    pub(crate) restart: bool,
    /// Source storage (empty for any) and target storage (`1` for the same).
    pub(crate) map: Vec<(String, String)>,
    /// The HA manager does it: this task only asks.
    pub(crate) managed: bool,
    pub(crate) locked: bool,
    pub(crate) begun: f64,
}

fn say(world: &mut World, upid: &str, line: &str) {
    let stamp = crate::jobs::backup::dates::stamp(world.seconds());
    world.log(upid, format!("{stamp} {line}"));
}

pub(crate) fn step(world: &mut World, upid: &str, mut work: Migrate, doom: Option<String>) -> Next {
    let vmid = work.vmid;
    if work.managed {
        world.log(upid, format!("requesting HA migration for CT {vmid} to node {}", work.target));
        crate::ha::ask(world, "migrate", &format!("ct:{vmid}"), &work.target);
        return Next::Done;
    }
    if !work.locked {
        return match prepare(world, upid, &work) {
            Ok(()) => {
                work.locked = true;
                let time = world.pace.of("migrate");
                Next::Again(Box::new(Job::Lxc(Box::new(Lxc::Migrate(work)))), time)
            }
            Err(text) => {
                say(world, upid, &format!("ERROR: migration aborted (duration 00:00:00): {text}"));
                Next::Failed("migration aborted".to_owned())
            }
        };
    }
    let result = doom.map_or(Ok(()), Err).and_then(|()| transfer(world, upid, &work));
    if let Some(guest) = world.guests.get_mut(&vmid) {
        guest.config.remove("lock");
    }
    if let Err(text) = result {
        say(world, upid, &format!("ERROR: migration aborted (duration 00:00:01): {text}"));
        return Next::Failed("migration aborted".to_owned());
    }
    if work.restart && world.guests.get(&vmid).is_some_and(|g| g.run.is_none() && g.stopped_at >= work.begun) {
        say(world, upid, "start container on target node");
        world.power_on(vmid);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a task")]
    let took = (world.now - work.begun).max(0.0) as u64;
    let clock = crate::jobs::backup::dates::clock(took);
    say(world, upid, &format!("migration finished successfully (duration {clock})"));
    Next::Done
}

fn prepare(world: &mut World, upid: &str, work: &Migrate) -> Result<(), String> {
    let guest = world.guest_of(GuestKind::Lxc, &work.node, work.vmid).map_err(|f| f.line())?;
    unlocked(guest).map_err(|f| f.line())?;
    if guest.running() && !work.restart {
        return Err("lxc live migration is currently not implemented".to_owned());
    }
    let running = guest.running();
    for (key, text) in guest.config.iter().filter(|(k, _)| is_mountpoint_key(k)) {
        let volid = mountpoint::volume(text);
        if mountpoint::kind(volid) != Kind::Volume {
            if crate::state::drive::option_of(text, "shared") == Some("1") {
                continue;
            }
            let path = crate::state::drive::option_of(text, "mp").unwrap_or("/");
            return Err(format!(
                "cannot migrate local {} mount point '{key}' ({path})",
                mountpoint::kind(volid).word()
            ));
        }
        let id = mountpoint::storage(volid).map_err(|f| f.line())?;
        let to = target_storage(work, id);
        let there = world.storage_on(&to, &work.target).map_err(|f| f.line())?;
        if !there.content.contains("rootdir") {
            return Err(format!("content type 'rootdir' is not available on storage '{to}'"));
        }
    }
    if let Some(node) = world.node(&work.target)
        && !node.online
    {
        return Err(format!("Can't connect to destination address using public key ({})", node.ip));
    }
    let address = world.node(&work.target).map(|n| n.ip.clone()).unwrap_or_default();
    if running {
        say(world, upid, "shutdown CT");
        world.powered_off(work.vmid);
    }
    say(world, upid, &format!("starting migration of CT {} to node '{}' ({address})", work.vmid, work.target));
    if let Some(guest) = world.guests.get_mut(&work.vmid) {
        guest.config.insert("lock".to_owned(), "migrate".to_owned());
    }
    Ok(())
}

fn target_storage(work: &Migrate, storage: &str) -> String {
    let exact = work.map.iter().find(|(from, _)| from == storage);
    match exact.or_else(|| work.map.iter().find(|(from, _)| from.is_empty())) {
        Some((_, to)) if to != "1" => to.clone(),
        _ => storage.to_owned(),
    }
}

fn transfer(world: &mut World, upid: &str, work: &Migrate) -> Result<(), String> {
    let guest = world.guest_of(GuestKind::Lxc, &work.node, work.vmid).map_err(|f| f.line())?;
    let old: Config = guest.config.clone();
    let mut config = old.clone();
    for (key, text) in old.iter().filter(|(k, _)| is_mountpoint_key(k)) {
        let volid = mountpoint::volume(text).to_owned();
        let Some(volume) = world.volumes.find(&volid, &work.node).cloned() else { continue };
        if volume.node.is_none() {
            say(world, upid, &format!("volume '{volid}' is on shared storage '{}'", volume.storage));
            continue;
        }
        say(world, upid, &format!("found local volume '{volid}' (in current VM config)"));
        let to = target_storage(work, &volume.storage);
        let mut copy = disk::allocate(world, &to, &work.target, work.vmid, volume.size).map_err(|f| f.line())?;
        if to == volume.storage {
            world.volumes.remove(&copy.volid(), &work.target);
            copy.name.clone_from(&volume.name);
            world.volumes.insert(copy.clone());
            world.contents.copy(&volume, &copy);
        }
        say(world, upid, &format!("volume '{volid}' is '{}' on the target", copy.volid()));
        world.volumes.remove(&volid, &work.node);
        let mut parsed = mountpoint::parse(Schema::get(), key, text);
        parsed.insert("volume".to_owned(), copy.volid());
        config.insert(key.clone(), mountpoint::print(&parsed));
    }
    say(world, upid, "start final cleanup");
    if let Some(guest) = world.guests.get_mut(&work.vmid) {
        guest.config = config;
        guest.node.clone_from(&work.target);
    }
    Ok(())
}

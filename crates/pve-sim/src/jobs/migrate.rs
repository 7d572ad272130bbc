//! A VM goes to another node.
//!
//! ```text
//! lock: migrate ──► local disks are copied (or refused) ──► the configuration moves ──► lock gone
//! ```
//!
//! A running VM goes on running: its guest notices nothing but the time. What fails before the copy ends as
//! `migration aborted`, and the VM stays as it was.

use serde::{Deserialize, Serialize};

use super::clone::with_volume;
use super::date::moment;
use super::{Job, Next};
use crate::state::World;
use crate::state::drive::{file_of, is_cdrom, is_drive_key, is_unused_key};
use crate::state::guest::Guest;
use crate::state::storage::alloc::Ask;

/// A migration under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Migrate {
    pub(crate) vmid: u32,
    pub(crate) node: String,
    pub(crate) target: String,
    pub(crate) online: bool,
    pub(crate) with_local_disks: bool,
    /// Source storage to target storage; `*` for all others.
    pub(crate) storages: Vec<(String, String)>,
    pub(crate) stage: Stage,
    /// Source and target volumes.
    pub(crate) copies: Vec<(String, String)>,
    pub(crate) since: f64,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    Begins,
    Copied,
}

impl Migrate {
    /// A VM as it is, its local disks with it, to the storages that they have.
    pub(crate) fn new(vmid: u32, node: &str, target: &str, online: bool) -> Self {
        Self {
            vmid,
            node: node.to_owned(),
            target: target.to_owned(),
            online,
            with_local_disks: true,
            storages: Vec::new(),
            stage: Stage::Begins,
            copies: Vec::new(),
            since: 0.0,
        }
    }

    fn storage_for(&self, storage: &str) -> String {
        let found = self.storages.iter().find(|(from, _)| from == storage || from == "*");
        found.map_or_else(|| storage.to_owned(), |(_, to)| to.clone())
    }
}

fn log(world: &mut World, upid: &str, text: &str) {
    let line = format!("{} {text}", moment(world.seconds()));
    world.log(upid, line);
}

pub(crate) fn step(world: &mut World, upid: &str, mut job: Migrate) -> Next {
    let result = match job.stage {
        Stage::Begins => begin(world, upid, &mut job),
        Stage::Copied => return finish(world, upid, &job),
    };
    match result {
        Ok(()) => {
            job.stage = Stage::Copied;
            let time = world.pace.of("migrate");
            Next::Again(Box::new(Job::Migrate(job)), time)
        }
        Err(text) => {
            abort(world, upid, &job, &text);
            Next::Failed("migration aborted".to_owned())
        }
    }
}

/// What is undone when it fails.
pub(crate) fn abort(world: &mut World, upid: &str, job: &Migrate, text: &str) {
    log(world, upid, &format!("ERROR: {text}"));
    for (_, made) in &job.copies {
        world.drop_volume(made, &job.target);
    }
    if let Some(guest) = world.guests.get_mut(&job.vmid).filter(|g| g.get("lock") == Some("migrate")) {
        guest.config.remove("lock");
    }
    log(world, upid, "aborting phase 1 - cleanup resources");
}

fn begin(world: &mut World, upid: &str, job: &mut Migrate) -> Result<(), String> {
    job.since = world.now;
    let (vmid, target) = (job.vmid, job.target.clone());
    let ip = world.node(&target).filter(|n| n.online).map(|n| n.ip.clone());
    log(
        world,
        upid,
        &format!("starting migration of VM {vmid} to node '{target}' ({})", ip.clone().unwrap_or_default()),
    );
    let guest = world.guest_mut(&job.node, vmid).map_err(|f| f.line())?;
    if let Some(lock) = guest.get("lock") {
        return Err(format!("VM is locked ({lock})"));
    }
    if guest.running() && !job.online {
        return Err("can't migrate running VM without --online".to_owned());
    }
    let running = guest.running();
    guest.config.insert("lock".to_owned(), "migrate".to_owned());
    if ip.is_none() {
        return Err("Can't connect to destination address using public key".to_owned());
    }
    let guest = world.guest(&job.node, vmid).map_err(|f| f.line())?;
    let volumes = local_volumes(world, guest);
    let wanted: Vec<String> = stores(guest);
    for store in wanted {
        let store = job.storage_for(&store);
        world.storage_on(&store, &target).map_err(|f| f.line())?;
    }
    let mut blocked = false;
    for (volid, key) in &volumes {
        let (store, name) = volid.split_once(':').unwrap_or_default();
        let what = if is_unused_key(key) { "referenced in current VM config" } else { "attached" };
        log(world, upid, &format!("found local disk '{volid}' ({what})"));
        if name.starts_with("iso/") {
            log(world, upid, &format!("can't migrate local disk '{volid}': local cdrom image"));
            blocked = true;
        } else if running && !is_unused_key(key) && !job.with_local_disks {
            log(world, upid, "can't live migrate attached local disks without with-local-disks option");
            blocked = true;
        } else if !world.guest(&job.node, vmid).map_err(|f| f.line())?.snapshots.is_empty()
            && !copies_snapshots(world, store)
        {
            log(world, upid, &format!("can't migrate local disk '{volid}': non-migratable snapshot exists"));
            blocked = true;
        }
    }
    if blocked {
        return Err("Problem found while scanning volumes - can't migrate VM - check log".to_owned());
    }
    if !volumes.is_empty() {
        log(world, upid, "copying local disk images");
    }
    for (volid, _) in volumes {
        let source = world.volumes.find(&volid, &job.node).cloned().unwrap_or_default();
        let store = job.storage_for(&source.storage);
        let formats = world.storage(&store).map_err(|f| f.line())?.formats();
        let format = formats.contains(&source.format.as_str()).then(|| source.format.clone());
        let ask = Ask { storage: &store, vmid, format: format.as_deref(), name: None, bytes: source.image_size() };
        let volume =
            world.allocate(&target, &ask).map_err(|t| format!("storage migration for '{volid}' failed - {t}"))?;
        world.contents.copy(&source, &volume);
        log(world, upid, &format!("volume '{volid}' is '{}' on the target", volume.volid()));
        job.copies.push((volid, volume.volid()));
    }
    if running {
        log(world, upid, &format!("starting VM {vmid} on remote node '{target}'"));
        log(world, upid, "starting online/live migration");
    }
    Ok(())
}

/// Storages whose copies take their snapshots along.
fn copies_snapshots(world: &World, store: &str) -> bool {
    world.storages.get(store).is_some_and(|s| ["dir", "zfspool", "btrfs"].contains(&s.kind.as_str()))
}

fn stores(guest: &Guest) -> Vec<String> {
    let devices = guest.config.iter().filter(|(k, _)| is_drive_key(k) || is_unused_key(k));
    let mut out: Vec<String> =
        devices.filter_map(|(_, v)| file_of(v).split_once(':').map(|(store, _)| store.to_owned())).collect();
    out.sort();
    out.dedup();
    out
}

/// Volumes that the target node doesn't see, with the key that names them.
pub(crate) fn local_volumes(world: &World, guest: &Guest) -> Vec<(String, String)> {
    let named = guest.config.iter().filter(|(k, _)| is_drive_key(k) || is_unused_key(k));
    let mut out: Vec<(String, String)> = Vec::new();
    for (key, text) in named {
        let volid = file_of(text);
        let local = world.volumes.find(volid, &guest.node).is_some_and(|v| v.node.is_some());
        if local && !out.iter().any(|(v, _)| v == volid) {
            out.push((volid.to_owned(), key.clone()));
        }
    }
    out
}

fn finish(world: &mut World, upid: &str, job: &Migrate) -> Next {
    let vmid = job.vmid;
    if !world.node(&job.target).is_some_and(|n| n.online) {
        abort(world, upid, job, "online migrate failure - remote node is gone");
        return Next::Failed("migration aborted".to_owned());
    }
    let made: Vec<_> = job
        .copies
        .iter()
        .filter_map(|(from, to)| world.volumes.find(to, &job.target).map(|v| (from.clone(), v.clone())))
        .collect();
    let Some(guest) = world.guests.get_mut(&vmid).filter(|g| g.node == job.node) else {
        return Next::Failed("migration problems".to_owned());
    };
    for (from, volume) in &made {
        let snapshots = guest.snapshots.values_mut().map(|s| &mut s.config);
        for config in std::iter::once(&mut guest.config).chain(snapshots) {
            for (key, text) in config.iter_mut().filter(|(_, text)| file_of(text) == from) {
                let plain = is_unused_key(key) || is_cdrom(text);
                *text = if plain { text.replacen(from, &volume.volid(), 1) } else { with_volume(text, volume) };
            }
        }
    }
    guest.config.remove("lock");
    guest.node.clone_from(&job.target);
    let hardware = guest.hardware();
    let running = guest.running();
    if let Some(run) = guest.run.as_mut() {
        run.devices = Some(hardware);
    }
    for (from, _) in &made {
        world.drop_volume(from, &job.node);
    }
    if running {
        log(world, upid, "migration status: completed");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds")]
    let taken = (world.now - job.since).max(0.0) as u64;
    let (hours, minutes) = (taken / 3600, taken / 60 % 60);
    log(world, upid, &format!("migration finished successfully (duration {hours:02}:{minutes:02}:{:02})", taken % 60));
    Next::Done
}

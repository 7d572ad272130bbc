//! Making a container from a template, or from a backup.

use serde::{Deserialize, Serialize};

use super::disk;
use crate::calls::lxc::{change, mountpoint};
use crate::jobs::{Job, Next};
use crate::schema::Schema;
use crate::state::World;
use crate::state::guest::{Config, Guest, GuestKind};

/// A container in the making.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Create {
    pub(crate) vmid: u32,
    pub(crate) node: String,
    pub(crate) config: Config,
    /// Mount points as they were asked for.
    pub(crate) disks: Config,
    /// For the root file system if no mount points were asked for.
    pub(crate) storage: String,
    pub(crate) archive: String,
    pub(crate) pool: Option<String>,
    pub(crate) start: bool,
    pub(crate) restore: bool,
    pub(crate) unique: bool,
    /// As it was asked for; none to keep what a backup says.
    pub(crate) unprivileged: Option<bool>,
    /// The container that is restored over.
    pub(crate) before: Option<Box<Guest>>,
}

pub(crate) fn step(world: &mut World, upid: &str, create: &Create, doom: Option<String>) -> Next {
    let vmid = create.vmid;
    let mut made = Vec::new();
    let result = build(world, upid, create, &mut made).and_then(|config| doom.map_or(Ok(config), Err));
    let config = match result {
        Ok(config) => config,
        Err(text) => {
            for volid in made {
                world.volumes.remove(&volid, &create.node);
            }
            undo(world, create);
            let what = if create.restore { "restore" } else { "create" };
            world.log(upid, text.clone());
            return Next::Failed(format!("unable to {what} CT {vmid} - {text}"));
        }
    };
    if let Some(before) = &create.before {
        // What was there is only given up when the new one is whole.
        for (_, text) in before.config.iter().filter(|(k, _)| mountpoint::is_mountpoint_key(k)) {
            world.volumes.remove(mountpoint::volume(text), &create.node);
        }
    }
    if let Some(guest) = world.guests.get_mut(&vmid) {
        guest.config = config;
        guest.pending.clear();
        guest.snapshots.clear();
        guest.parent = None;
    }
    if let Some(pool) = create.pool.as_ref().and_then(|p| world.pools.get_mut(p)) {
        pool.vms.insert(vmid);
    }
    if create.start {
        let job = super::Lxc::Start { vmid, node: create.node.clone(), skiplock: false };
        return Next::Again(Box::new(Job::Lxc(Box::new(job))), world.pace.of("start"));
    }
    Next::Done
}

/// Puts back what was there before.
fn undo(world: &mut World, create: &Create) {
    match &create.before {
        Some(before) => {
            world.guests.insert(create.vmid, (**before).clone());
        }
        None => world.forget(create.vmid),
    }
}

fn build(world: &mut World, upid: &str, create: &Create, made: &mut Vec<String>) -> Result<Config, String> {
    let schema = Schema::get();
    let (vmid, node) = (create.vmid, create.node.as_str());
    let saved = if create.restore { Some(backed_up(world, create)?) } else { None };
    let mut config = create.config.clone();
    let mut disks = create.disks.clone();
    if disks.is_empty() {
        disks = match &saved {
            Some(saved) => saved_disks(saved, &create.storage),
            None => Config::from([("rootfs".to_owned(), format!("{}:4", create.storage))]),
        };
    }
    for (key, text) in &disks {
        let before = mountpoint::volume(text).to_owned();
        let stored = change::real(world, schema, node, vmid, key, text).map_err(|f| f.line())?;
        let volid = mountpoint::volume(&stored).to_owned();
        if volid != before {
            made.push(volid.clone());
            if let Some(volume) = world.volumes.find(&volid, node).cloned() {
                disk::chatter(world, upid, &volume);
            }
        }
        config.insert(key.clone(), stored);
    }
    let Some(volume) = world.volumes.find(&create.archive, node).cloned() else {
        return Err(format!("volume '{}' does not exist", create.archive));
    };
    let file = world.storages.get(&volume.storage).map_or_else(String::new, |s| s.file(&volume.name));
    if create.restore {
        world.log(upid, format!("restoring '{}' now..", create.archive));
    }
    world.log(upid, format!("extracting archive '{file}'"));
    world.log(upid, format!("Total bytes read: {} ({}KiB, 7.7MiB/s)", volume.size, volume.size.div_ceil(1024)));
    match saved {
        Some(saved) => {
            world.log(upid, "merging backed-up and given configuration..");
            merge(world, create, saved, &mut config);
        }
        None => {
            config.entry("ostype".to_owned()).or_insert_with(|| ostype(&volume.name));
        }
    }
    let name = format!("CT{vmid}");
    let defaults = [("hostname", name.as_str()), ("memory", "512"), ("swap", "512"), ("arch", "amd64")];
    for (key, value) in defaults {
        config.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
    Ok(config)
}

/// The system in a template, by its name.
fn ostype(name: &str) -> String {
    let known =
        ["debian", "devuan", "ubuntu", "centos", "fedora", "opensuse", "archlinux", "alpine", "gentoo", "nixos"];
    let file = name.rsplit('/').next().unwrap_or(name);
    known.iter().find(|k| file.contains(*k)).map_or_else(|| "unmanaged".to_owned(), |k| (*k).to_owned())
}

/// The configuration in a backup of a container.
fn backed_up(world: &World, create: &Create) -> Result<Config, String> {
    let archive = world.archive(&create.archive, &create.node)?;
    if archive.kind != GuestKind::Lxc {
        return Err(format!("'{}' is not a backup of a container", create.archive));
    }
    Ok(archive.config.clone())
}

/// The mount points to be made for what a backup has.
fn saved_disks(saved: &Config, storage: &str) -> Config {
    let schema = Schema::get();
    let mut disks = Config::new();
    for (key, text) in saved.iter().filter(|(k, _)| mountpoint::is_mountpoint_key(k)) {
        let mut parsed = mountpoint::parse(schema, key, text);
        let size = parsed.remove("size").and_then(|s| crate::state::drive::parse_size(&s)).unwrap_or(4 << 30);
        if mountpoint::kind(mountpoint::volume(text)) == mountpoint::Kind::Volume {
            let mib = size.div_ceil(1 << 20);
            let gib = if mib.is_multiple_of(1024) {
                (mib / 1024).to_string()
            } else {
                format!("{}.{:06}", mib / 1024, (mib % 1024) * 1_000_000 / 1024 + 1)
            };
            parsed.insert("volume".to_owned(), format!("{storage}:{gib}"));
        }
        disks.insert(key.clone(), mountpoint::print(&parsed));
    }
    disks
}

/// Takes over what a backup says and the call does not.
fn merge(world: &mut World, create: &Create, saved: Config, config: &mut Config) {
    let schema = Schema::get();
    for (key, value) in saved {
        if config.contains_key(&key) || mountpoint::is_mountpoint_key(&key) || key == "lock" {
            continue;
        }
        let value = if create.unique && crate::state::drive::is_net_key(&key) {
            let rest: Vec<&str> = value.split(',').filter(|p| !p.starts_with("hwaddr=")).collect();
            change::net(world, schema, &rest.join(","))
        } else {
            value
        };
        config.insert(key, value);
    }
    match create.unprivileged {
        Some(true) => {
            config.insert("unprivileged".to_owned(), "1".to_owned());
        }
        Some(false) => {
            config.remove("unprivileged");
        }
        None => {}
    }
}

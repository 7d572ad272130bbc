//! Cloning a VM, with the stages that its configuration goes through.
//!
//! ```text
//! POST ──► lock: clone, description `qmclone temporary file`
//!      ──► first disk copied: everything but the lock's removal
//!      ──► lock gone ──► moved to the target node ──► in the pool, task OK
//! ```

use serde::{Deserialize, Serialize};

use super::image;
use super::{Job, Next};
use crate::state::World;
use crate::state::drive::{file_of, is_cdrom, is_drive_key, is_net_key, is_unused_key, print_size};
use crate::state::guest::{Config, Guest};
use crate::state::storage::Volume;
use crate::state::storage::alloc::Ask;

/// The part of the time after which the first disk is there.
pub(crate) const FIRST_PART: f64 = 0.6;

/// How far a clone is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    Copying,
    Described,
    Unlocked,
}

/// Keys that a clone doesn't get.
const NOT_COPIED: &[&str] =
    &["template", "lock", "parent", "name", "vmstate", "snaptime", "runningmachine", "runningcpu"];

/// A clone in the making.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Clone {
    pub(crate) source: u32,
    pub(crate) newid: u32,
    pub(crate) node: String,
    pub(crate) full: bool,
    pub(crate) base: Config,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) pool: Option<String>,
    pub(crate) target: Option<String>,
    pub(crate) storage: Option<String>,
    pub(crate) format: Option<String>,
    /// What is cloned is a snapshot.
    #[serde(default)]
    pub(crate) snapshot: bool,
    pub(crate) stage: Stage,
    /// Volumes made so far.
    pub(crate) made: Vec<String>,
}

/// The configuration of a clone that has only begun.
pub(crate) fn placeholder() -> Config {
    [("lock", "clone"), ("description", "qmclone temporary file")]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}

/// Undoes what a clone has done so far.
pub(crate) fn abandon(world: &mut World, clone: &Clone) {
    for volid in &clone.made {
        world.drop_volume(volid, &clone.node);
    }
    if world.guests.get(&clone.newid).is_some_and(|g| g.node == clone.node && g.get("lock") == Some("clone")) {
        world.forget(clone.newid);
    }
}

pub(crate) fn step(world: &mut World, upid: &str, mut clone: Clone, doom: Option<String>) -> Next {
    let newid = clone.newid;
    let time = world.pace.of(if clone.full { "clone-full" } else { "clone" });
    match clone.stage {
        Stage::Copying => {
            let there = world.guests.get(&newid);
            if there.is_some_and(|g| g.node != clone.node) {
                let file = format!("/etc/pve/nodes/{}/qemu-server/{newid}.conf", clone.node);
                return Next::Failed(format!("close (rename) atomic file '{file}' failed: File exists"));
            }
            if there.is_none() {
                world.guests.insert(newid, Guest::new(newid, &clone.node, placeholder()));
            }
            world.copy_firewall(clone.source, newid);
            if let Err(text) = copy(world, upid, &mut clone) {
                abandon(world, &clone);
                return Next::Failed(format!("clone failed: {text}"));
            }
            clone.stage = Stage::Described;
            Next::Again(Box::new(Job::Clone(clone)), time * (1.0 - FIRST_PART))
        }
        Stage::Described => {
            if let Some(text) = doom {
                abandon(world, &clone);
                return Next::Failed(format!("clone failed: {text}"));
            }
            let Some(guest) = world.guests.get_mut(&newid) else {
                return Next::Failed("clone failed: VM vanished".to_owned());
            };
            guest.config.remove("lock");
            if let Some(target) = &clone.target {
                guest.node.clone_from(target);
            }
            clone.stage = Stage::Unlocked;
            Next::Again(Box::new(Job::Clone(clone)), time * 0.02)
        }
        Stage::Unlocked => {
            if let Some(pool) = clone.pool.as_ref().and_then(|p| world.pools.get_mut(p)) {
                pool.vms.insert(newid);
            }
            Next::Done
        }
    }
}

fn copy(world: &mut World, upid: &str, clone: &mut Clone) -> Result<(), String> {
    let newid = clone.newid;
    let mut config = Config::new();
    for (key, value) in clone.base.clone() {
        if is_unused_key(&key) || NOT_COPIED.contains(&&*key) {
            continue;
        }
        let copied = if is_drive_key(&key) {
            copy_drive(world, upid, clone, &key, &value)?
        } else if is_net_key(&key) {
            let (first, rest) = value.split_once(',').map_or((value.as_str(), None), |(f, r)| (f, Some(r)));
            let model = first.split('=').next().unwrap_or("virtio");
            let fresh = format!("{model}={}", world.mac());
            rest.map_or_else(|| fresh.clone(), |r| format!("{fresh},{r}"))
        } else {
            value
        };
        config.insert(key, copied);
    }
    let fresh = world.chance.uuid();
    let smbios: Vec<String> = std::iter::once(format!("uuid={fresh}"))
        .chain(
            config
                .get("smbios1")
                .map_or("", String::as_str)
                .split(',')
                .filter(|p| !p.is_empty() && !p.starts_with("uuid="))
                .map(str::to_owned),
        )
        .collect();
    config.insert("smbios1".to_owned(), smbios.join(","));
    if config.contains_key("vmgenid") {
        config.insert("vmgenid".to_owned(), world.chance.uuid());
    }
    let default_name = || {
        let source = clone.base.get("name").cloned().unwrap_or_else(|| clone.source.to_string());
        format!("Copy-of-VM-{source}")
    };
    config.insert("name".to_owned(), clone.name.clone().unwrap_or_else(default_name));
    if let Some(description) = &clone.description {
        config.insert("description".to_owned(), description.trim_end().to_owned());
    }
    config.insert("lock".to_owned(), "clone".to_owned());
    let system = world.guests.get(&clone.source).map(|g| g.system).unwrap_or_default();
    match world.guests.get_mut(&newid) {
        Some(guest) => {
            guest.config = config;
            guest.system = system;
            Ok(())
        }
        None => Err("VM vanished".to_owned()),
    }
}

fn copy_drive(world: &mut World, upid: &str, clone: &mut Clone, key: &str, text: &str) -> Result<String, String> {
    let volid = file_of(text).to_owned();
    let cloudinit = volid.contains("-cloudinit");
    if (is_cdrom(text) && !cloudinit) || !volid.contains(':') {
        return Ok(text.to_owned());
    }
    let (newid, node) = (clone.newid, clone.node.clone());
    let Some(source) = world.volumes.find(&volid, &node).cloned() else {
        return Err(format!("volume '{volid}' does not exist"));
    };
    let linked = !clone.full && !cloudinit;
    let volume = if linked {
        world.log(upid, format!("create linked clone of drive {key} ({volid})"));
        let volume = world.clone_volume(&volid, &node, newid, clone.snapshot)?;
        for line in image::linked(world, &source, &volume) {
            world.log(upid, line);
        }
        volume
    } else {
        world.log(upid, format!("create full clone of drive {key} ({volid})"));
        let volume = full_copy(world, clone, &source, cloudinit)?;
        let lines = image::copied(world, &volume);
        for line in lines.into_iter().take(if cloudinit { 2 } else { 5 }) {
            world.log(upid, line);
        }
        volume
    };
    clone.made.push(volume.volid());
    Ok(with_volume(text, &volume))
}

fn full_copy(world: &mut World, clone: &Clone, source: &Volume, cloudinit: bool) -> Result<Volume, String> {
    let storage = clone.storage.clone().unwrap_or_else(|| source.storage.clone());
    let formats = world.storage(&storage).map_err(|f| f.line())?.formats().into_iter().map(str::to_owned);
    let wanted = clone.format.clone().filter(|_| !cloudinit);
    let kept = || Some(source.format.clone());
    let formats: Vec<String> = formats.collect();
    let format = wanted.or_else(kept).filter(|f| formats.contains(f)).unwrap_or_else(|| formats[0].clone());
    if cloudinit {
        let name = world.volume_name(&storage, clone.newid, &format!("vm-{}-cloudinit", clone.newid), &format);
        let volume = world.image(&storage, &clone.node, &name, &format, source.size, clone.newid);
        world.volumes.insert(volume.clone());
        return Ok(volume);
    }
    let ask =
        Ask { storage: &storage, vmid: clone.newid, format: Some(&format), name: None, bytes: source.image_size() };
    let volume = world.allocate(&clone.node, &ask)?;
    world.contents.copy(source, &volume);
    Ok(volume)
}

/// A drive's text with another volume.
pub(crate) fn with_volume(text: &str, volume: &Volume) -> String {
    let rest = text.split(',').skip(1).filter(|p| !p.starts_with("size=")).map(str::to_owned);
    let mut parts: Vec<String> = rest.collect();
    parts.push(format!("size={}", print_size(volume.size)));
    parts.sort();
    parts.insert(0, volume.volid());
    parts.join(",")
}

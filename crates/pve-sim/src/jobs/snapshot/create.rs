//! Making a snapshot.

use super::{Snapshot, disks, set_lock, the, the_mut, unlocked};
use crate::calls::qemu::power::state_storage;
use crate::jobs::suspend::{CPU, MACHINE, state_size};
use crate::state::World;
use crate::state::drive::is_unused_key;
use crate::state::guest::{self, Config, Guest, GuestKind};
use crate::state::storage::alloc::{Ask, Keeping};

/// What a snapshot doesn't keep of a configuration.
fn is_kept(key: &str) -> bool {
    !is_unused_key(key) && !["lock", "description", "vmstate", "runningmachine", "runningcpu"].contains(&key)
}

/// The configuration that a snapshot keeps.
fn kept_config(guest: &Guest) -> Config {
    guest.config.iter().filter(|(key, _)| is_kept(key)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// Locks the configuration, and makes room for the memory.
pub(super) fn prepare(
    world: &mut World,
    upid: &str,
    work: &Snapshot,
    description: &str,
    vmstate: bool,
) -> Result<(), String> {
    let guest = the(world, work)?;
    if guest.is_template() {
        return Err("you can't take a snapshot if it's a template".to_owned());
    }
    unlocked(guest)?;
    if guest.snapshots.contains_key(&work.name) {
        return Err(format!("snapshot name '{}' already used", work.name));
    }
    if !disks::all_can(world, guest) {
        return Err("snapshot feature is not available".to_owned());
    }
    let with_memory = vmstate && guest.running() && guest.is(GuestKind::Qemu);
    let kept = guest::Snapshot {
        config: kept_config(guest),
        snaptime: world.seconds(),
        description: description.to_owned(),
        vmstate: with_memory,
        parent: guest.parent.clone(),
        snapstate: Some("prepare".to_owned()),
    };
    let guest = the_mut(world, work)?;
    guest.snapshots.insert(work.name.clone(), kept);
    set_lock(guest, "snapshot");
    if with_memory && let Err(text) = room_for_memory(world, upid, work) {
        return Err(failed(world, upid, work, text));
    }
    Ok(())
}

/// Makes the volume of the memory.
fn room_for_memory(world: &mut World, upid: &str, work: &Snapshot) -> Result<(), String> {
    let guest = the(world, work)?;
    let (storage, memory) = (state_storage(world, guest), guest.memory());
    let files = world.storages.get(&storage).is_none_or(|s| s.kind().files());
    let name = format!("vm-{}-state-{}{}", work.vmid, work.name, if files { ".raw" } else { "" });
    let ask =
        Ask { storage: &storage, vmid: work.vmid, format: Some("raw"), name: Some(&name), bytes: state_size(memory) };
    let volume = world.allocate(&work.node, &ask)?;
    world.log(upid, format!("saving VM state and RAM using storage '{storage}'"));
    if let Some(kept) = the_mut(world, work)?.snapshots.get_mut(&work.name) {
        for (key, value) in [("vmstate", volume.volid().as_str()), ("runningmachine", MACHINE), ("runningcpu", CPU)] {
            kept.config.insert(key.to_owned(), value.to_owned());
        }
    }
    Ok(())
}

/// Keeps what is in the disks, and lets go of the configuration.
pub(super) fn commit(world: &mut World, upid: &str, work: &Snapshot) -> Result<(), String> {
    let guest = the(world, work)?;
    if guest.get("lock") != Some("snapshot") || !guest.snapshots.contains_key(&work.name) {
        return Err("missing or wrong snapshot lock".to_owned());
    }
    if guest.snapshots.get(&work.name).is_some_and(|kept| kept.vmstate) {
        let saved = guest.memory() >> 20;
        world.log(upid, format!("completed saving the VM state in 1s, saved {saved}.00 MiB"));
    }
    let guest = the(world, work)?;
    let lines: Vec<(String, Vec<String>)> = disks::of(guest.kind, &guest.config)
        .into_iter()
        .map(|(key, volid)| (key.to_owned(), disks::told(world, guest, &work.name, key, volid)))
        .collect();
    let why = world.cannot_keep(work.vmid, &work.name);
    for (key, lines) in lines {
        for line in lines {
            world.log(upid, line);
        }
        if let Some(why) = why.as_ref().filter(|why| why.contains(&format!("'drive-{key}'"))) {
            return Err(failed(world, upid, work, why.clone()));
        }
    }
    world.snapshot_contents(work.vmid, &work.name, Keeping::Keep);
    world.snapshots_changed(work.vmid);
    let guest = the_mut(world, work)?;
    if let Some(kept) = guest.snapshots.get_mut(&work.name) {
        kept.snapstate = None;
    }
    guest.config.remove("lock");
    guest.parent = Some(work.name.clone());
    Ok(())
}

fn failed(world: &mut World, upid: &str, work: &Snapshot, why: String) -> String {
    world.log(upid, "snapshot create failed: starting cleanup");
    abandon(world, work);
    why
}

/// Takes back what was made of a snapshot that isn't finished.
pub(super) fn abandon(world: &mut World, work: &Snapshot) {
    let Ok(guest) = the_mut(world, work) else { return };
    if guest.snapshots.get(&work.name).is_none_or(|kept| kept.snapstate.as_deref() != Some("prepare")) {
        return;
    }
    let gone = guest.snapshots.remove(&work.name);
    guest.config.remove("lock");
    if let Some(volid) = gone.and_then(|kept| kept.config.get("vmstate").cloned()) {
        world.drop_volume(&volid, &work.node);
    }
}

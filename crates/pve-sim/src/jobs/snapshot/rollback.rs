//! Going back to a snapshot.

use super::{Snapshot, disks, missing, set_lock, the, the_mut, unlocked};
use crate::jobs::power;
use crate::state::World;
use crate::state::drive::{file_of, is_unused_key, option_of, parse_size};
use crate::state::guest::{Config, Guest, GuestKind};
use crate::state::storage::alloc::Keeping;
use crate::state::storage::owner;

/// What a snapshot has and a configuration doesn't.
const OF_SNAPSHOTS: [&str; 3] = ["vmstate", "runningmachine", "runningcpu"];

/// Cuts the guest off, and locks the configuration.
pub(super) fn prepare(world: &mut World, work: &Snapshot) -> Result<(), String> {
    let guest = the(world, work)?;
    if guest.is_template() {
        return Err("you can't rollback if it's a template".to_owned());
    }
    let kept = guest.snapshots.get(&work.name).ok_or_else(|| missing(&work.name))?;
    if let Some(why) = disks::blocks(world, guest, &work.name, kept) {
        return Err(why);
    }
    if let Some(state) = &kept.snapstate {
        return Err(format!("unable to rollback to incomplete snapshot (snapstate = {state})"));
    }
    unlocked(guest)?;
    if guest.running() {
        world.powered_off(work.vmid);
    }
    set_lock(the_mut(world, work)?, "rollback");
    Ok(())
}

/// Configuration and disks are those of then.
pub(super) fn commit(world: &mut World, upid: &str, work: &Snapshot, start: bool) -> Result<(), String> {
    let guest = the(world, work)?;
    let kept = guest.snapshots.get(&work.name).cloned().ok_or_else(|| missing(&work.name))?;
    let mut config: Config = kept.config.clone();
    config.retain(|key, _| !OF_SNAPSHOTS.contains(&key.as_str()));
    // The description stays that of now.
    if let Some(description) = guest.get("description") {
        config.insert("description".to_owned(), description.to_owned());
    }
    let left = left(guest, &kept.config);
    for (key, volid) in left {
        let free = (0..256).map(|n| format!("unused{n}")).find(|k| !config.contains_key(k));
        let key = if config.contains_key(&key) || !is_unused_key(&key) { free } else { Some(key) };
        config.extend(key.map(|key| (key, volid)));
    }
    if config.contains_key("vmgenid") {
        // The guest is to know that it is another one.
        config.insert("vmgenid".to_owned(), world.chance.uuid());
    }
    for (key, volid) in disks::of(work.kind, &kept.config) {
        let size = kept.config.get(key).and_then(|text| option_of(text, "size")).and_then(parse_size);
        if let (Some(size), Some(mut volume)) = (size, world.volumes.find_mut(volid, &work.node)) {
            volume.size = size;
        }
    }
    let guest = the_mut(world, work)?;
    guest.config = config;
    guest.pending.clear();
    guest.parent = Some(work.name.clone());
    world.snapshot_contents(work.vmid, &work.name, Keeping::BringBack);
    world.snapshots_changed(work.vmid);
    if start || kept.vmstate {
        if work.kind == GuestKind::Qemu {
            power::can_start(world, upid, &work.node, work.vmid)?;
        }
        world.power_on(work.vmid);
    }
    Ok(())
}

/// What the guest has now and didn't have then, with the keys of now.
fn left(guest: &Guest, then: &Config) -> Vec<(String, String)> {
    let had = |volid: &str| then.values().any(|text| file_of(text) == volid);
    let own = |volid: &str| owner(volid.split_once(':').map_or("", |(_, name)| name)) == Some(guest.vmid);
    let unused = guest.config.iter().filter(|(key, _)| is_unused_key(key)).map(|(k, v)| (k.as_str(), file_of(v)));
    let attached = disks::of(guest.kind, &guest.config);
    let all = unused.chain(attached.into_iter().filter(|(_, volid)| own(volid)));
    all.filter(|(_, volid)| !had(volid)).map(|(key, volid)| (key.to_owned(), volid.to_owned())).collect()
}

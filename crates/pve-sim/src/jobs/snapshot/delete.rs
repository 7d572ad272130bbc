//! Taking a snapshot away.

use super::{Snapshot, missing, set_lock, the, the_mut, unlocked};
use crate::state::World;
use crate::state::storage::alloc::Keeping;

/// Locks the configuration.
pub(super) fn prepare(world: &mut World, work: &Snapshot) -> Result<(), String> {
    let guest = the_mut(world, work)?;
    if !guest.snapshots.contains_key(&work.name) {
        return Err(missing(&work.name));
    }
    unlocked(guest)?;
    set_lock(guest, "snapshot-delete");
    if let Some(kept) = guest.snapshots.get_mut(&work.name) {
        kept.snapstate = Some("delete".to_owned());
    }
    Ok(())
}

/// Frees what it kept; those that came from it come from its parent now. A failure leaves the lock, unless by force.
pub(super) fn commit(world: &mut World, upid: &str, work: &Snapshot, force: bool) -> Result<(), String> {
    the(world, work)?;
    if let Some(why) = world.cannot_forget(work.vmid, &work.name) {
        if !force {
            return Err(why);
        }
        world.log(upid, why);
    }
    world.snapshot_contents(work.vmid, &work.name, Keeping::Forget);
    let guest = the_mut(world, work)?;
    let gone = guest.snapshots.remove(&work.name).ok_or_else(|| missing(&work.name))?;
    for child in guest.snapshots.values_mut().filter(|s| s.parent.as_deref() == Some(&work.name)) {
        child.parent.clone_from(&gone.parent);
    }
    if guest.parent.as_deref() == Some(&work.name) {
        guest.parent.clone_from(&gone.parent);
    }
    guest.config.remove("lock");
    if let Some(volid) = gone.config.get("vmstate") {
        world.drop_volume(volid, &work.node);
    }
    world.snapshots_changed(work.vmid);
    Ok(())
}

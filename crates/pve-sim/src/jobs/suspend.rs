//! Suspending a VM to disk, and what a start makes of it.
//!
//! ```text
//! lock: suspending ──► the memory is a volume, lock: suspended ──► off
//! start ──► lock and volume are gone, it runs as it was
//! ```

use serde::{Deserialize, Serialize};

use super::date::day;
use super::{Job, Next};
use crate::state::World;
use crate::state::storage::Storage;

/// A suspend under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Suspend {
    pub(crate) vmid: u32,
    pub(crate) node: String,
    pub(crate) storage: String,
    /// The volume that the memory is written to.
    pub(crate) saving: Option<String>,
}

/// The name of a volume that keeps a VM's memory.
pub(crate) fn state_volume(storage: Option<&Storage>, vmid: u32, suffix: &str) -> String {
    let files = storage.is_none_or(|s| s.kind().files());
    if files { format!("{vmid}/vm-{vmid}-state-{suffix}.raw") } else { format!("vm-{vmid}-state-{suffix}") }
}

/// Memory twice, and half a GiB for the rest of the machine.
pub(crate) fn state_size(memory: u64) -> u64 {
    memory * 2 + (500 << 20)
}

pub(crate) fn step(world: &mut World, upid: &str, mut suspend: Suspend) -> Next {
    let vmid = suspend.vmid;
    let guest = match world.guest(&suspend.node, vmid) {
        Ok(guest) => guest,
        Err(fail) => return Next::Failed(fail.line()),
    };
    if let Some(volid) = suspend.saving.take() {
        return finish(world, vmid, &volid);
    }
    if let Some(lock) = guest.get("lock") {
        return Next::Failed(format!("VM is locked ({lock})"));
    }
    if !guest.running() {
        return Next::Failed(format!("VM {vmid} not running"));
    }
    let size = state_size(guest.memory());
    let date = day(world.seconds());
    let name = state_volume(world.storages.get(&suspend.storage), vmid, &format!("suspend-{date}"));
    let volume = world.image(&suspend.storage, &suspend.node, &name, "raw", size, vmid);
    let volid = volume.volid();
    world.volumes.insert(volume);
    if let Some(guest) = world.guests.get_mut(&vmid) {
        guest.config.insert("lock".to_owned(), "suspending".to_owned());
        guest.config.insert("vmstate".to_owned(), volid.clone());
    }
    world.log(upid, format!("State is being saved to '{volid}'"));
    suspend.saving = Some(volid);
    let time = world.pace.of("suspend");
    Next::Again(Box::new(Job::Suspend(suspend)), time)
}

fn finish(world: &mut World, vmid: u32, volid: &str) -> Next {
    let running = world.guests.get(&vmid).is_some_and(crate::state::guest::Guest::running);
    if !running {
        if let Some(guest) = world.guests.get_mut(&vmid) {
            let node = guest.node.clone();
            guest.config.retain(|k, _| k != "lock" && k != "vmstate");
            world.drop_volume(volid, &node);
        }
        return Next::Failed(format!("VM {vmid} not running"));
    }
    super::power::cut(world, vmid);
    if let Some(guest) = world.guests.get_mut(&vmid) {
        for (key, value) in [("lock", "suspended"), ("runningmachine", MACHINE), ("runningcpu", CPU)] {
            guest.config.insert(key.to_owned(), value.to_owned());
        }
    }
    Next::Done
}

/// What a machine without a type of its own is.
pub(crate) const MACHINE: &str = "pc-i440fx-10.0+pve1";
/// What a processor without a type of its own is, with the flags that are always there.
pub(crate) const CPU: &str = "kvm64,enforce,+kvm_pv_eoi,+kvm_pv_unhalt,+lahf_lm,+sep";

/// A suspended VM that is started goes on from its volume, which is then gone.
pub(crate) fn wake(world: &mut World, upid: &str, vmid: u32) {
    let Some(guest) = world.guests.get_mut(&vmid) else { return };
    let Some(volid) = guest.config.remove("vmstate") else { return };
    let node = guest.node.clone();
    guest.config.retain(|k, _| !["runningmachine", "runningcpu", "lock"].contains(&k.as_str()));
    world.log(upid, "Resuming suspended VM");
    world.drop_volume(&volid, &node);
    world.log(upid, "Resumed VM, removing state");
}

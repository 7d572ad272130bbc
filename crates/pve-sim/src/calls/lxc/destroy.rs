//! Destroying a container.

use serde_json::json;

use super::{the, unlocked, unprotected};
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::jobs::Job;
use crate::jobs::lxc::Lxc;
use crate::state::World;
use crate::state::guest::Guest;

/// What must not be so when a container goes.
pub(crate) fn check(world: &World, guest: &Guest, purge: bool, force: bool) -> Result<(), Fail> {
    let vmid = guest.vmid;
    unprotected(guest, &format!("can't remove CT {vmid}"))?;
    unlocked(guest)?;
    if !purge {
        if world.cluster.ha.contains_key(&format!("ct:{vmid}")) {
            let text = format!("unable to remove CT {vmid} - used in HA resources and purge parameter not set.");
            return Err(Fail::die(text));
        }
        if let Some(job) = world.backup.replication_of(vmid).next() {
            let text = format!("There is a replication job '{job}' for guest '{vmid}' - Please remove that first.");
            return Err(Fail::die(text));
        }
    }
    if guest.running() && !force {
        return Err(Fail::die(format!("unable to destroy CT {vmid} - container is running")));
    }
    Ok(())
}

pub(crate) fn destroy(world: &mut World, call: &Call<'_>) -> Outcome {
    let (purge, force, vmid) = (call.flag("purge"), call.flag("force"), call.vmid());
    check(world, the(world, call)?, purge, force)?;
    let job = Lxc::Destroy {
        vmid,
        node: call.node().to_owned(),
        purge,
        force,
        unreferenced: call.flag("destroy-unreferenced-disks"),
    };
    let after = world.pace.of("destroy");
    now(json!(world.spawn(call.node(), "vzdestroy", &vmid.to_string(), call.who, Job::Lxc(Box::new(job)), after)))
}

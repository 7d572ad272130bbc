//! The poller's reading in the words of `plan`.

use std::sync::Arc;

use plan::Seen;
use plan::node::{Power, View, Vm};
use pve::{GuestKind, GuestStatus, Resources, Snapshot};

/// A reading, converted.
pub(crate) fn read(snapshot: &Snapshot) -> Seen<Arc<View>> {
    match &snapshot.resources {
        Ok(resources) => Seen::Known(Arc::new(convert(resources))),
        Err(_) if snapshot.sequence == 0 => Seen::Unasked,
        Err(why) => Seen::Unread(words(why)),
    }
}

/// An error of Proxmox VE for people, with the next move.
pub(crate) fn words(why: &pve::Error) -> String {
    let hint = why.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{}{hint}", daemon::chain(why))
}

fn convert(resources: &Resources) -> View {
    let vms = resources.guests.values().filter(|row| row.kind == GuestKind::Qemu).map(|row| {
        let vm = Vm {
            vmid: row.vmid,
            node: row.node.clone(),
            name: row.name.clone(),
            power: row.status.as_ref().map_or(Power::Unknown, power),
            cpus: row.maxcpu.unwrap_or(0.0),
            memory: row.maxmem.unwrap_or(0),
            ha: row.hastate.clone().filter(|state| !state.is_empty()),
            lock: row.lock.clone(),
        };
        (row.vmid, vm)
    });
    let nodes = resources.nodes.values().map(|row| (row.node.clone(), row.online));
    View { vms: vms.collect(), nodes: nodes.collect() }
}

/// Only `stopped` is off: what is held or asleep in memory has its disks open.
pub(crate) fn power(status: &GuestStatus) -> Power {
    match status {
        GuestStatus::Stopped => Power::Off,
        GuestStatus::Running | GuestStatus::Paused | GuestStatus::Prelaunch | GuestStatus::Suspended => Power::On,
        GuestStatus::Unknown | GuestStatus::Other(_) => Power::Unknown,
    }
}

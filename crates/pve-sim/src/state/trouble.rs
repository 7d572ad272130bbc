//! What goes wrong in the world behind everybody's back: nodes lose their power, storages have no space left.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::guest::Guest;
use super::storage::Volume;
use super::storage::space::Fill;
use super::world::World;
use crate::faults::{Down, Then};

/// What is wrong, and what will be.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Trouble {
    /// Storages made full, with the bytes that were taken for it.
    full: BTreeMap<String, u64>,
    /// Volumes whose list of snapshots is lost, with the time that they were made at.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) spoiled: BTreeMap<String, i64>,
    /// What happens at which time; the earliest first.
    plan: Vec<(f64, Planned)>,
}

/// Something that will happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Planned {
    NodeDown(String),
    NodeUp(String),
}

impl Trouble {
    /// When the next thing happens.
    pub(crate) fn next_due(&self) -> f64 {
        self.plan.first().map_or(f64::INFINITY, |(at, _)| *at)
    }

    /// Plans something.
    pub(crate) fn plan(&mut self, at: f64, what: Planned) {
        let place = self.plan.partition_point(|(other, _)| *other <= at);
        self.plan.insert(place, (at, what));
    }
}

impl World {
    /// Does the first of what was planned.
    pub(super) fn trouble_happens(&mut self) {
        if self.trouble.plan.is_empty() {
            return;
        }
        match self.trouble.plan.remove(0) {
            (_, Planned::NodeDown(node)) => {
                self.node_down(&node);
            }
            (_, Planned::NodeUp(node)) => {
                self.node_up(&node);
            }
        }
    }

    /// What a fault does to the world itself; one that names what isn't there does nothing.
    pub(crate) fn suffer(&mut self, then: &Then) {
        match then {
            Then::NodeDown(Down::Now(node)) => {
                self.node_down(node);
            }
            Then::NodeDown(Down::Later { node, after }) => {
                let at = self.now + after.max(0.0);
                self.trouble.plan(at, Planned::NodeDown(node.clone()));
            }
            Then::StorageFull(storage) => {
                self.storage_full(storage);
            }
            Then::StaleResources(seconds) => self.next_tick = self.next_tick.max(self.now + seconds),
            _ => {}
        }
    }

    /// Somebody else makes a VM with this number, on another node than the call's if there is one.
    pub(crate) fn beaten(&mut self, vmid: Option<&str>, node: &str) {
        let Some(vmid) = vmid.and_then(|v| v.parse().ok()).filter(|v| !self.guests.contains_key(v)) else { return };
        let other = self.nodes.iter().find(|n| n.online && n.name != node);
        let node = other.map_or_else(|| node.to_owned(), |n| n.name.clone());
        let config = [("name", "rival"), ("memory", "512")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        self.guests.insert(vmid, Guest::new(vmid, &node, config.into()));
    }

    /// A task does so many of its pieces now; false if there is no such task.
    pub(crate) fn hurry(&mut self, upid: &str, pieces: u32) -> bool {
        for _ in 0..pieces {
            let now = self.now;
            match self.tasks.get(upid) {
                None => return false,
                Some(task) if task.running() => self.schedule(upid, now),
                Some(_) => break,
            }
            self.advance(now);
        }
        true
    }

    /// The guest is gone, with its disks, as if somebody else had destroyed it; false if there is no such guest.
    pub(crate) fn vanish(&mut self, vmid: u32) -> bool {
        let Some(guest) = self.guests.get(&vmid) else { return false };
        let sid = format!("{}:{vmid}", guest.kind.ha());
        let (node, running) = (guest.node.clone(), guest.run.as_ref().map(|r| r.id.clone()));
        if let Some(run) = running {
            self.hook.send(&json!({"event": "power-off", "vmid": vmid, "run": run}));
        }
        let owned: Vec<String> = self.volumes.iter().filter(|v| v.vmid == Some(vmid)).map(Volume::volid).collect();
        for volid in owned {
            self.volumes.remove(&volid, &node);
        }
        self.cluster.ha.remove(&sid);
        self.forget(vmid);
        true
    }

    /// The guest's process dies; false if there is none.
    pub(crate) fn power_cut(&mut self, vmid: u32) -> bool {
        let Some(run) = self.guests.get(&vmid).and_then(|g| g.run.as_ref()).map(|r| r.id.clone()) else {
            return false;
        };
        self.hook.send(&json!({"event": "power-off", "vmid": vmid, "run": run}));
        self.powered_off(vmid);
        true
    }

    /// The node loses its power, and with it its guests; false if there is no such node.
    pub(crate) fn node_down(&mut self, node: &str) -> bool {
        let now = self.now;
        let Some(found) = self.node_mut(node) else { return false };
        if found.online {
            found.lost = now;
        }
        found.online = false;
        let here: Vec<(u32, String)> = self
            .guests
            .values()
            .filter(|g| g.node == node)
            .filter_map(|g| g.run.as_ref().map(|r| (g.vmid, r.id.clone())))
            .collect();
        for (vmid, run) in here {
            self.hook.send(&json!({"event": "power-off", "vmid": vmid, "run": run}));
            self.powered_off(vmid);
        }
        true
    }

    /// The node has power again; false if there is no such node.
    pub(crate) fn node_up(&mut self, node: &str) -> bool {
        let now = self.now;
        let Some(found) = self.node_mut(node) else { return false };
        if !found.online {
            found.booted = now;
        }
        found.online = true;
        found.lost = 0.0;
        true
    }

    /// Nothing more fits on the storage, until [`World::storage_freed`]; false if there is no such storage.
    pub(crate) fn storage_full(&mut self, id: &str) -> bool {
        let Some(storage) = self.storages.get(id) else { return false };
        let node = self.nodes.first().map(|n| n.name.clone()).unwrap_or_default();
        let Fill { avail, .. } = storage.fill(&self.volumes, &node);
        *self.trouble.full.entry(id.to_owned()).or_default() += avail;
        if let Some(storage) = self.storages.get_mut(id) {
            storage.foreign = Some(storage.foreign().saturating_add(avail));
        }
        true
    }

    /// The storage has the room that it had; false if it was not made full.
    pub(crate) fn storage_freed(&mut self, id: &str) -> bool {
        let Some(taken) = self.trouble.full.remove(id) else { return false };
        if let Some(storage) = self.storages.get_mut(id) {
            storage.foreign = Some(storage.foreign().saturating_sub(taken));
        }
        true
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn what_was_planned_happens_in_the_order_of_its_times() {
        let mut trouble = Trouble::default();
        for (at, node) in [(5.0, "b"), (2.0, "a"), (5.0, "c")] {
            trouble.plan(at, Planned::NodeDown(node.to_owned()));
        }
        let nodes: Vec<_> = trouble.plan.iter().map(|(_, what)| what.clone()).collect();
        assert_eq!(nodes, ["a", "b", "c"].map(|node| Planned::NodeDown(node.to_owned())));
        assert!((trouble.next_due() - 2.0).abs() < f64::EPSILON);
    }
}

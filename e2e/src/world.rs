//! What the simulator holds, asked for what stories assert on.

use std::collections::BTreeSet;

use serde_json::Value;

/// The template that every simulator starts with.
const TEMPLATE: u64 = 9000;

/// One reading of the simulator's whole state.
#[derive(Debug, Clone)]
pub struct World(Value);

impl World {
    pub(crate) fn new(state: Value) -> Self {
        Self(state)
    }

    fn all<'a>(&'a self, part: &str) -> Box<dyn Iterator<Item = &'a Value> + 'a> {
        match self.0.get(part) {
            Some(Value::Object(all)) => Box::new(all.values()),
            Some(Value::Array(all)) => Box::new(all.iter()),
            _ => Box::new(std::iter::empty()),
        }
    }

    /// The VMs, the template apart.
    pub fn vms(&self) -> impl Iterator<Item = &Value> {
        self.all("guests").filter(|guest| number(guest, "vmid") != Some(TEMPLATE))
    }

    /// A key of a VM's configuration.
    pub fn config<'a>(vm: &'a Value, key: &str) -> &'a str {
        vm.pointer(&format!("/config/{key}")).and_then(Value::as_str).unwrap_or_default()
    }

    /// The UPIDs of all tasks.
    pub fn tasks(&self) -> BTreeSet<String> {
        self.all("tasks").map(|task| text(task, "upid").to_owned()).collect()
    }

    /// How many tasks of a kind ended well, those in `but` apart.
    pub fn succeeded(&self, kind: &str, but: &BTreeSet<String>) -> usize {
        let counts = |task: &&Value| {
            text(task, "kind") == kind && text(task, "exit") == "OK" && !but.contains(text(task, "upid"))
        };
        self.all("tasks").filter(counts).count()
    }

    /// The names of ISO images.
    pub fn isos(&self) -> Vec<String> {
        let iso = |volume: &&Value| text(volume, "content") == "iso";
        self.all("volumes").filter(iso).map(|volume| text(volume, "name").to_owned()).collect()
    }

    /// What Proxmox VE holds: VMs, volumes, members of pools, HA entries. Equal before and after: nothing is left.
    pub fn holdings(&self) -> Vec<String> {
        let vms = self.all("guests").map(|guest| format!("VM {}", guest["vmid"]));
        let volumes = self.all("volumes").map(|volume| format!("volume {}:{}", volume["storage"], volume["name"]));
        let pools = self.all("pools").map(|pool| format!("pool of {}", pool["vms"]));
        let ha = self.0.pointer("/cluster/ha").map(|ha| format!("ha {ha}"));
        let mut all: Vec<String> = vms.chain(volumes).chain(pools).chain(ha).collect();
        all.sort();
        all
    }
}

/// A number of an object.
fn number(of: &Value, key: &str) -> Option<u64> {
    of.get(key).and_then(Value::as_u64)
}

/// A text of an object; empty if it has none.
fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of.get(key).and_then(Value::as_str).unwrap_or_default()
}

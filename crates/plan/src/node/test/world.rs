//! A small Proxmox VE: VMs, some of them hidden from us; nodes, some of them away; and a Node in Kubernetes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pve_types::{NodeName, SmbiosUuid, Vmid};

use super::super::*;
use crate::Seen;

pub(super) const UUID: &str = "46ff6553-ec42-4180-b651-d71617da3e0b";
pub(super) const OTHER: &str = "f250cfd7-0000-4180-b651-d71617da3e0b";

pub(super) fn vmid(number: u32) -> Vmid {
    number.try_into().unwrap()
}

pub(super) fn pve(name: &str) -> NodeName {
    name.parse().unwrap()
}

pub(super) fn uuid(text: &str) -> SmbiosUuid {
    text.parse().unwrap()
}

#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) vm: Vm,
    pub(super) identity: Identity,
    /// What it does by now, where the last broadcast is older.
    pub(super) really: Option<Power>,
    /// Not in our view.
    pub(super) hidden: bool,
}

#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) region: String,
    pub(super) vms: BTreeMap<Vmid, Machine>,
    pub(super) nodes: BTreeMap<NodeName, bool>,
    /// What membership says, where it differs.
    pub(super) members: Option<BTreeMap<NodeName, bool>>,
    pub(super) quorate: bool,
    pub(super) audit: Audit,
    pub(super) poll: Result<(), String>,
    pub(super) standing: Result<(), String>,
    /// What was read since it came into view.
    pub(super) known: BTreeMap<Vmid, Identity>,
    pub(super) interfaces: Vec<Interface>,
    /// Looks that were answered.
    pub(super) asked: Vec<Look>,
}

/// VM 101 `w-0` runs on `pve1`; 102 `other` is somebody else's.
pub(super) fn world() -> World {
    let machine = |number, name: &str, id: &str| Machine {
        vm: Vm {
            vmid: vmid(number),
            node: pve("pve1"),
            name: Some(name.into()),
            power: Power::On,
            cpus: 4.0,
            memory: 8 << 30,
            ha: None,
            lock: None,
        },
        identity: Identity { uuid: Some(uuid(id)), sku: None },
        really: None,
        hidden: false,
    };
    World {
        region: "dc1".into(),
        vms: [(vmid(101), machine(101, "w-0", UUID)), (vmid(102), machine(102, "other", OTHER))].into(),
        nodes: ["pve1", "pve2", "pve3"].map(|name| (pve(name), true)).into(),
        members: None,
        quorate: true,
        audit: Audit::Some,
        poll: Ok(()),
        standing: Ok(()),
        known: BTreeMap::new(),
        interfaces: Vec::new(),
        asked: Vec::new(),
    }
}

impl World {
    pub(super) fn vm(&mut self) -> &mut Machine {
        self.vms.get_mut(&vmid(101)).unwrap()
    }

    pub(super) fn regions(&self) -> Vec<Region> {
        let vms = self.vms.values().filter(|m| !m.hidden).map(|m| (m.vm.vmid, m.vm.clone())).collect();
        let view = match &self.poll {
            Ok(()) => Seen::Known(Arc::new(View { vms, nodes: self.nodes.clone() })),
            Err(why) => Seen::Unread(why.clone()),
        };
        vec![Region { name: self.region.clone(), view, identities: Arc::new(self.known.clone()) }]
    }

    fn answer(&mut self, look: &Look, answers: &mut Answers) {
        self.asked.push(look.clone());
        match look.clone() {
            Look::Identity { region, vmid, .. } => {
                let seen = match self.vms.get(&vmid) {
                    Some(machine) if machine.hidden => Seen::Unread("403".into()),
                    Some(machine) => Seen::Known(machine.identity.clone()),
                    None => Seen::Absent,
                };
                if let Seen::Known(identity) = &seen {
                    self.known.insert(vmid, identity.clone());
                }
                answers.identities.insert((region, vmid), seen);
            }
            Look::Power { region, vmid, .. } => {
                let power = self.vms.get(&vmid).map(|machine| machine.really.unwrap_or(machine.vm.power));
                answers.power.insert((region, vmid), power.map_or(Seen::Absent, Seen::Known));
            }
            Look::Standing { region } => {
                let members = self.members.clone().unwrap_or_else(|| self.nodes.clone());
                let standing = Standing { quorate: self.quorate, members, audit: self.audit };
                let seen = self.standing.clone().map_or_else(Seen::Unread, |()| Seen::Known(standing));
                answers.standings.insert(region, seen);
            }
            Look::Number { region, vmid } => {
                let number = if self.vms.contains_key(&vmid) { Number::Taken } else { Number::Free };
                answers.numbers.insert((region, vmid), Seen::Known(number));
            }
            Look::Agent { region, vmid, .. } => {
                answers.agents.insert((region, vmid), Seen::Known(self.interfaces.clone()));
            }
        }
    }

    /// One pass: looks are answered until there is a plan.
    pub(super) fn pass(&mut self, settings: &Settings, node: &Node) -> Plan {
        let mut answers = Answers::default();
        for _ in 0..16 {
            let plan = plan(settings, node, &self.regions(), &answers);
            let Some(look) = &plan.look else { return plan };
            self.answer(look, &mut answers);
        }
        panic!("looks without end: {:?}", self.asked);
    }

    /// Passes until nothing is left to write; false if the Node was deleted.
    pub(super) fn settle(&mut self, settings: &Settings, node: &mut Node) -> bool {
        for _ in 0..8 {
            match self.pass(settings, node).step {
                None => return true,
                Some(Step::Delete(gone)) => {
                    assert_eq!(gone.node(), node.name);
                    return false;
                }
                Some(Step::Write(change)) => apply(node, &change),
            }
        }
        panic!("writes without end: {node:?}");
    }
}

/// What Kubernetes makes of a change.
pub(super) fn apply(node: &mut Node, change: &Change) {
    let Change { provider_id, labels, annotations, add, remove, addresses } = change.clone();
    if let Some(id) = provider_id {
        assert_eq!(node.provider_id, ProviderId::None, "spec.providerID is written once");
        node.provider_id = ProviderId::read(Some(&id));
    }
    node.labels.extend(labels);
    for (key, value) in annotations {
        match value {
            Some(value) => node.annotations.insert(key, value),
            None => node.annotations.remove(&key),
        };
    }
    node.taints = node.taints.difference(&remove).copied().chain(add).collect();
    node.addresses = addresses.unwrap_or_else(|| node.addresses.clone());
}

/// As the kubelet of VM 101 registers it.
pub(super) fn registered() -> Node {
    Node {
        name: "w-0".into(),
        provider_id: ProviderId::None,
        uuid: Some(uuid(UUID)),
        ready: true,
        labels: BTreeMap::new(),
        annotations: [(PROVIDED_IP.to_owned(), "10.0.0.7".to_owned())].into(),
        taints: BTreeSet::from([Taint::Uninitialized]),
        addresses: Vec::new(),
    }
}

pub(super) fn settings() -> Settings {
    Settings { form: Form::Uuid, follow: Follow::All, network: Network::default() }
}

/// VM 101's Node as it is after its initialisation.
pub(super) fn settled(world: &mut World) -> Node {
    let mut node = registered();
    assert!(world.settle(&settings(), &mut node));
    world.asked.clear();
    node
}

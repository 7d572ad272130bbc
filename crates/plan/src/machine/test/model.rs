//! A strict model of Proxmox VE and of what Kubernetes holds: it refuses what they refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::{ProxmoxCluster, ProxmoxMachine};
use pve_types::{GuestConfig, NodeName, Vmid, VolumeId};

use super::super::*;
use crate::Seen;
use crate::inventory::{GuestRow, Inventory, NodeRow, StorageRow};

pub(super) const UUID: &str = "46ff6553-ec42-4180-b651-d71617da3e0b";

pub(super) fn vmid(number: u32) -> Vmid {
    Vmid::try_from(number).unwrap()
}

pub(super) fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

/// A VM as Proxmox VE has it.
#[derive(Debug, Clone)]
pub(super) struct Vm {
    pub(super) node: NodeName,
    pub(super) config: GuestConfig,
    pub(super) running: bool,
    /// The clone still copies: no name, no mark, locked.
    pub(super) cloning: bool,
}

/// All that the world holds: Proxmox VE, Kubernetes' records, what the process remembers.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) vms: BTreeMap<Vmid, Vm>,
    pub(super) isos: BTreeSet<String>,
    pub(super) recorded: Recorded,
    pub(super) done: Done,
    pub(super) joined: bool,
    pub(super) gone: bool,
    pub(super) started: usize,
    pub(super) clones: usize,
}

pub(super) fn template() -> GuestConfig {
    let mut config = GuestConfig { name: Some("tmpl".into()), template: true, ..GuestConfig::default() };
    config.agent = "1".parse().ok();
    config.memory = Some(2048);
    config.smbios = "uuid=19ea7e83-9b06-4e1d-9eea-700692261345".parse().ok();
    config.disks.insert("scsi0".into(), "shared:9000/base-9000-disk-0.raw,size=8G".parse().unwrap());
    config.nets.insert(0, "virtio=BC:24:11:10:8E:60,bridge=vmbr0".parse().unwrap());
    config
}

pub(super) fn world() -> World {
    let tmpl = Vm { node: node("pve1"), config: template(), running: false, cloning: false };
    World {
        vms: BTreeMap::from([(vmid(9000), tmpl)]),
        isos: BTreeSet::new(),
        recorded: Recorded::default(),
        done: Done::default(),
        joined: false,
        gone: false,
        started: 0,
        clones: 0,
    }
}

pub(super) fn machine() -> ProxmoxMachine {
    let mut machine = ProxmoxMachine::new(
        "w-0",
        api::ProxmoxMachineSpec {
            source_node: Some("pve1".into()),
            template_id: Some(9000),
            num_cores: Some(4),
            memory_mib: Some(4096),
            description: Some("a worker".into()),
            tags: vec!["team-a".into()],
            disks: Some(api::Disks { boot_volume: Some(api::BootVolume { disk: "scsi0".into(), size_gb: 20 }) }),
            network: api::NetworkSpec {
                network_devices: vec![api::NetworkDevice {
                    name: "net0".into(),
                    bridge: Some("vmbr1".into()),
                    ..api::NetworkDevice::default()
                }],
                ..api::NetworkSpec::default()
            },
            ..api::ProxmoxMachineSpec::default()
        },
    );
    machine.metadata.uid = Some("uid-1".into());
    machine.metadata.namespace = Some("default".into());
    machine
}

pub(super) fn cluster() -> ProxmoxCluster {
    let ipv4_config = Some(api::IpConfig {
        addresses: vec!["10.0.0.20-10.0.0.21".into()],
        prefix: 24,
        gateway: "10.0.0.1".into(),
        metric: Some(100),
    });
    let spec = api::ProxmoxClusterSpec {
        ipv4_config,
        dns_servers: vec!["10.0.0.1".into()],
        allowed_nodes: vec!["pve1".into(), "pve2".into()],
        ..api::ProxmoxClusterSpec::default()
    };
    ProxmoxCluster::new("c", spec)
}

pub(super) fn keep() -> Want {
    Want::Keep(Box::new(Desired::read(&machine(), &cluster()).unwrap()))
}

pub(super) fn who() -> Identity {
    Identity::of(&machine())
}

impl World {
    pub(super) fn inventory(&self) -> Inventory {
        let guests = self.vms.iter().map(|(vmid, vm)| GuestRow {
            vmid: *vmid,
            node: vm.node.clone(),
            name: if vm.cloning { None } else { vm.config.name.clone() },
            running: Some(vm.running),
            template: vm.config.template,
            tags: vm.config.tags.clone(),
            lock: vm.config.lock.clone(),
            maxmem: 2 << 30,
        });
        let nodes = ["pve1", "pve2"].map(|name| NodeRow { node: node(name), online: true, maxmem: Some(64 << 30) });
        let storages = ["pve1", "pve2"].map(|name| StorageRow {
            storage: "shared".parse().unwrap(),
            node: node(name),
            shared: true,
            content: ["images", "iso"].map(String::from).into(),
            available: true,
        });
        Inventory { guests: guests.collect(), nodes: nodes.into(), storages: storages.into(), sequence: 1 }
    }

    pub(super) fn observed(&self) -> Observed {
        Observed {
            cluster_ready: true,
            bootstrap: Seen::Known(()),
            kubernetes_version: Some("v1.36.3".into()),
            node_joined: self.joined,
            recorded: self.recorded.clone(),
            inventory: Seen::Known(Arc::new(self.inventory())),
            task: Seen::Absent,
            backoff: None,
            done: self.done.clone(),
            power: None,
            answers: Answers::default(),
            reserved: BTreeSet::new(),
            taken: BTreeSet::new(),
            siblings: BTreeMap::new(),
            promised: BTreeMap::new(),
            next_vmid: None,
            untried: false,
            quiet: Duration::from_secs(30),
        }
    }

    /// Plans, answering looks honestly.
    pub(super) fn plan(&self, want: &Want) -> Plan {
        let mut seen = self.observed();
        for _ in 0..10 {
            let plan = plan(&who(), want, &seen);
            let Some(look) = &plan.look else { return plan };
            assert!(plan.step.is_none(), "a plan that looks orders nothing");
            match look {
                Look::Config { node, vmid, .. } => {
                    let answer = match self.vms.get(vmid) {
                        Some(vm) if vm.node == *node => Seen::Known(vm.config.clone()),
                        _ => Seen::Absent,
                    };
                    seen.answers.configs.insert(*vmid, answer);
                }
                Look::Exists(vmid) => {
                    seen.answers.exists = if self.vms.contains_key(vmid) { Seen::Known(()) } else { Seen::Absent };
                }
                Look::NextVmid => seen.next_vmid = Some(vmid(100)),
                Look::Agent { .. } => seen.answers.agent = Seen::Known(Vec::new()),
                Look::CloudInit { .. } => seen.answers.cloud_init = Seen::Known(CloudInit::Done),
            }
        }
        panic!("a plan that only looks");
    }

    /// What Proxmox VE and Kubernetes do with a step. Refuses what they refuse.
    pub(super) fn apply(&mut self, step: &Step) {
        match step {
            Step::Reserve { vmid, node, addresses } => {
                self.recorded.reserved = Some(*vmid);
                self.recorded.node = Some(node.clone());
                self.recorded.addresses = addresses.clone();
            }
            Step::Release => self.recorded = Recorded::default(),
            Step::Clone(order) => {
                assert_eq!(self.recorded.reserved, Some(order.to), "a clone to a VMID that was not reserved");
                self.clones += 1;
                if self.vms.contains_key(&order.to) {
                    return; // config file already exists
                }
                let mut config = self.vms[&order.from].config.clone();
                config.template = false;
                config.name = Some(order.name.clone());
                config.description = Some(order.description.clone());
                config.smbios = format!("uuid={UUID}").parse().ok();
                config
                    .disks
                    .insert("scsi0".into(), format!("shared:{0}/vm-{0}-disk-0.raw,size=8G", order.to).parse().unwrap());
                let node = order.target.clone().unwrap_or_else(|| order.node.clone());
                self.vms.insert(order.to, Vm { node, config, running: false, cloning: false });
            }
            Step::Record { guest, addresses, .. } => {
                assert!(self.owned(guest.vmid()), "recorded a VM that is not ours");
                if !addresses.is_empty() {
                    self.recorded.addresses = addresses.clone();
                }
                self.recorded.vmid = Some(guest.vmid());
                self.recorded.uuid = Some(guest.uuid());
            }
            Step::UploadSeed { volume, meta_data, .. } => {
                assert_eq!(meta_data.instance_id, UUID);
                self.isos.insert(volume.to_string());
                self.done.seed_uploaded = true;
            }
            Step::Configure { guest, set, grow, .. } => {
                assert!(self.owned(guest.vmid()), "configured a VM that is not ours");
                let vm = self.vms.get_mut(&guest.vmid()).unwrap();
                assert!(vm.config.lock.is_none(), "VM is locked");
                let mut map = vm.config.to_map();
                map.extend(set.clone());
                vm.config = GuestConfig::from_map(map);
                if let Some((disk, size)) = grow {
                    let disk = vm.config.disks.get_mut(disk).unwrap();
                    assert!(disk.size.is_none_or(|has| has < *size), "shrinking disks is not supported");
                    disk.size = Some(*size);
                }
            }
            Step::Eject { guest, set, volume, .. } => {
                assert!(self.owned(guest.vmid()), "ejected from a VM that is not ours");
                let vm = self.vms.get_mut(&guest.vmid()).unwrap();
                let mut map = vm.config.to_map();
                map.extend(set.clone());
                vm.config = GuestConfig::from_map(map);
                self.done.ejected = Some(volume.clone());
            }
            Step::Start { guest, .. } => {
                assert!(self.owned(guest.vmid()), "started a VM that is not ours");
                let vm = self.vms.get_mut(&guest.vmid()).unwrap();
                assert!(!vm.running, "already running");
                for disk in vm.config.disks.values() {
                    let missing = |v: &VolumeId| v.name.starts_with("iso/") && !self.isos.contains(&v.to_string());
                    assert!(!disk.volume().is_some_and(missing), "volume does not exist");
                }
                vm.running = true;
                self.started += 1;
            }
            Step::Stop { guest, .. } => {
                assert!(self.owned(guest.vmid()), "stopped a VM that is not ours");
                self.vms.get_mut(&guest.vmid()).unwrap().running = false;
            }
            Step::RemoveSeed { volume, .. } => {
                let mut disks = self.vms.values().filter(|vm| vm.running).flat_map(|vm| vm.config.disks.values());
                assert!(!disks.any(|disk| disk.volume() == Some(volume)), "removed an ISO that a running VM has");
                self.isos.remove(&volume.to_string());
                self.recorded.seed_removed = true;
            }
            Step::Destroy { guest, .. } => {
                assert!(self.owned(guest.vmid()), "destroyed a VM that is not ours");
                let vm = self.vms.remove(&guest.vmid()).unwrap();
                assert!(!vm.running, "is running - destroy failed");
            }
            Step::LetGo => self.gone = true,
        }
    }

    pub(super) fn owned(&self, vmid: Vmid) -> bool {
        let config = &self.vms[&vmid].config;
        config.description.as_deref().is_some_and(|notes| notes.contains("uid=uid-1 ") || notes.ends_with("uid=uid-1"))
    }

    /// The status half of a pass: what publish writes of the facts.
    pub(super) fn publish(&mut self, plan: &Plan) {
        self.recorded.provisioned |= plan.facts.ready;
        self.recorded.bootstrapped |= plan.facts.bootstrapped;
        if let Some(node) = &plan.facts.node {
            self.recorded.node = Some(node.clone());
        }
    }

    pub(super) fn ours(&self) -> usize {
        self.vms.keys().filter(|vmid| self.owned(**vmid)).count()
    }
}

/// How a pass ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
    /// Step and status are written.
    Whole,
    /// Died before the step.
    Before,
    /// Died after the step, before status was written; what was remembered is lost.
    After,
}

pub(super) fn pass(world: &mut World, want: &Want, fate: Fate) -> Plan {
    let plan = world.plan(want);
    match fate {
        Fate::Before => world.done = Done::default(),
        Fate::After => {
            if let Some(step) = &plan.step {
                world.apply(step);
            }
            world.done = Done::default();
        }
        Fate::Whole => {
            if let Some(step) = &plan.step {
                world.apply(step);
            }
            if !world.gone {
                world.publish(&plan);
            }
        }
    }
    plan
}

pub(super) fn settle(world: &mut World, want: &Want) -> Plan {
    for _ in 0..40 {
        let plan = pass(world, want, Fate::Whole);
        if plan.step.is_none() || world.gone {
            return plan;
        }
    }
    panic!("does not come to rest");
}

pub(super) fn foreign(vmid: u32, name: &str, notes: &str) -> (Vmid, Vm) {
    let config = GuestConfig {
        name: Some(name.into()),
        description: Some(notes.into()),
        smbios: "uuid=f250cfd7-0000-4180-b651-d71617da3e0b".parse().ok(),
        ..GuestConfig::default()
    };
    (self::vmid(vmid), Vm { node: node("pve1"), config, running: true, cloning: false })
}

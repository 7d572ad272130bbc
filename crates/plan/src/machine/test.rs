//! The machine's plan against a strict model of Proxmox VE: it refuses what Proxmox VE refuses.
//!
//! Converges, is safe, quiet and interruptible: see each property. Wrong planners that these reject are named beside
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::{MachineReason, ProxmoxCluster, ProxmoxMachine};
use proptest::prelude::*;
use pve_types::{DiskSpec, GuestConfig, NodeName, Tags, Vmid, VolumeId};

use super::*;
use crate::Seen;
use crate::inventory::{GuestRow, Inventory, NodeRow, StorageRow};

const UUID: &str = "46ff6553-ec42-4180-b651-d71617da3e0b";

fn vmid(number: u32) -> Vmid {
    Vmid::try_from(number).unwrap()
}

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

/// A VM as Proxmox VE has it.
#[derive(Debug, Clone)]
struct Vm {
    node: NodeName,
    config: GuestConfig,
    running: bool,
    /// The clone still copies: no name, no mark, locked.
    cloning: bool,
}

/// All that the world holds: Proxmox VE, Kubernetes' records, what the process remembers.
#[derive(Debug, Clone)]
struct World {
    vms: BTreeMap<Vmid, Vm>,
    isos: BTreeSet<String>,
    recorded: Recorded,
    done: Done,
    joined: bool,
    gone: bool,
    started: usize,
    clones: usize,
}

fn template() -> GuestConfig {
    let mut config = GuestConfig { name: Some("tmpl".into()), template: true, ..GuestConfig::default() };
    config.agent = "1".parse().ok();
    config.memory = Some(2048);
    config.smbios = "uuid=19ea7e83-9b06-4e1d-9eea-700692261345".parse().ok();
    config.disks.insert("scsi0".into(), "shared:9000/base-9000-disk-0.raw,size=8G".parse().unwrap());
    config.nets.insert(0, "virtio=BC:24:11:10:8E:60,bridge=vmbr0".parse().unwrap());
    config
}

fn world() -> World {
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

fn machine() -> ProxmoxMachine {
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

fn cluster() -> ProxmoxCluster {
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

fn keep() -> Want {
    Want::Keep(Box::new(Desired::read(&machine(), &cluster()).unwrap()))
}

fn who() -> Identity {
    Identity::of(&machine())
}

impl World {
    fn inventory(&self) -> Inventory {
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

    fn observed(&self) -> Observed {
        Observed {
            cluster_ready: true,
            bootstrap: Seen::Known(()),
            kubernetes_version: Some("v1.36.3".into()),
            node_joined: self.joined,
            recorded: self.recorded.clone(),
            inventory: Seen::Known(Arc::new(self.inventory())),
            task: Seen::Absent,
            backoff: None,
            done: self.done,
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
    fn plan(&self, want: &Want) -> Plan {
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
    fn apply(&mut self, step: &Step) {
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

    fn owned(&self, vmid: Vmid) -> bool {
        let config = &self.vms[&vmid].config;
        config.description.as_deref().is_some_and(|notes| notes.contains("uid=uid-1 ") || notes.ends_with("uid=uid-1"))
    }

    /// The status half of a pass: what publish writes of the facts.
    fn publish(&mut self, plan: &Plan) {
        self.recorded.provisioned |= plan.facts.ready;
        self.recorded.bootstrapped |= plan.facts.bootstrapped;
        if let Some(node) = &plan.facts.node {
            self.recorded.node = Some(node.clone());
        }
    }

    fn ours(&self) -> usize {
        self.vms.keys().filter(|vmid| self.owned(**vmid)).count()
    }
}

/// How a pass ends.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// Step and status are written.
    Whole,
    /// Died before the step.
    Before,
    /// Died after the step, before status was written; what was remembered is lost.
    After,
}

fn pass(world: &mut World, want: &Want, fate: Fate) -> Plan {
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

fn settle(world: &mut World, want: &Want) -> Plan {
    for _ in 0..40 {
        let plan = pass(world, want, Fate::Whole);
        if plan.step.is_none() || world.gone {
            return plan;
        }
    }
    panic!("does not come to rest");
}

fn foreign(vmid: u32, name: &str, notes: &str) -> (Vmid, Vm) {
    let config = GuestConfig {
        name: Some(name.into()),
        description: Some(notes.into()),
        smbios: "uuid=f250cfd7-0000-4180-b651-d71617da3e0b".parse().ok(),
        ..GuestConfig::default()
    };
    (self::vmid(vmid), Vm { node: node("pve1"), config, running: true, cloning: false })
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![3 => Just(Fate::Whole), 1 => Just(Fate::Before), 1 => Just(Fate::After)]
}

proptest! {
    /// Converges on what was wanted though any pass may die before or after its step, and joins late. Rejects: a
    /// planner that clones without reserving, uploads once only by memory, starts without the ISO, or forgets to grow.
    #[test]
    fn every_interruption_ends_in_one_running_vm(fates in prop::collection::vec(fate(), 0..25), joins in 0usize..25) {
        let (mut world, want) = (world(), keep());
        for (turn, fate) in fates.into_iter().enumerate() {
            world.joined |= turn == joins && world.recorded.provisioned;
            let _plan = pass(&mut world, &want, fate);
        }
        let plan = settle(&mut world, &want);
        let ours: Vec<_> = world.vms.iter().filter(|(vmid, _)| world.owned(**vmid)).map(|(_, vm)| vm.clone()).collect();
        prop_assert_eq!(ours.len(), 1);
        let config = &ours[0].config;
        prop_assert!(ours[0].running && plan.facts.ready);
        prop_assert_eq!((config.cores, config.memory), (Some(4), Some(4096)));
        prop_assert_eq!(config.disks["scsi0"].size.unwrap().to_string(), "20G");
        prop_assert_eq!(config.nets[&0].bridge.as_deref(), Some("vmbr1"));
        prop_assert!(config.tags.contains("team-a") && config.tags.contains("ip_net0_10.0.0.20"));
        prop_assert!(config.description.as_deref().unwrap().starts_with("a worker\n"));
        prop_assert_eq!(world.started, 1);
        world.joined = true;
        let plan = settle(&mut world, &want);
        let settled = matches!(plan.why, Note::Settled { .. });
        prop_assert!(settled);
        prop_assert!(world.isos.is_empty(), "the bootstrap data stays behind");
        let attached = |disk: &DiskSpec| disk.volume().is_some_and(|volume| volume.name.starts_with("iso/"));
        let vm = world.vms.values().find(|vm| vm.running).unwrap();
        prop_assert!(!vm.config.disks.values().any(attached));
    }

    /// Deletes all, from any state, though any pass may die. Rejects: letting go before the VM is gone, leaving the ISO.
    #[test]
    fn deletion_from_any_state_leaves_nothing(made in 0usize..14, fates in prop::collection::vec(fate(), 0..15)) {
        let (mut world, want) = (world(), keep());
        for _ in 0..made {
            let _plan = pass(&mut world, &want, Fate::Whole);
        }
        for fate in fates {
            if !world.gone {
                let _plan = pass(&mut world, &Want::Remove, fate);
            }
        }
        if !world.gone {
            let _plan = settle(&mut world, &Want::Remove);
        }
        prop_assert!(world.gone);
        prop_assert_eq!(world.ours(), 0);
        prop_assert!(world.isos.is_empty());
        prop_assert_eq!(world.vms.len(), 1, "the template stays");
    }

    /// Safe: a VM of others at our VMID, or with our name, is left alone, and a new VMID is found.
    #[test]
    fn what_is_not_ours_is_left_alone(when in 0usize..8, name in "w-[01]", remove in any::<bool>()) {
        let (mut world, want) = (world(), keep());
        for _ in 0..when {
            if world.recorded.reserved.is_some() && world.clones == 0 {
                break;
            }
            let _plan = pass(&mut world, &want, Fate::Whole);
        }
        let (at, vm) = foreign(100, &name, "oxmox: machine=default/w-0 uid=uid-2");
        let free = !world.vms.contains_key(&at);
        if free {
            world.vms.insert(at, vm);
        }
        let end = if remove { Want::Remove } else { want };
        let _plan = settle(&mut world, &end);
        if free {
            prop_assert!(world.vms[&at].running);
        }
        prop_assert_eq!(world.ours(), usize::from(!remove));
    }

    /// Nothing is ordered while a task runs, a step is left alone, or Proxmox VE could not be read.
    #[test]
    fn nothing_is_ordered_unseen(made in 0usize..14, remove in any::<bool>()) {
        let (mut world, want) = (world(), keep());
        for _ in 0..made {
            let _plan = pass(&mut world, &want, Fate::Whole);
        }
        let want = if remove { Want::Remove } else { want };
        let upid = "UPID:pve1:0000125E:0008CD16:6B049C0A:qmclone:9000:flow@pve!machine:".parse().unwrap();
        let blind = [
            Observed { inventory: Seen::Unread("503".into()), ..world.observed() },
            Observed { task: Seen::Known(Task { upid }), ..world.observed() },
            Observed { task: Seen::Unread("timeout".into()), ..world.observed() },
            Observed {
                backoff: Some(Backoff {
                    doing: MachineReason::TaskFailed,
                    why: "no space".into(),
                    left: Duration::from_secs(4),
                }),
                ..world.observed()
            },
        ];
        for seen in blind {
            let plan = plan(&who(), &want, &seen);
            prop_assert_eq!(plan.step, None);
            prop_assert_eq!(plan.look, None);
            prop_assert_ne!(plan.again, Again::OnChange, "would rest for ever");
        }
    }
}

#[test]
fn a_settled_machine_plans_nothing_and_asks_nothing() {
    let (mut world, want) = (world(), keep());
    let _plan = settle(&mut world, &want);
    world.joined = true;
    let _plan = settle(&mut world, &want);
    let plan = plan(&who(), &want, &world.observed());
    assert_eq!((plan.step, plan.look), (None, None));
    assert!(matches!(plan.why, Note::Settled { .. }));
}

#[test]
fn a_clone_that_does_not_show_its_name_yet_is_waited_for() {
    let (mut world, want) = (world(), keep());
    while world.clones == 0 {
        let _plan = pass(&mut world, &want, Fate::Whole);
    }
    let vm = world.vms.get_mut(&vmid(100)).unwrap();
    vm.cloning = true;
    let full = std::mem::replace(
        &mut vm.config,
        GuestConfig {
            lock: Some("clone".into()),
            description: Some("qmclone temporary file\n".into()),
            ..GuestConfig::default()
        },
    );
    for want in [&want, &Want::Remove] {
        let plan = world.plan(want);
        assert_eq!(plan.step, None);
        assert!(matches!(plan.why, Note::NotVisibleYet(_)), "{}", plan.why);
    }
    world.vms.get_mut(&vmid(100)).unwrap().config = full;
    let _plan = settle(&mut world, &want);
    assert_eq!(world.ours(), 1);
}

#[test]
fn a_vm_that_is_proven_gone_is_lost_and_not_made_again() {
    let (mut world, want) = (world(), keep());
    let _plan = settle(&mut world, &want);
    world.vms.remove(&vmid(100));
    let plan = world.plan(&want);
    assert_eq!(plan.step, None);
    assert!(matches!(plan.why, Note::Lost(_)));
    assert_eq!(plan.why.truth(true), Some(Truth::False));
    assert_eq!(Note::Unread("503".into()).truth(true), Some(Truth::Unknown), "unknown is not absent");
    assert_eq!(Note::Starting(vmid(100)).truth(false), Some(Truth::Unknown), "a VM being made is not to be replaced");
    assert_eq!(Note::NoVmid.truth(false), Some(Truth::Unknown), "a replacement would wait for the same");
}

#[test]
fn a_stopped_vm_is_started_again_but_not_configured() {
    let (mut world, want) = (world(), keep());
    let _plan = settle(&mut world, &want);
    let vm = world.vms.get_mut(&vmid(100)).unwrap();
    vm.running = false;
    vm.config.cores = Some(1);
    let plan = world.plan(&want);
    assert!(matches!(plan.step, Some(Step::Start { .. })), "{:?}", plan.step);
}

/// Rejects a plan that clones unasked after a restart or a failed call, when a clone of ours may be under way unseen.
#[test]
fn only_a_vmid_that_was_just_reserved_is_cloned_to_without_asking() {
    let (mut world, want) = (world(), keep());
    while world.recorded.reserved.is_none() {
        let _plan = pass(&mut world, &want, Fate::Whole);
    }
    let ask = |untried: bool, exists: Seen<()>| {
        let mut seen = world.observed();
        seen.untried = untried;
        seen.answers.configs.insert(vmid(9000), Seen::Known(template()));
        seen.answers.exists = exists;
        plan(&who(), &want, &seen)
    };
    assert!(matches!(ask(true, Seen::Unasked).step, Some(Step::Clone(_))));
    assert_eq!(ask(false, Seen::Unasked).look, Some(Look::Exists(vmid(100))));
    assert_eq!(ask(true, Seen::Known(())).step, None, "what was asked all the same counts");
}

/// Rejects a plan that waits for a change: a VM that was turned off soon after we started it may never show one.
#[test]
fn a_vm_that_the_reading_shows_off_after_our_start_is_looked_at_again() {
    let (mut world, want) = (world(), keep());
    let _plan = settle(&mut world, &want);
    for joined in [false, true] {
        world.joined = joined;
        let _plan = settle(&mut world, &want);
        let mut seen = world.observed();
        seen.power = Some(true);
        assert_eq!(plan(&who(), &want, &seen).again, Again::OnChange, "the reading shows what the task told");
        world.vms.get_mut(&vmid(100)).unwrap().running = false;
        let mut seen = world.observed();
        seen.power = Some(true);
        let plan = plan(&who(), &want, &seen);
        assert_eq!(plan.step, None, "not started twice on an old reading");
        assert!(matches!(plan.again, Again::After(wait) if wait <= Duration::from_secs(10)), "{:?}", plan.again);
        world.vms.get_mut(&vmid(100)).unwrap().running = true;
    }
}

#[test]
fn a_locked_vm_is_left_alone() {
    let (mut world, want) = (world(), keep());
    let _plan = settle(&mut world, &want);
    world.vms.get_mut(&vmid(100)).unwrap().config.lock = Some("backup".into());
    world.vms.get_mut(&vmid(100)).unwrap().running = false;
    for want in [&want, &Want::Remove] {
        let plan = world.plan(want);
        assert_eq!(plan.step, None);
        assert!(matches!(plan.why, Note::Locked { .. }), "{}", plan.why);
    }
}

#[test]
fn status_that_was_lost_is_rebuilt_from_the_mark() {
    let (mut world, want) = (world(), keep());
    let _plan = settle(&mut world, &want);
    let before = world.clone();
    world.recorded = Recorded::default();
    world.done = Done::default();
    let plan = settle(&mut world, &want);
    assert!(plan.facts.ready);
    assert_eq!(world.recorded.vmid, before.recorded.vmid);
    assert_eq!(world.recorded.uuid, before.recorded.uuid);
    assert_eq!((world.clones, world.started), (1, 1));
    world.recorded = Recorded::default();
    let _plan = settle(&mut world, &Want::Remove);
    assert_eq!(world.ours(), 0);
}

#[test]
fn a_full_range_of_addresses_is_said_and_heals() {
    let (world, want) = (world(), keep());
    let mut seen = world.observed();
    seen.next_vmid = Some(vmid(100));
    seen.answers.configs.insert(vmid(9000), Seen::Known(template()));
    seen.taken = ["10.0.0.20", "10.0.0.21"].map(|text| text.parse().unwrap()).into();
    let full = plan(&who(), &want, &seen);
    assert_eq!(full.step, None);
    assert_eq!(
        full.why.to_string(),
        "all 2 addresses of `ipv4Config` are taken; extend the range of the ProxmoxCluster"
    );
    assert_ne!(full.again, Again::OnChange, "an address that another machine gives back is no change of this one");
    seen.taken.clear();
    assert!(matches!(plan(&who(), &want, &seen).step, Some(Step::Reserve { .. })));
}

#[test]
fn a_spec_that_cannot_be_names_the_field() {
    let mut bad = machine();
    bad.spec.network.network_devices[0].name = "eth0".into();
    bad.spec.pool = Some("no pool!".into());
    let wrong = Desired::read(&bad, &cluster()).unwrap_err();
    let said = Note::InvalidSpec(wrong).to_string();
    assert!(said.contains("`spec.pool`") && said.contains("`spec.network.networkDevices[0].name`"), "{said}");
}

#[test]
fn without_address_ranges_the_guest_asks_dhcp() {
    let mut cluster = cluster();
    cluster.spec.ipv4_config = None;
    let want = Desired::read(&machine(), &cluster).unwrap();
    let config = network_config(&want, &BTreeMap::new(), |n| mac("uid-1", n));
    assert!(config.nics[0].dhcp4);
    assert!(config.nics[0].addresses.is_empty());
    let fixed = Desired::read(&machine(), &self::cluster()).unwrap();
    let given = BTreeMap::from([(0, vec!["10.0.0.20".parse().unwrap()])]);
    let config = network_config(&fixed, &given, |n| mac("uid-1", n));
    assert!(!config.nics[0].dhcp4);
    assert_eq!(config.nics[0].addresses[0].to_string(), "10.0.0.20/24");
}

#[test]
fn tags_are_compared_as_proxmox_keeps_them() {
    let (mut world, want) = (world(), keep());
    let _plan = settle(&mut world, &want);
    let vm = &world.vms[&vmid(100)];
    assert!(vm.config.tags.contains(TAG_SEED));
    assert_eq!(Tags::parse(&vm.config.tags.to_string()), vm.config.tags);
}

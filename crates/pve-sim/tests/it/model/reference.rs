//! The model: what there is, what can be asked, and what comes of it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

/// The template that is there from the start.
const TEMPLATE: u32 = 9000;

/// A VM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Vm {
    pub(super) running: bool,
    pub(super) template: bool,
    pub(super) protected: bool,
    pub(super) snapshots: BTreeSet<String>,
    /// Keys of its disks.
    pub(super) disks: BTreeSet<String>,
    /// Detached volumes that its configuration still names.
    pub(super) unused: usize,
    /// What its first disk is a linked clone of.
    pub(super) base: Option<u32>,
}

/// All there is.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    pub(super) vms: BTreeMap<u32, Vm>,
    /// Volumes that nobody's configuration names: owner and letter.
    pub(super) loose: BTreeSet<(u32, char)>,
    pub(super) tokens: BTreeSet<String>,
}

/// What is asked.
#[derive(Debug, Clone)]
pub(super) enum Ask {
    Create(u32),
    Clone(u32, u32),
    Start(u32),
    Stop(u32),
    Plug(u32, String),
    Unplug(u32, String),
    Free(u32),
    Protect(u32, bool),
    Snapshot(u32, String),
    Rollback(u32, String),
    DropSnapshot(u32, String),
    Template(u32),
    Destroy(u32),
    Allocate(u32, char),
    Drop(u32, char),
    MakeToken(String),
    DropToken(String),
}

impl World {
    /// Whether something is a clone of this VM's first disk.
    fn is_base(&self, vmid: u32) -> bool {
        self.vms.values().any(|vm| vm.base == Some(vmid))
    }

    /// Does what is asked; whether it can be done.
    pub(super) fn ask(&mut self, ask: &Ask) -> bool {
        let base = match ask {
            Ask::Template(vmid) | Ask::Destroy(vmid) => self.is_base(*vmid),
            _ => false,
        };
        let has = |vm: &Vm, name: &String| vm.snapshots.contains(name);
        match ask {
            Ask::Create(vmid) => {
                let free = !self.vms.contains_key(vmid);
                if free {
                    self.vms.insert(*vmid, Vm { disks: ["scsi0".to_owned()].into(), ..Vm::default() });
                }
                free
            }
            Ask::Clone(from, to) => {
                let Some(source) = self.vms.get(from).filter(|_| !self.vms.contains_key(to)) else { return false };
                let base = source.template.then_some(*from);
                let vm = Vm { disks: source.disks.clone(), base, protected: false, ..Vm::default() };
                self.vms.insert(*to, vm);
                true
            }
            Ask::Start(vmid) => self.change(*vmid, |vm| !vm.running && !vm.template, |vm| vm.running = true),
            Ask::Stop(vmid) => self.change(*vmid, |vm| !vm.template, |vm| vm.running = false),
            Ask::Plug(vmid, key) => self.change(
                *vmid,
                |vm| !vm.disks.contains(key),
                |vm| {
                    vm.disks.insert(key.clone());
                },
            ),
            Ask::Unplug(vmid, key) => self.change(
                *vmid,
                |vm| !vm.protected,
                |vm| {
                    if vm.disks.remove(key) {
                        vm.unused += 1;
                    }
                },
            ),
            Ask::Free(vmid) => self.change(*vmid, |vm| !vm.protected, |vm| vm.unused = vm.unused.saturating_sub(1)),
            Ask::Protect(vmid, on) => self.change(*vmid, |_| true, |vm| vm.protected = *on),
            Ask::Snapshot(vmid, name) => self.change(
                *vmid,
                |vm| !has(vm, name) && !vm.template,
                |vm| {
                    vm.snapshots.insert(name.clone());
                },
            ),
            Ask::Rollback(vmid, name) => self.change(*vmid, |vm| has(vm, name), |vm| vm.running = false),
            Ask::DropSnapshot(vmid, name) => self.change(
                *vmid,
                |vm| has(vm, name),
                |vm| {
                    vm.snapshots.remove(name);
                },
            ),
            Ask::Template(vmid) => self.change(
                *vmid,
                |vm| !vm.template && !vm.running && vm.snapshots.is_empty() && !base,
                |vm| vm.template = true,
            ),
            Ask::Destroy(vmid) => {
                let can = self.vms.get(vmid).is_some_and(|vm| !vm.running && !vm.protected) && !base;
                if can {
                    self.vms.remove(vmid);
                }
                can
            }
            Ask::Allocate(vmid, letter) => self.loose.insert((*vmid, *letter)),
            Ask::Drop(vmid, letter) => {
                // What is not there is gone.
                self.loose.remove(&(*vmid, *letter));
                true
            }
            Ask::MakeToken(name) => self.tokens.insert(name.clone()),
            Ask::DropToken(name) => self.tokens.remove(name),
        }
    }

    fn change(&mut self, vmid: u32, can: impl FnOnce(&Vm) -> bool, change: impl FnOnce(&mut Vm)) -> bool {
        let Some(vm) = self.vms.get_mut(&vmid).filter(|vm| can(vm)) else { return false };
        change(vm);
        true
    }

    /// What the model has no opinion on: chains of disks and snapshots that change under each other.
    fn is_clear(&self, ask: &Ask) -> bool {
        let quiet = |vmid: &u32, also: fn(&Vm) -> bool| {
            self.vms.get(vmid).is_none_or(|vm| vm.snapshots.is_empty() && !vm.template && also(vm))
        };
        match ask {
            Ask::Plug(vmid, key) => {
                quiet(vmid, |_| true) && self.vms.get(vmid).is_none_or(|vm| !vm.disks.contains(key))
            }
            Ask::Unplug(vmid, key) => {
                quiet(vmid, |vm| !vm.running) && self.vms.get(vmid).is_none_or(|vm| vm.disks.contains(key))
            }
            Ask::Free(vmid) => quiet(vmid, |vm| !vm.running && vm.unused > 0),
            Ask::Template(vmid) => self.vms.get(vmid).is_none_or(|vm| vm.disks.contains("scsi0") && vm.unused == 0),
            Ask::Clone(from, _) => {
                self.vms.get(from).is_none_or(|vm| vm.unused == 0 && vm.snapshots.is_empty() && !vm.protected)
            }
            // A rollback brings back an older configuration: only where nothing else has changed since.
            Ask::Rollback(..) | Ask::Snapshot(..) | Ask::Protect(..) | Ask::DropSnapshot(..) | Ask::Stop(_) => {
                match ask {
                    Ask::Protect(vmid, _) => quiet(vmid, |_| true),
                    Ask::Stop(vmid) => self.vms.get(vmid).is_none_or(|vm| !vm.template),
                    _ => true,
                }
            }
            Ask::Drop(vmid, letter) => self.loose.contains(&(*vmid, *letter)),
            Ask::Create(_)
            | Ask::Start(_)
            | Ask::Destroy(_)
            | Ask::Allocate(..)
            | Ask::MakeToken(_)
            | Ask::DropToken(_) => true,
        }
    }
}

/// The model as proptest wants it.
#[derive(Debug)]
pub(super) struct Reference;

impl ReferenceStateMachine for Reference {
    type State = World;
    type Transition = Ask;

    fn init_state() -> BoxedStrategy<World> {
        let template = Vm { template: true, disks: ["scsi0".to_owned()].into(), ..Vm::default() };
        Just(World { vms: [(TEMPLATE, template)].into(), ..World::default() }).boxed()
    }

    fn transitions(_: &World) -> BoxedStrategy<Ask> {
        let vmid = || prop_oneof![8 => 101u32..105, 1 => Just(TEMPLATE)];
        let own = || 101u32..105;
        let key = || prop_oneof![Just("scsi1".to_owned()), Just("scsi2".to_owned())];
        let snap = || prop_oneof![Just("before".to_owned()), Just("later".to_owned())];
        let letter = || prop_oneof![Just('x'), Just('y')];
        let token = || prop_oneof![Just("one".to_owned()), Just("two".to_owned())];
        prop_oneof![
            3 => own().prop_map(Ask::Create),
            3 => (vmid(), own()).prop_map(|(a, b)| Ask::Clone(a, b)),
            4 => vmid().prop_map(Ask::Start),
            2 => vmid().prop_map(Ask::Stop),
            3 => (own(), key()).prop_map(|(v, k)| Ask::Plug(v, k)),
            2 => (own(), key()).prop_map(|(v, k)| Ask::Unplug(v, k)),
            1 => own().prop_map(Ask::Free),
            1 => (own(), any::<bool>()).prop_map(|(v, on)| Ask::Protect(v, on)),
            3 => (vmid(), snap()).prop_map(|(v, s)| Ask::Snapshot(v, s)),
            2 => (vmid(), snap()).prop_map(|(v, s)| Ask::Rollback(v, s)),
            2 => (vmid(), snap()).prop_map(|(v, s)| Ask::DropSnapshot(v, s)),
            1 => vmid().prop_map(Ask::Template),
            3 => vmid().prop_map(Ask::Destroy),
            1 => (own(), letter()).prop_map(|(v, l)| Ask::Allocate(v, l)),
            1 => (own(), letter()).prop_map(|(v, l)| Ask::Drop(v, l)),
            1 => token().prop_map(Ask::MakeToken),
            1 => token().prop_map(Ask::DropToken),
        ]
        .boxed()
    }

    fn apply(mut state: World, ask: &Ask) -> World {
        state.ask(ask);
        state
    }

    fn preconditions(state: &World, ask: &Ask) -> bool {
        state.is_clear(ask)
    }
}

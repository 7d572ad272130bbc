//! A world of VMs and volumes, strict where Proxmox VE is, and as careless as it: it attaches a volume twice and frees
//! one that is in use without a word. Hotplug works, or waits, or seems to work and QEMU has nothing.

use std::collections::{BTreeMap, BTreeSet};

use pve_types::{DiskSpec, Vmid, VolumeId};

use super::super::*;
use crate::Seen;

pub(super) const TENANT: &str = "team-a";
pub(super) const HOLDER: u32 = 9100;
/// What Proxmox VE says when QEMU does not take a disk.
pub(super) const HOTPLUG: &str = "hotplug problem";
/// Workers; the last is stopped.
pub(super) const WORKERS: [u32; 3] = [201, 202, 203];

/// What becomes of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is done, and we live on.
    Whole,
    /// We die before it.
    Before,
    /// We die after it.
    After,
}

/// How a running guest takes a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plug {
    Works,
    /// The change waits, as with hotplug switched off or refused.
    Waits,
    /// The configuration shows it, QEMU has nothing, and the slot is spoiled.
    Ghost,
}

/// A planner that is wrong in one way: the properties have to notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// Does not look at other VMs.
    BlindToOthers,
    /// Reads configurations without what waits in them.
    BlindToPending,
    /// Takes a name that begins with a volume's name for the volume.
    Substring,
    /// Takes a VM with any notes for a holder of ours.
    AnyHolder,
    /// Does not look at QEMU.
    BlindToQemu,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Vm {
    pub(super) now: BTreeMap<String, String>,
    pub(super) coming: BTreeMap<String, String>,
    pub(super) leaving: BTreeSet<String>,
    pub(super) blocks: BTreeSet<String>,
    pub(super) spoiled: BTreeSet<String>,
    pub(super) running: bool,
    pub(super) protection: bool,
    pub(super) notes: String,
    pub(super) changes: u32,
}

#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) vms: BTreeMap<u32, Vm>,
    pub(super) volumes: BTreeSet<String>,
    pub(super) plug: Plug,
    /// Volumes that were freed.
    pub(super) freed: Vec<String>,
    /// What this process remembers.
    pub(super) memory: BTreeMap<u32, BTreeSet<Slot>>,
}

/// Ours, and names that are parts of each other.
pub(super) const OURS: [&str; 3] = ["data:9100/vm-9100-pvc-1", "data:9100/vm-9100-pvc-10", "data:9100/vm-9100-pvc-11"];
/// Not ours: one that belongs to a worker, one to another tenant's holder.
pub(super) const THEIRS: [&str; 2] = ["data:201/vm-201-disk-0", "data:9200/vm-9200-pvc-1"];

pub(super) fn vmid(n: u32) -> Vmid {
    n.try_into().unwrap()
}

pub(super) fn at(n: u32) -> At {
    At { vm: vmid(n), node: "pve1".parse().unwrap() }
}

pub(super) fn volume(text: &str) -> VolumeId {
    text.parse().unwrap()
}

pub(super) fn disk(text: &str) -> DiskSpec {
    let handle = Handle::new("eu", None, volume(text));
    Parameters::default().drive(&handle.volume, &Identity::of(&handle), false)
}

pub(super) fn world() -> World {
    let worker = |running| Vm { running, ..Vm::default() };
    let mut vms: BTreeMap<u32, Vm> = WORKERS.iter().map(|n| (*n, worker(*n != 203))).collect();
    let first = vms.get_mut(&201).unwrap();
    first.now.insert("scsi0".to_owned(), THEIRS[0].to_owned());
    first.blocks.insert("scsi0".to_owned());
    let holder = |tenant: &str| Vm { protection: true, notes: notes(tenant), ..Vm::default() };
    vms.insert(HOLDER, holder(TENANT));
    vms.insert(9200, holder("team-b"));
    let volumes = OURS.iter().chain(&THEIRS).map(|v| (*v).to_owned()).collect();
    World { vms, volumes, plug: Plug::Works, freed: Vec::new(), memory: BTreeMap::new() }
}

fn file(text: &str) -> &str {
    text.split(',').next().unwrap()
}

impl World {
    /// What a VM's configuration says, as it would be read.
    pub(super) fn config(&self, n: u32, flaw: Flaw) -> VmConfig {
        let vm = &self.vms[&n];
        let digest = vm.changes.to_string();
        let keys: BTreeSet<&String> = vm.now.keys().chain(vm.coming.keys()).collect();
        let blind = flaw == Flaw::BlindToPending;
        let mut rows: Vec<Row<'_>> = keys
            .into_iter()
            .map(|key| Row {
                key,
                now: vm.now.get(key).map(String::as_str),
                coming: vm.coming.get(key).map(String::as_str).filter(|_| !blind),
                leaving: vm.leaving.contains(key) && !blind,
            })
            .filter(|row| row.now.is_some() || row.coming.is_some())
            .collect();
        let flag = if vm.protection { "1" } else { "0" };
        for (key, value) in [("digest", digest.as_str()), ("description", &vm.notes), ("protection", flag)] {
            rows.push(Row { key, now: Some(value), coming: None, leaving: false });
        }
        VmConfig::read(rows)
    }

    pub(super) fn qemu(&self, n: u32) -> Qemu {
        let vm = &self.vms[&n];
        if vm.running { Qemu::Has(vm.blocks.clone()) } else { Qemu::Stopped }
    }

    /// Who but this VM and resting holders has the volume.
    pub(super) fn others(&self, volume: &VolumeId, but: Option<u32>, flaw: Flaw) -> Vec<(Vmid, Use)> {
        if flaw == Flaw::BlindToOthers {
            return Vec::new();
        }
        let others =
            self.vms.keys().filter(|n| Some(**n) != but && !(**n == HOLDER && volume.owner() == Some(vmid(HOLDER))));
        others.flat_map(|n| self.uses(*n, volume, flaw).into_iter().map(|of| (vmid(*n), of))).collect()
    }

    fn uses(&self, n: u32, volume: &VolumeId, flaw: Flaw) -> Vec<Use> {
        self.config(n, flaw).plugged(volume)
    }

    pub(super) fn holder(&self, n: u32, flaw: Flaw) -> Seen<Holder> {
        if !self.vms.contains_key(&n) {
            return Seen::Absent;
        }
        let mut config = self.config(n, flaw);
        if flaw == Flaw::AnyHolder {
            config.notes = Some(notes(TENANT));
        }
        match Holder::prove(at(n), config, Power::Rests, TENANT) {
            Ok(holder) => Seen::Known(holder),
            Err(why) => Seen::Unread(why),
        }
    }

    /// Does a step; the error is Proxmox VE's.
    pub(super) fn act(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Attach { vm, slot, disk, digest } => self.attach(vm.vm.get(), *slot, disk, digest),
            Step::Detach { vm, key, digest, why, .. } => {
                if *why == Detach::Spoiled {
                    self.memory.entry(vm.vm.get()).or_default().insert(key.parse().unwrap());
                }
                self.write(vm.vm.get(), digest)?.take_out(key);
                Ok(())
            }
            Step::Revert { vm, key, digest, .. } => {
                let vm = self.write(vm.vm.get(), digest)?;
                vm.coming.remove(key);
                vm.leaving.remove(key);
                Ok(())
            }
            Step::Offer { holder, unused, volume, digest } => {
                let vm = self.write(holder.vmid().get(), digest)?;
                vm.protection = false;
                if let Some(key) = unused {
                    vm.now.insert(key.clone(), volume.to_string());
                }
                Ok(())
            }
            Step::Free { holder, keys, digest, .. } => {
                let owner = holder.vmid();
                let vm = self.write(owner.get(), digest)?;
                if vm.protection {
                    return Err("protection mode enabled".to_owned());
                }
                let mut files = Vec::new();
                for key in keys {
                    files.extend(vm.now.remove(key));
                }
                vm.protection = true;
                for text in files {
                    // Proxmox VE frees what the VM owns, whoever else has it.
                    if volume(file(&text)).owner() == Some(owner) && self.volumes.remove(file(&text)) {
                        self.freed.push(file(&text).to_owned());
                    }
                }
                Ok(())
            }
            Step::Hold { holder, slot, volume, digest } => {
                let vm = self.write(holder.vmid().get(), digest)?;
                vm.now.insert(slot.to_string(), format!("{volume},size=1G"));
                Ok(())
            }
            Step::Grow { vm, key, size, digest, .. } => {
                let vm = self.write(vm.vm.get(), digest)?;
                let text = vm.now.get_mut(key).ok_or("disk does not exist")?;
                *text = DiskSpec { size: Some(*size), ..text.parse().unwrap() }.to_string();
                Ok(())
            }
            Step::Allocate { .. } | Step::Copy { .. } => Err("not in this model".to_owned()),
        }
    }

    /// Every guest is stopped and started: what waited is done, and QEMU has what the configuration has.
    pub(super) fn restart_guests(&mut self) {
        self.memory.clear();
        for vm in self.vms.values_mut() {
            for key in std::mem::take(&mut vm.leaving) {
                vm.now.remove(&key);
            }
            for (key, text) in std::mem::take(&mut vm.coming) {
                vm.now.insert(key, format!("{text},size=1G"));
            }
            vm.spoiled.clear();
            vm.blocks = if vm.running { vm.now.keys().cloned().collect() } else { BTreeSet::new() };
        }
    }

    fn write(&mut self, n: u32, digest: &str) -> Result<&mut Vm, String> {
        let vm = self.vms.get_mut(&n).ok_or("no such VM")?;
        if vm.changes.to_string() != *digest {
            return Err("checksum mismatch (file change by other user?)".to_owned());
        }
        vm.changes += 1;
        Ok(vm)
    }

    fn attach(&mut self, n: u32, slot: Slot, disk: &DiskSpec, digest: &str) -> Result<(), String> {
        let name = disk.volume().unwrap().to_string();
        if !self.volumes.contains(&name) {
            return Err(format!("volume '{name}' does not exist"));
        }
        let plug = self.plug;
        let vm = self.write(n, digest)?;
        let key = slot.to_string();
        let taken = vm.now.contains_key(&key) || vm.blocks.contains(&key);
        if vm.running && (plug == Plug::Waits || vm.spoiled.contains(&key) || taken) {
            vm.coming.insert(key, disk.to_string());
            return Err(HOTPLUG.to_owned());
        }
        vm.now.insert(key.clone(), format!("{disk},size=1G"));
        if vm.running {
            if plug == Plug::Ghost {
                vm.spoiled.insert(key)
            } else {
                vm.blocks.insert(key)
            };
        }
        Ok(())
    }
}

impl Vm {
    fn take_out(&mut self, key: &str) {
        self.coming.remove(key);
        self.leaving.remove(key);
        self.now.remove(key);
        self.blocks.remove(key);
    }
}

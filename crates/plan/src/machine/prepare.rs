//! A stopped VM before its first start: bootstrap data, size, NICs, notes, tags.

use std::collections::BTreeMap;

use api::MachineReason;
use pve_types::{DiskSize, NetDevice, VolumeId};

use super::run::Vm;
use super::{Desired, Facts, Invalid, Note, Observed, Plan, Step, mac, network_config};
use crate::inventory::Inventory;
use crate::mark::Mark;
use crate::{Again, Seen, address};

/// The tag of a VM that has its bootstrap ISO attached, under the peer's name.
pub const TAG_SEED: &str = "go-proxmox+cloud-init";

/// Drives that an ISO may be plugged into, in order of preference; the peer takes the first.
const SEED_DRIVES: [&str; 4] = ["ide0", "ide1", "ide2", "ide3"];

/// What is still to be done before the first start; `None`: nothing.
pub(super) fn plan(want: &Desired, seen: &Observed, inventory: &Inventory, vm: &Vm<'_>) -> Option<Plan> {
    let vmid = vm.guest.vmid();
    let facts = vm.facts(seen);
    let wait = |note| Some(Plan::rest(note, facts.clone(), Again::OnChange));
    let seed = match &vm.guest.mark().seed {
        Some(seed) => seed.clone(),
        None => match inventory.iso_storage(&vm.row.node) {
            Some(row) => VolumeId { storage: row.storage.clone(), name: format!("iso/{}", seed_name(vmid)) },
            None => return wait(Note::NoIsoStorage(vm.row.node.clone())),
        },
    };
    let attached = drive_of(vm, &seed).is_some();
    if !attached && !seen.done.seed_uploaded {
        match &seen.bootstrap {
            Seen::Known(()) => return Some(upload(want, seen, vm, seed, facts)),
            Seen::Absent | Seen::Unasked => return wait(Note::NoBootstrapData),
            Seen::Unread(why) => {
                let again = Again::After(std::time::Duration::from_secs(2));
                return Some(Plan::rest(Note::BootstrapUnread(why.clone()), facts, again));
            }
        }
    }
    let grow = match grow(want, vm) {
        Ok(grow) => grow,
        Err(why) => return wait(Note::InvalidSpec(vec![why])),
    };
    let Some(drive) = drive_of(vm, &seed).or_else(|| free_drive(vm)) else {
        let why = format!("VM {vmid} has disks on ide0 to ide3; its bootstrap ISO needs one of them");
        return wait(Note::Failed { doing: MachineReason::InvalidSpec, why });
    };
    let set = changes(want, seen, vm, &seed, drive);
    if set.is_empty() && grow.is_none() {
        return None;
    }
    let (guest, node, digest) = (vm.guest.clone(), vm.row.node.clone(), vm.config.digest.clone());
    Some(Plan::order(Step::Configure { guest, node, set, digest, grow }, Note::Configuring(vmid), facts))
}

/// The name of a VM's bootstrap ISO, as the peer names it.
pub(super) fn seed_name(vmid: pve_types::Vmid) -> String {
    format!("user-data-{vmid}.iso")
}

fn upload(want: &Desired, seen: &Observed, vm: &Vm<'_>, volume: VolumeId, facts: Facts) -> Plan {
    let uuid = vm.guest.uuid().to_string();
    let meta_data = nocloud::MetaData {
        provider_id: want.inject_provider_id.then(|| format!("proxmox://{uuid}")),
        instance_id: uuid,
        hostname: want.identity.name.clone(),
        kubernetes_version: seen.kubernetes_version.clone(),
    };
    let network = network_config(want, &seen.recorded.addresses, |number| device(want, vm, number));
    let (guest, node) = (vm.guest.clone(), vm.row.node.clone());
    let note = Note::HandingOver(guest.vmid());
    Plan::order(Step::UploadSeed { guest, node, volume, meta_data, network }, note, facts)
}

/// The MAC of a NIC: that of the clone; for one that the template has not, one made of our UID.
fn device(want: &Desired, vm: &Vm<'_>, number: u8) -> pve_types::MacAddr {
    let own = vm.config.nets.get(&number).and_then(|net| net.mac);
    own.unwrap_or_else(|| mac(&want.identity.uid, number))
}

fn drive_of(vm: &Vm<'_>, seed: &VolumeId) -> Option<&'static str> {
    SEED_DRIVES.into_iter().find(|key| vm.config.disks.get(*key).and_then(|disk| disk.volume()) == Some(seed))
}

fn free_drive(vm: &Vm<'_>) -> Option<&'static str> {
    SEED_DRIVES.into_iter().find(|key| vm.config.disks.get(*key).is_none_or(pve_types::DiskSpec::is_cdrom))
}

fn grow(want: &Desired, vm: &Vm<'_>) -> Result<Option<(String, DiskSize)>, Invalid> {
    let Some((key, size)) = &want.boot_volume else { return Ok(None) };
    if let Some(disk) = vm.config.disks.get(key) {
        return Ok((disk.size.is_none_or(|has| has < *size)).then(|| (key.clone(), *size)));
    }
    let has: Vec<_> = vm.config.attached().map(|(key, _)| key).collect();
    let why = format!("the template has no disk `{key}`; it has {}", has.join(", "));
    Err(Invalid { kind: "ProxmoxMachine", field: "spec.disks.bootVolume.disk".into(), why })
}

fn changes(want: &Desired, seen: &Observed, vm: &Vm<'_>, seed: &VolumeId, drive: &str) -> BTreeMap<String, String> {
    let config = vm.config;
    let mut set = BTreeMap::new();
    let mut number = |key: &str, wanted: Option<u64>, has: Option<u64>| {
        if let Some(wanted) = wanted
            && has != Some(wanted)
        {
            set.insert(key.to_owned(), wanted.to_string());
        }
    };
    number("sockets", want.sockets.map(u64::from), Some(config.sockets.unwrap_or(1).into()));
    number("cores", want.cores.map(u64::from), Some(config.cores.unwrap_or(1).into()));
    number("memory", want.memory_mib, config.memory);
    for nic in &want.nics {
        let has = config.nets.get(&nic.number);
        let mut wanted = has.cloned().unwrap_or_else(|| NetDevice::virtio("vmbr0"));
        wanted.mac = Some(device(want, vm, nic.number));
        wanted.model = nic.spec.model.clone().unwrap_or_else(|| "virtio".into());
        wanted.bridge = nic.spec.bridge.clone().or(wanted.bridge);
        wanted.vlan = nic.spec.vlan.and_then(|n| u16::try_from(n).ok()).or(wanted.vlan);
        wanted.mtu = nic.spec.mtu.and_then(|n| u32::try_from(n).ok()).or(wanted.mtu);
        wanted.queues = nic.spec.queues.and_then(|n| u32::try_from(n).ok()).or(wanted.queues);
        if has != Some(&wanted) {
            set.insert(format!("net{}", nic.number), wanted.to_string());
        }
    }
    let mark = Mark { seed: Some(seed.clone()), ..vm.guest.mark().clone() };
    let notes = mark.notes(want.description.as_deref());
    if config.description.as_deref().map(str::trim_end) != Some(notes.as_str()) {
        set.insert("description".into(), notes);
    }
    let mut tags = config.tags.clone();
    let given = seen.recorded.addresses.iter().flat_map(|(nic, all)| all.iter().map(|one| address::tag(*nic, *one)));
    for tag in want.tags.iter().cloned().chain(given).chain([TAG_SEED.to_owned()]) {
        // the schema admits only tags that Proxmox VE admits
        let _already = tags.insert(&tag);
    }
    if tags != config.tags {
        set.insert("tags".into(), tags.to_string());
    }
    if drive_of(vm, seed).is_none() {
        set.insert(drive.into(), format!("{seed},media=cdrom"));
    }
    set
}

/// What takes the bootstrap ISO out of the VM; `None`: it is out.
pub(super) fn eject(vm: &Vm<'_>, seed: &VolumeId) -> Option<BTreeMap<String, String>> {
    let mut set = BTreeMap::new();
    if let Some(drive) = drive_of(vm, seed) {
        set.insert(drive.to_owned(), "none,media=cdrom".to_owned());
    }
    let mut tags = vm.config.tags.clone();
    if tags.remove(TAG_SEED) {
        set.insert("tags".into(), tags.to_string());
    }
    (!set.is_empty()).then_some(set)
}

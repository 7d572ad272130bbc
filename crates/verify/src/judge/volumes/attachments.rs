//! Whether each volume is in the VM that it is attached to, and in no other.

use std::collections::BTreeSet;

use pve_types::{Vmid, VolumeId};

use super::{GRACE, driver, installed, since, younger};
use crate::evidence::{AttachmentSeen, Cause, Evidence, Handle, NodePlugin, PersistentSeen, Read};
use crate::judge::scope::count;
use crate::judge::verdict::{Tally, Verdict, need};

/// Where a volume is in a VM.
enum Plug {
    Not,
    In(String),
    /// In a drive that waits for something.
    Waits(String),
}

pub(super) fn attachments(evidence: &Evidence) -> Verdict {
    let all = installed(evidence).and_then(|seen| {
        let attachments = need("the VolumeAttachments", &seen.attachments)?;
        let volumes = need("the PersistentVolumes", &seen.volumes)?;
        let nodes = need("Nodes and their CSINodes", &seen.nodes)?;
        need("the list of virtual machines", &evidence.proxmox.guests)?;
        Ok((attachments, volumes, nodes))
    });
    let (attachments, volumes, nodes) = match all {
        Ok(all) => all,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    let mut attached = 0;
    // Where each volume may be: in the VMs of the Nodes of its VolumeAttachments.
    let mut may: BTreeSet<(&str, Vmid)> = BTreeSet::new();
    let mut lost: BTreeSet<&str> = BTreeSet::new();
    for one in attachments {
        let node = nodes.iter().find(|node| node.name == one.node);
        let vm = node.and_then(|node| driver::vm_of(evidence, node));
        match &vm {
            Some(Ok(vmid)) => _ = may.insert((one.volume.as_str(), *vmid)),
            Some(Err(_)) | None => _ = lost.insert(one.volume.as_str()),
        }
        stuck(evidence, one, &mut tally);
        if one.attached && one.deleting.is_none() {
            attached += 1;
            in_its_vm(evidence, one, node, vm, volumes, &mut tally);
        }
    }
    for volume in volumes {
        let Ok(handle) = Handle::read(&volume.handle) else { continue };
        elsewhere(evidence, volume, &handle.volume, &may, lost.contains(volume.name.as_str()), &mut tally);
    }
    running_holders(evidence, &mut tally);
    let passed = match attached {
        0 => "nothing is attached, and nothing is where it should not be".to_owned(),
        attached => format!("{} attached, each in its own VM alone", count(attached, "volume")),
    };
    tally.verdict(passed, "look at the logs of csi-attacher and of the controller, and at the VM in Proxmox VE")
}

/// What has been coming or going for too long.
fn stuck(evidence: &Evidence, one: &AttachmentSeen, tally: &mut Tally) {
    let AttachmentSeen { volume, node, created, attached, deleting, attach_error, detach_error, .. } = one;
    let what = format!("`{volume}` at Node `{node}`");
    let said = |error: &Option<String>| error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
    match deleting {
        Some(_) if younger(evidence, *deleting, GRACE) => tally.fine(format!("{what} is being detached")),
        Some(_) => {
            tally.error(format!("{what} is being detached {}{}", since(evidence, *deleting), said(detach_error)));
        }
        None if *attached => {}
        None if younger(evidence, *created, GRACE) && attach_error.is_none() => {
            tally.fine(format!("{what} is being attached"));
        }
        None if younger(evidence, *created, GRACE) => {
            tally.warning(format!("{what} is not attached yet{}", said(attach_error)));
        }
        None => tally.error(format!("{what} is being attached {}{}", since(evidence, *created), said(attach_error))),
    }
}

/// Whether an attached volume is in the VM of its Node.
fn in_its_vm(
    evidence: &Evidence,
    one: &AttachmentSeen,
    node: Option<&NodePlugin>,
    vm: Option<Result<Vmid, String>>,
    volumes: &[PersistentSeen],
    tally: &mut Tally,
) {
    let AttachmentSeen { volume, node: named, .. } = one;
    let Some(persistent) = volumes.iter().find(|persistent| persistent.name == *volume) else {
        return tally.error(format!("`{volume}` is attached to Node `{named}`, and no PersistentVolume is called so"));
    };
    // that its handle does not read is told elsewhere
    let Ok(handle) = Handle::read(&persistent.handle) else { return };
    let vmid = match (node, vm) {
        (None, _) => {
            return tally.error(format!("`{volume}` is attached to Node `{named}`, which does not exist"));
        }
        (Some(_), None) => {
            return tally.error(format!("`{volume}` is attached to Node `{named}`, and no VM that we may see is that"));
        }
        (Some(_), Some(Err(why))) => return tally.unread(format!("which VM Node `{named}` is: {why}")),
        (Some(_), Some(Ok(vmid))) => vmid,
    };
    match plug(evidence, vmid, &handle.volume) {
        Ok(Plug::In(key)) => tally.fine(format!("{volume}: {key} of VM {vmid} (Node {named})")),
        Ok(Plug::Waits(how)) => {
            tally.error(format!("`{volume}` is attached to Node `{named}`, but `{}` {how} VM {vmid}", handle.volume));
        }
        Ok(Plug::Not) => tally.error(format!(
            "`{volume}` is attached to Node `{named}`, but VM {vmid} does not have `{}`",
            handle.volume
        )),
        Err(why) => tally.unread(format!("drives of VM {vmid} (Node `{named}`) could not be read: {why}")),
    }
}

/// Whether a volume is in a VM where it should not be.
fn elsewhere(
    evidence: &Evidence,
    volume: &PersistentSeen,
    disk: &VolumeId,
    may: &BTreeSet<(&str, Vmid)>,
    lost: bool,
    tally: &mut Tally,
) {
    let name = &volume.name;
    let mut holding = Vec::new();
    for vmid in evidence.proxmox.guests.known().into_iter().flat_map(|guests| guests.keys()) {
        // its holder may have it, at rest
        if disk.owner() == Some(*vmid) && is_holder(evidence, *vmid) {
            continue;
        }
        match plug(evidence, *vmid, disk) {
            Ok(Plug::Not) => {}
            Ok(Plug::In(_) | Plug::Waits(_)) => holding.push(*vmid),
            Err(why) => tally.unread(format!("whether VM {vmid} has `{name}` could not be read: {why}")),
        }
    }
    match holding[..] {
        [] => {}
        [vmid] if may.contains(&(name.as_str(), vmid)) || lost => {}
        [vmid] => tally.warning(format!("VM {vmid} has `{name}` (`{disk}`), and no VolumeAttachment says so")),
        // whatever was asked for: no volume of the driver is for two machines
        [..] => {
            let all: Vec<String> = holding.iter().map(|vmid| format!("VM {vmid}")).collect();
            tally.error(format!("`{name}` (`{disk}`) is in {}", all.join(" and ")));
        }
    }
}

fn is_holder(evidence: &Evidence, vmid: Vmid) -> bool {
    let settings = evidence.proxmox.settings.get(&vmid).and_then(Read::known);
    settings.is_some_and(|settings| settings.holder.is_some())
}

fn running_holders(evidence: &Evidence, tally: &mut Tally) {
    for (vmid, guest) in evidence.proxmox.guests.known().into_iter().flatten() {
        if is_holder(evidence, *vmid) && guest.status.as_deref().is_some_and(|status| status == "running") {
            tally.error(format!("VM {vmid} holds volumes and runs: it may write to them beside the pods"));
        }
    }
}

/// Where a volume is in a VM, by the newest that was read of it.
fn plug(evidence: &Evidence, vmid: Vmid, disk: &VolumeId) -> Result<Plug, String> {
    let is = |volume: &Option<VolumeId>| volume.as_ref() == Some(disk);
    match evidence.proxmox.drives.get(&vmid) {
        Some(Read::Known(drives)) => {
            let mut found = drives.iter().filter(|(key, _)| !key.starts_with("unused"));
            let found = found.rfind(|(_, drive)| is(&drive.now) || is(&drive.coming));
            return Ok(match found {
                None => Plug::Not,
                Some((key, drive)) if drive.leaving => Plug::Waits(format!("waits to leave `{key}` of")),
                Some((key, drive)) if !is(&drive.now) => Plug::Waits(format!("waits to come into `{key}` of")),
                Some((key, _)) => Plug::In(key.clone()),
            });
        }
        Some(Read::Unread { cause: Cause::Missing, .. }) => return Ok(Plug::Not),
        Some(Read::Unread { why, .. }) => return Err(why.clone()),
        None => {}
    }
    match evidence.proxmox.settings.get(&vmid) {
        Some(Read::Known(settings)) => {
            let mut found = settings.disks.iter().filter(|(key, _)| !key.starts_with("unused"));
            Ok(found.find(|(_, drive)| is(&drive.volume)).map_or(Plug::Not, |(key, _)| Plug::In(key.clone())))
        }
        // it went between the list and the look
        Some(Read::Unread { cause: Cause::Missing, .. }) => Ok(Plug::Not),
        Some(Read::Unread { why, .. }) => Err(why.clone()),
        None => Err("nobody asked for it".to_owned()),
    }
}

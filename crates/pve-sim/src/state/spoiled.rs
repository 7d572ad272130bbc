//! Images in the qcow2 format that two write to: a snapshot of a VM that is off changes a disk's file behind the back of
//! another VM's QEMU that has it open, too.
//!
//! Promises what was measured: that QEMU goes on with the list of snapshots that it has read, and nothing is wrong until
//! it writes it back (a resize does that). Then a snapshot of its own fails, to take the disk from it ends it, and the
//! snapshots that were made behind its back can't be removed from the file any more.

use super::World;
use super::drive::{file_of, is_cdrom, is_drive_key};

impl World {
    /// The keys and ids of a VM's qcow2 disks, by a configuration of it.
    fn qcow2<'a>(
        &'a self,
        node: &'a str,
        config: &'a super::guest::Config,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        config
            .iter()
            .filter(|(key, text)| is_drive_key(key) && !is_cdrom(text))
            .map(|(key, text)| (key.as_str(), file_of(text)))
            .filter(move |(_, volid)| self.volumes.find(volid, node).is_some_and(|v| v.format == "qcow2"))
    }

    /// The snapshots in a VM's disks were changed; those who have them open don't know.
    pub(crate) fn snapshots_changed(&mut self, vmid: u32) {
        let Some(guest) = self.guests.get(&vmid).filter(|g| !g.running()) else { return };
        let changed: Vec<String> = self.qcow2(&guest.node, &guest.config).map(|(_, volid)| volid.to_owned()).collect();
        if changed.is_empty() {
            return;
        }
        for other in self.guests.values_mut().filter(|g| g.vmid != vmid && g.running()) {
            let open: Vec<String> = changed.iter().filter(|volid| other.has_volume(volid)).cloned().collect();
            if let Some(run) = other.run.as_mut() {
                run.stale.extend(open);
            }
        }
    }

    /// A VM's QEMU writes the header of a disk's file.
    pub(crate) fn header_written(&mut self, vmid: u32, volid: &str) {
        let Some(guest) = self.guests.get(&vmid) else { return };
        let stale = guest.run.as_ref().is_some_and(|run| run.stale.contains(volid));
        if let Some(volume) = self.volumes.find(volid, &guest.node).filter(|_| stale) {
            let ctime = volume.ctime;
            self.trouble.spoiled.insert(volid.to_owned(), ctime);
        }
    }

    fn is_spoiled(&self, volid: &str, node: &str) -> bool {
        let then = self.trouble.spoiled.get(volid);
        then.is_some() && self.volumes.find(volid, node).map(|v| v.ctime) == then.copied()
    }

    /// Whether a VM's QEMU does not survive that a disk is taken from it; it forgets the disk's file.
    pub(crate) fn dies_without(&mut self, vmid: u32, volid: &str) -> bool {
        let Some(guest) = self.guests.get_mut(&vmid) else { return false };
        let node = guest.node.clone();
        let stale = guest.run.as_mut().is_some_and(|run| run.stale.remove(volid));
        stale && self.is_spoiled(volid, &node)
    }

    /// Why a snapshot of a running VM can't be made.
    pub(crate) fn cannot_keep(&self, vmid: u32, name: &str) -> Option<String> {
        let guest = self.guests.get(&vmid)?;
        let run = guest.run.as_ref()?;
        let mut disks = self.qcow2(&guest.node, &guest.config);
        let (key, _) = disks.find(|(_, volid)| run.stale.contains(*volid) && self.is_spoiled(volid, &guest.node))?;
        Some(format!(
            "VM {vmid} qmp command 'blockdev-snapshot-internal-sync' failed - Failed to create snapshot '{name}' on \
             device 'drive-{key}': Input/output error\n"
        ))
    }

    /// Why a snapshot of a VM that is off can't be removed.
    pub(crate) fn cannot_forget(&self, vmid: u32, name: &str) -> Option<String> {
        let guest = self.guests.get(&vmid).filter(|g| !g.running())?;
        let kept = guest.snapshots.get(name)?;
        let mut disks = self.qcow2(&guest.node, &kept.config);
        let (_, volid) = disks.find(|(_, volid)| self.is_spoiled(volid, &guest.node))?;
        let (storage, file) = volid.split_once(':')?;
        let path = self.storages.get(storage)?.file(file);
        Some(format!("command '/usr/bin/qemu-img snapshot -d {name} {path}' failed: exit code 1"))
    }
}

//! Disks of a guest: each is a loop device over the file of its volume, seen in that guest's `/dev` alone.
//!
//! ```text
//! drive with a file ─► loop device (held) ─► node, link and SCSI facts in the guest ─► unplugged: all of it away
//!                                                                    still in use? noted, and the file stays taken
//! ```
//!
//! Promises: a file is under one guest at a time, as long as anything in the old one still uses it; a drive that is
//! pulled while it is in use is noted in the VM's directory ([`PULLED`]); loop devices end with us, however we end.
//! Assumes root, and files that are the raw bytes of their disks.

pub mod face;
pub mod loop_device;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tracing::{info, warn};

use self::face::Face;
use self::loop_device::LoopDevice;
use crate::guest::Drive;

/// In a VM's directory: drives that were pulled while they were in use, one a line.
pub const PULLED: &str = "pulled-while-mounted";

/// In a VM's directory: device nodes that were made for its disks, so that what hangs on them can be found.
pub(crate) const NODES: &str = "nodes";

/// What hangs on one key of a running VM.
#[derive(Debug)]
struct Plugged {
    face: Face,
    file: PathBuf,
    device: LoopDevice,
}

/// The disks of one power-on.
#[derive(Debug)]
pub struct Disks {
    home: PathBuf,
    plugged: BTreeMap<String, Plugged>,
}

impl Disks {
    /// Of a VM that keeps its things in `home`.
    pub fn new(home: PathBuf) -> Self {
        Self { home, plugged: BTreeMap::new() }
    }

    /// What the guest has to show, of all that is plugged.
    pub fn faces(&self) -> Vec<Face> {
        self.plugged.values().map(|plugged| plugged.face.clone()).collect()
    }

    /// Gives the guest this drive; `root` is the guest's root directory where it runs already. False where the drive is
    /// none that a guest of ours sees: no disk, or without a file.
    pub fn plug(&mut self, drive: &Drive, root: Option<&Path>) -> Result<bool> {
        let Some(file) = drive.file.as_ref().filter(|_| drive.media == "disk") else { return Ok(false) };
        if let Some(plugged) = self.plugged.get(&drive.key) {
            if plugged.file == *file {
                plugged.device.follow_size()?;
                let size = plugged.device.size()?;
                return root.map_or(Ok(()), |root| face::resized(root, &plugged.face, size)).map(|()| true);
            }
            self.unplug(&drive.key, root)?;
        }
        let size = fs::metadata(file).with_context(|| format!("volume `{}`", drive.volid))?.len();
        if size == 0 {
            bail!("volume `{}` has no bytes yet", drive.volid);
        }
        if let Some(other) = loop_device::over(file)? {
            bail!("volume `{}` is in use under `{}`: a guest that had it before has not let go", drive.volid, other);
        }
        let device = LoopDevice::over(file)?;
        let name = self.free_name(&drive.key);
        let face = Face { name, minor: device.minor(), size: device.size()?, ..Face::of(drive) };
        if let Some(root) = root {
            face::show(root, &face, &self.home.join(NODES))?;
        }
        info!(drive = drive.key, volume = drive.volid, device = face.name, "plugged");
        self.plugged.insert(drive.key.clone(), Plugged { face, file: file.clone(), device });
        Ok(true)
    }

    /// Takes the drive away, whether or not the guest is done with it. What is still in use is noted; its loop device
    /// stays for as long, which keeps its file from other guests.
    pub fn unplug(&mut self, key: &str, root: Option<&Path>) -> Result<()> {
        let Some(plugged) = self.plugged.remove(key) else { return Ok(()) };
        let mut used = plugged.device.is_used_by_others()?;
        if let Some(root) = root {
            // The kubelet lays a loop device of its own over the disk of a block volume.
            let node = loop_device::node(&root.join("dev").join(&plugged.face.name))?;
            used |= !loop_device::on_node(&node)?.is_empty();
            face::hide(root, &plugged.face)?;
        }
        if used {
            let file = plugged.file.display();
            warn!(key, "`{file}` was pulled while it was mounted or open");
            let mut notes = fs::OpenOptions::new().create(true).append(true).open(self.home.join(PULLED))?;
            writeln!(notes, "{key} {file}")?;
        } else {
            info!(key, device = plugged.face.name, "unplugged");
        }
        Ok(())
    }

    /// `sda` and on for drives on SCSI, SATA and IDE buses, `vda` and on for virtio's.
    fn free_name(&self, key: &str) -> String {
        let prefix = if key.starts_with("virtio") { "vd" } else { "sd" };
        let taken = |name: &String| self.plugged.values().any(|other| other.face.name == *name);
        ('a'..='z')
            .map(|letter| format!("{prefix}{letter}"))
            .chain(('a'..='z').map(|letter| format!("{prefix}a{letter}")))
            .find(|name| !taken(name))
            .unwrap_or_else(|| format!("{prefix}{key}"))
    }
}

/// Ends the loop devices that programs of a guest have put on its disks, as the kubelet does for block volumes, and that
/// its end has left. `home` is the VM's directory.
pub(crate) fn sweep(home: &Path) -> Result<()> {
    let ledger = home.join(NODES);
    let Ok(nodes) = fs::read_to_string(&ledger) else { return Ok(()) };
    for node in nodes.lines() {
        for device in loop_device::on_node(node)? {
            loop_device::detach(&device)?;
        }
    }
    fs::remove_file(&ledger).with_context(|| format!("remove `{}`", ledger.display()))
}

#[cfg(test)]
mod test;

//! What a disk looks like inside a guest: a node in `/dev`, the links that udev would make, facts of the SCSI layer.
//!
//! ```text
//! /dev/sdb                                  block device 7:minor
//! /dev/disk/by-id/wwn-0x5…                  with `wwn=`; without it scsi-0QEMU_QEMU_HARDDISK_drive-scsi1
//! /sys/bus/scsi/devices/2:0:0:1/            vendor, model, wwid, vpd_pg80 (serial), vpd_pg83, block/sdb/size
//! ```
//!
//! Promises: what is shown is what a VM of PVE 9 shows (QEMU names the device `drive-scsiN`, so that a serial number makes
//! no link and is read from VPD page 0x80). Assumes a guest whose `/sys/bus/scsi` is a file system of its own.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{CWD, FileType, Mode};
use serde::{Deserialize, Serialize};

use super::loop_device;
use crate::guest::Drive;

/// A disk as a guest sees it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub struct Face {
    /// `sdb`.
    pub name: String,
    /// PVE's name of the slot: `scsi1`.
    pub key: String,
    /// Minor number of the loop device below it.
    pub minor: u32,
    /// Bytes.
    pub size: u64,
    /// World wide name, `0x` and 16 hexadecimal digits.
    pub wwn: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
}

impl Face {
    /// As the drive says, still without a device.
    pub fn of(drive: &Drive) -> Self {
        let Drive { key, wwn, serial, .. } = drive.clone();
        Self { key, wwn, serial, ..Self::default() }
    }

    /// The link in `/dev/disk/by-id`.
    fn link(&self) -> Option<String> {
        match (&self.wwn, &self.serial) {
            (Some(wwn), _) => Some(format!("wwn-{}", wwn.to_lowercase())),
            (None, Some(serial)) if self.key.starts_with("virtio") => Some(format!("virtio-{serial}")),
            (None, _) if self.key.starts_with("scsi") => Some(format!("scsi-0QEMU_QEMU_HARDDISK_drive-{}", self.key)),
            _ => None,
        }
    }

    /// `H:C:T:L` of a disk on the SCSI bus.
    fn address(&self) -> Option<String> {
        self.key.strip_prefix("scsi").map(|lun| format!("2:0:0:{lun}"))
    }

    /// `naa.…` as Linux prints it; without a wwn the text that QEMU gives.
    fn wwid(&self) -> String {
        match &self.wwn {
            Some(wwn) => format!("naa.{}", wwn.trim_start_matches("0x").to_lowercase()),
            None => format!("t10.QEMU    QEMU HARDDISK   drive-{}", self.key),
        }
    }

    /// VPD page 0x80 (SPC-4, 7.8.15): the serial number.
    fn page_80(&self) -> Option<Vec<u8>> {
        self.serial.as_ref().map(|serial| page(0x80, serial.as_bytes()))
    }

    /// VPD page 0x83 (SPC-4, 7.8.6): QEMU's name as T10 text without association, then the wwn as NAA.
    fn page_83(&self) -> Vec<u8> {
        let text = format!("drive-{}", self.key);
        let mut body = vec![0x02, 0x00, 0x00, length(text.len())];
        body.extend(text.as_bytes());
        let wwn = self.wwn.as_ref().and_then(|wwn| u64::from_str_radix(wwn.trim_start_matches("0x"), 16).ok());
        if let Some(wwn) = wwn {
            body.extend([0x01, 0x03, 0x00, 0x08]);
            body.extend(wwn.to_be_bytes());
        }
        page(0x83, &body)
    }
}

fn page(number: u8, body: &[u8]) -> Vec<u8> {
    let mut page = vec![0x00, number, 0x00, length(body.len())];
    page.extend(body);
    page
}

/// A length field; QEMU's texts are far shorter than it can say.
fn length(bytes: usize) -> u8 {
    u8::try_from(bytes).unwrap_or(u8::MAX)
}

fn scsi(root: &Path, face: &Face) -> Option<PathBuf> {
    face.address().map(|address| root.join("sys/bus/scsi/devices").join(address))
}

/// Shows the disk below `root`; what is made is noted in `ledger`.
pub fn show(root: &Path, face: &Face, ledger: &Path) -> Result<()> {
    let node = root.join("dev").join(&face.name);
    let device = rustix::fs::makedev(7, face.minor);
    rustix::fs::mknodat(CWD, &node, FileType::BlockDevice, Mode::from_raw_mode(0o660), device)
        .with_context(|| format!("make `{}`", node.display()))?;
    note(ledger, &loop_device::node(&node)?)?;
    if let Some(scsi) = scsi(root, face) {
        let block = scsi.join("block").join(&face.name);
        fs::create_dir_all(&block).with_context(|| format!("make `{}`", block.display()))?;
        for (name, text) in [
            ("vendor", "QEMU    ".to_owned()),
            ("model", "QEMU HARDDISK   ".to_owned()),
            ("wwid", face.wwid()),
            ("state", "running".to_owned()),
            ("type", "0".to_owned()),
        ] {
            fs::write(scsi.join(name), format!("{text}\n"))?;
        }
        fs::write(block.join("dev"), format!("7:{}\n", face.minor))?;
        fs::write(scsi.join("vpd_pg83"), face.page_83())?;
        if let Some(page) = face.page_80() {
            fs::write(scsi.join("vpd_pg80"), page)?;
        }
        // Written to by who wants the size read again; it is always right here.
        fs::write(scsi.join("rescan"), "")?;
        resized(root, face, face.size)?;
    }
    if let Some(link) = face.link() {
        let links = root.join("dev/disk/by-id");
        fs::create_dir_all(&links)?;
        symlink(format!("../../{}", face.name), links.join(&link)).with_context(|| format!("link `{link}`"))?;
    }
    Ok(())
}

/// The disk has another size now, in bytes.
pub fn resized(root: &Path, face: &Face, size: u64) -> Result<()> {
    let Some(scsi) = scsi(root, face) else { return Ok(()) };
    let file = scsi.join("block").join(&face.name).join("size");
    // Sectors of 512 bytes, whatever the disk's own are.
    fs::write(&file, format!("{}\n", size / 512)).with_context(|| format!("write `{}`", file.display()))
}

/// Shows it no longer. What is gone already is no loss.
pub fn hide(root: &Path, face: &Face) -> Result<()> {
    let link = face.link().map(|link| root.join("dev/disk/by-id").join(link));
    for path in link.into_iter().chain([root.join("dev").join(&face.name)]) {
        match fs::remove_file(&path) {
            Err(err) if err.kind() != std::io::ErrorKind::NotFound => {
                return Err(err).with_context(|| format!("remove `{}`", path.display()));
            }
            _ => {}
        }
    }
    match scsi(root, face).map(fs::remove_dir_all) {
        Some(Err(err)) if err.kind() != std::io::ErrorKind::NotFound => Err(err).context("remove the SCSI device"),
        _ => Ok(()),
    }
}

fn note(ledger: &Path, line: &str) -> Result<()> {
    use std::io::Write as _;
    let mut ledger = fs::OpenOptions::new().create(true).append(true).open(ledger).context("note the device node")?;
    writeln!(ledger, "{line}").context("note the device node")
}

#[cfg(test)]
mod test {
    use super::*;

    fn face(key: &str, wwn: Option<&str>, serial: Option<&str>) -> Face {
        let text = |text: &str| text.to_owned();
        Face { key: text(key), wwn: wwn.map(text), serial: serial.map(text), ..Face::default() }
    }

    #[test]
    fn a_wwn_makes_the_link_and_a_serial_number_makes_none() {
        let wwn = "0x5056432D49443032";
        assert_eq!(face("scsi2", Some(wwn), Some("abc")).link().unwrap(), "wwn-0x5056432d49443032");
        assert_eq!(face("scsi2", Some(wwn), None).wwid(), "naa.5056432d49443032");
        assert_eq!(face("scsi2", None, Some("abc")).link().unwrap(), "scsi-0QEMU_QEMU_HARDDISK_drive-scsi2");
    }

    #[test]
    fn the_serial_number_stands_in_page_80() {
        assert_eq!(face("scsi2", None, Some("abc")).page_80().unwrap(), b"\x00\x80\x00\x03abc");
        assert_eq!(face("scsi2", None, None).page_80(), None);
    }

    #[test]
    fn the_wwn_stands_in_page_83_behind_the_name() {
        let page = face("scsi2", Some("0x5056432d49443032"), None).page_83();
        assert_eq!(page[..4], [0, 0x83, 0, 27]);
        assert_eq!(page[19..], *b"\x01\x03\x00\x08\x50\x56\x43\x2d\x49\x44\x30\x32");
    }
}

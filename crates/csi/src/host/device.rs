//! A volume's disk among a guest's disks: found by its WWN, proven by its serial number and size.
//!
//! `/sys/bus/scsi/devices/H:C:T:L` has `wwid` (`naa.` and the digits of the WWN), `vpd_pg80` (the serial number) and
//! `block/sdX`. Links that udev makes are not relied on: they may be late, or those of the disk that was there before.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use plan::volume::Identity;

use super::{Device, Error};
use crate::settings::Roots;

/// A disk as `/sys` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    name: String,
    serial: Option<String>,
}

fn file(doing: &'static str, path: &Path) -> impl Fn(std::io::Error) -> Error {
    let path = path.to_owned();
    move |why| Error::File { doing, path: path.clone(), why }
}

/// The page's text behind its four bytes of head.
fn serial(page: &[u8]) -> Option<String> {
    let length = usize::from(*page.get(3)?);
    let text = page.get(4..4 + length).or_else(|| page.get(4..))?;
    Some(String::from_utf8_lossy(text).trim_matches(['\0', ' ']).to_owned())
}

fn shown(roots: &Roots, identity: &Identity) -> Result<Vec<Shown>, Error> {
    let directory = roots.sys.join("bus/scsi/devices");
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(why) => return Err(file("list", &directory)(why)),
    };
    let wanted = format!("naa.{}", identity.wwn.digits());
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        // A disk that is being pulled has none any more.
        let Ok(wwid) = std::fs::read_to_string(path.join("wwid")) else { continue };
        if wwid.trim() != wanted {
            continue;
        }
        let serial = std::fs::read(path.join("vpd_pg80")).ok().and_then(|page| serial(&page));
        let Ok(blocks) = std::fs::read_dir(path.join("block")) else { continue };
        let names = blocks.flatten().map(|block| block.file_name().to_string_lossy().into_owned());
        found.extend(names.map(|name| Shown { name, serial: serial.clone() }));
    }
    Ok(found)
}

/// The disk, if it is there and is the volume's. `None` while it is not there.
pub(super) fn find(roots: &Roots, identity: &Identity, at_least: u64) -> Result<Option<Device>, Error> {
    let found = shown(roots, identity)?;
    let [Shown { name, serial }] = &found[..] else {
        if found.is_empty() {
            return Ok(None);
        }
        let names: Vec<&str> = found.iter().map(|shown| shown.name.as_str()).collect();
        let why = format!("{} have its WWN {}", names.join(" and "), identity.wwn);
        return Err(Error::WrongDevice { device: roots.dev.join(&found[0].name), why });
    };
    let path = roots.dev.join(name);
    let Some((size, number)) = measured(&path)? else { return Ok(None) };
    let wrong = |why: String| Error::WrongDevice { device: path.clone(), why };
    match serial {
        Some(serial) if *serial == identity.serial => {}
        Some(serial) => return Err(wrong(format!("its serial number is `{serial}`, not `{}`", identity.serial))),
        None => {
            return Err(wrong(format!("it shows no serial number (VPD page 0x80), and should `{}`", identity.serial)));
        }
    }
    if size < at_least {
        return Err(wrong(format!("it has {size} bytes, and the volume {at_least}")));
    }
    Ok(Some(Device { path, size, number }))
}

/// Size in bytes, and major and minor number.
type Measured = (u64, (u32, u32));

/// Size and number of a block device; `None` while it has no node.
pub(super) fn measured(path: &Path) -> Result<Option<Measured>, Error> {
    use std::io::Seek as _;
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(file("look at", path)(why)),
    };
    if !meta.file_type().is_block_device() {
        let why = "it is no block device".to_owned();
        return Err(Error::WrongDevice { device: path.to_owned(), why });
    }
    let mut device = std::fs::File::open(path).map_err(file("open", path))?;
    let size = device.seek(std::io::SeekFrom::End(0)).map_err(file("measure", path))?;
    let number = (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
    Ok(Some((size, number)))
}

/// The files by which the kernel is made to look again at a disk's size.
pub(super) fn rescans(roots: &Roots, device: &Device) -> Option<PathBuf> {
    let name = device.path.file_name()?;
    Some(roots.sys.join("class/block").join(name).join("device/rescan"))
}

#[cfg(test)]
mod test {
    use plan::volume::Handle;

    use super::*;

    fn identity() -> Identity {
        Identity::of(&"eu/pve1/data/vm-9100-pvc-1".parse::<Handle>().unwrap())
    }

    fn page(serial: &str) -> Vec<u8> {
        let length = u8::try_from(serial.len()).unwrap();
        [&[0, 0x80, 0, length][..], serial.as_bytes()].concat()
    }

    fn world(wwid: &str, serial: &str) -> (tempfile::TempDir, Roots) {
        let root = tempfile::tempdir().unwrap();
        let disk = root.path().join("sys/bus/scsi/devices/2:0:0:1");
        std::fs::create_dir_all(disk.join("block/sdb")).unwrap();
        std::fs::create_dir_all(root.path().join("dev")).unwrap();
        std::fs::write(disk.join("wwid"), format!("{wwid}\n")).unwrap();
        std::fs::write(disk.join("vpd_pg80"), page(serial)).unwrap();
        let roots = Roots { dev: root.path().join("dev"), sys: root.path().join("sys"), proc: "/proc".into() };
        (root, roots)
    }

    #[test]
    fn a_disk_without_the_wwn_is_not_the_volumes_and_one_without_a_node_is_not_there_yet() {
        let (_root, roots) = world("naa.5000000000000001", &identity().serial);
        assert_eq!(find(&roots, &identity(), 0).unwrap(), None);
        let (_root, roots) = world(&format!("naa.{}", identity().wwn.digits()), &identity().serial);
        assert_eq!(find(&roots, &identity(), 0).unwrap(), None, "udev has made no node yet");
    }

    #[test]
    fn what_is_no_block_device_is_never_taken_for_one() {
        let (_root, roots) = world(&format!("naa.{}", identity().wwn.digits()), &identity().serial);
        std::fs::write(roots.dev.join("sdb"), b"a file").unwrap();
        let error = find(&roots, &identity(), 0).unwrap_err().to_string();
        assert!(error.contains("no block device") && error.contains("nothing was written"), "{error}");
    }

    #[test]
    fn two_disks_with_one_wwn_are_neither() {
        let (root, roots) = world(&format!("naa.{}", identity().wwn.digits()), &identity().serial);
        let second = root.path().join("sys/bus/scsi/devices/2:0:0:2");
        std::fs::create_dir_all(second.join("block/sdc")).unwrap();
        std::fs::write(second.join("wwid"), format!("naa.{}", identity().wwn.digits())).unwrap();
        assert!(matches!(find(&roots, &identity(), 0), Err(Error::WrongDevice { .. })));
    }

    #[test]
    fn a_serial_number_reads_with_its_padding() {
        assert_eq!(serial(&page("oxmox-0b7e")), Some("oxmox-0b7e".to_owned()));
        assert_eq!(serial(&[&page("  x")[..], b"\0\0"].concat()), Some("x".to_owned()));
        assert_eq!(serial(&[0, 0x80]), None);
    }
}

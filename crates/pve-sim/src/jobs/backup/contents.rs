//! What of a guest goes into its archive, and what the log says of what does not.

use crate::calls::lxc::mountpoint::{self, is_mountpoint_key};
use crate::state::backup::Disk;
use crate::state::drive::{file_of, is_cdrom, is_drive_key, is_unused_key, option_of, parse_size};
use crate::state::guest::{Guest, GuestKind};

/// What an archive will hold, and what the log says of it.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) disks: Vec<Disk>,
    pub(super) said: Vec<String>,
}

/// The disks of a guest that go into its archive.
pub(super) fn contents(guest: &Guest) -> Contents {
    match guest.kind {
        GuestKind::Qemu => vm_contents(guest),
        GuestKind::Lxc => container_contents(guest),
    }
}

fn disk(key: &str, volid: &str, text: &str) -> Disk {
    let size = option_of(text, "size").and_then(parse_size).unwrap_or_default();
    let format = volid.rsplit_once('.').map(|(_, f)| f).filter(|f| ["raw", "qcow2", "vmdk", "subvol"].contains(f));
    let storage = volid.split_once(':').map_or("", |(s, _)| s);
    Disk { key: key.to_owned(), storage: storage.to_owned(), format: format.unwrap_or("raw").to_owned(), size }
}

fn vm_contents(guest: &Guest) -> Contents {
    let mut out = Contents::default();
    if let Some(name) = guest.get("name") {
        out.said.push(format!("INFO: VM Name: {name}"));
    }
    for (key, text) in guest.config.iter().filter(|(k, _)| is_drive_key(k)) {
        let volid = file_of(text);
        if is_cdrom(text) || !volid.contains(':') {
            continue;
        }
        if option_of(text, "backup") == Some("0") {
            out.said.push(format!("INFO: exclude disk '{key}' '{volid}' (backup=no)"));
            continue;
        }
        let size = option_of(text, "size").unwrap_or("0");
        out.said.push(format!("INFO: include disk '{key}' '{volid}' {size}"));
        out.disks.push(disk(key, volid, text));
    }
    for (_, volid) in guest.config.iter().filter(|(k, _)| is_unused_key(k)) {
        out.said.push(format!("INFO: skip unused drive '{}' (not included into backup)", file_of(volid)));
    }
    if !guest.snapshots.is_empty() {
        out.said.push("INFO: snapshots found (not included into backup)".to_owned());
    }
    if !guest.pending.is_empty() {
        out.said.push("INFO: pending configuration changes found (not included into backup)".to_owned());
    }
    out
}

fn container_contents(guest: &Guest) -> Contents {
    let mut out = Contents::default();
    if let Some(name) = guest.get("hostname") {
        out.said.push(format!("INFO: CT Name: {name}"));
    }
    let mounts = || guest.config.iter().filter(|(k, _)| is_mountpoint_key(k));
    // The root file system comes first.
    for (key, text) in mounts().filter(|(k, _)| *k == "rootfs").chain(mounts().filter(|(k, _)| *k != "rootfs")) {
        let volid = mountpoint::volume(text);
        let path = option_of(text, "mp").unwrap_or("/");
        let kind = mountpoint::kind(volid);
        let included = kind == mountpoint::Kind::Volume && (key == "rootfs" || option_of(text, "backup") == Some("1"));
        if included {
            out.said.push(format!("INFO: including mount point {key} ('{path}') in backup"));
            out.disks.push(disk(key, volid, text));
        } else {
            let why = if kind == mountpoint::Kind::Volume { "disabled" } else { "not a volume" };
            let word = kind.word();
            out.said.push(format!("INFO: excluding {word} mount point {key} ('{path}') from backup ({why})"));
        }
    }
    out
}

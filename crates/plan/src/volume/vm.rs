//! A VM's configuration as it is and as it will be: what `GET …/pending` answers.
//!
//! Promises: a volume is compared whole, never as a part of another's name; a drive that is being taken away, or that
//! only waits to be plugged in, is still told, each as what it is.

use std::collections::BTreeMap;

use pve_types::{DiskSpec, SmbiosUuid, VolumeId};

use super::slot::Slot;

/// A drive, now and then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drive {
    /// What is in it now.
    pub now: Option<DiskSpec>,
    /// What waits to be put into it.
    pub coming: Option<DiskSpec>,
    /// Whether it waits to be taken away.
    pub leaving: bool,
}

/// How a drive has a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It has it.
    Now,
    /// It has it, and is being taken away.
    Leaving,
    /// It is to get it, and has not.
    Coming,
}

/// A drive that has a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The key: `scsi3`, `unused0`.
    pub key: String,
    /// How.
    pub phase: Phase,
    /// The drive with its options.
    pub disk: DiskSpec,
}

impl Use {
    /// The slot, if it is one of ours.
    pub fn slot(&self) -> Option<Slot> {
        self.key.parse().ok()
    }
}

/// A VM's configuration, now and then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VmConfig {
    /// Its check sum.
    pub digest: Option<String>,
    /// What holds it.
    pub lock: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its notes.
    pub notes: Option<String>,
    /// Whether it is protected from removal, and its disks with it.
    pub protection: bool,
    /// What the firmware says.
    pub uuid: Option<SmbiosUuid>,
    /// Its drives by key, `unusedN` among them.
    pub drives: BTreeMap<String, Drive>,
    /// Keys that look like drives and do not read.
    pub strange: Vec<String>,
}

/// A row of `GET …/pending`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    /// The key.
    pub key: &'a str,
    /// Its value now.
    pub now: Option<&'a str>,
    /// The value that waits.
    pub coming: Option<&'a str>,
    /// Whether it waits to be deleted.
    pub leaving: bool,
}

const DRIVES: [&str; 5] = ["scsi", "virtio", "sata", "ide", "unused"];

fn is_drive(key: &str) -> bool {
    let number =
        |prefix: &str| key.strip_prefix(prefix).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    DRIVES.iter().any(|prefix| number(prefix))
}

impl VmConfig {
    /// Reads the rows.
    pub fn read<'a>(rows: impl IntoIterator<Item = Row<'a>>) -> Self {
        let mut out = Self::default();
        for Row { key, now, coming, leaving } in rows {
            let text = || now.map(str::to_owned);
            match key {
                "digest" => out.digest = text(),
                "lock" => out.lock = text(),
                "name" => out.name = text(),
                "description" => out.notes = text(),
                "protection" => out.protection = now == Some("1"),
                "smbios1" => {
                    let smbios = now.and_then(|text| text.parse::<pve_types::Smbios1>().ok());
                    out.uuid = smbios.and_then(|smbios| smbios.uuid);
                }
                key if is_drive(key) => {
                    let disk = |text: Option<&str>| text.map(str::parse::<DiskSpec>).transpose();
                    match (disk(now), disk(coming)) {
                        (Ok(now), Ok(coming)) => {
                            out.drives.insert(key.to_owned(), Drive { now, coming, leaving });
                        }
                        _ => out.strange.push(key.to_owned()),
                    }
                }
                _ => {}
            }
        }
        out
    }

    /// Every drive that has the volume or is to get it.
    pub fn uses(&self, volume: &VolumeId) -> Vec<Use> {
        let mut uses = Vec::new();
        for (key, Drive { now, coming, leaving }) in &self.drives {
            let has = |disk: &&DiskSpec| disk.volume() == Some(volume);
            if let Some(disk) = now.as_ref().filter(has) {
                let phase = if *leaving { Phase::Leaving } else { Phase::Now };
                // One that is about to be replaced leaves too.
                let replaced = coming.as_ref().is_some_and(|coming| coming.volume() != Some(volume));
                let phase = if replaced { Phase::Leaving } else { phase };
                uses.push(Use { key: key.clone(), phase, disk: disk.clone() });
            } else if let Some(disk) = coming.as_ref().filter(has) {
                uses.push(Use { key: key.clone(), phase: Phase::Coming, disk: disk.clone() });
            }
        }
        uses
    }

    /// Those of the uses that are plugged in or are to be: all but `unusedN`.
    pub fn plugged(&self, volume: &VolumeId) -> Vec<Use> {
        self.uses(volume).into_iter().filter(|of| !of.key.starts_with("unused")).collect()
    }

    /// Every volume that is plugged in or is to be.
    pub fn volumes(&self) -> impl Iterator<Item = &VolumeId> {
        let plugged = self.drives.iter().filter(|(key, _)| !key.starts_with("unused"));
        plugged.flat_map(|(_, drive)| [&drive.now, &drive.coming]).flatten().filter_map(DiskSpec::volume)
    }

    /// The `unusedN` of the volume, or the first free one.
    pub fn unused(&self, volume: &VolumeId) -> Option<String> {
        let has = self.uses(volume).into_iter().find(|of| of.key.starts_with("unused")).map(|of| of.key);
        has.or_else(|| (0..256).map(|n| format!("unused{n}")).find(|key| !self.drives.contains_key(key)))
    }

    /// How many `unusedN` there are.
    pub fn unused_count(&self) -> usize {
        self.drives.keys().filter(|key| key.starts_with("unused")).count()
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn row<'a>(key: &'a str, now: &'a str) -> Row<'a> {
        Row { key, now: Some(now), coming: None, leaving: false }
    }

    #[test]
    fn a_volume_is_compared_whole() {
        let vm = VmConfig::read([
            row("scsi1", "data:9100/vm-9100-disk-10.raw,size=1G"),
            row("scsi2", "other:9100/vm-9100-disk-1.raw"),
            row("scsihw", "virtio-scsi-single"),
            row("digest", "abc"),
        ]);
        assert_eq!(vm.uses(&"data:9100/vm-9100-disk-1.raw".parse().unwrap()), []);
        assert_eq!(vm.uses(&"data:9100/vm-9100-disk-10.raw".parse().unwrap()).len(), 1);
        assert_eq!((vm.digest.as_deref(), vm.drives.len()), (Some("abc"), 2));
    }

    #[test]
    fn what_waits_is_told_as_such() {
        let one: VolumeId = "data:9100/vm-9100-pvc-1.raw".parse().unwrap();
        let two: VolumeId = "data:9100/vm-9100-pvc-2.raw".parse().unwrap();
        let (a, b) = (one.to_string(), two.to_string());
        let vm = VmConfig::read([
            Row { key: "scsi1", now: Some(&a), coming: None, leaving: true },
            Row { key: "scsi2", now: None, coming: Some(&b), leaving: false },
            Row { key: "scsi3", now: Some(&a), coming: Some(&b), leaving: false },
        ]);
        let phases = |volume| vm.uses(volume).into_iter().map(|of| (of.key, of.phase)).collect::<Vec<_>>();
        assert_eq!(phases(&one), [("scsi1".to_owned(), Phase::Leaving), ("scsi3".to_owned(), Phase::Leaving)]);
        assert_eq!(phases(&two), [("scsi2".to_owned(), Phase::Coming), ("scsi3".to_owned(), Phase::Coming)]);
    }

    #[test]
    fn an_unused_entry_is_found_again_or_the_first_free_one_taken() {
        let vm = VmConfig::read([row("unused0", "data:9100/vm-9100-a.raw"), row("unused2", "data:9100/vm-9100-b.raw")]);
        let unused = |text: &str| vm.unused(&text.parse().unwrap()).unwrap();
        assert_eq!(unused("data:9100/vm-9100-b.raw"), "unused2");
        assert_eq!(unused("data:9100/vm-9100-c.raw"), "unused1");
        assert_eq!(vm.plugged(&"data:9100/vm-9100-a.raw".parse().unwrap()), []);
    }
}

//! Holders: stopped VMs that own a tenant's volumes.
//!
//! Proxmox VE knows by the number in a volume's name whose it is, and checks rights on that VM: so the volumes of a
//! tenant belong to a VM of the tenant's pool that never runs. It is protected, for its volumes go with it.
//!
//! * A holder is proven by the last line of its notes, `oxmox: holder=TENANT`, and by resting: only [`Holder::prove`]
//!   makes one, and only with one can a step be built that frees something.
//! * A copy (a snapshot, or a volume made from one) cannot be named when it is made: Proxmox VE calls it
//!   `vm-HOLDER-disk-N`. It stays plugged into its holder, where the slot's serial number says what it is a copy of,
//!   and a line of the notes says it for people.

use std::fmt;
use std::str::FromStr;

use pve_types::{DiskSize, NodeName, Vmid, VolumeId};
use sha2::{Digest as _, Sha256};

use super::slot::{self, Slot};
use super::vm::VmConfig;

const WORD: &str = "oxmox: holder=";
const TEXT: &str = "Owner of volumes of Kubernetes. It never runs. If it is destroyed, they are destroyed with it.";

/// A VM has 256 `unusedN`; a holder with so many takes no new volumes, for each of its volumes may come to need one.
const UNUSED: usize = 200;
/// Proxmox VE takes notes of 8 KiB.
const NOTES: usize = 7 << 10;

/// What a holder looks like from afar, in the cluster's resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// Its number.
    pub vm: Vmid,
    /// The node it is on.
    pub node: NodeName,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VM {} on {}", self.vm, self.node)
    }
}

/// What a copy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CopyKind {
    /// A snapshot.
    Snapshot,
    /// A volume that was made from something.
    Volume,
}

/// What a copy is called, and of what it is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOf {
    /// What for.
    pub kind: CopyKind,
    /// Its name, as storages take it ([`super::name::plain`]).
    pub name: String,
    /// What was copied.
    pub source: VolumeId,
}

fn hash(text: &str, characters: usize) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hex::encode(hash).chars().take(characters).collect()
}

impl CopyOf {
    fn prefix(kind: CopyKind, name: &str) -> String {
        let letter = match kind {
            CopyKind::Snapshot => 's',
            CopyKind::Volume => 'v',
        };
        format!("{letter}-{}-", hash(name, 16))
    }

    /// The serial number of its slot: kind, name and source, in 35 characters.
    pub fn serial(&self) -> String {
        format!("{}{}", Self::prefix(self.kind, &self.name), hash(&self.source.to_string(), 16))
    }
}

/// A copy that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// What it is.
    pub of: CopyOf,
    /// The slot of the holder that it is in.
    pub slot: Slot,
    /// The volume.
    pub volume: VolumeId,
    /// Its size, as the slot says.
    pub size: Option<DiskSize>,
    /// When it was ordered, in Unix seconds.
    pub created: i64,
}

/// A line of the notes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    slot: Slot,
    of: CopyOf,
    created: i64,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { slot, of: CopyOf { kind, name, source }, created } = self;
        let kind = match kind {
            CopyKind::Snapshot => "snapshot",
            CopyKind::Volume => "volume",
        };
        write!(f, "copy {slot} {kind} {name} of {source} at {created}")
    }
}

impl FromStr for Line {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let words: Vec<&str> = text.split(' ').collect();
        let ["copy", slot, kind, name, "of", source, "at", created] = words[..] else { return Err(()) };
        let kind = match kind {
            "snapshot" => CopyKind::Snapshot,
            "volume" => CopyKind::Volume,
            _ => return Err(()),
        };
        Ok(Self {
            slot: slot.parse().map_err(|_| ())?,
            of: CopyOf { kind, name: name.to_owned(), source: source.parse().map_err(|_| ())? },
            created: created.parse().map_err(|_| ())?,
        })
    }
}

/// The notes of a holder without copies.
pub fn notes(tenant: &str) -> String {
    format!("{TEXT}\n\n{WORD}{tenant}")
}

/// Whether these are the notes of a holder of this tenant.
fn says(notes: &str, tenant: &str) -> bool {
    notes.trim_end().lines().next_back().and_then(|line| line.strip_prefix(WORD)) == Some(tenant)
}

/// A VM that is proven to be a holder of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    at: At,
    config: VmConfig,
}

/// Whether a VM rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// It is stopped.
    Rests,
    /// It runs, or nobody can say.
    MayRun,
}

impl Holder {
    /// Compares a VM with what a holder of this tenant is; the error says what it lacks.
    pub fn prove(at: At, config: VmConfig, power: Power, tenant: &str) -> Result<Self, String> {
        if !config.notes.as_deref().is_some_and(|notes| says(notes, tenant)) {
            return Err(format!("{at} is no holder of ours: its notes do not end in `{WORD}{tenant}`"));
        }
        match power {
            Power::Rests => Ok(Self { at, config }),
            Power::MayRun => Err(format!("{at} is a holder and must never run: stop it")),
        }
    }

    /// Where it is.
    pub fn at(&self) -> &At {
        &self.at
    }

    /// Its number.
    pub fn vmid(&self) -> Vmid {
        self.at.vm
    }

    /// Its configuration.
    pub fn config(&self) -> &VmConfig {
        &self.config
    }

    /// Whether the volume is this holder's, by its name.
    pub fn owns(&self, volume: &VolumeId) -> bool {
        volume.owner() == Some(self.at.vm)
    }

    fn lines(&self) -> Vec<Line> {
        self.config.notes.as_deref().unwrap_or_default().lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// The copies that are done: the slot has the serial number that the line says.
    pub fn copies(&self) -> Vec<Copy> {
        let done = |Line { slot, of, created }: Line| {
            let disk = self.config.drives.get(&slot.to_string())?.now.as_ref()?;
            let volume = disk.volume().filter(|volume| self.owns(volume))?.clone();
            (disk.option("serial") == Some(&of.serial())).then_some(Copy { of, slot, volume, size: disk.size, created })
        };
        self.lines().into_iter().filter_map(done).collect()
    }

    /// The copy of this kind and name, whatever it is one of.
    pub fn copy(&self, kind: CopyKind, name: &str) -> Option<Copy> {
        self.copies().into_iter().find(|copy| copy.of.kind == kind && copy.of.name == name)
    }

    /// The notes with one copy more, and without lines that have come to nothing.
    pub fn notes_with(&self, of: &CopyOf, slot: Slot, created: i64, tenant: &str) -> String {
        let done = self.copies().into_iter().map(|Copy { of, slot, created, .. }| Line { slot, of, created });
        let line = Line { slot, of: of.clone(), created };
        Self::print(done.chain([line]), tenant)
    }

    /// The notes without the copy that is in this volume.
    pub fn notes_without(&self, volume: &VolumeId, tenant: &str) -> String {
        let left = self.copies().into_iter().filter(|copy| copy.volume != *volume);
        Self::print(left.map(|Copy { of, slot, created, .. }| Line { slot, of, created }), tenant)
    }

    fn print(lines: impl Iterator<Item = Line>, tenant: &str) -> String {
        let lines: Vec<String> = lines.map(|line| line.to_string()).collect();
        if lines.is_empty() {
            return notes(tenant);
        }
        format!("{TEXT}\n\n{}\n{WORD}{tenant}", lines.join("\n"))
    }

    /// Whether it takes one volume more.
    pub fn has_room(&self) -> bool {
        self.config.unused_count() < UNUSED && self.config.lock.is_none()
    }

    /// A slot for one copy more, or for a volume that is to grow.
    pub fn room_for_copy(&self) -> Option<Slot> {
        let written = self.config.notes.as_deref().unwrap_or_default().len();
        let slot = slot::free(&self.config, None, &std::collections::BTreeSet::new());
        slot.filter(|_| self.has_room() && written < NOTES)
    }
}

#[cfg(test)]
mod test {
    use super::super::vm::Row;
    use super::*;

    pub(in super::super) fn at(vm: u32) -> At {
        At { vm: vm.try_into().unwrap(), node: "pve1".parse().unwrap() }
    }

    fn config(notes: &str, drives: &[(&str, String)]) -> VmConfig {
        let drives = drives.iter().map(|(key, now)| Row { key, now: Some(now), coming: None, leaving: false });
        let notes = Row { key: "description", now: Some(notes), coming: None, leaving: false };
        VmConfig::read(drives.chain([notes]))
    }

    fn of(name: &str) -> CopyOf {
        CopyOf { kind: CopyKind::Snapshot, name: name.to_owned(), source: "data:vm-9100-pvc-1".parse().unwrap() }
    }

    #[test]
    fn only_a_resting_vm_with_our_mark_at_the_end_is_a_holder() {
        let ours = config(&notes("team-a"), &[]);
        let prove = |config: &VmConfig, power, tenant| Holder::prove(at(9100), config.clone(), power, tenant);
        assert!(prove(&ours, Power::Rests, "team-a").is_ok());
        assert!(prove(&ours, Power::Rests, "team").unwrap_err().contains("holder=team`"));
        assert!(prove(&ours, Power::MayRun, "team-a").unwrap_err().contains("stop it"));
        let quoted = config(&format!("{}\nmoved here by Bob", notes("team-a")), &[]);
        assert!(prove(&quoted, Power::Rests, "team-a").is_err());
        assert!(prove(&config("qmclone temporary file", &[]), Power::Rests, "team-a").is_err());
    }

    #[test]
    fn a_copy_is_done_when_slot_and_line_agree() {
        let empty = Holder::prove(at(9100), config(&notes("t"), &[]), Power::Rests, "t").unwrap();
        let text = empty.notes_with(&of("one"), "scsi4".parse().unwrap(), 1_795_464_407, "t");
        let slot = |serial: &str| [("scsi4", format!("data:vm-9100-disk-0,serial={serial},size=1G"))];
        let holder = |drives: &[_]| Holder::prove(at(9100), config(&text, drives), Power::Rests, "t").unwrap();
        assert_eq!(holder(&[]).copies(), [], "it was ordered and never came");
        assert_eq!(holder(&slot(&of("two").serial())).copies(), [], "another came there");
        let foreign = [("scsi4", format!("data:vm-9101-disk-0,serial={}", of("one").serial()))];
        assert_eq!(holder(&foreign).copies(), []);
        let done = holder(&slot(&of("one").serial()));
        let copy = done.copy(CopyKind::Snapshot, "one").unwrap();
        assert_eq!((copy.volume.to_string().as_str(), copy.created), ("data:vm-9100-disk-0", 1_795_464_407));
        assert_eq!(done.copy(CopyKind::Volume, "one"), None);
        assert_eq!(done.notes_without(&copy.volume, "t"), notes("t"));
        assert!(of("one").serial().len() <= 36);
    }

    #[test]
    fn a_full_holder_takes_no_more() {
        let many: Vec<(String, String)> =
            (0..200).map(|n| (format!("unused{n}"), format!("data:vm-9100-pvc-{n}"))).collect();
        let many: Vec<(&str, String)> = many.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        let full = Holder::prove(at(9100), config(&notes("t"), &many), Power::Rests, "t").unwrap();
        assert!(!full.has_room() && full.room_for_copy().is_none());
        let slots: Vec<(String, String)> =
            Slot::all().map(|slot| (slot.to_string(), format!("data:vm-9100-disk-{}", slot.number()))).collect();
        let slots: Vec<(&str, String)> = slots.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        let plugged = Holder::prove(at(9100), config(&notes("t"), &slots), Power::Rests, "t").unwrap();
        assert!(plugged.has_room() && plugged.room_for_copy().is_none());
    }
}

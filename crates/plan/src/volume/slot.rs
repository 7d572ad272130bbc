//! The slots of a VM that volumes go into: `scsi1` to `scsi30`. `scsi0` is the guest's own; `scsi31` does not exist.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::vm::VmConfig;

/// A slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u8);

impl Slot {
    /// The first that volumes go into.
    pub const FIRST: u8 = 1;
    /// The last there is.
    pub const LAST: u8 = 30;

    /// The number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Every slot, in the order in which they are filled.
    pub fn all() -> impl Iterator<Item = Self> {
        (Self::FIRST..=Self::LAST).map(Self)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scsi{}", self.0)
    }
}

impl FromStr for Slot {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a slot: scsi{} to scsi{}", Self::FIRST, Self::LAST);
        let digits = text.strip_prefix("scsi").ok_or_else(bad)?;
        let number: u8 = digits.parse().map_err(|_| bad())?;
        let plain = number.to_string() == digits && (Self::FIRST..=Self::LAST).contains(&number);
        if plain { Ok(Self(number)) } else { Err(bad()) }
    }
}

/// The first slot that neither the configuration, nor what waits in it, nor QEMU has, and that is not spoiled.
pub(super) fn free(config: &VmConfig, qemu: Option<&BTreeSet<String>>, spoiled: &BTreeSet<Slot>) -> Option<Slot> {
    Slot::all().find(|slot| {
        let key = slot.to_string();
        !config.drives.contains_key(&key)
            && !config.strange.contains(&key)
            && !qemu.is_some_and(|blocks| blocks.contains(&key))
            && !spoiled.contains(slot)
    })
}

#[cfg(test)]
mod test {
    use super::super::vm::Row;
    use super::*;

    #[test]
    fn a_slot_that_anybody_still_has_is_not_taken() {
        let disk = "data:9100/vm-9100-a.raw";
        let config = VmConfig::read([
            Row { key: "scsi1", now: Some(disk), coming: None, leaving: true },
            Row { key: "scsi2", now: None, coming: Some(disk), leaving: false },
            Row { key: "scsi3", now: Some("not a disk"), coming: None, leaving: false },
        ]);
        let qemu = BTreeSet::from(["scsi0".to_owned(), "scsi4".to_owned()]);
        let spoiled = BTreeSet::from([Slot(5)]);
        assert_eq!(free(&config, Some(&qemu), &spoiled), Some(Slot(6)));
        assert_eq!(free(&config, None, &BTreeSet::new()), Some(Slot(4)));
        assert_eq!(free(&config, None, &Slot::all().collect()), None);
    }

    #[test]
    fn only_slots_of_ours_read() {
        assert_eq!("scsi30".parse(), Ok(Slot(30)));
        for text in ["scsi0", "scsi31", "scsi01", "virtio1", "scsi"] {
            assert!(text.parse::<Slot>().is_err(), "{text}");
        }
    }
}

//! By what a guest knows a volume again: a WWN and a serial number of its own.
//!
//! The driver that people use now gives a WWN to the *slot*, so that a slot that is used again leads to the wrong
//! disk. Ours is a hash of the handle. Controller and node derive it, each for itself.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::Handle;

/// World Wide Name: `0x5` and 15 hexadecimal digits. The 5 says "IEEE registered", as disks' names do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wwn(u64);

const NAA: u64 = 5 << 60;

impl Wwn {
    /// The digits without `0x`, as the kernel writes them behind `naa.`.
    pub fn digits(self) -> String {
        format!("{:016x}", self.0)
    }
}

impl fmt::Display for Wwn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:016x}", self.0)
    }
}

impl FromStr for Wwn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("0x").filter(|digits| digits.len() == 16);
        let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        number.map(Self).ok_or_else(|| format!("`{text}` is not a WWN: 0x and 16 hexadecimal digits"))
    }
}

/// What a volume is known by in a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The WWN; udev makes `/dev/disk/by-id/wwn-0x…` of it.
    pub wwn: Wwn,
    /// The serial number, VPD page 0x80. QEMU takes 36 characters at most, and a longer one poisons the slot.
    pub serial: String,
}

impl Identity {
    /// The identity of the volume with this handle.
    pub fn of(handle: &Handle) -> Self {
        let hash = Sha256::digest(handle.to_string().as_bytes());
        let number = hash.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte));
        let serial = hex::encode(&hash[8..20]);
        Self { wwn: Wwn((number >> 4) | NAA), serial: format!("oxmox-{serial}") }
    }
}

#[cfg(test)]
mod test {
    use std::collections::BTreeSet;

    use super::*;

    fn of(text: &str) -> Identity {
        Identity::of(&text.parse().unwrap())
    }

    #[test]
    fn each_volume_has_names_of_its_own_that_qemu_and_the_kernel_take() {
        let all: Vec<Identity> = (0..2000).map(|n| of(&format!("eu/pve1/data/9100/vm-9100-pvc-{n}.raw"))).collect();
        assert_eq!(all.iter().map(|i| i.wwn).collect::<BTreeSet<_>>().len(), 2000);
        assert_eq!(all.iter().map(|i| &i.serial).collect::<BTreeSet<_>>().len(), 2000);
        for identity in all {
            assert!(identity.wwn.to_string().starts_with("0x5") && identity.wwn.to_string().len() == 18);
            assert!(
                identity.serial.len() <= 36
                    && !identity.serial.contains(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            );
            assert_eq!(identity.wwn.to_string().parse(), Ok(identity.wwn));
        }
    }

    /// The names are in the configurations of running guests: they must never change.
    #[test]
    fn the_names_stay_what_they_are() {
        let identity = of("eu/pve1/data/9100/vm-9100-pvc-0b7e.raw");
        let again = of("eu/pve1/data/9100/vm-9100-pvc-0b7e.raw");
        assert_eq!(identity, again);
        assert_ne!(identity, of("eu//data/9100/vm-9100-pvc-0b7e.raw"));
        let fixed = "eu/pve1/data/9100/vm-9100-pvc-0b7e.raw";
        assert_eq!(of(fixed).serial.len(), 30);
    }
}

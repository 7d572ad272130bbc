//! The size of a disk in bytes; Proxmox writes `32G`, `528K`, or plain bytes.

use std::fmt;
use std::str::FromStr;

use crate::Invalid;
use crate::invalid::serde_as_text;

/// A disk's size. Prints with the greatest unit that leaves no rest, as Proxmox does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskSize(u64);

const UNITS: [(char, u32); 4] = [('K', 10), ('M', 20), ('G', 30), ('T', 40)];

impl DiskSize {
    /// From bytes.
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// From GiB.
    pub const fn from_gib(gib: u32) -> Self {
        Self((gib as u64) << 30)
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for DiskSize {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = |why| Invalid::new("a disk size", text, why);
        let shape = "digits, perhaps a fraction, and one of K, M, G, T";
        let last = text.chars().next_back();
        let unit = UNITS.iter().find(|(letter, _)| Some(*letter) == last);
        let (number, shift) = match unit {
            Some((letter, shift)) => (text.trim_end_matches(*letter), *shift),
            None => (text, 0),
        };
        if unit.is_some() && number.len() + 1 != text.len() {
            return Err(bad(shape));
        }
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(bad(shape));
        }
        let too_great = || bad("more bytes than fit in 64 bits");
        let whole: u64 = whole.parse().map_err(|_| too_great())?;
        let whole = u128::from(whole) << shift;
        // Fractions finer than 2^-60 cannot move a byte; nine digits are already finer than Proxmox is.
        let fraction = &fraction[..fraction.len().min(15)];
        let scale = 10u128.pow(u32::try_from(fraction.len()).unwrap_or(15));
        let part: u128 = fraction.parse().map_err(|_| bad(shape))?;
        let bytes = whole + (part << shift) / scale;
        u64::try_from(bytes).map(Self).map_err(|_| too_great())
    }
}

impl fmt::Display for DiskSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = UNITS.iter().rev().find(|(_, shift)| self.0 > 0 && self.0.trailing_zeros() >= *shift);
        match exact {
            Some((letter, shift)) => write!(f, "{}{letter}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

serde_as_text!(DiskSize);

//! The number of a guest, the same for virtual machines and containers, unique in a Proxmox cluster.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Invalid;
use crate::lenient;

/// A guest's number, 100 to 999,999,999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vmid(NonZeroU32);

const WHAT: &str = "a VM number";
const RANGE: &str = "Proxmox numbers guests from 100 to 999999999";

impl Vmid {
    /// The smallest number Proxmox gives.
    pub const MIN: u32 = 100;
    /// The greatest number Proxmox takes.
    pub const MAX: u32 = 999_999_999;

    /// The number.
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl TryFrom<u32> for Vmid {
    type Error = Invalid;

    fn try_from(number: u32) -> Result<Self, Invalid> {
        if !(Self::MIN..=Self::MAX).contains(&number) {
            return Err(Invalid::new(WHAT, number.to_string(), RANGE));
        }
        NonZeroU32::new(number).map(Self).ok_or_else(|| Invalid::new(WHAT, "0", RANGE))
    }
}

impl From<Vmid> for u32 {
    fn from(vmid: Vmid) -> u32 {
        vmid.get()
    }
}

impl FromStr for Vmid {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // `u32::from_str` takes a plus sign and leading zeros, Proxmox does not.
        if !text.starts_with(|c: char| ('1'..='9').contains(&c)) {
            return Err(Invalid::new(WHAT, text, RANGE));
        }
        text.parse::<u32>().map_err(|_| Invalid::new(WHAT, text, RANGE))?.try_into()
    }
}

impl fmt::Display for Vmid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Vmid {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u32(self.get())
    }
}

impl<'de> Deserialize<'de> for Vmid {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        lenient::text(from)?.parse().map_err(serde::de::Error::custom)
    }
}

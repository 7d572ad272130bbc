//! Chance that repeats itself: a small generator with a seed.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// A splitmix64 generator; good enough for ids, useless for secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 up to, but without, 1.
    pub(crate) fn unit(&mut self) -> f64 {
        let bits = u32::try_from(self.next() >> 32).unwrap_or_default();
        f64::from(bits) / 4_294_967_296.0
    }

    /// A random (version 4) UUID.
    pub(crate) fn uuid(&mut self) -> String {
        let mut bytes = [0u8; 16];
        bytes[..8].copy_from_slice(&self.next().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next().to_be_bytes());
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    /// A hardware address under a prefix of three bytes.
    pub(crate) fn mac(&mut self, prefix: &str) -> String {
        let [a, b, c, ..] = self.next().to_be_bytes();
        format!("{prefix}:{a:02X}:{b:02X}:{c:02X}")
    }

    /// `length` hexadecimal digits.
    pub(crate) fn hex(&mut self, length: usize) -> String {
        let mut out = String::new();
        while out.len() < length {
            let _ = write!(out, "{:016x}", self.next());
        }
        out.truncate(length);
        out
    }
}

//! Numbers as ISO 9660 has them: most of them twice, once in each byte order.

/// 16 bits, little endian, then big endian.
pub(super) fn both16(number: u16) -> [u8; 4] {
    let mut both = [0; 4];
    both[..2].copy_from_slice(&number.to_le_bytes());
    both[2..].copy_from_slice(&number.to_be_bytes());
    both
}

/// 32 bits, little endian, then big endian.
pub(super) fn both32(number: u32) -> [u8; 8] {
    let mut both = [0; 8];
    both[..4].copy_from_slice(&number.to_le_bytes());
    both[4..].copy_from_slice(&number.to_be_bytes());
    both
}

/// A length of something in memory, as the 32 bits that the format has for it.
#[expect(clippy::expect_used, reason = "a seed of 4 GiB is no seed; Proxmox and Kubernetes refuse far smaller ones")]
pub(super) fn small(length: usize) -> u32 {
    u32::try_from(length).expect("a first-boot seed is smaller than 4 GiB")
}

/// A length that the format keeps in one byte.
#[expect(clippy::expect_used, reason = "records are made of names that this crate chose")]
pub(super) fn byte(length: usize) -> u8 {
    u8::try_from(length).expect("a record of one of our short names is shorter than 256 bytes")
}

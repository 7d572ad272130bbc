//! What is on a disk: our own look at its first bytes, beside that of `blkid`.
//!
//! A disk is formatted only when both say that it is empty. A tool that fails, or that says one thing where the bytes
//! say another, is no reason to write.

use plan::volume::FsType;

/// What is on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing that either look knows.
    Empty,
    /// A file system that we make ourselves, with its size in bytes.
    Ours(FsType, u64),
    /// Something else, in the words of who found it.
    Other(String),
    /// The two looks do not agree.
    Doubtful(String),
}

/// So much of a disk is looked at: the last of the signatures below begins at 64 KiB.
pub(super) const LOOK: usize = 132 << 10;

/// Where something begins, by what it is known, and what it is.
const SIGNATURES: [(usize, &[u8], &str); 20] = [
    (0, b"XFSB", "xfs"),
    (0x438, &[0x53, 0xef], "ext4"),
    (0x1_0040, b"_BHRfS_M", "btrfs"),
    (0, b"LUKS\xba\xbe", "LUKS"),
    (0x200, b"LABELONE", "an LVM physical volume"),
    (0, b"LABELONE", "an LVM physical volume"),
    (0x218, b"LVM2 001", "an LVM physical volume"),
    (0xff6, b"SWAPSPACE2", "swap"),
    (0xff6, b"SWAP-SPACE", "swap"),
    (0x200, b"EFI PART", "a GPT partition table"),
    (0x1000, b"EFI PART", "a GPT partition table"),
    (0x1fe, &[0x55, 0xaa], "a boot sector or MBR partition table"),
    (3, b"NTFS    ", "ntfs"),
    (0x8001, b"CD001", "iso9660"),
    (0, b"hsqs", "squashfs"),
    (0x400, &[0x10, 0x20, 0xf5, 0xf2], "f2fs"),
    (0x1_0034, b"ReIsEr", "reiserfs"),
    (0x8000, b"JFS1", "jfs"),
    (0, b"-FVE-FS-", "bitlocker"),
    (0x1000, &[0xfc, 0x4e, 0x2b, 0xa9], "a member of a RAID"),
];

fn number(bytes: &[u8], at: usize, length: usize, big: bool) -> u64 {
    let all = bytes.get(at..at + length).unwrap_or_default();
    let add = |number: u64, byte: &u8| (number << 8) | u64::from(*byte);
    if big { all.iter().fold(0, add) } else { all.iter().rev().fold(0, add) }
}

/// Our own look.
pub(super) fn own(bytes: &[u8]) -> Found {
    let here = |(at, magic, _): &&(usize, &[u8], &str)| bytes.get(*at..at + magic.len()) == Some(*magic);
    match SIGNATURES.iter().find(here).map(|(_, _, what)| *what) {
        None => Found::Empty,
        Some("xfs") => Found::Ours(FsType::Xfs, number(bytes, 4, 4, true).saturating_mul(number(bytes, 8, 8, true))),
        Some("ext4") => {
            let block = 1024_u64.checked_shl(u32::try_from(number(bytes, 0x418, 4, false)).unwrap_or(64)).unwrap_or(0);
            let blocks = number(bytes, 0x404, 4, false) | (number(bytes, 0x550, 4, false) << 32);
            // Without the feature `64bit` there is no upper half.
            let wide = number(bytes, 0x460, 4, false) & 0x80 != 0;
            let blocks = if wide { blocks } else { blocks & u64::from(u32::MAX) };
            Found::Ours(FsType::Ext4, blocks.saturating_mul(block))
        }
        Some(what) => Found::Other(what.to_owned()),
    }
}

/// What `blkid -p` says: its exit status and `TYPE=…` lines.
pub(super) fn blkid(code: Option<i32>, out: &str, err: &str) -> Result<Option<String>, String> {
    let value = |key: &str| out.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned);
    match code {
        // Two is "nothing found", and "cannot be read" too: that one says so.
        Some(2) if err.trim().is_empty() => Ok(None),
        Some(0) => match (value("TYPE"), value("PTTYPE")) {
            (Some(what), _) => Ok(Some(what)),
            (None, Some(what)) => Ok(Some(format!("a partition table ({what})"))),
            (None, None) => Err(format!("it found something and does not say what: {}", out.trim())),
        },
        code => Err(format!("exit status {code:?}: {}", err.trim())),
    }
}

/// Both looks as one.
pub(super) fn agree(own: Found, blkid: Result<Option<String>, String>) -> Found {
    match (own, blkid) {
        (Found::Empty, Ok(None)) => Found::Empty,
        (Found::Ours(fs, size), Ok(Some(name))) if name == fs.as_str() => Found::Ours(fs, size),
        (Found::Other(what), Ok(_)) | (Found::Empty | Found::Ours(..), Ok(Some(what))) => Found::Other(what),
        (Found::Ours(fs, _), Ok(None)) => {
            Found::Doubtful(format!("its first bytes say {}, and blkid finds nothing", fs.as_str()))
        }
        (Found::Empty | Found::Ours(..) | Found::Other(_), Err(why)) => {
            Found::Doubtful(format!("blkid cannot tell: {why}"))
        }
        (doubtful @ Found::Doubtful(_), _) => doubtful,
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn with(at: usize, magic: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; LOOK];
        bytes[at..at + magic.len()].copy_from_slice(magic);
        bytes
    }

    #[test]
    fn every_signature_lies_within_what_is_looked_at_and_makes_a_disk_not_empty() {
        for (at, magic, what) in SIGNATURES {
            assert!(at + magic.len() <= LOOK, "{what}");
            assert_ne!(own(&with(at, magic)), Found::Empty, "{what}");
        }
        assert_eq!(own(&vec![0; LOOK]), Found::Empty);
        assert_eq!(own(&vec![0x5a; LOOK]), Found::Empty, "what a thick volume had before is no file system");
    }

    #[test]
    fn only_two_looks_that_agree_say_empty() {
        assert_eq!(agree(Found::Empty, Ok(None)), Found::Empty);
        for (mine, theirs) in [
            (Found::Empty, Ok(Some("ext4".to_owned()))),
            (Found::Empty, Err("exit status 8".to_owned())),
            (Found::Ours(FsType::Xfs, 1), Ok(None)),
            (Found::Ours(FsType::Xfs, 1), Ok(Some("ext4".to_owned()))),
            (Found::Other("LUKS".to_owned()), Ok(None)),
        ] {
            let both = agree(mine, theirs);
            assert!(!matches!(both, Found::Empty | Found::Ours(..)), "{both:?}");
        }
        assert_eq!(agree(Found::Ours(FsType::Xfs, 1), Ok(Some("xfs".to_owned()))), Found::Ours(FsType::Xfs, 1));
    }

    #[test]
    fn a_failed_probe_is_not_an_empty_disk() {
        assert_eq!(blkid(Some(2), "", ""), Ok(None));
        assert!(blkid(Some(2), "", "error: /dev/sdb: No such file or directory").is_err());
        assert!(blkid(Some(8), "", "").is_err());
        assert!(blkid(None, "", "").is_err());
        assert_eq!(blkid(Some(0), "DEVNAME=/dev/sdb\nTYPE=ext4\n", ""), Ok(Some("ext4".to_owned())));
        assert_eq!(blkid(Some(0), "PTTYPE=gpt\n", ""), Ok(Some("a partition table (gpt)".to_owned())));
    }
}

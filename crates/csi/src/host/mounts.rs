//! Mounts, as `/proc/self/mountinfo` tells them.

use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Major and minor number of the file system's device.
    pub number: (u32, u32),
    /// What of the file system is mounted: `/`, or for a bind mount the directory or file.
    pub root: PathBuf,
    /// Where.
    pub at: PathBuf,
    /// Options of this mount: `rw`, `relatime`, …
    pub options: Vec<String>,
    /// `ext4`, …
    pub fs: String,
    /// The disk whose node is mounted there, where it is one: a block volume.
    pub disk: Option<(u32, u32)>,
}

impl Mount {
    /// Whether what is mounted may be the node of a SCSI disk, by its name.
    pub(super) fn may_be_disk(&self) -> bool {
        self.root.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"sd"))
    }

    /// Whether this mount takes no writes.
    pub fn read_only(&self) -> bool {
        self.options.iter().any(|option| option == "ro")
    }
}

/// Reads them. A line that does not read is passed over: its mount is not one of ours.
pub(super) fn read(text: &str) -> Vec<Mount> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ');
    let number = left.nth(2)?.split_once(':')?;
    let (root, at, options) = (left.next()?, left.next()?, left.next()?);
    Some(Mount {
        number: (number.0.parse().ok()?, number.1.parse().ok()?),
        root: path(root),
        at: path(at),
        options: options.split(',').map(str::to_owned).collect(),
        fs: right.split(' ').next()?.to_owned(),
        disk: None,
    })
}

/// The kernel writes blanks, tabs, line ends and backslashes as `\040` and the like.
fn path(text: &str) -> PathBuf {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *byte == b'\\');
        let escaped = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        out.push(escaped.unwrap_or(*byte));
        rest = if escaped.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(std::ffi::OsString::from_vec(out))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn mounts_read_with_their_odd_names() {
        let text = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n\
                    40 35 7:3 / /var/lib/a\\040b\\134c ro,relatime shared:7 - xfs /dev/loop3 ro\n\
                    41 35 0:6 /sdb /target rw - devtmpfs udev rw\nnonsense\n";
        let mounts = read(text);
        assert_eq!(mounts.len(), 3);
        assert_eq!((mounts[1].number, mounts[1].at.to_str()), ((7, 3), Some("/var/lib/a b\\c")));
        assert!(mounts[1].read_only() && !mounts[0].read_only());
        assert_eq!((mounts[2].root.to_str(), mounts[2].fs.as_str()), (Some("/sdb"), "devtmpfs"));
    }
}

//! The cgroup of a leash: a directory in the machine's cgroup2 tree, wherever that is mounted.
//!
//! Promises: only directories called `oxmox-<pid>` are made or removed; the machine's own are never touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::eventually::{NotYet, eventually_blocking};

const PREFIX: &str = "oxmox-";
/// The kernel takes a moment to let go of the last process.
const EMPTY: Duration = Duration::from_secs(20);

/// The machine's cgroup2 mount. None: then a leash has no cgroup of its own.
pub(super) fn mount() -> Option<PathBuf> {
    mount_in(&fs::read_to_string("/proc/self/mounts").ok()?)
}

fn mount_in(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (_source, target, kind) = (fields.next()?, fields.next()?, fields.next()?);
        // Spaces are written as octal; a cgroup mount with spaces in its path is nobody's.
        (kind == "cgroup2").then(|| PathBuf::from(target))
    })
}

/// Makes `oxmox-<owner>`.
pub(super) fn make(owner: u32) -> Result<Option<PathBuf>> {
    let Some(mount) = mount() else { return Ok(None) };
    let path = mount.join(format!("{PREFIX}{owner}"));
    match fs::create_dir(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(Some(path)),
        other => other.map(|()| Some(path.clone())).with_context(|| format!("make the cgroup `{}`", path.display())),
    }
}

/// Those of leashes whose owner's number nobody has any more.
pub(super) fn ownerless() -> Vec<PathBuf> {
    let Some(mount) = mount() else { return Vec::new() };
    let Ok(entries) = fs::read_dir(&mount) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let owner = name.to_string_lossy().strip_prefix(PREFIX).and_then(|pid| pid.parse::<u32>().ok());
            owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
        })
        .map(|entry| entry.path())
        .collect()
}

/// Kills what is in it and removes it with all below.
pub(super) fn remove(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    // A second leash, for what escaped the first. Kernels before 5.14 have no such file.
    let _ = fs::write(path.join("cgroup.kill"), "1");
    eventually_blocking(EMPTY, || match remove_tree(path) {
        Err(_) if !path.exists() => Ok(()), // its owner and `clean` may be at it together
        other => other.map_err(NotYet::because),
    })
    .with_context(|| format!("remove the cgroup `{}`", path.display()))
}

/// Directories only: the files in them are the kernel's.
fn remove_tree(path: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_cgroup2_mount_is_found_wherever_it_is() {
        let systemd = "sysfs /sys sysfs rw 0 0\ncgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n";
        let hybrid = "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(mount_in(systemd), Some(PathBuf::from("/sys/fs/cgroup")));
        assert_eq!(mount_in(hybrid), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(mount_in("sysfs /sys sysfs rw 0 0\n"), None);
    }
}

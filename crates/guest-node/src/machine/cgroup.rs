//! A cgroup for each guest, below our own, so that all that it starts can be found and ended.
//!
//! Promises: removed with everything in it. Assumes a cgroup v2 mount, with or without controllers.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Where the guest's cgroup is.
pub(super) fn path(vmid: u32) -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("mounts")?;
    let own = fs::read_to_string("/proc/self/cgroup").context("own cgroup")?;
    let mount = mount(&mounts).context("no cgroup v2 is mounted")?;
    let own = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let parent = mount.join(own.trim_start_matches('/'));
    let parent = if own.contains("..") || !parent.is_dir() { mount } else { parent };
    Ok(parent.join(format!("guest-node-{vmid}")))
}

/// The mount point of cgroup v2 in `mountinfo`.
fn mount(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        (right.split(' ').next()? == "cgroup2").then(|| left.split(' ').nth(4).map(PathBuf::from))?
    })
}

/// Kills what is in it and removes it, with all below.
pub(super) fn remove(path: &Path) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(5);
    // Absent in old kernels; the PID namespace's end has killed everything there as well.
    let _ = fs::write(path.join("cgroup.kill"), "1");
    loop {
        match remove_tree(path) {
            Ok(()) => return Ok(()),
            // Something below may be gone only because its owner removes it at the same time.
            Err(_) if !path.exists() => return Ok(()),
            Err(err) if Instant::now() > deadline => {
                return Err(err).with_context(|| format!("remove cgroup `{}`", path.display()));
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "the edge: the kernel buries killed processes in its own time"
            )]
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

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
    fn the_v2_mount_is_found_beside_v1_ones() {
        let mounts = "30 20 0:26 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu\n\
                      31 20 0:27 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(mount(mounts), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(mount("30 20 0:26 / / rw - ext4 /dev/vda rw\n"), None);
    }
}

//! A loop device over a file, for as long as somebody uses it.
//!
//! Promises: the device is gone once we have let go of it (or were killed) and the last mount or open file on it has
//! ended. Assumes util-linux's `losetup`, which needs no `unsafe` of ours.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rustix::fs::{SeekFrom, seek};
use serde::Deserialize;

use crate::tool;

/// A loop device that we hold.
#[derive(Debug)]
pub struct LoopDevice {
    minor: u32,
    /// Open: the kernel takes the device down when this and every other use has ended.
    held: File,
    path: PathBuf,
}

impl LoopDevice {
    /// Lays one over `file`.
    pub fn over(file: &Path) -> Result<Self> {
        let path = tool::run(Command::new("losetup").args(["--find", "--show", "--"]).arg(file))?;
        let path = PathBuf::from(path.trim());
        let held = File::open(&path).with_context(|| format!("open `{}`", path.display()))?;
        // The device is open, so this only marks it to go away with its last user.
        detach(&path.to_string_lossy())?;
        let minor = path.to_string_lossy().trim_start_matches("/dev/loop").parse();
        let minor = minor.with_context(|| format!("number of `{}`", path.display()))?;
        Ok(Self { minor, held, path })
    }

    /// Its minor number; the major one of loop devices is 7.
    pub fn minor(&self) -> u32 {
        self.minor
    }

    /// Bytes.
    pub fn size(&self) -> Result<u64> {
        seek(&self.held, SeekFrom::End(0)).with_context(|| format!("size of `{}`", self.path.display()))
    }

    /// Takes over its file's new size.
    pub fn follow_size(&self) -> Result<()> {
        tool::run(Command::new("losetup").arg("--set-capacity").arg(&self.path)).map(|_| ())
    }

    /// Whether a mount in any namespace or an open file uses it beside us. Loop devices over it are found by [`on_node`].
    pub fn is_used_by_others(&self) -> Result<bool> {
        let number = format!("7:{}", self.minor);
        for entry in fs::read_dir("/proc").context("processes")? {
            let process = entry?.path();
            let is_process = process.file_name().is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit());
            // A process that has ended meanwhile uses nothing.
            if is_process && (mounts(&process, &number) || opens(&process, self.minor)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn mounts(process: &Path, number: &str) -> bool {
    let mounts = fs::read_to_string(process.join("mountinfo")).unwrap_or_default();
    mounts.lines().any(|line| line.split(' ').nth(2) == Some(number))
}

fn opens(process: &Path, minor: u32) -> bool {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    if process.file_name().is_some_and(|name| *name == *std::process::id().to_string()) {
        return false;
    }
    let Ok(files) = fs::read_dir(process.join("fd")) else { return false };
    let device = rustix::fs::makedev(7, minor);
    files.flatten().any(|file| {
        fs::metadata(file.path()).is_ok_and(|meta| meta.file_type().is_block_device() && meta.rdev() == device)
    })
}

/// A line of `losetup --list --json`.
#[derive(Debug, Deserialize)]
struct Listed {
    name: String,
    #[serde(rename = "back-maj:min", default)]
    on: Option<String>,
    #[serde(rename = "back-ino", default)]
    inode: u64,
}

fn list() -> Result<Vec<Listed>> {
    #[derive(Deserialize)]
    struct List {
        loopdevices: Vec<Listed>,
    }
    let columns = "NAME,BACK-MAJ:MIN,BACK-INO";
    let text = tool::run(Command::new("losetup").args(["--list", "--json", "--output", columns]))?;
    if text.trim().is_empty() {
        return Ok(vec![]);
    }
    let list: List = serde_json::from_str(&text).with_context(|| format!("loop devices: `{}`", text.trim()))?;
    Ok(list.loopdevices)
}

/// The loop device that lies over `file`, if any does.
pub fn over(file: &Path) -> Result<Option<String>> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = fs::metadata(file).with_context(|| format!("look at `{}`", file.display()))?;
    let on = format!("{}:{}", rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    Ok(list()?
        .into_iter()
        .find(|one| one.inode == meta.ino() && one.on.as_deref().map(str::trim) == Some(&*on))
        .map(|one| one.name))
}

/// The loop devices that lie over the device node which [`node`] names.
pub(super) fn on_node(node: &str) -> Result<Vec<String>> {
    let Some((on, inode)) = node.split_once(' ') else { return Ok(vec![]) };
    let same = |one: &Listed| one.on.as_deref().map(str::trim) == Some(on) && one.inode.to_string() == inode;
    Ok(list()?.into_iter().filter(same).map(|one| one.name).collect())
}

/// How a device node is written down: the number of its file system, and its inode there. Its path says nothing once the
/// guest is gone.
pub(super) fn node(path: &Path) -> Result<String> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = fs::metadata(path).with_context(|| format!("look at `{}`", path.display()))?;
    Ok(format!("{}:{} {}", rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()), meta.ino()))
}

/// Ends a loop device, or has the kernel end it with its last user.
pub(super) fn detach(device: &str) -> Result<()> {
    tool::run(Command::new("losetup").args(["--detach", device])).map(|_| ())
}

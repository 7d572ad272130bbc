//! What the node plugin does to its machine: the one trait of this driver, for mounts need root and a machine to spare.

mod command;
mod device;
pub mod fake;
mod linux;
mod look;
mod mounts;

use std::path::{Path, PathBuf};

use plan::volume::{FsType, Identity};

pub use linux::LinuxHost;
pub use look::Found;
pub use mounts::Mount;

/// What went wrong on the machine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The device is not there, though it was waited for.
    #[error("no disk with the WWN {wwn} under `{}` after {seconds} s: is it attached, and the VM's controller VirtIO SCSI?", .searched.display())]
    NoDevice {
        /// What was looked for.
        wwn: String,
        /// Where.
        searched: PathBuf,
        /// How long.
        seconds: u64,
    },
    /// The device is not what it should be.
    #[error("`{}` is not the volume's disk: {why}; nothing was written to it", .device.display())]
    WrongDevice {
        /// Which.
        device: PathBuf,
        /// What differs.
        why: String,
    },
    /// A file or directory.
    #[error("{doing} `{}`", .path.display())]
    File {
        /// What we were doing.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        #[source]
        why: std::io::Error,
    },
    /// A tool that is missing, or ended badly.
    #[error("`{command}`: {why}")]
    Command {
        /// The tool and its arguments.
        command: String,
        /// What it said, or why it did not run.
        why: String,
    },
}

/// A volume's disk, proven to be it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// `/dev/sdX`.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Major and minor number.
    pub number: (u32, u32),
}

/// Bytes and inodes of a file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes in all.
    pub bytes: u64,
    /// Bytes that users may still write.
    pub bytes_free: u64,
    /// Bytes in use.
    pub bytes_used: u64,
    /// Inodes in all.
    pub inodes: u64,
    /// Inodes that are free.
    pub inodes_free: u64,
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Nothing,
    /// A directory.
    Directory,
    /// Anything else.
    File,
}

/// Whether something may be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It may.
    Write,
    /// It may not.
    ReadOnly,
}

/// A machine that volumes are used on.
#[tonic::async_trait]
pub trait Host: Send + Sync + 'static {
    /// Waits for the volume's disk, and proves WWN, serial number and size (at least so many bytes).
    async fn device(&self, identity: &Identity, at_least: u64) -> Result<Device, Error>;
    /// What is on a disk, by two looks that know nothing of each other.
    async fn look(&self, device: &Device) -> Result<Found, Error>;
    /// Makes a file system.
    async fn format(&self, device: &Device, fs: FsType, options: &[String]) -> Result<(), Error>;
    /// Repairs what can be repaired without asking.
    async fn check(&self, device: &Device, fs: FsType) -> Result<(), Error>;
    /// Grows a file system that is not mounted to its disk.
    async fn grow_offline(&self, device: &Device, fs: FsType) -> Result<(), Error>;
    /// Grows a mounted file system to its disk.
    async fn grow_online(&self, device: &Device, fs: FsType, at: &Path) -> Result<(), Error>;
    /// Makes the kernel look at the disk's size again.
    async fn rescan(&self, device: &Device) -> Result<(), Error>;
    /// Mounts a disk.
    async fn mount(&self, device: &Device, fs: FsType, at: &Path, options: &[String]) -> Result<(), Error>;
    /// Makes a file or directory appear at another place too.
    async fn bind(&self, from: &Path, at: &Path, access: Access) -> Result<(), Error>;
    /// Takes a mount away.
    async fn unmount(&self, at: &Path) -> Result<(), Error>;
    /// Every mount.
    async fn mounts(&self) -> Result<Vec<Mount>, Error>;
    /// What is at a path.
    async fn kind(&self, path: &Path) -> Result<Kind, Error>;
    /// Makes a directory, and those above.
    async fn make_directory(&self, path: &Path) -> Result<(), Error>;
    /// Makes an empty file, and the directories above.
    async fn make_file(&self, path: &Path) -> Result<(), Error>;
    /// Removes an empty file or directory.
    async fn remove(&self, path: &Path) -> Result<(), Error>;
    /// Bytes and inodes of the file system at a path.
    async fn usage(&self, path: &Path) -> Result<Usage, Error>;
}

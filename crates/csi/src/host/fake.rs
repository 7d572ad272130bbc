//! A machine of paper: it records what is done to it, for tests that need neither root nor disks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use plan::volume::{FsType, Identity};

use super::{Access, Device, Error, Found, Host, Kind, Mount, Usage};

/// A disk of paper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Bytes.
    pub size: u64,
    /// What is on it.
    pub found: Found,
}

#[derive(Debug, Default)]
struct State {
    disks: BTreeMap<String, (Disk, u32)>,
    mounts: Vec<Mount>,
    paths: BTreeMap<PathBuf, Kind>,
    done: Vec<String>,
}

/// A machine of paper.
#[derive(Debug, Default)]
pub struct FakeHost(Mutex<State>);

impl FakeHost {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A disk is plugged in.
    pub fn plug(&self, identity: &Identity, disk: Disk) {
        let mut state = self.state();
        let minor = u32::try_from(state.disks.len()).unwrap_or(u32::MAX);
        state.disks.insert(identity.wwn.to_string(), (disk, minor));
    }

    /// What was done to it so far, oldest first; looks are not among it.
    pub fn done(&self) -> Vec<String> {
        self.state().done.clone()
    }

    fn note(&self, what: String) {
        self.state().done.push(what);
    }
}

#[tonic::async_trait]
impl Host for FakeHost {
    async fn device(&self, identity: &Identity, at_least: u64) -> Result<Device, Error> {
        let wwn = identity.wwn.to_string();
        let Some((disk, minor)) = self.state().disks.get(&wwn).cloned() else {
            return Err(Error::NoDevice { wwn, searched: "paper".into(), seconds: 0 });
        };
        let path = PathBuf::from(format!("/dev/sd{minor}"));
        if disk.size < at_least {
            let why = format!("it has {} bytes, and the volume {at_least}", disk.size);
            return Err(Error::WrongDevice { device: path, why });
        }
        Ok(Device { path, size: disk.size, number: (8, minor) })
    }

    async fn look(&self, device: &Device) -> Result<Found, Error> {
        let state = self.state();
        let disk = state.disks.values().find(|(_, minor)| *minor == device.number.1);
        Ok(disk.map_or(Found::Empty, |(disk, _)| disk.found.clone()))
    }

    async fn format(&self, device: &Device, fs: FsType, options: &[String]) -> Result<(), Error> {
        self.note(
            format!("format {} {} {}", device.path.display(), fs.as_str(), options.join(" ")).trim_end().to_owned(),
        );
        let (size, minor) = (device.size, device.number.1);
        let mut state = self.state();
        if let Some((disk, _)) = state.disks.values_mut().find(|(_, number)| *number == minor) {
            disk.found = Found::Ours(fs, size);
        }
        Ok(())
    }

    async fn check(&self, device: &Device, _: FsType) -> Result<(), Error> {
        self.note(format!("check {}", device.path.display()));
        Ok(())
    }

    async fn grow_offline(&self, device: &Device, _: FsType) -> Result<(), Error> {
        self.note(format!("grow {} offline", device.path.display()));
        Ok(())
    }

    async fn grow_online(&self, device: &Device, _: FsType, at: &Path) -> Result<(), Error> {
        self.note(format!("grow {} at {}", device.path.display(), at.display()));
        Ok(())
    }

    async fn rescan(&self, _: &Device) -> Result<(), Error> {
        Ok(())
    }

    async fn mount(&self, device: &Device, fs: FsType, at: &Path, options: &[String]) -> Result<(), Error> {
        let words = format!("mount {} {} [{}]", device.path.display(), at.display(), options.join(","));
        self.note(words);
        self.state().mounts.push(Mount {
            number: device.number,
            root: "/".into(),
            at: at.to_owned(),
            options: options.to_vec(),
            fs: fs.as_str().to_owned(),
            disk: None,
        });
        Ok(())
    }

    async fn bind(&self, from: &Path, at: &Path, access: Access) -> Result<(), Error> {
        self.note(format!("bind {} {} {access:?}", from.display(), at.display()));
        let mut state = self.state();
        let source = state.mounts.iter().find(|mount| mount.at == from).cloned();
        let minor = from.to_string_lossy().strip_prefix("/dev/sd").and_then(|minor| minor.parse().ok());
        let root = from.file_name().map(|name| Path::new("/").join(name)).unwrap_or_default();
        let device = Mount {
            number: (0, 5),
            root,
            at: at.to_owned(),
            options: Vec::new(),
            fs: "devtmpfs".to_owned(),
            disk: minor.map(|minor| (8, minor)),
        };
        let mut mount = Mount { at: at.to_owned(), ..source.unwrap_or(device) };
        mount.options = vec![if access == Access::ReadOnly { "ro" } else { "rw" }.to_owned()];
        state.mounts.push(mount);
        Ok(())
    }

    async fn unmount(&self, at: &Path) -> Result<(), Error> {
        self.note(format!("unmount {}", at.display()));
        let mut state = self.state();
        if let Some(index) = state.mounts.iter().rposition(|mount| mount.at == at) {
            state.mounts.remove(index);
        }
        Ok(())
    }

    async fn mounts(&self) -> Result<Vec<Mount>, Error> {
        Ok(self.state().mounts.clone())
    }

    async fn kind(&self, path: &Path) -> Result<Kind, Error> {
        Ok(self.state().paths.get(path).copied().unwrap_or(Kind::Nothing))
    }

    async fn make_directory(&self, path: &Path) -> Result<(), Error> {
        self.state().paths.insert(path.to_owned(), Kind::Directory);
        Ok(())
    }

    async fn make_file(&self, path: &Path) -> Result<(), Error> {
        self.state().paths.insert(path.to_owned(), Kind::File);
        Ok(())
    }

    async fn remove(&self, path: &Path) -> Result<(), Error> {
        self.state().paths.remove(path);
        Ok(())
    }

    async fn usage(&self, _: &Path) -> Result<Usage, Error> {
        Ok(Usage { bytes: 100, bytes_free: 60, bytes_used: 40, inodes: 10, inodes_free: 9 })
    }
}

//! A Linux machine: its tools (`blkid`, `mkfs.*`, `e2fsck`, `resize2fs`, `xfs_growfs`, `mount`, `umount`), its `/dev`,
//! `/sys` and `/proc`.

use std::ffi::OsString;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use plan::volume::{FsType, Identity};
use tokio::time::MissedTickBehavior;

use super::command::{ask, run};
use super::look::{self, Found, LOOK};
use super::{Access, Device, Error, Host, Kind, Mount, Usage, device, mounts};
use crate::settings::Roots;

/// A guest sees a disk 0.7 s after Proxmox VE has plugged it in.
const WAIT: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_millis(100);
/// Looks and mounts.
const QUICK: Duration = Duration::from_secs(30);
/// Making, checking and growing, which takes its time on large disks. The kubelet waits two minutes.
const SLOW: Duration = Duration::from_secs(110);

/// A Linux machine.
#[derive(Debug, Clone)]
pub struct LinuxHost {
    roots: Roots,
}

impl LinuxHost {
    /// With its things under these roots.
    pub fn new(roots: Roots) -> Self {
        Self { roots }
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |why| Error::File { doing, path, why }
}

fn args<const N: usize>(args: [&dyn AsRef<std::ffi::OsStr>; N]) -> Vec<OsString> {
    args.iter().map(|arg| arg.as_ref().to_owned()).collect()
}

fn first_bytes(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::with_capacity(LOOK);
    let file = std::fs::File::open(path).map_err(failed("open", path))?;
    file.take(LOOK as u64).read_to_end(&mut bytes).map_err(failed("read", path))?;
    Ok(bytes)
}

#[tonic::async_trait]
impl Host for LinuxHost {
    async fn device(&self, identity: &Identity, at_least: u64) -> Result<Device, Error> {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let look = async {
            loop {
                ticks.tick().await;
                if let Some(device) = device::find(&self.roots, identity, at_least)? {
                    return Ok(device);
                }
            }
        };
        tokio::time::timeout(WAIT, look).await.unwrap_or_else(|_| {
            Err(Error::NoDevice {
                wwn: identity.wwn.to_string(),
                searched: self.roots.sys.join("bus/scsi/devices"),
                seconds: WAIT.as_secs(),
            })
        })
    }

    async fn look(&self, device: &Device) -> Result<Found, Error> {
        let own = look::own(&first_bytes(&device.path)?);
        let said = ask("blkid", &args([&"-p", &"-o", &"export", &device.path]), QUICK).await?;
        Ok(look::agree(own, look::blkid(said.code, &said.out, &said.err)))
    }

    async fn format(&self, device: &Device, fs: FsType, options: &[String]) -> Result<(), Error> {
        let mut all: Vec<OsString> = options.iter().map(Into::into).collect();
        let program = match fs {
            FsType::Ext4 => {
                // No reserved blocks: nothing of the system's runs on it. It does not ask: it has looked too.
                all.extend(args([&"-F", &"-m0"]));
                "mkfs.ext4"
            }
            FsType::Xfs => "mkfs.xfs",
        };
        all.push(device.path.clone().into());
        run(program, &all, SLOW).await.map(drop)
    }

    async fn check(&self, device: &Device, fs: FsType) -> Result<(), Error> {
        match fs {
            // XFS repairs itself when it is mounted.
            FsType::Xfs => Ok(()),
            FsType::Ext4 => {
                let said = ask("e2fsck", &args([&"-p", &device.path]), SLOW).await?;
                match said.code {
                    // One: repaired.
                    Some(0 | 1) => Ok(()),
                    _ => Err(Error::Command {
                        command: format!("e2fsck -p {}", device.path.display()),
                        why: format!("{}; run e2fsck by hand", said.why()),
                    }),
                }
            }
        }
    }

    async fn grow_offline(&self, device: &Device, fs: FsType) -> Result<(), Error> {
        match fs {
            // XFS grows only while it is mounted.
            FsType::Xfs => Ok(()),
            FsType::Ext4 => {
                let said = ask("e2fsck", &args([&"-f", &"-p", &device.path]), SLOW).await?;
                if !matches!(said.code, Some(0 | 1)) {
                    let command = format!("e2fsck -f -p {}", device.path.display());
                    return Err(Error::Command { command, why: said.why() });
                }
                run("resize2fs", &args([&device.path]), SLOW).await.map(drop)
            }
        }
    }

    async fn grow_online(&self, device: &Device, fs: FsType, at: &Path) -> Result<(), Error> {
        match fs {
            FsType::Ext4 => run("resize2fs", &args([&device.path]), SLOW).await.map(drop),
            FsType::Xfs => run("xfs_growfs", &args([&at]), SLOW).await.map(drop),
        }
    }

    async fn rescan(&self, device: &Device) -> Result<(), Error> {
        let Some(path) = device::rescans(&self.roots, device) else { return Ok(()) };
        match std::fs::write(&path, "1") {
            // What is no SCSI disk has none, and sees its size by itself.
            Err(why) if why.kind() == ErrorKind::NotFound => Ok(()),
            done => done.map_err(failed("write to", &path)),
        }
    }

    async fn mount(&self, device: &Device, fs: FsType, at: &Path, options: &[String]) -> Result<(), Error> {
        let mut all = args([&"-t", &fs.as_str()]);
        if !options.is_empty() {
            all.extend(args([&"-o", &options.join(",")]));
        }
        all.extend(args([&device.path, &at]));
        run("mount", &all, QUICK).await.map(drop)
    }

    async fn bind(&self, from: &Path, at: &Path, access: Access) -> Result<(), Error> {
        run("mount", &args([&"--bind", &from, &at]), QUICK).await?;
        match access {
            Access::Write => Ok(()),
            // A bind mount takes its source's access first.
            Access::ReadOnly => run("mount", &args([&"-o", &"remount,bind,ro", &at]), QUICK).await.map(drop),
        }
    }

    async fn unmount(&self, at: &Path) -> Result<(), Error> {
        run("umount", &args([&at]), QUICK).await.map(drop)
    }

    async fn mounts(&self) -> Result<Vec<Mount>, Error> {
        let path = self.roots.proc.join("self/mountinfo");
        let text = std::fs::read_to_string(&path).map_err(failed("read", &path))?;
        let mut mounts = mounts::read(&text);
        // Nothing else is looked at: a look at a dead server's mount never ends.
        for mount in mounts.iter_mut().filter(|mount| mount.may_be_disk()) {
            mount.disk = device::measured(&mount.at).ok().flatten().map(|(_, number)| number);
        }
        Ok(mounts)
    }

    async fn kind(&self, path: &Path) -> Result<Kind, Error> {
        match std::fs::metadata(path) {
            Ok(meta) if meta.is_dir() => Ok(Kind::Directory),
            Ok(_) => Ok(Kind::File),
            Err(why) if why.kind() == ErrorKind::NotFound => Ok(Kind::Nothing),
            Err(why) => Err(failed("look at", path)(why)),
        }
    }

    async fn make_directory(&self, path: &Path) -> Result<(), Error> {
        std::fs::create_dir_all(path).map_err(failed("make the directory", path))
    }

    async fn make_file(&self, path: &Path) -> Result<(), Error> {
        let parent: PathBuf = path.parent().map(Path::to_owned).unwrap_or_default();
        std::fs::create_dir_all(&parent).map_err(failed("make the directory", &parent))?;
        let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(path);
        file.map(drop).map_err(failed("make the file", path))
    }

    async fn remove(&self, path: &Path) -> Result<(), Error> {
        let removed = match std::fs::metadata(path) {
            Ok(meta) if meta.is_dir() => std::fs::remove_dir(path),
            Ok(_) => std::fs::remove_file(path),
            Err(why) => Err(why),
        };
        match removed {
            Err(why) if why.kind() != ErrorKind::NotFound => Err(failed("remove", path)(why)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    async fn usage(&self, path: &Path) -> Result<Usage, Error> {
        let stat = rustix::fs::statvfs(path).map_err(|why| failed("measure", path)(why.into()))?;
        Ok(Usage {
            bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            bytes_free: stat.f_bavail.saturating_mul(stat.f_frsize),
            bytes_used: stat.f_blocks.saturating_sub(stat.f_bfree).saturating_mul(stat.f_frsize),
            inodes: stat.f_files,
            inodes_free: stat.f_ffree,
        })
    }
}

//! A guest's file system: the node image over the machine's `/usr` and `/etc`, everything else its own.
//!
//! ```text
//! /usr, /etc      overlay: this VM's changes / node image / the machine
//! /usr/local,/opt overlay: this VM's changes / node image
//! /var, /root, …  this VM's disk directory
//! /run, /dev      tmpfs            /proc, /sys   of the guest's own namespaces
//! ```
//!
//! Promises: after [`build`] nothing of the machine's other files is reachable, and what is written stays in the VM's
//! disk directory. Assumes new mount, PID and cgroup namespaces, and a disk directory that can hold an overlay's upper
//! layer.

use std::ffi::CString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{CWD, FileType, Mode};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use super::Boot;
use crate::GUEST_PROGRAM;
use crate::machine::disk;

const CONTAINERD: &str = include_str!("files/containerd.toml");
const KUBELET: &str = include_str!("files/kubelet.yaml");

/// What a kubelet wants to find there, and could only set on the whole machine.
const KERNEL_SETTINGS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Nodes of loop devices that a guest has: the kubelet lays one over each block volume, of those that are free on the
/// machine.
const LOOP_DEVICES: u32 = 64;

const DEVICES: [(&str, u32, u32, u32); 9] = [
    ("null", 1, 3, 0o666),
    ("zero", 1, 5, 0o666),
    ("full", 1, 7, 0o666),
    ("random", 1, 8, 0o666),
    ("urandom", 1, 9, 0o666),
    ("kmsg", 1, 11, 0o600),
    ("tty", 5, 0, 0o666),
    ("fuse", 10, 229, 0o666),
    ("loop-control", 10, 237, 0o660),
];

/// Builds it and makes it `/`.
pub(super) fn build(boot: &Boot) -> Result<()> {
    let root = boot.disk.join("root");
    let born = boot.disk.join("born");
    let first_boot = !born.exists();
    fs::create_dir_all(&root).context("root of the guest")?;
    rustix::mount::mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .context("make mounts private")?;
    rustix::mount::mount_bind(&root, &root).context("bind the guest's root")?;
    directories(&root)?;

    let image = boot.image.join("rootfs");
    overlay(&boot.disk, "usr", &[&image.join("usr"), Path::new("/usr")], &root.join("usr"))?;
    overlay(&boot.disk, "usr-local", &[&image.join("usr/local")], &root.join("usr/local"))?;
    overlay(&boot.disk, "etc", &[&image.join("etc"), Path::new("/etc")], &root.join("etc"))?;
    overlay(&boot.disk, "opt", &[&image.join("opt")], &root.join("opt"))?;
    // A kubelet reads the size of its own file system: an overlay is one, a bound directory is not.
    overlay(&boot.disk, "kubelet", &[&empty(&boot.disk)?], &root.join("var/lib/kubelet"))?;
    temporary(&root.join("run"), "mode=755")?;
    temporary(&root.join("tmp"), "mode=1777")?;
    for dir in ["run/lock", "run/guest-node/sys", "run/guest-node/images"] {
        fs::create_dir_all(root.join(dir))?;
    }
    read_only(&boot.image.join("images"), &root.join("run/guest-node/images"))?;
    if let Some(more) = &boot.more_images {
        let place = root.join("run/guest-node/more-images");
        fs::create_dir(&place)?;
        read_only(more, &place)?;
    }
    let program = root.join(GUEST_PROGRAM.trim_start_matches('/'));
    fs::write(&program, "")?;
    read_only(&boot.program, &program)?;

    devices(&root.join("dev"))?;
    plain("proc", &root.join("proc"))?;
    plain("sysfs", &root.join("sys"))?;
    plain("cgroup2", &root.join("sys/fs/cgroup"))?;
    identity(boot, &root, first_boot)?;
    disks(boot, &root)?;
    for (name, value) in KERNEL_SETTINGS {
        let file = root.join("run/guest-node/sys").join(name.replace('/', "_"));
        fs::write(&file, format!("{value}\n"))?;
        rustix::mount::mount_bind(&file, root.join("proc/sys").join(name))
            .with_context(|| format!("setting `{name}`"))?;
    }
    // The machine's own would be the same for every guest and every boot.
    let boot_id = root.join("run/guest-node/sys/boot_id");
    fs::write(&boot_id, fs::read("/proc/sys/kernel/random/uuid").context("draw a boot id")?)?;
    rustix::mount::mount_bind(&boot_id, root.join("proc/sys/kernel/random/boot_id")).context("the boot id")?;
    configuration(&root, first_boot)?;
    seed(boot, &root)?;
    fs::write(born, "")?;

    std::env::set_current_dir(&root)?;
    rustix::process::pivot_root(".", ".").context("make the guest's root the root")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).context("let go of the machine's files")?;
    std::env::set_current_dir("/")?;
    rustix::mount::mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::SHARED)
        .context("share mounts within the guest")?;
    Ok(())
}

fn directories(root: &Path) -> Result<()> {
    for dir in [
        "usr",
        "etc",
        "opt",
        "run",
        "tmp",
        "dev",
        "proc",
        "sys",
        "root",
        "home",
        "mnt",
        "media",
        "srv",
        "boot",
        "var/lib/kubelet",
        "var/lib/containerd",
        "var/lib/cloud",
        "var/lib/dhcp",
        "var/lib/guest-node/enabled",
        "var/log/pods",
        "var/cache",
        "var/tmp",
        "var/spool",
    ] {
        fs::create_dir_all(root.join(dir)).with_context(|| format!("make `/{dir}`"))?;
    }
    for (name, target) in [
        ("bin", "usr/bin"),
        ("sbin", "usr/sbin"),
        ("lib", "usr/lib"),
        ("lib64", "usr/lib64"),
        ("var/run", "../run"),
        ("var/lock", "../run/lock"),
    ] {
        let link = root.join(name);
        if link.symlink_metadata().is_err() {
            symlink(target, &link).with_context(|| format!("link `/{name}`"))?;
        }
    }
    Ok(())
}

fn empty(disk: &Path) -> Result<PathBuf> {
    let dir = disk.join("empty");
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

fn overlay(disk: &Path, name: &str, lower: &[&Path], target: &Path) -> Result<()> {
    let (upper, work) = (disk.join(format!("{name}.changes")), disk.join(format!("{name}.work")));
    fs::create_dir_all(&upper)?;
    fs::create_dir_all(&work)?;
    let lower: Vec<String> = lower.iter().map(|dir| dir.display().to_string()).collect();
    let options = format!("lowerdir={},upperdir={},workdir={}", lower.join(":"), upper.display(), work.display());
    mount("overlay", target, MountFlags::empty(), &options).with_context(|| format!("overlay `{}`", target.display()))
}

/// Something of the machine's, seen in the guest and safe from it.
fn read_only(from: &Path, to: &Path) -> Result<()> {
    rustix::mount::mount_bind(from, to)
        .and_then(|()| rustix::mount::mount_remount(to, MountFlags::BIND | MountFlags::RDONLY, c""))
        .with_context(|| format!("show `{}` in the guest", from.display()))
}

fn temporary(target: &Path, options: &str) -> Result<()> {
    mount("tmpfs", target, MountFlags::empty(), options).with_context(|| format!("tmpfs `{}`", target.display()))
}

fn plain(kind: &str, target: &Path) -> Result<()> {
    mount(kind, target, MountFlags::empty(), "").with_context(|| format!("{kind} `{}`", target.display()))
}

fn mount(kind: &str, target: &Path, flags: MountFlags, options: &str) -> Result<()> {
    let options = CString::new(options)?;
    rustix::mount::mount(kind, target, kind, flags, options.as_c_str())?;
    Ok(())
}

/// A `/dev` that shows the guest's own devices only.
fn devices(dev: &Path) -> Result<()> {
    temporary(dev, "mode=755")?;
    let node = |name: &str, kind, major, minor, mode| {
        rustix::fs::mknodat(CWD, dev.join(name), kind, Mode::empty(), rustix::fs::makedev(major, minor))
            .and_then(|()| rustix::fs::chmod(dev.join(name), Mode::from_raw_mode(mode)))
            .with_context(|| format!("device `{name}`"))
    };
    for (name, major, minor, mode) in DEVICES {
        node(name, FileType::CharacterDevice, major, minor, mode)?;
    }
    for number in 0..LOOP_DEVICES {
        node(&format!("loop{number}"), FileType::BlockDevice, 7, number, 0o660)?;
    }
    for dir in ["pts", "shm", "mqueue", "net"] {
        fs::create_dir(dev.join(dir))?;
    }
    node("net/tun", FileType::CharacterDevice, 10, 200, 0o666)?;
    mount("devpts", &dev.join("pts"), MountFlags::empty(), "newinstance,ptmxmode=0666,mode=620").context("devpts")?;
    temporary(&dev.join("shm"), "mode=1777")?;
    plain("mqueue", &dev.join("mqueue"))?;
    for (name, target) in
        [("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")]
    {
        symlink(target, dev.join(name))?;
    }
    Ok(())
}

/// Machine id and SMBIOS values of the VM, not of this machine.
fn identity(boot: &Boot, root: &Path, first_boot: bool) -> Result<()> {
    let extra = root.join("run/guest-node/class");
    let id = extra.join("dmi/id");
    fs::create_dir_all(&id)?;
    let uuid = boot.guest.uuid.to_lowercase();
    for (name, value) in [
        ("product_uuid", uuid.as_str()),
        ("sys_vendor", "QEMU"),
        ("product_name", "Standard PC (Q35 + ICH9, 2009)"),
        ("product_serial", ""),
        ("chassis_vendor", "QEMU"),
        ("board_vendor", ""),
        ("bios_vendor", "SeaBIOS"),
    ] {
        fs::write(id.join(name), format!("{value}\n"))?;
    }
    let class = root.join("sys/class");
    let options = format!("lowerdir={}:{}", extra.display(), class.display());
    mount("overlay", &class, MountFlags::RDONLY, &options).context("SMBIOS values over /sys/class")?;

    let etc = root.join("etc");
    // As systemd does in a VM: the machine id of a first boot is the SMBIOS UUID.
    if first_boot {
        let machine_id = match uuid.replace('-', "") {
            none if none.is_empty() => format!("{:032x}", boot.guest.vmid),
            id => id,
        };
        replace(&etc.join("machine-id"), &format!("{machine_id}\n"))?;
        replace(&etc.join("hostname"), &format!("{}\n", boot.guest.name))?;
        let hosts = format!("127.0.0.1 localhost\n127.0.1.1 {}\n::1 localhost ip6-localhost\n", boot.guest.name);
        replace(&etc.join("hosts"), &hosts)?;
        replace(&etc.join("fstab"), "")?;
    }
    Ok(())
}

/// A SCSI bus of the guest's own, where disks come and go, and those that are there already.
fn disks(boot: &Boot, root: &Path) -> Result<()> {
    let extra = root.join("run/guest-node/bus");
    fs::create_dir_all(extra.join("scsi"))?;
    let bus = root.join("sys/bus");
    let options = format!("lowerdir={}:{}", extra.display(), bus.display());
    mount("overlay", &bus, MountFlags::RDONLY, &options).context("SCSI bus over /sys/bus")?;
    temporary(&bus.join("scsi"), "mode=755")?;
    fs::create_dir(bus.join("scsi/devices"))?;
    let ledger = boot.disk.parent().context("the VM's directory")?.join(disk::NODES);
    for face in &boot.disks {
        disk::face::show(root, face, &ledger)?;
    }
    Ok(())
}

/// What a node's image brings along under `/etc`, and nothing that the machine itself may have there.
fn configuration(root: &Path, first_boot: bool) -> Result<()> {
    let etc = root.join("etc");
    if first_boot {
        for dir in ["kubernetes", "cni", "containerd", "keepalived"] {
            let dir = etc.join(dir);
            if dir.is_dir() {
                fs::remove_dir_all(&dir).with_context(|| format!("empty `{}`", dir.display()))?;
            }
        }
    }
    for dir in [
        "kubernetes/manifests",
        "kubernetes/pki",
        "kubernetes/kubelet.conf.d",
        "cni/net.d",
        "containerd",
        "keepalived",
        "default",
    ] {
        fs::create_dir_all(etc.join(dir))?;
    }
    if first_boot {
        fs::write(etc.join("containerd/config.toml"), CONTAINERD.replace("PAUSE", &pause_image(root)?))?;
        fs::write(etc.join("kubernetes/kubelet.conf.d/10-guest-node.conf"), KUBELET)?;
        fs::write(etc.join("crictl.yaml"), "runtime-endpoint: unix:///run/containerd/containerd.sock\n")?;
    }
    replace(&etc.join("resolv.conf"), "")
}

/// The pause image's name, out of the images that the node brings along.
fn pause_image(root: &Path) -> Result<String> {
    for entry in fs::read_dir(root.join("run/guest-node/images"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(version) = name.strip_prefix("registry.k8s.io-pause-").and_then(|rest| rest.strip_suffix(".tar")) {
            return Ok(format!("registry.k8s.io/pause:{version}"));
        }
    }
    anyhow::bail!("the node image holds no pause image")
}

fn seed(boot: &Boot, root: &Path) -> Result<()> {
    let target = root.join("var/lib/cloud/seed/nocloud");
    if target.exists() {
        fs::remove_dir_all(&target)?;
    }
    if let Some(from) = &boot.seed {
        fs::create_dir_all(&target)?;
        for entry in fs::read_dir(from).context("seed")? {
            let entry = entry?;
            fs::copy(entry.path(), target.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Writes a file that may be a link into somewhere else below.
fn replace(path: &Path, text: &str) -> Result<()> {
    if path.symlink_metadata().is_ok() {
        fs::remove_file(path).with_context(|| format!("replace `{}`", path.display()))?;
    }
    fs::write(path, text).with_context(|| format!("write `{}`", path.display()))
}

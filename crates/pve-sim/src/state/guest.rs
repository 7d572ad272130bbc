//! A guest, virtual machine or container: its configuration, what waits to be applied, and its run.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};

use super::drive::{file_of, is_cdrom, is_drive_key, is_net_key, option_of, parse_size};
use super::flock::Holders;
pub(crate) use super::run::{Inside, Process, Run, System};

/// Configuration keys and their texts.
pub(crate) type Config = BTreeMap<String, String>;

/// A change that waits for the VM to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Pending {
    Set(String),
    Delete { force: bool },
}

/// A snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) config: Config,
    pub(crate) snaptime: i64,
    pub(crate) description: String,
    /// It keeps the memory too.
    pub(crate) vmstate: bool,
    pub(crate) parent: Option<String>,
    /// What is being done with it: `prepare`, `delete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) snapstate: Option<String>,
}

/// A virtual machine or a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GuestKind {
    #[default]
    Qemu,
    Lxc,
}

impl GuestKind {
    /// The word in ids and lists: `qemu`, `lxc`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Lxc => "lxc",
        }
    }

    /// The folder of its configuration files.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Qemu => "qemu-server",
            Self::Lxc => "lxc",
        }
    }

    /// The folder of its lock files.
    pub(crate) fn lock_folder(self) -> &'static str {
        self.folder()
    }

    /// How messages call it: `VM`, `CT`.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Qemu => "VM",
            Self::Lxc => "CT",
        }
    }

    /// The start of its id as an HA resource.
    pub(crate) fn ha(self) -> &'static str {
        match self {
            Self::Qemu => "vm",
            Self::Lxc => "ct",
        }
    }
}

/// A guest: its configuration, what waits to be applied, and its run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Guest {
    #[serde(default)]
    pub(crate) kind: GuestKind,
    pub(crate) vmid: u32,
    pub(crate) node: String,
    pub(crate) config: Config,
    #[serde(default)]
    pub(crate) pending: BTreeMap<String, Pending>,
    #[serde(default)]
    pub(crate) snapshots: BTreeMap<String, Snapshot>,
    #[serde(default)]
    pub(crate) parent: Option<String>,
    #[serde(default)]
    pub(crate) run: Option<Run>,
    #[serde(default)]
    pub(crate) runs: u32,
    /// Until then a clean-up holds the lock file.
    #[serde(default)]
    pub(crate) locked_until: f64,
    /// Keys of a change that QEMU is busy with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) plugging: Vec<String>,
    /// When it last stopped.
    #[serde(default)]
    pub(crate) stopped_at: f64,
    /// The tasks that hold its lock file.
    #[serde(default)]
    pub(crate) holders: Holders,
    /// What boots in it while no program is attached.
    #[serde(default)]
    pub(crate) system: System,
}

impl Guest {
    pub(crate) fn new(vmid: u32, node: &str, config: Config) -> Self {
        Self {
            kind: GuestKind::Qemu,
            vmid,
            node: node.to_owned(),
            config,
            pending: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            parent: None,
            run: None,
            runs: 0,
            locked_until: 0.0,
            plugging: Vec::new(),
            stopped_at: 0.0,
            holders: Holders::new(),
            system: System::default(),
        }
    }

    pub(crate) fn is(&self, kind: GuestKind) -> bool {
        self.kind == kind
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.config.get(key).map(String::as_str)
    }

    pub(crate) fn is_template(&self) -> bool {
        self.get("template") == Some("1")
    }

    pub(crate) fn running(&self) -> bool {
        self.run.is_some()
    }

    /// The name as lists show it.
    pub(crate) fn name(&self) -> String {
        let key = match self.kind {
            GuestKind::Qemu => "name",
            GuestKind::Lxc => "hostname",
        };
        self.get(key).map_or_else(|| format!("{} {}", self.kind.label(), self.vmid), str::to_owned)
    }

    /// The configuration as it will be.
    pub(crate) fn future(&self) -> Config {
        let mut config = self.config.clone();
        for (key, change) in &self.pending {
            match change {
                Pending::Set(value) => {
                    config.insert(key.clone(), value.clone());
                }
                Pending::Delete { .. } => {
                    config.remove(key);
                }
            }
        }
        config
    }

    /// Of a container 0 if it may use all that its node has.
    pub(crate) fn cpus(&self) -> u32 {
        if self.kind == GuestKind::Lxc {
            return self.get("cores").and_then(|c| c.parse().ok()).unwrap_or(0);
        }
        let number = |key: &str| self.get(key).and_then(|v| v.parse().ok()).unwrap_or(1u32);
        self.get("vcpus").and_then(|v| v.parse().ok()).unwrap_or(number("cores") * number("sockets"))
    }

    /// Bytes.
    pub(crate) fn memory(&self) -> u64 {
        let text = self.get("memory").unwrap_or("512");
        let text = text.strip_prefix("current=").unwrap_or(text);
        text.parse::<u64>().unwrap_or(512) << 20
    }

    /// The drives with a disk or image, in order of their keys.
    pub(crate) fn drives(&self) -> impl Iterator<Item = (&String, &String)> {
        self.config.iter().filter(|(k, _)| is_drive_key(k))
    }

    /// Its drives and network cards, as QEMU has them when it starts.
    pub(crate) fn hardware(&self) -> Config {
        let is_device = |key: &str| is_drive_key(key) || is_net_key(key);
        self.config.iter().filter(|(k, _)| is_device(k)).map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// What QEMU has now; none if it doesn't run.
    pub(crate) fn devices_mut(&mut self) -> Option<&mut Config> {
        let hardware = self.hardware();
        self.run.as_mut().map(|run| run.devices.get_or_insert(hardware))
    }

    /// The disks that it boots from, by its boot order.
    pub(crate) fn boot_disks(&self) -> Vec<&str> {
        let order = self.get("boot").and_then(|b| option_of(b, "order")).unwrap_or_default();
        let is_disk = |key: &&str| is_drive_key(key) && self.get(key).is_some_and(|d| !is_cdrom(d));
        order.split(';').filter(is_disk).collect()
    }

    /// The drive it boots from.
    pub(crate) fn boot_disk(&self) -> Option<&str> {
        let order = self.get("boot").and_then(|b| option_of(b, "order")).unwrap_or_default();
        let is_disk = |key: &&str| self.get(key).is_some_and(|d| !is_cdrom(d));
        order
            .split(';')
            .filter(|k| is_drive_key(k))
            .find(is_disk)
            .or_else(|| ["scsi0", "virtio0", "sata0", "ide0"].into_iter().find(is_disk))
    }

    pub(crate) fn max_disk(&self) -> u64 {
        let main = match self.kind {
            GuestKind::Qemu => self.boot_disk(),
            GuestKind::Lxc => Some("rootfs"),
        };
        main.and_then(|key| self.get(key)).and_then(|d| option_of(d, "size")).and_then(parse_size).unwrap_or(0)
    }

    /// Whether the agent option is on.
    pub(crate) fn agent_enabled(&self) -> bool {
        self.get("agent").is_some_and(|a| {
            let first = a.split(',').next().unwrap_or_default();
            let first = first.strip_prefix("enabled=").unwrap_or(first);
            first == "1"
        })
    }

    /// Whether a drive of it has this volume.
    pub(crate) fn has_volume(&self, volid: &str) -> bool {
        self.drives().any(|(_, d)| file_of(d) == volid)
    }

    /// The digest of its configuration file.
    pub(crate) fn digest(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.config {
            let _ = writeln!(text, "{key}: {value}");
        }
        for (key, change) in &self.pending {
            let _ = writeln!(text, "[PENDING] {key}: {change:?}");
        }
        for (name, snapshot) in &self.snapshots {
            let Snapshot { config, snaptime, description, parent, snapstate, .. } = snapshot;
            let _ = writeln!(text, "[{name}] {snaptime} {description} {parent:?} {snapstate:?} {config:?}");
        }
        hex::encode(Sha1::digest(text.as_bytes()))
    }
}

//! A guest's configuration, as `GET …/config` answers it.
//!
//! * What it promises: no key is lost. A key we have no word for, or whose value does not parse, stands
//!   in `other` as it came; `to_map` gives back what was read.
//! * What it assumes: a flat map of scalars, numbers or strings whichever version sends them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::lenient::{self, Scalar};
use crate::{DiskSpec, NetDevice, PropertyString, Smbios1, SmbiosUuid, Tags};

/// A guest's configuration. The pool is not in it: see the cluster's resources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestConfig {
    /// The guest's name.
    pub name: Option<String>,
    /// The notes; Proxmox strips trailing blanks.
    pub description: Option<String>,
    /// The configuration's check sum, to write only what one has read.
    pub digest: Option<String>,
    /// What holds the guest: `clone`, `backup`, `migrate`, …
    pub lock: Option<String>,
    /// The tags.
    pub tags: Tags,
    /// Whether it is a template.
    pub template: bool,
    /// Cores per socket; Proxmox takes 1 when absent.
    pub cores: Option<u32>,
    /// Sockets; Proxmox takes 1 when absent.
    pub sockets: Option<u32>,
    /// Memory in MiB.
    pub memory: Option<u64>,
    /// Network cards by number.
    pub nets: BTreeMap<u8, NetDevice>,
    /// Drives by key: `scsi0`, `ide2`, `efidisk0`, `unused1`, …
    pub disks: BTreeMap<String, DiskSpec>,
    /// What the firmware says, the machine's UUID among it.
    pub smbios: Option<Smbios1>,
    /// The guest agent's options.
    pub agent: Option<PropertyString>,
    /// The boot order as it stands: `order=scsi0;ide2`.
    pub boot: Option<String>,
    /// Every other key as it stands.
    pub other: BTreeMap<String, String>,
}

impl GuestConfig {
    /// Reads a flat map.
    pub fn from_map(map: BTreeMap<String, String>) -> Self {
        let mut out = Self::default();
        for (key, value) in map {
            if !out.take(&key, &value) {
                out.other.insert(key, value);
            }
        }
        out
    }

    /// Puts the value where it belongs; false when it has no place or does not parse.
    fn take(&mut self, key: &str, value: &str) -> bool {
        fn some<T: std::str::FromStr>(slot: &mut Option<T>, value: &str) -> bool {
            *slot = value.parse().ok();
            slot.is_some()
        }
        match key {
            "name" => some(&mut self.name, value),
            "description" => some(&mut self.description, value),
            "digest" => some(&mut self.digest, value),
            "lock" => some(&mut self.lock, value),
            "boot" => some(&mut self.boot, value),
            "cores" => some(&mut self.cores, value),
            "sockets" => some(&mut self.sockets, value),
            "smbios1" => some(&mut self.smbios, value),
            "agent" => some(&mut self.agent, value),
            "memory" => {
                self.memory = value.strip_prefix("current=").unwrap_or(value).parse().ok();
                self.memory.is_some()
            }
            "tags" => {
                self.tags = Tags::parse(value);
                true
            }
            "template" => {
                let yes = Scalar(value.to_owned()).as_bool();
                self.template = yes.unwrap_or(false);
                yes.is_some()
            }
            _ => {
                if let Some(number) = numbered(key, "net") {
                    let device = value.parse().ok();
                    return device.is_some_and(|d| self.nets.insert(number, d).is_none());
                }
                is_disk_key(key) && value.parse().is_ok_and(|d| self.disks.insert(key.to_owned(), d).is_none())
            }
        }
    }

    /// The flat map again. `template: 0` and empty tags are left out, being what absence means.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        let Self {
            name,
            description,
            digest,
            lock,
            tags,
            template,
            cores,
            sockets,
            memory,
            nets,
            disks,
            smbios,
            agent,
            boot,
            other,
        } = self;
        let mut map = other.clone();
        let mut put = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                map.insert(key.to_owned(), value);
            }
        };
        put("name", name.clone());
        put("description", description.clone());
        put("digest", digest.clone());
        put("lock", lock.clone());
        put("tags", (!tags.is_empty()).then(|| tags.to_string()));
        put("template", template.then(|| "1".to_owned()));
        put("cores", cores.map(|n| n.to_string()));
        put("sockets", sockets.map(|n| n.to_string()));
        put("memory", memory.map(|n| n.to_string()));
        put("smbios1", smbios.as_ref().map(ToString::to_string));
        put("agent", agent.as_ref().map(ToString::to_string));
        put("boot", boot.clone());
        for (number, net) in nets {
            put(&format!("net{number}"), Some(net.to_string()));
        }
        for (key, disk) in disks {
            put(key, Some(disk.to_string()));
        }
        map
    }

    /// The machine's UUID.
    pub fn smbios_uuid(&self) -> Option<SmbiosUuid> {
        self.smbios.as_ref()?.uuid
    }

    /// Whether the guest agent is switched on here (not whether it answers).
    pub fn agent_enabled(&self) -> bool {
        self.agent
            .as_ref()
            .and_then(|agent| agent.head_or("enabled"))
            .and_then(|value| Scalar(value.to_owned()).as_bool())
            .unwrap_or(false)
    }

    /// Cores over all sockets, as the guest counts them.
    pub fn total_cores(&self) -> u32 {
        self.cores.unwrap_or(1).saturating_mul(self.sockets.unwrap_or(1))
    }

    /// The drives that are plugged in: all but the `unusedN`.
    pub fn attached(&self) -> impl Iterator<Item = (&str, &DiskSpec)> {
        self.disks.iter().filter(|(key, _)| !key.starts_with("unused")).map(|(key, disk)| (key.as_str(), disk))
    }

    /// The disk the boot order starts with, or else the first of `scsi0`, `virtio0`, `sata0`, `ide0`.
    pub fn boot_disk(&self) -> Option<(&str, &DiskSpec)> {
        let order = self
            .boot
            .as_deref()
            .and_then(|boot| boot.split(',').find_map(|part| part.strip_prefix("order=")))
            .unwrap_or("");
        order
            .split(';')
            .chain(["scsi0", "virtio0", "sata0", "ide0"])
            .filter_map(|key| self.disks.get_key_value(key))
            .find(|(_, disk)| !disk.is_cdrom())
            .map(|(key, disk)| (key.as_str(), disk))
    }
}

/// The number of an indexed key, written without leading zeros.
fn numbered(key: &str, prefix: &str) -> Option<u8> {
    let digits = key.strip_prefix(prefix)?;
    let number: u8 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

fn is_disk_key(key: &str) -> bool {
    ["scsi", "virtio", "sata", "ide", "unused", "efidisk", "tpmstate"]
        .iter()
        .any(|prefix| numbered(key, prefix).is_some())
}

impl Serialize for GuestConfig {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.to_map().serialize(to)
    }
}

impl<'de> Deserialize<'de> for GuestConfig {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        lenient::map(from).map(Self::from_map)
    }
}

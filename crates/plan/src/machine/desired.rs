//! What is wanted of a machine: the spec, read once at the door. The raw spec is never looked at again.

use std::collections::BTreeSet;
use std::net::IpAddr;

use api::{Checks, ProxmoxCluster, ProxmoxMachine};
use pve_types::{DiskSize, NodeName, PoolId, SmbiosUuid, StorageId, Vmid};

use crate::address::{Family, Pool};
use crate::template::Choice;

/// Who a machine is: all that deletion needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// UID of the `ProxmoxMachine`.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name, and that of the VM.
    pub name: String,
}

impl Identity {
    /// Who this object is.
    pub fn of(machine: &ProxmoxMachine) -> Self {
        let meta = &machine.metadata;
        Self {
            uid: meta.uid.clone().unwrap_or_default(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
        }
    }
}

/// A field of a spec that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} `{field}`: {why}")]
pub struct Invalid {
    /// Kind of the object: `ProxmoxMachine` or `ProxmoxCluster`.
    pub kind: &'static str,
    /// Path of the field.
    pub field: String,
    /// What is wrong.
    pub why: String,
}

/// What is wanted of a machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Desired {
    /// Who it is.
    pub identity: Identity,
    /// The template.
    pub template: Choice,
    /// Nodes it may be placed on; empty: the template's.
    pub nodes: Vec<NodeName>,
    /// Percentage of a node's memory that may be reserved; 0: no check.
    pub memory_percent: u64,
    /// How it is cloned.
    pub clone: Cloning,
    /// The user's notes.
    pub description: Option<String>,
    /// Sockets; `None`: the template's.
    pub sockets: Option<u32>,
    /// Cores of each socket; `None`: the template's.
    pub cores: Option<u32>,
    /// Memory in MiB; `None`: the template's.
    pub memory_mib: Option<u64>,
    /// The boot disk and its size.
    pub boot_volume: Option<(String, DiskSize)>,
    /// NICs, `net0` first.
    pub nics: Vec<Nic>,
    /// VRF devices of the guest.
    pub vrfs: Vec<api::Vrf>,
    /// IPv4 addresses to choose from.
    pub ipv4: Option<Pool>,
    /// IPv6 addresses to choose from.
    pub ipv6: Option<Pool>,
    /// DNS servers.
    pub dns: Vec<IpAddr>,
    /// The control-plane endpoint: never given to a machine.
    pub endpoint: Option<IpAddr>,
    /// VMIDs to choose from.
    pub vmids: Option<(Vmid, Vmid)>,
    /// Ask the guest agent.
    pub ask_agent: bool,
    /// Ask whether cloud-init has ended.
    pub ask_cloud_init: bool,
    /// Put `provider-id` into the meta-data.
    pub inject_provider_id: bool,
    /// Tags of the VM.
    pub tags: BTreeSet<String>,
}

/// How a machine is cloned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cloning {
    /// A full clone.
    pub full: bool,
    /// Format of the disks.
    pub format: Option<String>,
    /// Storage of the disks.
    pub storage: Option<StorageId>,
    /// Pool that the VM joins.
    pub pool: Option<PoolId>,
    /// Snapshot of the template.
    pub snapshot: Option<String>,
}

/// One NIC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// Its number: 0 for `net0`.
    pub number: u8,
    /// The spec it was read from.
    pub spec: api::NetworkDevice,
    /// Gets an IPv4 address of the pool.
    pub default_ipv4: bool,
    /// Gets an IPv6 address of the pool.
    pub default_ipv6: bool,
    /// Its own DNS servers.
    pub dns: Vec<IpAddr>,
}

impl Desired {
    /// Reads a machine's spec together with its cluster's. All that is wrong is told at once.
    pub fn read(machine: &ProxmoxMachine, cluster: &ProxmoxCluster) -> Result<Self, Vec<Invalid>> {
        let mut wrong = Wrong::default();
        let spec = &machine.spec;
        let zone = wrong.zone(spec.network.zone.as_deref(), cluster);
        let checks = spec.checks.clone().unwrap_or_default();
        let Checks { skip_cloud_init_status, skip_qemu_guest_agent } = checks;
        let ask_agent = !skip_qemu_guest_agent.unwrap_or(false);
        let nodes = if spec.allowed_nodes.is_empty() { &cluster.spec.allowed_nodes } else { &spec.allowed_nodes };
        let hints = cluster.spec.scheduler_hints.clone().unwrap_or_default();
        let desired = Self {
            identity: Identity::of(machine),
            template: wrong.template(machine),
            nodes: wrong.all("spec.allowedNodes", nodes),
            memory_percent: hints.memory_adjustment.and_then(|percent| u64::try_from(percent).ok()).unwrap_or(100),
            clone: Cloning {
                full: spec.full.unwrap_or(true),
                format: spec.format.clone(),
                storage: wrong.one("spec.storage", spec.storage.as_ref()),
                pool: wrong.one("spec.pool", spec.pool.as_ref()),
                snapshot: spec.snap_name.clone(),
            },
            description: spec.description.clone(),
            sockets: spec.num_sockets.and_then(|n| u32::try_from(n).ok()),
            cores: spec.num_cores.and_then(|n| u32::try_from(n).ok()),
            memory_mib: spec.memory_mib.filter(|n| *n > 0).and_then(|n| u64::try_from(n).ok()),
            boot_volume: wrong.boot_volume(machine),
            nics: wrong.nics(machine),
            vrfs: spec.network.vrfs.clone(),
            ipv4: wrong.pool("ipv4Config", zone.ipv4.as_ref(), Family::V4),
            ipv6: wrong.pool("ipv6Config", zone.ipv6.as_ref(), Family::V6),
            dns: wrong.addresses("ProxmoxCluster", "spec.dnsServers", &zone.dns),
            endpoint: cluster.spec.control_plane_endpoint.as_ref().and_then(|endpoint| endpoint.host.parse().ok()),
            vmids: wrong.vmids(machine),
            ask_agent,
            ask_cloud_init: ask_agent && !skip_cloud_init_status.unwrap_or(false),
            inject_provider_id: spec.metadata_settings.as_ref().is_some_and(|s| s.provider_id_injection),
            tags: spec.tags.iter().map(|tag| tag.to_lowercase()).collect(),
        };
        if wrong.0.is_empty() { Ok(desired) } else { Err(wrong.0) }
    }
}

/// The UUID in a provider ID, `proxmox://UUID`.
pub fn provider_uuid(provider_id: &str) -> Option<SmbiosUuid> {
    provider_id.strip_prefix("proxmox://")?.parse().ok()
}

struct Zone {
    ipv4: Option<api::IpConfig>,
    ipv6: Option<api::IpConfig>,
    dns: Vec<String>,
}

#[derive(Default)]
struct Wrong(Vec<Invalid>);

impl Wrong {
    fn say(&mut self, kind: &'static str, field: impl Into<String>, why: impl Into<String>) {
        self.0.push(Invalid { kind, field: field.into(), why: why.into() });
    }

    fn one<T: std::str::FromStr<Err: ToString>>(&mut self, field: &str, text: Option<&String>) -> Option<T> {
        text.and_then(|text| {
            text.parse().map_err(|why: T::Err| self.say("ProxmoxMachine", field, why.to_string())).ok()
        })
    }

    fn all<T: std::str::FromStr<Err: ToString>>(&mut self, field: &str, texts: &[String]) -> Vec<T> {
        texts.iter().filter_map(|text| self.one(field, Some(text))).collect()
    }

    fn addresses(&mut self, kind: &'static str, field: &str, texts: &[String]) -> Vec<IpAddr> {
        let mut read = Vec::new();
        for text in texts {
            match text.parse() {
                Ok(address) => read.push(address),
                Err(_) => self.say(kind, field, format!("`{text}` is no address")),
            }
        }
        read
    }

    fn zone(&mut self, zone: Option<&str>, cluster: &ProxmoxCluster) -> Zone {
        let spec = &cluster.spec;
        match zone {
            None | Some(api::DEFAULT_ZONE) => {}
            Some(name) => match spec.zone_config.iter().find(|zone| zone.zone == name) {
                Some(zone) => {
                    let (ipv4, ipv6) = (zone.ipv4_config.clone(), zone.ipv6_config.clone());
                    return Zone { ipv4, ipv6, dns: zone.dns_servers.clone() };
                }
                None => self.say("ProxmoxMachine", "spec.network.zone", format!("the cluster has no zone `{name}`")),
            },
        }
        Zone { ipv4: spec.ipv4_config.clone(), ipv6: spec.ipv6_config.clone(), dns: spec.dns_servers.clone() }
    }

    fn pool(&mut self, field: &str, config: Option<&api::IpConfig>, family: Family) -> Option<Pool> {
        Pool::read(config?, family)
            .map_err(|why| self.say("ProxmoxCluster", format!("spec.{field}"), why.to_string()))
            .ok()
    }

    fn template(&mut self, machine: &ProxmoxMachine) -> Choice {
        let spec = &machine.spec;
        if let Some(selector) = &spec.template_selector {
            let tags = selector.match_tags.iter().map(|tag| tag.to_lowercase()).collect();
            return Choice::ByTags { tags, policy: selector.match_policy };
        }
        let vmid = spec.template_id.and_then(|id| u32::try_from(id).ok()).and_then(|id| Vmid::try_from(id).ok());
        let node = self.one("spec.sourceNode", spec.source_node.as_ref());
        if let (Some(node), Some(vmid)) = (node, vmid) {
            return Choice::ById { node, vmid };
        }
        let why = "a template is needed: sourceNode and templateID (100 to 999999999), or templateSelector";
        self.say("ProxmoxMachine", "spec.templateID", why);
        Choice::ByTags { tags: BTreeSet::new(), policy: api::MatchPolicy::Exact }
    }

    fn boot_volume(&mut self, machine: &ProxmoxMachine) -> Option<(String, DiskSize)> {
        let volume = machine.spec.disks.as_ref()?.boot_volume.as_ref()?;
        let Ok(gib) = u64::try_from(volume.size_gb) else {
            self.say("ProxmoxMachine", "spec.disks.bootVolume.sizeGb", "must not be negative");
            return None;
        };
        Some((volume.disk.clone(), DiskSize::from_bytes(gib << 30)))
    }

    fn vmids(&mut self, machine: &ProxmoxMachine) -> Option<(Vmid, Vmid)> {
        let range = machine.spec.vm_id_range.as_ref()?;
        let vmid = |number: i64| u32::try_from(number).ok().and_then(|number| Vmid::try_from(number).ok());
        match (vmid(range.start), vmid(range.end)) {
            (Some(start), Some(end)) if start <= end => Some((start, end)),
            _ => {
                self.say(
                    "ProxmoxMachine",
                    "spec.vmIDRange",
                    format!("{}-{} is no range of VMIDs", range.start, range.end),
                );
                None
            }
        }
    }

    fn nics(&mut self, machine: &ProxmoxMachine) -> Vec<Nic> {
        let devices = &machine.spec.network.network_devices;
        let flagged = |pick: fn(&api::NetworkDevice) -> Option<bool>| devices.iter().any(|d| pick(d) == Some(true));
        // What the peer's mutating webhook sets: without any NIC marked default, the first is.
        let (v4, v6) = (flagged(|d| d.default_ipv4), flagged(|d| d.default_ipv6));
        let mut nics = Vec::new();
        for (position, spec) in devices.iter().enumerate() {
            let field = format!("spec.network.networkDevices[{position}]");
            let Some(number) = spec.name.strip_prefix("net").and_then(|n| n.parse().ok()).filter(|n| *n < 32) else {
                self.say("ProxmoxMachine", format!("{field}.name"), format!("`{}` is not net0 to net31", spec.name));
                continue;
            };
            if !spec.ip_pool_ref.is_empty() {
                self.say(
                    "ProxmoxMachine",
                    format!("{field}.ipPoolRef"),
                    "pools of the in-cluster IPAM provider are not supported yet; use the cluster's ipv4Config",
                );
            }
            nics.push(Nic {
                number,
                default_ipv4: spec.default_ipv4.unwrap_or(false) || (!v4 && position == 0),
                default_ipv6: spec.default_ipv6.unwrap_or(false) || (!v6 && position == 0),
                dns: self.addresses("ProxmoxMachine", &format!("{field}.dnsServers"), &spec.dns_servers),
                spec: spec.clone(),
            });
        }
        if nics.is_empty() && self.0.is_empty() {
            self.say("ProxmoxMachine", "spec.network.networkDevices", "at least one NIC is needed");
        }
        nics.sort_by_key(|nic| nic.number);
        nics
    }
}

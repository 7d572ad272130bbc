//! What was read of the world, one [`Read`] a part, so that what could not be read stays apart from what is not
//! there.
//!
//! * What it promises: it can be saved and judged again; it holds no secrets (only named fields are taken over from
//!   guests' configurations and Kubernetes objects, never a Secret's content).
//! * What it assumes: field names are an interface (`evidence.json` lies beside reports): add, do not rename.

mod cilium;
mod kubernetes;
mod monitoring;
mod policies;
mod proxmox;
mod story;
mod volumes;
mod workers;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use cilium::{CiliumSeen, CiliumStage};
pub use kubernetes::{ClusterSeen, EndpointSeen, MachineSeen, MachineTemplateSeen, Management, NodeSeen, Workload};
pub use monitoring::{FiringAlert, MachineInfo, Monitoring, ScrapeTarget};
pub use policies::{Caller, Connection, PoliciesSeen, PolicyStage, Target};
pub use proxmox::{
    Bridge, Certificate, Disk, Door, Guest, GuestSettings, Iso, NodeStorage, Proxmox, ProxmoxNode, Storage, TrustSeen,
    VersionSeen,
};
pub use story::{SceneOutcome, SceneSeen, StorySeen};
pub use volumes::{
    AttachmentSeen, ClaimSeen, ClassSeen, Drive, DriverSeen, EventSeen, Listing, NodePlugin, Pending, PersistentSeen,
    Plugin, StoredVolume, VolumeProbe, VolumesSeen,
};
pub(crate) use volumes::{DRIVER, Handle, REGION, ZONE};
pub use workers::{LeaseSeen, SigningRequest, WorkerSeen, WorkersSeen};
pub(crate) use workers::{Named, NamedVm, addresses};

/// Everything that was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// When reading began.
    pub started: Timestamp,
    /// When reading ended.
    pub finished: Timestamp,
    /// Our version.
    pub oxmox: String,
    /// The namespace that was looked at.
    pub namespace: String,
    /// The workload cluster's name, if one was named.
    pub cluster: Option<String>,
    /// Proxmox VE.
    pub proxmox: Proxmox,
    /// The management cluster.
    pub management: Management,
    /// The workload cluster.
    pub workload: Workload,
    /// Stores of metrics and logs.
    #[serde(default = "monitoring::older")]
    pub monitoring: Monitoring,
    /// The story that a demo has played.
    #[serde(default = "no_story")]
    pub story: Read<StorySeen>,
}

/// Nobody has played one.
pub(crate) fn no_story() -> Read<StorySeen> {
    Read::not_asked("no story was given (`--story`)")
}

/// A part that was read, or why it was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Read<T> {
    /// It was read.
    Known(T),
    /// It was not.
    Unread {
        /// The kind of reason.
        cause: Cause,
        /// The reason in words.
        why: String,
    },
}

/// Why a part was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Nobody asked: the part needs something that was not given, or that could not be read before.
    NotAsked,
    /// It was asked for, and is not there.
    Missing,
    /// No connection.
    NoConnection,
    /// The certificate is not trusted.
    Certificate,
    /// No, or no whole, answer.
    NoAnswer,
    /// The other side does not know us.
    NotKnown,
    /// The other side knows us, and we may not.
    Forbidden,
    /// The other side refused for another reason.
    Refused,
    /// The answer does not read.
    Garbled,
}

impl<T> Read<T> {
    /// Unread, and why.
    pub fn unread(cause: Cause, why: impl Into<String>) -> Self {
        Self::Unread { cause, why: why.into() }
    }

    /// Nobody asked.
    pub fn not_asked(why: impl Into<String>) -> Self {
        Self::unread(Cause::NotAsked, why)
    }

    /// The part, if it was read.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unread { .. } => None,
        }
    }

    /// The same reason for another part.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Read<U> {
        match self {
            Self::Known(value) => Read::Known(f(value)),
            Self::Unread { cause, why } => Read::Unread { cause, why },
        }
    }
}

impl Evidence {
    /// How many parts were read, and how many were not though somebody asked.
    pub(crate) fn count(&self) -> (usize, usize) {
        fn tally<T>(read: &Read<T>) -> (usize, usize) {
            match read {
                Read::Unread { cause: Cause::NotAsked, .. } => (0, 0),
                // "is not there" is an answer, too
                Read::Known(_) | Read::Unread { cause: Cause::Missing, .. } => (1, 0),
                Read::Unread { .. } => (0, 1),
            }
        }
        let Self { proxmox, management, workload, monitoring, story, .. } = self;
        let Proxmox {
            trust: _,
            doors,
            version,
            permissions,
            nodes,
            majority,
            guests,
            storages,
            node_storages,
            bridges,
            settings,
            states,
            isos,
            agents,
            agent_addresses,
            drives,
            listings,
        } = proxmox;
        let Management { version: management_version, cluster, machines, all_machines, templates, replicas } =
            management;
        let Workload { version: workload_version, nodes: joined, endpoint, policies, workers, volumes } = workload;
        let mut all = vec![tally(version), tally(permissions), tally(nodes), tally(guests), tally(storages)];
        // who may not ask counts nodes instead
        if !matches!(majority, Read::Unread { cause: Cause::Forbidden, .. }) {
            all.push(tally(majority));
        }
        all.extend([tally(management_version), tally(cluster), tally(machines), tally(all_machines), tally(templates)]);
        all.extend([tally(replicas), tally(workload_version), tally(joined), tally(endpoint), tally(policies)]);
        all.push(tally(workers));
        let Monitoring { targets, ages, up, machines: info, rules, firing, lines } = monitoring;
        all.extend([tally(targets), tally(ages), tally(up), tally(info), tally(rules), tally(firing), tally(lines)]);
        if let Some(seen) = workers.known() {
            all.extend([tally(&seen.leases), tally(&seen.requests)]);
        }
        all.push(tally(story));
        all.push(tally(volumes));
        if let Some(VolumesSeen { driver, nodes, classes, claims, volumes, attachments, snapshots, probe }) =
            volumes.known()
        {
            all.extend([
                tally(driver),
                tally(nodes),
                tally(classes),
                tally(claims),
                tally(volumes),
                tally(attachments),
            ]);
            all.extend([tally(snapshots), tally(probe)]);
            all.extend(probe.known().map(|probe| tally(&probe.left)));
            let pending = claims.known().into_iter().flatten().filter_map(|claim| claim.pending.as_ref());
            all.extend(pending.flat_map(|pending| [tally(&pending.pods), tally(&pending.event)]));
        }
        if let Some(seen) = policies.known() {
            all.push(tally(&seen.left));
            all.extend(seen.stages.values().map(tally));
            all.push(tally(&seen.cilium));
            all.extend(seen.cilium.known().into_iter().flatten().flat_map(|seen| seen.stages.values().map(tally)));
        }
        all.extend(doors.iter().map(|door| tally(&door.certificate)));
        all.extend(node_storages.values().map(tally));
        all.extend(bridges.values().map(tally));
        all.extend(settings.values().map(tally));
        all.extend(states.values().map(tally));
        all.extend(isos.values().map(tally));
        all.extend(agents.values().map(tally));
        all.extend(agent_addresses.values().map(tally));
        all.extend(drives.values().map(tally));
        all.extend(listings.iter().map(|listing| tally(&listing.volumes)));
        all.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}

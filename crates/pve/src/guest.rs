//! Calls about virtual machines.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pve_types::{DiskSize, GuestConfig, NodeName, PoolId, StorageId, Tags, Upid, Vmid, lenient};
use serde::Deserialize;

use crate::call::Call;
use crate::client::Client;
use crate::error::Error;
use crate::resources::GuestStatus;

/// An order for a clone. Proxmox takes no tags here: set them afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloneRequest {
    /// The new guest's number.
    pub newid: Vmid,
    /// Its name.
    pub name: Option<String>,
    /// Its notes; there only when the first disk is copied.
    pub description: Option<String>,
    /// Its pool; joined only at the end.
    pub pool: Option<PoolId>,
    /// From this snapshot rather than the present state.
    pub snapname: Option<String>,
    /// Where the disks go; only for full clones.
    pub storage: Option<StorageId>,
    /// The disks' format; only for full clones.
    pub format: Option<String>,
    /// Full copy or linked; Proxmox decides when absent (linked for templates).
    pub full: Option<bool>,
    /// The node it goes to; needs shared storage when it is another.
    pub target: Option<NodeName>,
}

impl CloneRequest {
    /// A clone with Proxmox's defaults.
    pub fn new(newid: Vmid) -> Self {
        Self {
            newid,
            name: None,
            description: None,
            pool: None,
            snapname: None,
            storage: None,
            format: None,
            full: None,
            target: None,
        }
    }
}

/// A change of a guest's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigUpdate {
    /// Keys to set; an empty value is an error, delete the key instead.
    pub set: BTreeMap<String, String>,
    /// Keys to delete.
    pub delete: Vec<String>,
    /// Only if the configuration is still the one with this digest.
    pub digest: Option<String>,
    /// Keys whose waiting change is forgotten.
    pub revert: Vec<String>,
    /// What becomes of volumes that deleted drives of the guest's own had.
    pub freed: Freed,
}

/// What becomes of a volume that the guest owns when its drive is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Freed {
    /// It is kept as `unusedN`.
    #[default]
    No,
    /// It is freed.
    Yes,
}

/// A key of a guest's configuration, now and as it will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRow {
    /// The key.
    pub key: String,
    /// Its value now.
    pub value: Option<String>,
    /// The value that waits for a restart or for the guest.
    pub pending: Option<String>,
    /// Whether it waits to be deleted.
    pub delete: bool,
}

#[derive(Deserialize)]
struct RawPending {
    key: String,
    #[serde(default, deserialize_with = "lenient::opt_text")]
    value: Option<String>,
    #[serde(default, deserialize_with = "lenient::opt_text")]
    pending: Option<String>,
    #[serde(default, deserialize_with = "lenient::opt_number")]
    delete: Option<u8>,
}

/// Whether destroying also takes the guest out of backup, replication and high availability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purge {
    /// It does.
    Yes,
    /// It does not, and is refused where that would be needed.
    No,
}

/// What happens when a guest does not shut down in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// The task fails.
    Fail,
    /// It is stopped.
    Stop,
}

/// A guest's present state.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct GuestState {
    /// Running or stopped.
    pub status: GuestStatus,
    /// What QEMU itself says: `running`, `paused`, `prelaunch`, …
    #[serde(default)]
    pub qmpstatus: Option<String>,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// What holds it.
    #[serde(default)]
    pub lock: Option<String>,
    /// Its tags.
    #[serde(default)]
    pub tags: Tags,
    /// Whether it is a template.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub template: bool,
    /// Whether the guest agent is switched on.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub agent: bool,
    /// Seconds since it was started.
    #[serde(default, deserialize_with = "lenient::opt_number")]
    pub uptime: Option<u64>,
    /// Memory in bytes.
    #[serde(default, deserialize_with = "lenient::opt_number")]
    pub maxmem: Option<u64>,
    #[serde(default)]
    ha: Ha,
    /// What QEMU has, by drive; absent while it does not run.
    #[serde(default, deserialize_with = "keys")]
    blockstat: Option<BTreeSet<String>>,
}

/// The keys of a map whose values say nothing to us.
fn keys<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<BTreeSet<String>>, D::Error> {
    let map = Option::<serde_json::Map<String, serde_json::Value>>::deserialize(from)?;
    Ok(map.map(|map| map.into_iter().map(|(key, _)| key).collect()))
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
struct Ha {
    #[serde(default, deserialize_with = "lenient::flag")]
    managed: bool,
}

impl GuestState {
    /// Whether high availability looks after it, so that starts and stops come later than their task.
    pub fn ha_managed(&self) -> bool {
        self.ha.managed
    }

    /// The drives that QEMU has; `None` when it does not run, or does not say.
    pub fn blocks(&self) -> Option<BTreeSet<String>> {
        self.blockstat.clone()
    }
}

impl ConfigUpdate {
    fn put_into(&self, mut call: Call) -> Result<Call, Error> {
        let Self { set, delete, digest, revert, freed } = self;
        for (key, value) in set {
            call = call.with(key, value)?;
        }
        let list = |keys: &[String]| (!keys.is_empty()).then(|| keys.join(","));
        let force = match freed {
            Freed::No => None,
            Freed::Yes => Some(1),
        };
        call.maybe("delete", list(delete))?
            .maybe("revert", list(revert))?
            .maybe("force", force)?
            .maybe("digest", digest.as_ref())
    }
}

impl Client {
    /// A guest's configuration as it will be (changes that wait for a restart included).
    pub async fn guest_config(&self, node: &NodeName, vmid: Vmid) -> Result<GuestConfig, Error> {
        let values = [node.as_str(), &vmid.to_string()];
        self.fetch(Call::get("/nodes/{node}/qemu/{vmid}/config", &values)?).await
    }

    /// A guest's configuration, each key as it is now and as it will be.
    pub async fn guest_pending(&self, node: &NodeName, vmid: Vmid) -> Result<Vec<PendingRow>, Error> {
        let values = [node.as_str(), &vmid.to_string()];
        let rows: Vec<RawPending> = self.fetch(Call::get("/nodes/{node}/qemu/{vmid}/pending", &values)?).await?;
        let read = |RawPending { key, value, pending, delete }| PendingRow {
            key,
            value,
            pending,
            delete: delete.is_some_and(|delete| delete > 0),
        };
        Ok(rows.into_iter().map(read).collect())
    }

    /// Makes a VM out of these keys. Not to be repeated blindly.
    pub async fn create_guest(
        &self,
        node: &NodeName,
        vmid: Vmid,
        keys: &BTreeMap<String, String>,
    ) -> Result<Upid, Error> {
        let mut call = Call::post("/nodes/{node}/qemu", &[node.as_str()])?.with("vmid", vmid)?;
        for (key, value) in keys {
            call = call.with(key, value)?;
        }
        self.fetch(call).await
    }

    /// A guest's present state.
    pub async fn guest_status(&self, node: &NodeName, vmid: Vmid) -> Result<GuestState, Error> {
        let values = [node.as_str(), &vmid.to_string()];
        let template = "/nodes/{node}/qemu/{vmid}/status/current";
        self.fetch(Call::get(template, &values)?).await
    }

    /// Starts cloning `from`. Not to be repeated blindly.
    pub async fn clone_guest(&self, node: &NodeName, from: Vmid, request: &CloneRequest) -> Result<Upid, Error> {
        let CloneRequest { newid, name, description, pool, snapname, storage, format, full, target } = request;
        let values = [node.as_str(), &from.to_string()];
        let call = Call::post("/nodes/{node}/qemu/{vmid}/clone", &values)?
            .with("newid", newid)?
            .maybe("name", name.as_ref())?
            .maybe("description", description.as_ref())?
            .maybe("pool", pool.as_ref())?
            .maybe("snapname", snapname.as_ref())?
            .maybe("storage", storage.as_ref())?
            .maybe("format", format.as_ref())?
            .maybe("full", full.map(u8::from))?
            .maybe("target", target.as_ref())?;
        self.fetch(call).await
    }

    /// Changes a guest's configuration. Returns when it is written, not when it is in force: a running
    /// guest takes some changes only at its next start.
    pub async fn update_config(&self, node: &NodeName, vmid: Vmid, update: &ConfigUpdate) -> Result<(), Error> {
        let values = [node.as_str(), &vmid.to_string()];
        self.run(update.put_into(Call::put("/nodes/{node}/qemu/{vmid}/config", &values)?)?).await
    }

    /// The same as a task, for changes that take their time (copies). `None` when it was done at once.
    pub async fn update_config_task(
        &self,
        node: &NodeName,
        vmid: Vmid,
        update: &ConfigUpdate,
    ) -> Result<Option<Upid>, Error> {
        let values = [node.as_str(), &vmid.to_string()];
        self.fetch(update.put_into(Call::post("/nodes/{node}/qemu/{vmid}/config", &values)?)?).await
    }

    /// Grows a disk to the size. Asking for its present size does nothing.
    pub async fn resize(&self, node: &NodeName, vmid: Vmid, disk: &str, size: DiskSize) -> Result<Upid, Error> {
        self.resize_if(node, vmid, disk, size, None).await
    }

    /// The same, only if the configuration is still the one with this digest.
    pub async fn resize_if(
        &self,
        node: &NodeName,
        vmid: Vmid,
        disk: &str,
        size: DiskSize,
        digest: Option<&str>,
    ) -> Result<Upid, Error> {
        let values = [node.as_str(), &vmid.to_string()];
        let call = Call::put("/nodes/{node}/qemu/{vmid}/resize", &values)?
            .with("disk", disk)?
            .with("size", size)?
            .maybe("digest", digest)?;
        self.fetch(call).await
    }

    /// Starts a guest. The task fails when it runs already.
    pub async fn start(&self, node: &NodeName, vmid: Vmid) -> Result<Upid, Error> {
        let values = [node.as_str(), &vmid.to_string()];
        let template = "/nodes/{node}/qemu/{vmid}/status/start";
        self.fetch(Call::post(template, &values)?).await
    }

    /// Pulls the plug. Does nothing to a stopped guest.
    pub async fn stop(&self, node: &NodeName, vmid: Vmid) -> Result<Upid, Error> {
        let values = [node.as_str(), &vmid.to_string()];
        let template = "/nodes/{node}/qemu/{vmid}/status/stop";
        self.fetch(Call::post(template, &values)?).await
    }

    /// Asks the guest to shut down; its configuration is locked meanwhile.
    pub async fn shutdown(&self, node: &NodeName, vmid: Vmid, within: Duration, late: Late) -> Result<Upid, Error> {
        let values = [node.as_str(), &vmid.to_string()];
        let force = match late {
            Late::Fail => None,
            Late::Stop => Some(1),
        };
        let call = Call::post("/nodes/{node}/qemu/{vmid}/status/shutdown", &values)?
            .with("timeout", within.as_secs())?
            .maybe("forceStop", force)?;
        self.fetch(call).await
    }

    /// Destroys a stopped guest with the disks it owns.
    pub async fn destroy(&self, node: &NodeName, vmid: Vmid, purge: Purge) -> Result<Upid, Error> {
        let values = [node.as_str(), &vmid.to_string()];
        let purge = match purge {
            Purge::Yes => Some(1),
            Purge::No => None,
        };
        let call = Call::delete("/nodes/{node}/qemu/{vmid}", &values)?.maybe("purge", purge)?;
        self.fetch(call).await
    }
}

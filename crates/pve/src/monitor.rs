//! Calls for metrics: rows as they come, with every figure.

use std::collections::BTreeMap;

use pve_types::{NodeName, Vmid, lenient};
use serde::Deserialize;

use crate::call::Call;
use crate::client::Client;
use crate::error::Error;
use crate::resources::GuestKind;

/// A flat answer: keys and scalars as text, all else left out.
pub type Fields = BTreeMap<String, String>;

#[derive(Deserialize)]
struct Flat(#[serde(deserialize_with = "lenient::map")] Fields);

/// A row of the cluster's resources with its figures, of whatever kind.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct UsageRow {
    /// `qemu/100`, `node/pve1`, `storage/pve1/local`, …
    pub id: String,
    /// `qemu`, `lxc`, `node`, `storage`, `pool`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The guest's number.
    #[serde(default)]
    pub vmid: Option<Vmid>,
    /// The node.
    #[serde(default)]
    pub node: Option<String>,
    /// The guest's name.
    #[serde(default, deserialize_with = "lenient::opt_text")]
    pub name: Option<String>,
    /// The storage's name.
    #[serde(default)]
    pub storage: Option<String>,
    /// The storage's type.
    #[serde(default)]
    pub plugintype: Option<String>,
    /// What the storage may hold, in any order.
    #[serde(default)]
    pub content: Option<String>,
    /// `running`, `available`, `online`, …
    #[serde(default)]
    pub status: Option<String>,
    /// The guest's tags.
    #[serde(default)]
    pub tags: Option<String>,
    /// `1` for a template.
    #[serde(default, deserialize_with = "lenient::opt_text")]
    pub template: Option<String>,
    /// The state under high availability.
    #[serde(default)]
    pub hastate: Option<String>,
    /// What holds the guest.
    #[serde(default)]
    pub lock: Option<String>,
    /// Bytes of the storage, or of the guest's first disk.
    #[serde(default, deserialize_with = "lenient::opt_number")]
    pub maxdisk: Option<f64>,
    /// Bytes of it in use.
    #[serde(default, deserialize_with = "lenient::opt_number")]
    pub disk: Option<f64>,
    /// Bytes of memory.
    #[serde(default, deserialize_with = "lenient::opt_number")]
    pub maxmem: Option<f64>,
    /// Bytes of it in use.
    #[serde(default, deserialize_with = "lenient::opt_number")]
    pub mem: Option<f64>,
    /// Bytes sent since the start.
    #[serde(default, deserialize_with = "lenient::opt_number")]
    pub netout: Option<f64>,
    /// Bytes received since the start.
    #[serde(default, deserialize_with = "lenient::opt_number")]
    pub netin: Option<f64>,
    /// Bytes written since the start.
    #[serde(default, deserialize_with = "lenient::opt_number")]
    pub diskwrite: Option<f64>,
    /// Bytes read since the start.
    #[serde(default, deserialize_with = "lenient::opt_number")]
    pub diskread: Option<f64>,
    /// The part of its CPUs in use.
    #[serde(default, deserialize_with = "lenient::opt_number")]
    pub cpu: Option<f64>,
    /// CPUs.
    #[serde(default, deserialize_with = "lenient::opt_number")]
    pub maxcpu: Option<f64>,
    /// Seconds since the start.
    #[serde(default, deserialize_with = "lenient::opt_number")]
    pub uptime: Option<f64>,
    /// 1 for a storage that all nodes see.
    #[serde(default, deserialize_with = "lenient::opt_number")]
    pub shared: Option<f64>,
}

/// A guest that no backup job takes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NotBackedUp {
    /// Its number.
    pub vmid: Vmid,
    /// `qemu` or `lxc`.
    #[serde(rename = "type")]
    pub kind: String,
}

impl Client {
    /// The cluster's resources with all their figures, in one call.
    pub async fn usage(&self) -> Result<Vec<UsageRow>, Error> {
        self.fetch(Call::get("/cluster/resources", &[])?).await
    }

    /// The rows of the cluster's status: `cluster` if it is one, and `node`s. Needs Sys.Audit on `/`.
    pub async fn cluster_rows(&self) -> Result<Vec<Fields>, Error> {
        let rows: Vec<Flat> = self.fetch(Call::get("/cluster/status", &[])?).await?;
        Ok(rows.into_iter().map(|row| row.0).collect())
    }

    /// What Proxmox says of its version, all of it.
    pub async fn version_fields(&self) -> Result<Fields, Error> {
        self.flat(Call::get("/version", &[])?).await
    }

    /// Guests that no backup job takes.
    pub async fn not_backed_up(&self) -> Result<Vec<NotBackedUp>, Error> {
        self.fetch(Call::get("/cluster/backup-info/not-backed-up", &[])?).await
    }

    /// The cluster's quorum device as the node asked sees it; empty without one.
    pub async fn qdevice(&self) -> Result<Fields, Error> {
        self.flat(Call::get("/cluster/config/qdevice", &[])?).await
    }

    /// A node's subscription.
    pub async fn subscription(&self, node: &NodeName) -> Result<Fields, Error> {
        self.flat(Call::get("/nodes/{node}/subscription", &[node.as_str()])?).await
    }

    /// The replication jobs of a node's guests, with how they stand.
    pub async fn replication(&self, node: &NodeName) -> Result<Vec<Fields>, Error> {
        let rows: Vec<Flat> = self.fetch(Call::get("/nodes/{node}/replication", &[node.as_str()])?).await?;
        Ok(rows.into_iter().map(|row| row.0).collect())
    }

    /// All keys of a guest's configuration.
    pub async fn guest_fields(&self, node: &NodeName, kind: GuestKind, vmid: Vmid) -> Result<Fields, Error> {
        let values = [node.as_str(), &vmid.to_string()];
        let call = match kind {
            GuestKind::Qemu => Call::get("/nodes/{node}/qemu/{vmid}/config", &values)?,
            GuestKind::Lxc => Call::get("/nodes/{node}/lxc/{vmid}/config", &values)?,
        };
        self.flat(call).await
    }

    async fn flat(&self, call: Call) -> Result<Fields, Error> {
        let flat: Option<Flat> = self.fetch(call).await?;
        Ok(flat.map(|flat| flat.0).unwrap_or_default())
    }
}

//! Calls about storages and volumes.

use std::collections::BTreeSet;

use bytes::{BufMut, Bytes, BytesMut};
use pve_types::{DiskSize, NodeName, StorageId, Upid, Vmid, VolumeId, lenient};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::call::Call;
use crate::client::Client;
use crate::error::{Error, UnsentCause};
use crate::resources::content_set;

/// A storage as a node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StorageStatus {
    /// Its name.
    pub storage: StorageId,
    /// `dir`, `lvmthin`, …
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    content: Option<String>,
    /// Whether it works just now.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub active: bool,
    /// Whether it is switched on for this node.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub enabled: bool,
    /// Whether all nodes see the same.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub shared: bool,
    /// Bytes in all.
    #[serde(default, deserialize_with = "lenient::opt_number")]
    pub total: Option<u64>,
    /// Bytes free.
    #[serde(default, deserialize_with = "lenient::opt_number")]
    pub avail: Option<u64>,
}

impl StorageStatus {
    /// What it may hold: `images`, `iso`, …
    pub fn content(&self) -> BTreeSet<String> {
        content_set(self.content.as_deref())
    }
}

/// A volume in a storage's list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ContentRow {
    /// Its name.
    pub volid: VolumeId,
    /// `images`, `iso`, …
    #[serde(default)]
    pub content: Option<String>,
    /// Bytes.
    #[serde(default, deserialize_with = "lenient::opt_number")]
    pub size: Option<u64>,
    /// The guest that owns it.
    #[serde(default)]
    pub vmid: Option<Vmid>,
    /// When it was made, in Unix seconds.
    #[serde(default, deserialize_with = "lenient::opt_number")]
    pub ctime: Option<i64>,
}

/// An order for an empty image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    /// The guest that will own it; Proxmox asks for no right to that guest, and it need not exist.
    pub vmid: Vmid,
    /// Its name, with an ending on storages that keep files.
    pub filename: String,
    /// Its size; Proxmox counts in KiB here.
    pub size: DiskSize,
    /// `raw` or `qcow2`; the storage's own when absent.
    pub format: Option<String>,
}

/// One volume, asked for by itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct VolumeInfo {
    /// Bytes.
    #[serde(deserialize_with = "lenient::number")]
    pub size: u64,
    /// `raw`, `qcow2`, …
    #[serde(default)]
    pub format: Option<String>,
}

/// A storage's state, which does not repeat its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
struct Room {
    #[serde(default, deserialize_with = "lenient::flag")]
    active: bool,
    #[serde(default, deserialize_with = "lenient::opt_number")]
    avail: Option<u64>,
}

impl Client {
    /// Bytes that are free on a storage, as a node sees it; none while it is not active.
    pub async fn storage_room(&self, node: &NodeName, storage: &StorageId) -> Result<u64, Error> {
        let values = [node.as_str(), storage.as_str()];
        let room: Room = self.fetch(Call::get("/nodes/{node}/storage/{storage}/status", &values)?).await?;
        Ok(room.avail.filter(|_| room.active).unwrap_or(0))
    }

    /// Makes an empty image, at once. Refused with [`crate::Refusal::VolumeExists`] where there is one of that name.
    pub async fn allocate(&self, node: &NodeName, storage: &StorageId, order: &Allocation) -> Result<VolumeId, Error> {
        let Allocation { vmid, filename, size, format } = order;
        let values = [node.as_str(), storage.as_str()];
        let call = Call::post("/nodes/{node}/storage/{storage}/content", &values)?
            .with("vmid", vmid)?
            .with("filename", filename)?
            .with("size", size.bytes().div_ceil(1024))?
            .maybe("format", format.as_ref())?;
        self.fetch(call).await
    }

    /// One volume. Refused with [`crate::Refusal::NoSuchVolume`] where there is none.
    pub async fn volume(&self, node: &NodeName, volume: &VolumeId) -> Result<VolumeInfo, Error> {
        let template = "/nodes/{node}/storage/{storage}/content/{volume}";
        let [node, storage] = [node.as_str(), volume.storage.as_str()];
        Call::get(template, &[node, storage, &volume.name])?;
        self.fetch(Call::get(template, &[node, storage, &volume.to_string()])?).await
    }

    /// A node's storages.
    pub async fn node_storages(&self, node: &NodeName) -> Result<Vec<StorageStatus>, Error> {
        self.fetch(Call::get("/nodes/{node}/storage", &[node.as_str()])?).await
    }

    /// What a storage holds. Slow on file storages (a twentieth of a second a volume): do not poll.
    /// Volumes we may not see are left out without a word.
    pub async fn storage_content(
        &self,
        node: &NodeName,
        storage: &StorageId,
        content: Option<&str>,
        vmid: Option<Vmid>,
    ) -> Result<Vec<ContentRow>, Error> {
        let values = [node.as_str(), storage.as_str()];
        let call = Call::get("/nodes/{node}/storage/{storage}/content", &values)?
            .maybe("content", content)?
            .maybe("vmid", vmid)?;
        self.fetch(call).await
    }

    /// Uploads an ISO image; one of that name is overwritten. The task runs on the node that was asked,
    /// which is not always the one named.
    pub async fn upload_iso(
        &self,
        node: &NodeName,
        storage: &StorageId,
        name: &str,
        image: &[u8],
    ) -> Result<Upid, Error> {
        let values = [node.as_str(), storage.as_str()];
        let mut call = Call::post("/nodes/{node}/storage/{storage}/upload", &values)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if name.is_empty() || !name.chars().all(plain) {
            return Err(Error::unsent(
                call.to_string(),
                UnsentCause::BadSegment {
                    template: call.template,
                    name: "filename".to_owned(),
                    value: name.to_owned(),
                },
            ));
        }
        call.body = Some(multipart(name, image));
        self.fetch(call).await
    }

    /// Deletes a volume, attached or not. `None` when Proxmox did it at once.
    pub async fn delete_volume(&self, node: &NodeName, volume: &VolumeId) -> Result<Option<Upid>, Error> {
        let template = "/nodes/{node}/storage/{storage}/content/{volume}";
        let [node, storage] = [node.as_str(), volume.storage.as_str()];
        // The storage's name in front, for the volume's own may hold a colon; but it must not make a
        // first segment out of nothing.
        Call::delete(template, &[node, storage, &volume.name])?;
        let values = [node, storage, &volume.to_string()];
        self.fetch(Call::delete(template, &values)?).await
    }
}

/// A form as Proxmox's own reader wants it: the parts in its order, the disposition first in each, the
/// file last and called `filename`. The checksum lets the task notice a broken upload.
fn multipart(name: &str, image: &[u8]) -> (String, Bytes) {
    let checksum = hex::encode(Sha256::digest(image));
    // The image's own digest cannot stand in the image.
    let boundary = format!("oxmox-{checksum}");
    let mut body = BytesMut::with_capacity(image.len() + 1024);
    for (key, value) in [("content", "iso"), ("checksum-algorithm", "sha256"), ("checksum", &checksum)] {
        body.put_slice(
            format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{key}\"\r\n\r\n{value}\r\n").as_bytes(),
        );
    }
    body.put_slice(
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        )
        .as_bytes(),
    );
    body.put_slice(image);
    body.put_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body.freeze())
}

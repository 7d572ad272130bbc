//! Volumes that are uploaded and deleted.

use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};
use sha2::{Sha224, Sha256, Sha384, Sha512};

use crate::state::World;
use crate::state::storage::Volume;

/// An upload whose bytes are here already.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Upload {
    pub(crate) volume: Volume,
    pub(crate) node: String,
    pub(crate) algorithm: Option<String>,
    pub(crate) checksum: Option<String>,
    #[serde(skip)]
    pub(crate) bytes: bytes::Bytes,
}

pub(crate) fn upload(world: &mut World, upid: &str, upload: Upload) -> Result<(), String> {
    let temporary = format!("/var/tmp/pveupload-{}", world.chance.hex(32));
    world.log(upid, format!("starting file import from: {temporary}"));
    if let (Some(algorithm), Some(expected)) = (&upload.algorithm, &upload.checksum) {
        let got = digest(algorithm, &upload.bytes);
        match got {
            Some(got) if !got.eq_ignore_ascii_case(expected) => {
                world.log(upid, "calculating checksum...");
                return Err(format!("checksum mismatch: got '{got}' != expect '{expected}'"));
            }
            _ => world.log(upid, "calculating checksum...OK, checksum verified"),
        }
    }
    let file = world.storages.get(&upload.volume.storage).map_or_else(String::new, |s| s.file(&upload.volume.name));
    world.log(upid, format!("target node: {}", upload.node));
    world.log(upid, format!("target file: {file}"));
    world.log(upid, format!("file size is: {}", upload.bytes.len()));
    world.log(upid, format!("command: cp -- {temporary} {file}"));
    world.log(upid, "finished file import successfully");
    let mut volume = upload.volume;
    volume.ctime = world.seconds();
    world.contents.put(&volume, upload.bytes).map_err(|error| format!("import failed: {error}"))?;
    world.volumes.insert(volume);
    Ok(())
}

fn digest(algorithm: &str, bytes: &[u8]) -> Option<String> {
    Some(match algorithm {
        "sha1" => hex::encode(Sha1::digest(bytes)),
        "sha224" => hex::encode(Sha224::digest(bytes)),
        "sha256" => hex::encode(Sha256::digest(bytes)),
        "sha384" => hex::encode(Sha384::digest(bytes)),
        "sha512" => hex::encode(Sha512::digest(bytes)),
        // MD5 is taken on trust: no client of ours uses it.
        _ => return None,
    })
}

pub(crate) fn delete(world: &mut World, upid: &str, node: &str, volid: &str) -> Result<(), String> {
    if world.volumes.find(volid, node).is_some_and(|v| world.volumes.is_base_in_use(v)) {
        return Err(format!("base volume '{volid}' is still in use by linked clones"));
    }
    let (storage, name) = volid.split_once(':').unwrap_or_default();
    if let Some(volume) = world.volumes.remove(volid, node) {
        world.contents.remove(&volume);
    } else {
        let file = world.storages.get(storage).map_or_else(String::new, |s| s.file(name));
        world.log(upid, format!("disk image '{file}' does not exist"));
    }
    world.log(upid, format!("Removed volume '{volid}'"));
    Ok(())
}

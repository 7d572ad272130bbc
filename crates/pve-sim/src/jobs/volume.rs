//! Volumes that come in, are copied and are deleted.

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
        let got = digest(algorithm, &upload.bytes, expected);
        if !got.eq_ignore_ascii_case(expected) {
            world.log(upid, "calculating checksum...");
            return Err(format!("checksum mismatch: got '{got}' != expect '{expected}'"));
        }
        world.log(upid, "calculating checksum...OK, checksum verified");
    }
    check_archive(&upload.volume, &upload.bytes)?;
    let file = world.storages.get(&upload.volume.storage).map_or_else(String::new, |s| s.file(&upload.volume.name));
    world.log(upid, format!("target node: {}", upload.node));
    world.log(upid, format!("target file: {file}"));
    world.log(upid, format!("file size is: {}", upload.bytes.len()));
    world.log(upid, format!("command: cp -- {temporary} {file}"));
    let mut volume = upload.volume;
    full(world, &volume, &upload.node)
        .map_err(|()| format!("import failed: cp: error writing '{file}': No space left on device"))?;
    volume.ctime = world.seconds();
    world.contents.put(&volume, upload.bytes).map_err(|error| format!("import failed: {error}"))?;
    world.volumes.insert(volume);
    world.log(upid, "finished file import successfully");
    Ok(())
}

/// Fails if the file doesn't fit.
fn full(world: &World, volume: &Volume, node: &str) -> Result<(), ()> {
    let avail = world.storages.get(&volume.storage).map_or(u64::MAX, |s| s.fill(&world.volumes, node).avail);
    if volume.size > avail { Err(()) } else { Ok(()) }
}

/// An appliance is a tar archive with a description inside.
fn check_archive(volume: &Volume, bytes: &[u8]) -> Result<(), String> {
    if volume.content != "import" || volume.format != "ova" {
        return Ok(());
    }
    let described = bytes.chunks(512).any(|block| {
        let name = block.get(..100).unwrap_or_default().split(|b| *b == 0).next().unwrap_or_default();
        block.get(257..262) == Some(b"ustar") && name.ends_with(b".ovf")
    });
    if described { Ok(()) } else { Err("ova archive has no .ovf file inside".to_owned()) }
}

/// The checksum, where `expected` is what it should be: MD5 is taken on trust.
fn digest(algorithm: &str, bytes: &[u8], expected: &str) -> String {
    match algorithm {
        "md5" => expected.to_owned(),
        "sha1" => hex::encode(Sha1::digest(bytes)),
        "sha224" => hex::encode(Sha224::digest(bytes)),
        "sha256" => hex::encode(Sha256::digest(bytes)),
        "sha384" => hex::encode(Sha384::digest(bytes)),
        _ => hex::encode(Sha512::digest(bytes)),
    }
}

/// A file that a URL leads to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Fetch {
    pub(crate) volume: Volume,
    pub(crate) node: String,
    pub(crate) url: String,
    pub(crate) algorithm: Option<String>,
    pub(crate) checksum: Option<String>,
    pub(crate) compression: Option<String>,
}

pub(crate) fn fetch(world: &mut World, upid: &str, fetch: Fetch) -> Result<(), String> {
    let Fetch { mut volume, node, url, algorithm, checksum, compression } = fetch;
    if compression.is_some() && volume.content != "iso" {
        return Err(format!("decompression not supported for {}", volume.content));
    }
    let file = world.storages.get(&volume.storage).map_or_else(String::new, |s| s.file(&volume.name));
    world.log(upid, format!("downloading {url} to {file}"));
    let wanted = algorithm.as_deref().zip(checksum.as_deref());
    if let Some(there) = world.volumes.find(&volume.volid(), &node) {
        let Some((algorithm, expected)) = wanted else {
            return Err(format!("refusing to override existing file '{file}'"));
        };
        let got = digest(algorithm, &world.contents.get(there).unwrap_or_default(), expected);
        world.log(upid, "calculating checksum of existing file...");
        if got.eq_ignore_ascii_case(expected) {
            world.log(upid, "OK, got correct file already, no need to download");
            return Ok(());
        }
        return Err(format!("mismatch (got '{got}' != expect '{expected}'), aborting"));
    }
    let Some(found) = world.fixtures.downloads.get(&url).cloned() else {
        world.log(upid, format!("wget: unable to resolve host address for '{url}'"));
        return Err("download failed: exit code 4".to_owned());
    };
    let bytes = bytes::Bytes::from(found.text.clone().unwrap_or_default());
    volume.size = found.text.as_ref().map_or(found.size, |t| t.len() as u64);
    if let Some((algorithm, expected)) = wanted {
        let got = digest(algorithm, &bytes, expected);
        if !got.eq_ignore_ascii_case(expected) {
            world.log(upid, "calculating checksum...");
            return Err(format!("checksum mismatch: got '{got}' != expect '{expected}'"));
        }
        world.log(upid, "calculating checksum...OK, checksum verified");
    }
    full(world, &volume, &node).map_err(|()| "download failed: exit code 3".to_owned())?;
    volume.ctime = world.seconds();
    if found.text.is_some() {
        world.contents.put(&volume, bytes).map_err(|error| format!("download failed: {error}"))?;
    }
    world.volumes.insert(volume);
    world.log(upid, format!("download of '{url}' to '{file}' finished"));
    Ok(())
}

/// An image comes from a registry as a template.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pull {
    pub(crate) volume: Volume,
    pub(crate) reference: String,
}

pub(crate) fn pull(world: &mut World, upid: &str, pull: Pull) -> Result<(), String> {
    let Pull { mut volume, reference } = pull;
    let (image, tag) = reference.rsplit_once(':').unwrap_or((&reference, "latest"));
    if !world.fixtures.images.get(image).is_some_and(|tags| tags.iter().any(|t| t == tag)) {
        world.log(upid, format!("Error: initializing source docker://{reference}: no such image"));
        let file = world.storages.get(&volume.storage).map_or_else(String::new, |s| s.file(&volume.name));
        return Err(format!("command 'skopeo copy docker://{reference} oci-archive:{file}.tmp' failed: exit code 1"));
    }
    volume.size = 4 << 20;
    volume.ctime = world.seconds();
    world.volumes.insert(volume);
    Ok(())
}

/// A copy of a volume under another name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Copy {
    pub(crate) node: String,
    pub(crate) source: String,
    pub(crate) target: String,
}

pub(crate) fn copy(world: &mut World, copy: &Copy) -> Result<(), String> {
    let Copy { node, source, target } = copy;
    let Some(volume) = world.volumes.find(source, node).cloned() else {
        return Err(format!("volume '{source}' does not exist"));
    };
    let (id, name) = target.split_once(':').unwrap_or_default();
    let storage = world.activate(id, node).map_err(|f| f.line())?;
    let read = crate::state::storage::name::parse(storage.kind().layout, name)?;
    if !storage.kind().formats.contains(&volume.format.as_str()) && volume.is_disk() {
        let from = world.storages.get(&volume.storage).map_or("", |s| s.kind.as_str());
        return Err(format!("cannot migrate from storage type '{from}' to '{}'", storage.kind));
    }
    if world.volumes.find(target, node).is_some() {
        return Err(format!("file '{}' already exists", storage.file(name)));
    }
    let (vmid, content) = (read.vmid, read.content.to_owned());
    let shared = storage.shared;
    let copy = Volume {
        storage: id.to_owned(),
        node: (!shared).then(|| node.to_owned()),
        name: name.to_owned(),
        content,
        vmid,
        parent: None,
        ctime: world.seconds(),
        ..volume.clone()
    };
    world.volumes.insert(copy.clone());
    world.contents.copy(&volume, &copy);
    Ok(())
}

pub(crate) fn delete(world: &mut World, upid: &str, node: &str, volid: &str) -> Result<(), String> {
    for line in world.free(volid, node)? {
        world.log(upid, line);
    }
    world.log(upid, format!("Removed volume '{volid}'"));
    Ok(())
}

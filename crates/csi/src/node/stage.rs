//! NodeStageVolume, NodeUnstageVolume, NodeExpandVolume.

use std::path::Path;
use std::sync::Arc;

use csi_proto::csi;
use plan::volume::{FsType, Kind, Range, Refusal};

use super::{Inner, Mode, Use, identity, path, told};
use crate::host::{self, Device, Found, Host};
use crate::status::missing;

/// A file system may end this much before its disk does: less than ext4 cares to use.
const SLACK: u64 = 8 << 20;

/// What was seen when the volume was attached; the size guards against another's disk.
fn size(context: &std::collections::HashMap<String, String>) -> Result<u64, Refusal> {
    let Some(text) = context.get("sizeBytes") else { return Ok(0) };
    text.parse().map_err(|_| {
        Refusal::new(Kind::InvalidArgument, format!("publish_context.sizeBytes: `{text}` is no number of bytes"))
    })
}

/// Mounts a volume once for the node; a block volume's disk is only looked for.
pub(super) async fn stage<H: Host>(
    node: Arc<Inner<H>>,
    request: csi::NodeStageVolumeRequest,
) -> Result<csi::NodeStageVolumeResponse, Refusal> {
    let done = csi::NodeStageVolumeResponse {};
    if request.volume_id.is_empty() {
        return Err(missing("volume_id"));
    }
    let at = path("staging_target_path", &request.staging_target_path)?;
    let of = Use::read(&request.volume_id, request.volume_capability.as_ref(), &request.volume_context)?;
    let size = size(&request.publish_context)?;
    let _guard = node.guards.take(&request.volume_id)?;
    let doing = format!("stage `{}`", request.volume_id);
    let device = node.host.device(&of.identity, size).await.map_err(|error| told(&doing, &error))?;
    let Mode::Mount(fs, flags) = &of.mode else { return Ok(done) };
    let mounts = node.host.mounts().await.map_err(|error| told(&doing, &error))?;
    if let Some(mount) = mounts.iter().rfind(|mount| mount.at == at) {
        if mount.number == device.number {
            return Ok(done);
        }
        let why = format!("staging_target_path: another disk ({}:{}) is mounted there", mount.number.0, mount.number.1);
        return Err(Refusal::new(Kind::AlreadyExists, why));
    }
    ready(&node.host, &device, *fs, &of).await?;
    node.host.make_directory(at).await.map_err(|error| told(&doing, &error))?;
    let options = options(*fs, flags, &of);
    node.host.mount(&device, *fs, at, &options).await.map_err(|error| told(&doing, &error))?;
    if *fs == FsType::Xfs
        && !of.read_only
        && smaller(&node.host, &device).await.map_err(|error| told(&doing, &error))?
    {
        node.host.grow_online(&device, *fs, at).await.map_err(|error| told(&doing, &error))?;
    }
    Ok(done)
}

fn options(fs: FsType, flags: &[String], of: &Use) -> Vec<String> {
    let mut all: Vec<String> = flags.to_vec();
    let mut add = |option: &str| {
        if !all.iter().any(|there| there == option) {
            all.push(option.to_owned());
        }
    };
    if of.parameters.ssd {
        add("noatime");
    }
    if fs == FsType::Xfs {
        // A copy has its source's UUID, and both may be on one node.
        add("nouuid");
    }
    if of.read_only {
        add("ro");
    }
    all
}

/// Whether the file system on a disk ends well before the disk does.
async fn smaller<H: Host>(host: &H, device: &Device) -> Result<bool, host::Error> {
    Ok(match host.look(device).await? {
        Found::Ours(_, size) => size.saturating_add(SLACK) <= device.size,
        Found::Empty | Found::Other(_) | Found::Doubtful(_) => false,
    })
}

/// Makes a file system on what is empty; repairs and grows one that is there; touches nothing else.
async fn ready<H: Host>(host: &H, device: &Device, fs: FsType, of: &Use) -> Result<(), Refusal> {
    let path = device.path.display();
    let found = host.look(device).await.map_err(|error| told(&format!("look at `{path}`"), &error))?;
    let doing = format!("make `{path}` ready");
    match found {
        Found::Empty if of.read_only => {
            let why = format!("`{path}` is empty, and a volume that is only read is not formatted");
            Err(Refusal::new(Kind::FailedPrecondition, why))
        }
        Found::Empty => {
            tracing::info!(device = %path, fs = fs.as_str(), "format: two looks found it empty");
            let made = host.format(device, fs, &of.parameters.mkfs_options()).await;
            made.map_err(|error| told(&doing, &error))
        }
        Found::Ours(there, size) if there == fs => {
            if of.read_only {
                return Ok(());
            }
            host.check(device, fs).await.map_err(|error| told(&doing, &error))?;
            if size.saturating_add(SLACK) <= device.size {
                host.grow_offline(device, fs).await.map_err(|error| told(&doing, &error))?;
            }
            Ok(())
        }
        Found::Ours(there, _) => Err(Refusal::new(
            Kind::FailedPrecondition,
            format!("`{path}` has {}, and {} is asked for: it is left as it is", there.as_str(), fs.as_str()),
        )),
        Found::Other(what) => Err(Refusal::new(
            Kind::FailedPrecondition,
            format!("`{path}` is not empty, it has {what}: it is left as it is"),
        )),
        Found::Doubtful(why) => Err(Refusal::new(
            Kind::FailedPrecondition,
            format!("`{path}` may not be empty ({why}): it is left as it is"),
        )),
    }
}

/// Takes the node's mount of a volume away.
pub(super) async fn unstage<H: Host>(
    node: Arc<Inner<H>>,
    request: csi::NodeUnstageVolumeRequest,
) -> Result<csi::NodeUnstageVolumeResponse, Refusal> {
    if request.volume_id.is_empty() {
        return Err(missing("volume_id"));
    }
    let at = path("staging_target_path", &request.staging_target_path)?;
    let _guard = node.guards.take(&request.volume_id)?;
    let doing = format!("unstage `{}`", request.volume_id);
    unmount_all(&node.host, at, &doing).await?;
    Ok(csi::NodeUnstageVolumeResponse {})
}

/// Takes away every mount at a path.
pub(super) async fn unmount_all<H: Host>(host: &H, at: &Path, doing: &str) -> Result<(), Refusal> {
    let mounts = host.mounts().await.map_err(|error| told(doing, &error))?;
    for _ in mounts.iter().filter(|mount| mount.at == at) {
        host.unmount(at).await.map_err(|error| told(doing, &error))?;
    }
    Ok(())
}

/// Grows a volume's file system to its disk.
pub(super) async fn expand<H: Host>(
    node: Arc<Inner<H>>,
    request: csi::NodeExpandVolumeRequest,
) -> Result<csi::NodeExpandVolumeResponse, Refusal> {
    let identity = identity(&request.volume_id)?;
    let at = path("volume_path", &request.volume_path)?;
    let range = request.capacity_range.as_ref();
    let range = range.map_or(Ok(Range::default()), |of| Range::read(of.required_bytes, of.limit_bytes))?;
    let _guard = node.guards.take(&request.volume_id)?;
    let doing = format!("grow `{}`", request.volume_id);
    let tell = |error: host::Error| told(&doing, &error);
    if node.host.kind(at).await.map_err(tell)? == host::Kind::Nothing {
        return Err(Refusal::new(Kind::NotFound, format!("volume_path: there is nothing at `{}`", at.display())));
    }
    let mut device = node.host.device(&identity, 0).await.map_err(tell)?;
    if device.size < range.required {
        node.host.rescan(&device).await.map_err(tell)?;
        // The new size is the proof that the disk has grown.
        device = node.host.device(&identity, 0).await.map_err(tell)?;
        if device.size < range.required {
            let why = format!("`{}` still has {} bytes, not {}", device.path.display(), device.size, range.required);
            return Err(Refusal::new(Kind::Unavailable, why));
        }
    }
    let mounts = node.host.mounts().await.map_err(tell)?;
    let mounted = mounts.iter().rfind(|mount| mount.at == at && mount.number == device.number);
    let fs = mounted.and_then(|mount| FsType::read("mount", &mount.fs).ok());
    if let Some(fs) = fs
        && smaller(&node.host, &device).await.map_err(tell)?
    {
        node.host.grow_online(&device, fs, at).await.map_err(tell)?;
    }
    Ok(csi::NodeExpandVolumeResponse { capacity_bytes: i64::try_from(device.size).unwrap_or(i64::MAX) })
}

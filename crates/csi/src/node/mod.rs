//! The node's half of the interface: a volume's disk becomes a directory or a device of a pod.
//!
//! ```text
//! stage:    disk? proven by WWN, serial number, size ──► what is on it? ──empty, twice──► format
//!              └──► repair ──► grow, if the disk is larger ──► mount once per node
//! publish:  bind the staged directory, or the disk itself, to where the pod wants it
//! ```
//! One operation at a time on a volume; volumes do not wait for each other.

mod registration;
mod stage;
mod target;

use std::path::Path;
use std::sync::Arc;

use csi_proto::csi;
use csi_proto::csi::node_server::Node as Rpc;
use csi_proto::csi::volume_capability::AccessType;
use plan::volume::{FsType, Handle, Identity, Kind, Parameters, Refusal};
use tonic::{Request, Response, Status};

use crate::host::{self, Host};
use crate::op_guard::Guards;
use crate::settings::NodeSettings;
use crate::status::{missing, status};

pub(crate) use registration::Registrar;

/// A region's topology key.
const REGION: &str = "topology.kubernetes.io/region";
/// A zone's topology key.
const ZONE: &str = "topology.kubernetes.io/zone";

/// The node service.
pub(crate) struct Node<H> {
    inner: Arc<Inner<H>>,
}

impl<H> Clone for Node<H> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

pub(crate) struct Inner<H> {
    host: H,
    guards: Guards,
    settings: NodeSettings,
}

/// How a volume is used.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mode {
    /// As a directory: file system, its options for `mount`.
    Mount(FsType, Vec<String>),
    /// As a device.
    Block,
}

/// What a request says of a volume and its use, read once.
struct Use {
    identity: Identity,
    mode: Mode,
    parameters: Parameters,
    read_only: bool,
    single_writer: bool,
}

impl<H: Host> Node<H> {
    pub(crate) fn new(host: H, settings: NodeSettings) -> Self {
        Self { inner: Arc::new(Inner { host, guards: Guards::default(), settings }) }
    }
}

/// What went wrong on the machine, as the CO is told it.
fn told(doing: &str, error: &host::Error) -> Refusal {
    let kind = match error {
        host::Error::NoDevice { .. } => Kind::Unavailable,
        host::Error::WrongDevice { .. } => Kind::FailedPrecondition,
        host::Error::File { .. } | host::Error::Command { .. } => Kind::Internal,
    };
    Refusal::new(kind, format!("{doing}: {}", daemon::chain(error)))
}

fn identity(text: &str) -> Result<Identity, Refusal> {
    if text.is_empty() {
        return Err(missing("volume_id"));
    }
    let handle: Handle = text.parse().map_err(|why| Refusal::new(Kind::NotFound, format!("volume_id: {why}")))?;
    Ok(Identity::of(&handle))
}

fn path<'a>(field: &str, text: &'a str) -> Result<&'a Path, Refusal> {
    if text.is_empty() {
        return Err(missing(field));
    }
    let path = Path::new(text);
    let walks = path.components().any(|part| part == std::path::Component::ParentDir);
    if !path.is_absolute() || walks {
        let why = format!("{field}: `{text}` is no absolute path, or walks about");
        return Err(Refusal::new(Kind::InvalidArgument, why));
    }
    Ok(path)
}

impl Use {
    fn read(
        volume: &str,
        of: Option<&csi::VolumeCapability>,
        context: &std::collections::HashMap<String, String>,
    ) -> Result<Self, Refusal> {
        use csi::volume_capability::access_mode::Mode as Access;
        let of = of.ok_or_else(|| missing("volume_capability"))?;
        crate::controller::capability("volume_capability", of)?;
        let identity = identity(volume)?;
        let parameters = Parameters::read("volume_context", context)?;
        let access = of.access_mode.as_ref().map_or(0, |mode| mode.mode);
        let mode = match &of.access_type {
            Some(AccessType::Block(_)) => Mode::Block,
            Some(AccessType::Mount(mount)) => {
                let fs = match mount.fs_type.as_str() {
                    "" => parameters.fs_type,
                    name => FsType::read("volume_capability.mount.fs_type", name)?,
                };
                Mode::Mount(fs, mount.mount_flags.clone())
            }
            None => return Err(missing("volume_capability.access_type")),
        };
        Ok(Self {
            identity,
            mode,
            parameters,
            read_only: access == i32::from(Access::SingleNodeReaderOnly),
            single_writer: access == i32::from(Access::SingleNodeSingleWriter),
        })
    }
}

async fn through<T: Send + 'static>(
    what: &'static str,
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<Response<T>, Status> {
    match tokio::spawn(work).await {
        Ok(Ok(answer)) => Ok(Response::new(answer)),
        Ok(Err(refusal)) => {
            tracing::info!(what, kind = ?refusal.kind, "refused: {refusal}");
            Err(status(&refusal))
        }
        Err(why) => Err(Status::internal(format!("{what}: the operation ended early: {why}"))),
    }
}

#[tonic::async_trait]
impl<H: Host> Rpc for Node<H> {
    async fn node_stage_volume(
        &self,
        request: Request<csi::NodeStageVolumeRequest>,
    ) -> Result<Response<csi::NodeStageVolumeResponse>, Status> {
        through("NodeStageVolume", stage::stage(self.inner.clone(), request.into_inner())).await
    }

    async fn node_unstage_volume(
        &self,
        request: Request<csi::NodeUnstageVolumeRequest>,
    ) -> Result<Response<csi::NodeUnstageVolumeResponse>, Status> {
        through("NodeUnstageVolume", stage::unstage(self.inner.clone(), request.into_inner())).await
    }

    async fn node_publish_volume(
        &self,
        request: Request<csi::NodePublishVolumeRequest>,
    ) -> Result<Response<csi::NodePublishVolumeResponse>, Status> {
        through("NodePublishVolume", target::publish(self.inner.clone(), request.into_inner())).await
    }

    async fn node_unpublish_volume(
        &self,
        request: Request<csi::NodeUnpublishVolumeRequest>,
    ) -> Result<Response<csi::NodeUnpublishVolumeResponse>, Status> {
        through("NodeUnpublishVolume", target::unpublish(self.inner.clone(), request.into_inner())).await
    }

    async fn node_get_volume_stats(
        &self,
        request: Request<csi::NodeGetVolumeStatsRequest>,
    ) -> Result<Response<csi::NodeGetVolumeStatsResponse>, Status> {
        through("NodeGetVolumeStats", target::stats(self.inner.clone(), request.into_inner())).await
    }

    async fn node_expand_volume(
        &self,
        request: Request<csi::NodeExpandVolumeRequest>,
    ) -> Result<Response<csi::NodeExpandVolumeResponse>, Status> {
        through("NodeExpandVolume", stage::expand(self.inner.clone(), request.into_inner())).await
    }

    async fn node_get_capabilities(
        &self,
        _: Request<csi::NodeGetCapabilitiesRequest>,
    ) -> Result<Response<csi::NodeGetCapabilitiesResponse>, Status> {
        use csi::node_service_capability::rpc::Type;
        use csi::node_service_capability::{Rpc, Type as Kind};
        let all = [Type::StageUnstageVolume, Type::GetVolumeStats, Type::ExpandVolume, Type::SingleNodeMultiWriter];
        let capability = |of: Type| csi::NodeServiceCapability { r#type: Some(Kind::Rpc(Rpc { r#type: of.into() })) };
        Ok(Response::new(csi::NodeGetCapabilitiesResponse { capabilities: all.into_iter().map(capability).collect() }))
    }

    async fn node_get_info(
        &self,
        _: Request<csi::NodeGetInfoRequest>,
    ) -> Result<Response<csi::NodeGetInfoResponse>, Status> {
        let NodeSettings { node, place, max_volumes, .. } = &self.inner.settings;
        let segments = [(REGION, &place.region), (ZONE, &place.zone)];
        let segments = segments.into_iter().filter(|(_, value)| !value.is_empty());
        Ok(Response::new(csi::NodeGetInfoResponse {
            node_id: node.clone(),
            max_volumes_per_node: i64::from(*max_volumes),
            accessible_topology: Some(csi::Topology {
                segments: segments.map(|(key, value)| (key.to_owned(), value.clone())).collect(),
            }),
        }))
    }
}

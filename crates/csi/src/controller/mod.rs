//! The controller's half of the interface.
//!
//! A handler is a sentence: parse, guard, then ask [`plan::volume`] and do what it says until it is done. An operation
//! goes on when its caller has gone away: what Proxmox VE was asked to do is seen to its end, and the next request
//! finds it done.

mod capacity;
mod copy;
mod create;
mod delete;
mod expand;
mod list;
mod place;
mod publish;
mod request;
mod snapshot;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use csi_proto::csi;
use csi_proto::csi::controller_server::Controller as Rpc;
use plan::volume::{Handle, Kind, Refusal};
use tonic::{Request, Response, Status};

use crate::region::Region;
use crate::status::{status, unimplemented};

pub(crate) use request::capability;

/// How often a decision is asked for before an operation gives up: more than any takes.
const PASSES: usize = 16;

/// The clusters, by name.
pub(crate) struct Regions(BTreeMap<String, Arc<Region>>);

impl Regions {
    pub(crate) fn new(regions: impl IntoIterator<Item = Region>) -> Self {
        Self(regions.into_iter().map(|region| (region.name.clone(), Arc::new(region))).collect())
    }

    /// The cluster of this name.
    fn named(&self, name: &str) -> Option<&Arc<Region>> {
        self.0.get(name)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Region>> {
        self.0.values()
    }

    /// The only one there is.
    fn only(&self) -> Option<&Arc<Region>> {
        match self.0.len() {
            1 => self.0.values().next(),
            _ => None,
        }
    }

    fn names(&self) -> String {
        self.0.keys().cloned().collect::<Vec<_>>().join(", ")
    }

    /// The volume with its cluster; a text that is no handle of ours names no volume that exists.
    fn handle(&self, field: &str, text: &str) -> Result<(Handle, Arc<Region>), Refusal> {
        if text.is_empty() {
            return Err(crate::status::missing(field));
        }
        let handle: Handle = text.parse().map_err(|why| Refusal::new(Kind::NotFound, format!("{field}: {why}")))?;
        match self.named(&handle.region) {
            Some(region) => Ok((handle, region.clone())),
            None => Err(Refusal::new(
                Kind::NotFound,
                format!("{field}: `{text}` is in region `{}`; there are {}", handle.region, self.names()),
            )),
        }
    }
}

/// The controller service.
#[derive(Clone)]
pub(crate) struct Controller {
    regions: Arc<Regions>,
}

impl Controller {
    pub(crate) fn new(regions: Arc<Regions>) -> Self {
        Self { regions }
    }
}

/// Carries an operation through, whether its caller waits or not.
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
impl Rpc for Controller {
    async fn create_volume(
        &self,
        request: Request<csi::CreateVolumeRequest>,
    ) -> Result<Response<csi::CreateVolumeResponse>, Status> {
        through("CreateVolume", create::create(self.regions.clone(), request.into_inner())).await
    }

    async fn delete_volume(
        &self,
        request: Request<csi::DeleteVolumeRequest>,
    ) -> Result<Response<csi::DeleteVolumeResponse>, Status> {
        through("DeleteVolume", delete::delete(self.regions.clone(), request.into_inner())).await
    }

    async fn controller_publish_volume(
        &self,
        request: Request<csi::ControllerPublishVolumeRequest>,
    ) -> Result<Response<csi::ControllerPublishVolumeResponse>, Status> {
        through("ControllerPublishVolume", publish::publish(self.regions.clone(), request.into_inner())).await
    }

    async fn controller_unpublish_volume(
        &self,
        request: Request<csi::ControllerUnpublishVolumeRequest>,
    ) -> Result<Response<csi::ControllerUnpublishVolumeResponse>, Status> {
        through("ControllerUnpublishVolume", publish::unpublish(self.regions.clone(), request.into_inner())).await
    }

    async fn validate_volume_capabilities(
        &self,
        request: Request<csi::ValidateVolumeCapabilitiesRequest>,
    ) -> Result<Response<csi::ValidateVolumeCapabilitiesResponse>, Status> {
        through("ValidateVolumeCapabilities", list::validate(self.regions.clone(), request.into_inner())).await
    }

    async fn list_volumes(
        &self,
        request: Request<csi::ListVolumesRequest>,
    ) -> Result<Response<csi::ListVolumesResponse>, Status> {
        through("ListVolumes", list::list(self.regions.clone(), request.into_inner())).await
    }

    async fn get_capacity(
        &self,
        request: Request<csi::GetCapacityRequest>,
    ) -> Result<Response<csi::GetCapacityResponse>, Status> {
        through("GetCapacity", capacity::capacity(self.regions.clone(), request.into_inner())).await
    }

    async fn controller_get_capabilities(
        &self,
        _: Request<csi::ControllerGetCapabilitiesRequest>,
    ) -> Result<Response<csi::ControllerGetCapabilitiesResponse>, Status> {
        use csi::controller_service_capability::rpc::Type;
        use csi::controller_service_capability::{Rpc, Type as Kind};
        let all = [
            Type::CreateDeleteVolume,
            Type::PublishUnpublishVolume,
            Type::ListVolumes,
            Type::ListVolumesPublishedNodes,
            Type::GetCapacity,
            Type::CreateDeleteSnapshot,
            Type::ListSnapshots,
            Type::CloneVolume,
            Type::PublishReadonly,
            Type::ExpandVolume,
            Type::GetVolume,
            Type::SingleNodeMultiWriter,
        ];
        let capability =
            |of: Type| csi::ControllerServiceCapability { r#type: Some(Kind::Rpc(Rpc { r#type: of.into() })) };
        let capabilities = all.into_iter().map(capability).collect();
        Ok(Response::new(csi::ControllerGetCapabilitiesResponse { capabilities }))
    }

    async fn create_snapshot(
        &self,
        request: Request<csi::CreateSnapshotRequest>,
    ) -> Result<Response<csi::CreateSnapshotResponse>, Status> {
        through("CreateSnapshot", snapshot::create(self.regions.clone(), request.into_inner())).await
    }

    async fn delete_snapshot(
        &self,
        request: Request<csi::DeleteSnapshotRequest>,
    ) -> Result<Response<csi::DeleteSnapshotResponse>, Status> {
        through("DeleteSnapshot", snapshot::delete(self.regions.clone(), request.into_inner())).await
    }

    async fn list_snapshots(
        &self,
        request: Request<csi::ListSnapshotsRequest>,
    ) -> Result<Response<csi::ListSnapshotsResponse>, Status> {
        through("ListSnapshots", snapshot::list(self.regions.clone(), request.into_inner())).await
    }

    async fn get_snapshot(
        &self,
        _: Request<csi::GetSnapshotRequest>,
    ) -> Result<Response<csi::GetSnapshotResponse>, Status> {
        Err(unimplemented("GetSnapshot"))
    }

    async fn controller_expand_volume(
        &self,
        request: Request<csi::ControllerExpandVolumeRequest>,
    ) -> Result<Response<csi::ControllerExpandVolumeResponse>, Status> {
        through("ControllerExpandVolume", expand::expand(self.regions.clone(), request.into_inner())).await
    }

    async fn controller_get_volume(
        &self,
        request: Request<csi::ControllerGetVolumeRequest>,
    ) -> Result<Response<csi::ControllerGetVolumeResponse>, Status> {
        through("ControllerGetVolume", list::get(self.regions.clone(), request.into_inner())).await
    }

    async fn controller_modify_volume(
        &self,
        _: Request<csi::ControllerModifyVolumeRequest>,
    ) -> Result<Response<csi::ControllerModifyVolumeResponse>, Status> {
        Err(unimplemented("ControllerModifyVolume"))
    }
}

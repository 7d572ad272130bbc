//! Who we are: the identity service, which controller and node both serve.

use csi_proto::csi;
use csi_proto::csi::identity_server::Identity as Rpc;
use csi_proto::csi::plugin_capability::service::Type as Service;
use csi_proto::csi::plugin_capability::volume_expansion::Type as Expansion;
use csi_proto::csi::plugin_capability::{self, Type};
use daemon::health::Health;
use tonic::{Request, Response, Status};

/// The identity service.
#[derive(Clone)]
pub(crate) struct Identity {
    driver: String,
    health: Health,
}

impl Identity {
    pub(crate) fn new(driver: &str, health: Health) -> Self {
        Self { driver: driver.to_owned(), health }
    }
}

#[tonic::async_trait]
impl Rpc for Identity {
    async fn get_plugin_info(
        &self,
        _: Request<csi::GetPluginInfoRequest>,
    ) -> Result<Response<csi::GetPluginInfoResponse>, Status> {
        Ok(Response::new(csi::GetPluginInfoResponse {
            name: self.driver.clone(),
            vendor_version: env!("CARGO_PKG_VERSION").to_owned(),
            manifest: [("project".to_owned(), "oxmox".to_owned())].into(),
        }))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<csi::GetPluginCapabilitiesRequest>,
    ) -> Result<Response<csi::GetPluginCapabilitiesResponse>, Status> {
        let service = |of: Service| Type::Service(plugin_capability::Service { r#type: of.into() });
        let expansion = |of: Expansion| Type::VolumeExpansion(plugin_capability::VolumeExpansion { r#type: of.into() });
        // Those of the driver as a whole, whichever half of it is asked.
        let all = [
            service(Service::ControllerService),
            service(Service::VolumeAccessibilityConstraints),
            expansion(Expansion::Online),
        ];
        let capabilities = all.into_iter().map(|of| csi::PluginCapability { r#type: Some(of) }).collect();
        Ok(Response::new(csi::GetPluginCapabilitiesResponse { capabilities }))
    }

    async fn probe(&self, _: Request<csi::ProbeRequest>) -> Result<Response<csi::ProbeResponse>, Status> {
        // Alive and not ready: the caller waits. What cannot be reached is no reason to start us anew.
        Ok(Response::new(csi::ProbeResponse { ready: Some(self.health.is_ready()) }))
    }
}

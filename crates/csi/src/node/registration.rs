//! How the kubelet gets to know us: it watches a directory for sockets, and asks each who it is.
//!
//! What node-driver-registrar does elsewhere. Users may still put that beside us, and switch this off.

use csi_proto::registration;
use csi_proto::registration::registration_server::Registration as Rpc;
use tonic::{Request, Response, Status};

/// The registration service.
#[derive(Debug, Clone)]
pub(crate) struct Registrar {
    driver: String,
    endpoint: String,
}

impl Registrar {
    /// For the driver that serves on this socket, as the kubelet sees it.
    pub(crate) fn new(driver: &str, endpoint: &str) -> Self {
        Self { driver: driver.to_owned(), endpoint: endpoint.to_owned() }
    }
}

#[tonic::async_trait]
impl Rpc for Registrar {
    async fn get_info(
        &self,
        _: Request<registration::InfoRequest>,
    ) -> Result<Response<registration::PluginInfo>, Status> {
        Ok(Response::new(registration::PluginInfo {
            r#type: "CSIPlugin".to_owned(),
            name: self.driver.clone(),
            endpoint: self.endpoint.clone(),
            // The kubelet knows majors only.
            supported_versions: vec!["1.0.0".to_owned()],
        }))
    }

    async fn notify_registration_status(
        &self,
        request: Request<registration::RegistrationStatus>,
    ) -> Result<Response<registration::RegistrationStatusResponse>, Status> {
        let registration::RegistrationStatus { plugin_registered, error } = request.into_inner();
        if plugin_registered {
            tracing::info!(driver = self.driver, "the kubelet knows the driver");
        } else {
            tracing::error!(driver = self.driver, error, "the kubelet does not take the driver");
        }
        Ok(Response::new(registration::RegistrationStatusResponse {}))
    }
}

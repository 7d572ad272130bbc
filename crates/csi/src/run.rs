//! Starts controller or node plugin, and keeps it running until told to stop.

use std::sync::Arc;

use csi_proto::csi::controller_server::ControllerServer;
use csi_proto::csi::identity_server::IdentityServer;
use csi_proto::csi::node_server::NodeServer;
use csi_proto::registration::registration_server::RegistrationServer;
use daemon::health::Health;
use daemon::metrics::Registry;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::controller::{Controller, Regions};
use crate::host::Host;
use crate::identity::Identity;
use crate::node::{Node, Registrar};
use crate::region::Region;
use crate::serve::{Error, Services, Socket};
use crate::settings::{ControllerSettings, NodeSettings};

/// Runs the controller until told to stop.
pub async fn controller(settings: ControllerSettings, stop: CancellationToken) -> Result<(), Error> {
    let health = Health::new();
    if settings.regions.is_empty() {
        return Err(Error::Settings("no Proxmox VE is named: neither --proxmox-url nor --cloud-config".to_owned()));
    }
    let mut regions = Vec::new();
    for of in &settings.regions {
        if regions.iter().any(|region: &Region| region.name == of.name) {
            return Err(Error::Settings(format!("two clusters have the region `{}`", of.name)));
        }
        let region = Region::new(of, &settings, stop.clone());
        regions.push(region.map_err(|why| Error::Region { region: of.name.clone(), why })?);
    }
    for region in &regions {
        tokio::spawn(tell_failures(region.poller.failures(), stop.clone()));
    }
    let regions = Arc::new(Regions::new(regions));
    if let Some(addr) = settings.admin {
        let registry = Registry::new();
        registry.register(|into| into.register_collector(Box::new(pve::Measures(figures(regions.clone())))));
        daemon::admin::serve(addr, health.clone(), registry, stop.clone()).await?;
    }
    let socket = Socket::bind(&settings.socket)?;
    let services = Services::default()
        .with(IdentityServer::new(Identity::new(&settings.driver, health.clone())))
        .with(ControllerServer::new(Controller::new(regions)));
    health.set_ready(true);
    tracing::info!(socket = %settings.socket.display(), driver = settings.driver, "working");
    socket.serve(services, stop).await
}

type Told = Vec<(Vec<(&'static str, String)>, pve::Figures)>;

fn figures(regions: Arc<Regions>) -> impl Fn() -> Told + Send + Sync + 'static {
    move || {
        let one = |region: &Arc<Region>| (vec![("region", region.name.clone())], region.poller.figures());
        regions.all().map(one).collect()
    }
}

/// Tasks of ours that fail, each once in the log, with the volume that they were for.
async fn tell_failures(mut failures: broadcast::Receiver<Arc<pve::Failure>>, stop: CancellationToken) {
    loop {
        let failure = tokio::select! {
            failure = failures.recv() => failure,
            () = stop.cancelled() => return,
        };
        match failure {
            Ok(failure) => failure.log(|_| None),
            Err(broadcast::error::RecvError::Lagged(missed)) => tracing::warn!(missed, "failed tasks were not told"),
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Runs the node plugin until told to stop.
pub async fn node<H: Host>(settings: NodeSettings, host: H, stop: CancellationToken) -> Result<(), Error> {
    let health = Health::new();
    if let Some(addr) = settings.admin {
        daemon::admin::serve(addr, health.clone(), Registry::new(), stop.clone()).await?;
    }
    let socket = Socket::bind(&settings.socket)?;
    let services = Services::default()
        .with(IdentityServer::new(Identity::new(&settings.driver, health.clone())))
        .with(NodeServer::new(Node::new(host, settings.clone())));
    // The kubelet asks the driver as soon as it sees this socket: it comes second.
    let registration = match &settings.registration {
        None => None,
        Some(of) => {
            let path = of.directory.join(format!("{}-reg.sock", settings.driver));
            let service = RegistrationServer::new(Registrar::new(&settings.driver, &of.endpoint));
            Some(Socket::bind(&path)?.serve(Services::default().with(service), stop.clone()))
        }
    };
    health.set_ready(true);
    tracing::info!(socket = %settings.socket.display(), driver = settings.driver, node = settings.node, "working");
    let served = socket.serve(services, stop.clone());
    match registration {
        None => served.await,
        Some(registered) => {
            let (served, registered) = futures::join!(served, registered);
            served.and(registered)
        }
    }
}

//! Starts the controller and keeps it running until told to stop.

use std::sync::Arc;
use std::time::Duration;

use daemon::controller::Controller;
use daemon::events::{Kind, Recorder};
use daemon::health::Health;
use daemon::lease::Lease;
use daemon::metrics::Registry;
use futures::{Stream, stream};
use k8s_openapi::api::core::v1;
use kube::runtime::watcher;
use kube::{Api, Client, Resource as _};
use plan::Severity;
use plan::node::Region;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::node;
use crate::region::Connection;
use crate::settings::Settings;
use crate::wake;

/// Who writes.
pub(crate) const FIELD_MANAGER: &str = "oxmox-ccm";
/// The Lease that replicas compete for; the controller that people use now takes the same, so that never both work.
const LEASE: &str = "cloud-controller-manager-proxmox";
/// How long the first reading is waited for before Nodes are looked at without.
const FIRST: Duration = Duration::from_secs(5);

/// Why the controller stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call to Kubernetes failed.
    #[error("{doing}")]
    Kube {
        /// What we were doing.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: Box<kube::Error>,
    },
    /// The settings of a Proxmox VE cluster cannot be used.
    #[error("region `{region}`")]
    Region {
        /// Which.
        region: String,
        /// Why not.
        #[source]
        source: Box<pve::ConfigError>,
    },
    /// Health and metrics could not be served.
    #[error(transparent)]
    Admin(#[from] daemon::admin::Error),
    /// Another process leads now.
    #[error("the lease was lost; another replica leads")]
    LeaseLost,
}

impl Error {
    pub(crate) fn kube(doing: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Kube { doing, source: Box::new(source) }
    }
}

/// What all passes share.
pub(crate) struct Context {
    pub(crate) kube: Client,
    pub(crate) settings: plan::node::Settings,
    connections: Vec<Arc<Connection>>,
    events: Recorder,
}

impl Context {
    /// All regions as they are known now.
    pub(crate) fn regions(&self) -> Vec<Region> {
        self.connections.iter().map(|connection| connection.region()).collect()
    }

    /// The region of that name.
    pub(crate) fn of(&self, region: &str) -> Option<&Connection> {
        self.connections.iter().find(|connection| connection.name == region).map(AsRef::as_ref)
    }

    /// Tells about a Node, for `kubectl describe`.
    pub(crate) async fn event(&self, node: &v1::Node, severity: Severity, reason: &str, message: &str) {
        let kind = match severity {
            Severity::Info => Kind::Normal,
            Severity::Warning => Kind::Warning,
        };
        self.events.publish(&node.object_ref(&()), kind, reason, "Reconcile", message).await;
    }
}

/// Runs the controller until the token is cancelled.
pub async fn run(settings: Settings, kube: Client, token: CancellationToken) -> Result<(), Error> {
    let registry = Registry::new();
    let health = Health::new();
    if let Some(addr) = settings.admin {
        let addr = daemon::admin::serve(addr, health.clone(), registry.clone(), token.clone()).await?;
        tracing::info!(%addr, "health and metrics");
    }
    let identity = identity();
    let held = if settings.leader_elect {
        let lease = Lease::new(kube.clone(), &settings.lease_namespace, LEASE, &identity);
        tracing::info!(%identity, "waiting to lead");
        let Some(held) = lease.acquire(&token).await else { return Ok(()) };
        Some(held)
    } else {
        None
    };
    let work = token.child_token();
    let context = Arc::new(Context {
        connections: open(&settings, &work)?,
        events: Recorder::new(kube.clone(), "oxmox.io/ccm", &identity),
        settings: settings.nodes.clone(),
        kube,
    });
    let of = context.clone();
    let figures = move || {
        let one =
            |connection: &Arc<Connection>| (vec![("region", connection.name.clone())], connection.poller.figures());
        of.connections.iter().map(one).collect()
    };
    registry.register(|registry| registry.register_collector(Box::new(pve::Measures(figures))));
    for connection in &context.connections {
        // A region that does not answer holds nobody up for long.
        let _late = tokio::time::timeout(FIRST, connection.poller.reading(1)).await;
    }
    health.set_ready(true);
    tracing::info!("working");
    let running = controller(&settings, &context, &registry, &work);
    tokio::pin!(running);
    let outcome = match &held {
        None => {
            running.await;
            Ok(())
        }
        Some(held) => tokio::select! {
            () = &mut running => Ok(()),
            () = held.lost() => {
                work.cancel();
                running.await;
                Err(Error::LeaseLost)
            }
        },
    };
    health.set_ready(false);
    if let Some(held) = held {
        held.release().await;
    }
    outcome
}

fn open(settings: &Settings, work: &CancellationToken) -> Result<Vec<Arc<Connection>>, Error> {
    let open = |cluster| {
        Connection::open(cluster, settings, work)
            .map(Arc::new)
            .map_err(|source| Error::Region { region: cluster.region.clone(), source: Box::new(source) })
    };
    settings.clusters.iter().map(open).collect()
}

/// This process among its replicas: the host and the process, as good names as a Lease needs.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}_{}", host.trim(), std::process::id())
}

async fn controller(settings: &Settings, context: &Arc<Context>, registry: &Registry, token: &CancellationToken) {
    let nodes = Controller::new("node", Api::all(context.kube.clone()), watcher::Config::default())
        .concurrency(settings.concurrency)
        .events(context.events.clone());
    let (sender, woken) = mpsc::unbounded_channel();
    for connection in &context.connections {
        tokio::spawn(wake::pass_on(connection.clone(), nodes.store(), sender.clone(), token.clone()));
    }
    let pass = |object: Arc<v1::Node>, ctx| node::reconcile(object, ctx);
    nodes.triggered_by(receive(woken)).run(pass, context.clone(), registry, token.clone()).await;
}

fn receive<T: Send + 'static>(from: mpsc::UnboundedReceiver<T>) -> impl Stream<Item = T> + Send + 'static {
    stream::unfold(from, |mut from| async move { from.recv().await.map(|item| (item, from)) })
}

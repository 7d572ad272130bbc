//! Starts the controllers and keeps them running until told to stop.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use api::{ProxmoxCluster, ProxmoxMachine};
use daemon::controller::{Controller, Guarded};
use daemon::events::{Kind, Recorder};
use daemon::health::Health;
use daemon::lease::Lease;
use daemon::metrics::Registry;
use futures::{Stream, StreamExt as _, stream};
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use plan::Severity;
use tokio::sync::{Mutex, mpsc};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::connection::Connections;
use crate::core::Kinds;
use crate::inventory::Inventories;
use crate::machine::Memory;
use crate::settings::Settings;
use crate::{cluster, failures, machine, watch};

/// Who writes, for server-side apply.
pub(crate) const FIELD_MANAGER: &str = "oxmox-capi";
/// The label that Cluster API's managers filter by.
const WATCH_FILTER_LABEL: &str = "cluster.x-k8s.io/watch-filter";
/// The Lease that replicas compete for.
const LEASE: &str = "oxmox-capi";

/// Why the controllers stopped.
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
    pub(crate) kinds: Kinds,
    pub(crate) connections: Connections,
    pub(crate) inventories: Inventories,
    pub(crate) memory: Memory,
    /// Held while a VMID and addresses are chosen.
    pub(crate) reserving: Mutex<()>,
    /// When this process started.
    pub(crate) started: Instant,
    machines: OnceLock<Store<Guarded<ProxmoxMachine>>>,
    events: Recorder,
    watch_filter: Option<String>,
}

impl Context {
    /// All machines that are known, of all clusters.
    pub(crate) fn each_machine(&self, mut see: impl FnMut(&ProxmoxMachine)) {
        for machine in self.machines.get().map(Store::state).unwrap_or_default() {
            if let Ok(machine) = &machine.0 {
                see(machine);
            }
        }
    }

    /// Whether an object with these labels is ours to work on.
    pub(crate) fn concerns(&self, labels: &BTreeMap<String, String>) -> bool {
        self.watch_filter.as_ref().is_none_or(|filter| labels.get(WATCH_FILTER_LABEL) == Some(filter))
    }

    /// Tells about an object, for `kubectl describe`.
    pub(crate) async fn event<K>(&self, object: &K, severity: Severity, reason: &str, message: &str)
    where
        K: Resource<DynamicType = ()>,
    {
        let kind = match severity {
            Severity::Info => Kind::Normal,
            Severity::Warning => Kind::Warning,
        };
        self.events.publish(&object.object_ref(&()), kind, reason, "Reconcile", message).await;
    }
}

/// Runs the controllers until the token is cancelled.
pub async fn run(settings: Settings, kube: Client, token: CancellationToken) -> Result<(), Error> {
    let registry = Registry::new();
    let health = Health::new();
    if let Some(addr) = settings.admin {
        let addr = daemon::admin::serve(addr, health.clone(), registry.clone(), token.clone()).await?;
        tracing::info!(%addr, "health and metrics");
    }
    let Some(kinds) = kinds(&kube, &token).await else { return Ok(()) };
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
    let (sender, changes) = mpsc::channel(256);
    let (failures, failed) = mpsc::channel(256);
    let context = Arc::new(Context {
        connections: Connections::new(kube.clone(), settings.clone(), work.clone(), sender, failures),
        inventories: Inventories::default(),
        memory: Memory::default(),
        reserving: Mutex::default(),
        started: Instant::now(),
        machines: OnceLock::new(),
        events: Recorder::new(kube.clone(), "oxmox.io/capi", &identity),
        watch_filter: settings.watch_filter.clone(),
        kinds,
        kube,
    });
    let of = context.clone();
    let figures = pve::Measures(move || vec![(Vec::new(), of.connections.figures())]);
    registry.register(|registry| registry.register_collector(Box::new(figures)));
    tokio::spawn(failures::tell(context.clone(), failed));
    health.set_ready(true);
    tracing::info!("working");
    let running = controllers(&settings, &context, &registry, changes, &work);
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

/// Cluster API's kinds, once they are installed.
async fn kinds(kube: &Client, token: &CancellationToken) -> Option<Kinds> {
    let mut every = tokio::time::interval(Duration::from_secs(2));
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = every.tick() => {}
            () = token.cancelled() => return None,
        }
        match Kinds::discover(kube).await {
            Ok(Some(kinds)) => return Some(kinds),
            Ok(None) => tracing::warn!("waiting for Cluster API's kinds (cluster.x-k8s.io) to be installed"),
            Err(why) => tracing::warn!(why = %daemon::chain(&why), "cannot ask Kubernetes for its kinds"),
        }
    }
}

/// This process among its replicas: the host and the process, as good names as a Lease needs.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}_{}", host.trim(), std::process::id())
}

async fn controllers(
    settings: &Settings,
    context: &Arc<Context>,
    registry: &Registry,
    changes: mpsc::Receiver<Arc<pve::Changes>>,
    token: &CancellationToken,
) {
    let kube = &context.kube;
    let machines = Controller::new("machine", api_of(kube, settings), watcher::Config::default())
        .concurrency(settings.concurrency)
        .events(context.events.clone());
    let clusters = Controller::new("cluster", api_of(kube, settings), watcher::Config::default())
        .concurrency(settings.concurrency)
        .events(context.events.clone());
    // set once, here; a second run has its own context
    let _unset = context.machines.set(machines.store());
    let (wake_machines, to_machines) = mpsc::unbounded_channel();
    let (wake_clusters, to_clusters) = mpsc::unbounded_channel();
    tokio::spawn(wake(context.clone(), settings.clone(), changes, wake_machines, wake_clusters, token.clone()));
    let machines = machines.triggered_by(receive(to_machines)).run(
        |object: Arc<ProxmoxMachine>, ctx| async move {
            machine::reconcile(&object.namespace().unwrap_or_default(), &object.name_any(), ctx).await
        },
        context.clone(),
        registry,
        token.clone(),
    );
    let clusters = clusters.triggered_by(receive(to_clusters)).run(
        |object: Arc<ProxmoxCluster>, ctx| async move {
            cluster::reconcile(&object.namespace().unwrap_or_default(), &object.name_any(), ctx).await
        },
        context.clone(),
        registry,
        token.clone(),
    );
    tokio::join!(machines, clusters);
}

fn api_of<K>(kube: &Client, settings: &Settings) -> Api<K>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
{
    match &settings.namespace {
        Some(namespace) => Api::namespaced(kube.clone(), namespace),
        None => Api::all(kube.clone()),
    }
}

fn watched(kube: &Client, settings: &Settings, kind: &ApiResource) -> impl Stream<Item = DynamicObject> + Send + use<> {
    let objects: Api<DynamicObject> = match &settings.namespace {
        Some(namespace) => Api::namespaced_with(kube.clone(), namespace, kind),
        None => Api::all_with(kube.clone(), kind),
    };
    watcher(objects, watcher::Config::default())
        .default_backoff()
        .touched_objects()
        .filter_map(|object| std::future::ready(object.ok()))
}

fn receive<T: Send + 'static>(from: mpsc::UnboundedReceiver<T>) -> impl Stream<Item = T> + Send + 'static {
    stream::unfold(from, |mut from| async move { from.recv().await.map(|item| (item, from)) })
}

/// Turns changes of Cluster API's objects, of our clusters, and on Proxmox VE into passes.
async fn wake(
    context: Arc<Context>,
    settings: Settings,
    mut changes: mpsc::Receiver<Arc<pve::Changes>>,
    machines: mpsc::UnboundedSender<ObjectRef<ProxmoxMachine>>,
    clusters: mpsc::UnboundedSender<ObjectRef<ProxmoxCluster>>,
    token: CancellationToken,
) {
    let kube = &context.kube;
    let mut core_machines = std::pin::pin!(watched(kube, &settings, &context.kinds.machine));
    let mut core_clusters = std::pin::pin!(watched(kube, &settings, &context.kinds.cluster));
    let own: Api<Guarded<ProxmoxCluster>> = api_of(kube, &settings);
    let own = watcher(own, watcher::Config::default()).default_backoff().touched_objects();
    let mut own = std::pin::pin!(own.filter_map(|object| std::future::ready(object.ok())));
    let own_machines: Api<Guarded<ProxmoxMachine>> = api_of(kube, &settings);
    let own_machines = watcher(own_machines, watcher::Config::default()).default_backoff().touched_objects();
    let mut own_machines = std::pin::pin!(own_machines.filter_map(|object| std::future::ready(object.ok())));
    let mut readable = true;
    let send_machines = |all: Vec<ObjectRef<ProxmoxMachine>>| {
        for one in all {
            // nobody listens any more: we are stopping
            let _stopping = machines.send(one);
        }
    };
    loop {
        tokio::select! {
            () = token.cancelled() => return,
            Some(machine) = core_machines.next() => {
                send_machines(watch::machine_of_machine(&machine).into_iter().collect());
            }
            Some(cluster) = core_clusters.next() => {
                send_machines(watch::machines_of_cluster(&context, cluster.metadata.namespace.as_deref(), &cluster.name_any()));
                if let Some(own) = watch::cluster_of_cluster(&cluster) {
                    let _stopping = clusters.send(own);
                }
            }
            Some(cluster) = own.next() => {
                if let Some(name) = crate::core::owner(cluster.meta(), "Cluster") {
                    send_machines(watch::machines_of_cluster(&context, cluster.meta().namespace.as_deref(), &name));
                }
            }
            Some(machine) = own_machines.next() => {
                // a cluster that goes waits for its last machine
                if machine.meta().deletion_timestamp.is_some() {
                    for one in watch::clusters_of(&context, kube, machine.meta()).await {
                        let _stopping = clusters.send(one);
                    }
                }
            }
            Some(change) = changes.recv() => {
                send_machines(watch::machines_of_change(&context, &change));
                // a cluster is concerned when Proxmox VE comes or goes
                let now = change.what != pve::Changed::Everything;
                if readable != now || !now {
                    readable = now;
                    for one in watch::all_clusters(kube, &settings).await {
                        let _stopping = clusters.send(one);
                    }
                }
            }
        }
    }
}

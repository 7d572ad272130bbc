//! Connections to Proxmox VE: one client and one poller for each set of credentials, whoever uses it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use api::ProxmoxCluster;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt};
use pve::{Poller, PollerOptions};
use pve_types::{GuestConfig, Vmid};
use secrecy::SecretString;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use crate::failures;
use crate::settings::{Credentials, Settings};

/// How long a template's configuration, or the next free VMID, is taken for true.
const FRESH: Duration = Duration::from_secs(20);

/// A Proxmox VE.
pub(crate) struct Connection {
    pub(crate) client: pve::Client,
    pub(crate) poller: Poller,
    templates: Mutex<HashMap<Vmid, (GuestConfig, Instant)>>,
    next_vmid: Mutex<Option<(Vmid, Instant)>>,
}

impl Connection {
    pub(crate) fn template(&self, vmid: Vmid) -> Option<GuestConfig> {
        let templates = lock(&self.templates);
        templates.get(&vmid).filter(|(_, at)| at.elapsed() < FRESH).map(|(config, _)| config.clone())
    }

    pub(crate) fn keep_template(&self, vmid: Vmid, config: GuestConfig) {
        lock(&self.templates).insert(vmid, (config, Instant::now()));
    }

    /// The lowest free VMID, as Proxmox VE said lately: what lies below is taken, whoever may see it.
    pub(crate) async fn next_vmid(&self) -> Result<Vmid, pve::Error> {
        let known = lock(&self.next_vmid).filter(|(_, at)| at.elapsed() < FRESH);
        if let Some((vmid, _)) = known {
            return Ok(vmid);
        }
        let vmid = self.client.next_vmid().await?;
        *lock(&self.next_vmid) = Some((vmid, Instant::now()));
        Ok(vmid)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All connections.
pub(crate) struct Connections {
    kube: Client,
    settings: Settings,
    shutdown: CancellationToken,
    open: Mutex<HashMap<String, Arc<Connection>>>,
    /// Tells the controllers that something changed on some Proxmox VE.
    changes: mpsc::Sender<Arc<pve::Changes>>,
    /// Tasks that failed on some Proxmox VE.
    failures: mpsc::Sender<Arc<pve::Failure>>,
}

impl Connections {
    pub(crate) fn new(
        kube: Client,
        settings: Settings,
        shutdown: CancellationToken,
        changes: mpsc::Sender<Arc<pve::Changes>>,
        failures: mpsc::Sender<Arc<pve::Failure>>,
    ) -> Self {
        Self { kube, settings, shutdown, open: Mutex::default(), changes, failures }
    }

    /// The connection that a cluster's machines use. The error is for people and names the next move.
    pub(crate) async fn of(&self, cluster: &ProxmoxCluster) -> Result<Arc<Connection>, String> {
        let credentials = self.credentials(cluster).await?;
        let key = key(&credentials);
        if let Some(open) = lock(&self.open).get(&key) {
            return Ok(open.clone());
        }
        let client = pve::Client::new(credentials.config()?).map_err(|why| daemon::chain(&why))?;
        let options = PollerOptions {
            idle: self.settings.poll_idle,
            busy: self.settings.poll_busy,
            tasks: self.settings.poll_tasks,
        };
        let mut all = lock(&self.open);
        if let Some(open) = all.get(&key) {
            return Ok(open.clone());
        }
        let poller = Poller::spawn(client.clone(), options, self.shutdown.clone());
        tokio::spawn(pass_on(poller.changes(), self.changes.clone(), self.shutdown.clone()));
        tokio::spawn(failures::pass_on(poller.failures(), self.failures.clone(), self.shutdown.clone()));
        poller.watch_failures(self.settings.poll_failures);
        let connection =
            Arc::new(Connection { client, poller, templates: Mutex::default(), next_vmid: Mutex::default() });
        all.insert(key, connection.clone());
        Ok(connection)
    }

    /// Calls and tasks over all connections, for metrics.
    pub(crate) fn figures(&self) -> pve::Figures {
        let mut sum = pve::Figures::default();
        for connection in lock(&self.open).values() {
            sum.add(connection.poller.figures());
        }
        sum
    }

    async fn credentials(&self, cluster: &ProxmoxCluster) -> Result<Credentials, String> {
        let Some(reference) = &cluster.spec.credentials_ref else {
            return self.settings.credentials.clone().ok_or_else(|| {
                "spec.credentialsRef is not set, and the manager has no credentials of its own: \
                 create a Secret with the keys url, token and secret and name it in spec.credentialsRef"
                    .into()
            });
        };
        let name = reference.name.clone().unwrap_or_default();
        let namespace = reference.namespace.clone().or_else(|| cluster.namespace()).unwrap_or_default();
        let secrets: Api<Secret> = Api::namespaced(self.kube.clone(), &namespace);
        let secret = secrets
            .get_opt(&name)
            .await
            .map_err(|why| format!("spec.credentialsRef: read Secret `{namespace}/{name}`: {}", daemon::chain(&why)))?
            .ok_or_else(|| format!("spec.credentialsRef: there is no Secret `{namespace}/{name}`"))?;
        read_secret(&secret).map_err(|why| format!("spec.credentialsRef: Secret `{namespace}/{name}`: {why}"))
    }
}

async fn pass_on(
    mut changes: broadcast::Receiver<Arc<pve::Changes>>,
    to: mpsc::Sender<Arc<pve::Changes>>,
    shutdown: CancellationToken,
) {
    loop {
        let change = tokio::select! {
            change = changes.recv() => change,
            () = shutdown.cancelled() => return,
        };
        let change = match change {
            Ok(change) => change,
            Err(broadcast::error::RecvError::Lagged(_)) => Arc::new(pve::Changes {
                sequence: 0,
                what: pve::Changed::Everything,
                tasks: std::collections::BTreeSet::new(),
            }),
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if to.send(change).await.is_err() {
            return;
        }
    }
}

fn read_secret(secret: &Secret) -> Result<Credentials, String> {
    let text = |key: &str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.clone());
        let text = secret.string_data.as_ref().and_then(|data| data.get(key)).cloned();
        bytes.and_then(|bytes| String::from_utf8(bytes).ok()).or(text).map(|text| text.trim().to_owned())
    };
    let need = |key: &str| text(key).filter(|text| !text.is_empty()).ok_or_else(|| format!("key `{key}` is missing"));
    Ok(Credentials {
        urls: need("url")?.split([',', ' ']).filter(|url| !url.is_empty()).map(ToOwned::to_owned).collect(),
        token: need("token")?,
        secret: SecretString::from(need("secret")?),
        insecure: text("insecure").is_some_and(|text| text == "true" || text == "1"),
        root_ca: text("root_ca").filter(|text| !text.is_empty()),
        fingerprint: text("fingerprint").filter(|text| !text.is_empty()),
    })
}

/// Two sets of credentials that are equal share a connection. The key never leaves memory.
fn key(credentials: &Credentials) -> String {
    use secrecy::ExposeSecret as _;
    let Credentials { urls, token, secret, insecure, root_ca, fingerprint } = credentials;
    format!("{urls:?} {token} {} {insecure} {root_ca:?} {fingerprint:?}", secret.expose_secret())
}

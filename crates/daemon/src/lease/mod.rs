//! One leader among several of us, by a Kubernetes Lease.
//!
//! * What it is: leader election on a `coordination.k8s.io/v1` Lease.
//! * What it promises: never two leaders while their clocks' rates differ by less than
//!   `duration / renew_deadline` (1.5 by default): clocks of different machines are never compared.
//!   A [`Held`] lease is renewed until it is released, dropped or lost; a released one is free at once.
//! * What it assumes: an identity that no other living process has (the pod's name and UID); that
//!   whoever holds the lease stops writing when [`Held::lost`] resolves.

mod held;
mod record;
mod rules;
#[cfg(test)]
mod test;

use std::time::Duration;

use kube::Client;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

pub use held::Held;

use crate::chain;
use record::Record;
use rules::{Seen, Waiting};

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
        let record = Record::new(self);
        let start = Instant::now();
        let mut seen: Option<Seen> = None;
        let mut told = false;
        while !token.is_cancelled() {
            let answer = tokio::select! {
                () = token.cancelled() => return None,
                answer = record.read() => answer,
            };
            let pause = match answer {
                Err(why) => {
                    warn!(lease = %record, why = chain(&why), "cannot read the lease");
                    self.settings.retry_period
                }
                Ok(object) => {
                    let now = start.elapsed();
                    seen = object
                        .as_ref()
                        .map(|object| Seen::next(seen.take(), object.spec.clone().unwrap_or_default(), now));
                    match rules::waiting(&self.identity, self.settings, seen.as_ref(), now) {
                        Waiting::Wait(pause) => {
                            if !std::mem::replace(&mut told, true) {
                                info!(lease = %record, "another leads: waiting");
                            }
                            pause
                        }
                        Waiting::Take => {
                            let sent = Instant::now();
                            match record.take(object).await {
                                Ok(object) => {
                                    info!(lease = %record, identity = self.identity, "leading");
                                    return Some(Held::keep(record, object, sent));
                                }
                                // Another was faster, or the answer was lost: the next look tells.
                                Err(why) => debug!(lease = %record, why = chain(&why), "not taken"),
                            }
                            self.settings.retry_period
                        }
                    }
                }
            };
            // Ends early only when the token is cancelled, which the loop sees.
            let _ = timeout(pause, token.cancelled()).await;
        }
        None
    }
}

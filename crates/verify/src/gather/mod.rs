//! Reading: Proxmox, the management cluster, the workload cluster. All I/O of this crate is here.
//!
//! * What it promises: nothing is written anywhere, but by probes that were asked for; a part that fails spoils no other part; credentials go only
//!   where the clients take them, and a server's certificate is looked at without sending any.
//! * What it assumes: the clients bound their own calls in flight and have time limits.

mod door;
mod management;
mod monitoring;
mod own;
mod policies;
mod proxmox;
mod volumes;
mod workers;
mod workload;

use std::error::Error as StdError;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::evidence::{Cause, Evidence, Read, TrustSeen};

/// Where to look.
#[derive(Clone)]
pub struct Sources {
    /// Proxmox's client.
    pub pve: pve::Client,
    /// The URLs that the client has.
    pub urls: Vec<pve::BaseUrl>,
    /// Whose certificate the client believes.
    pub trust: TrustSeen,
    /// The management cluster's client, if there is one.
    pub kube: Option<kube::Client>,
    /// The namespace of the cluster.
    pub namespace: String,
    /// The cluster's name; `None`: the one that the namespace holds, when it holds just one.
    pub cluster: Option<String>,
    /// The container image of pods that probe volumes and network policies; `None`: nothing is made in the cluster.
    pub probe: Option<String>,
    /// An address outside of the cluster that speaks HTTP, for probes of policies by CIDR; `None`: there are none.
    pub outside: Option<std::net::SocketAddr>,
    /// Where a store of metrics answers Prometheus's query API; `None`: none is asked.
    pub metrics: Option<String>,
    /// Where a VictoriaLogs answers; `None`: none is asked.
    pub logs: Option<String>,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { pve, urls, trust, kube: _, namespace, cluster, probe, outside: _, metrics: _, logs: _ } = self;
        f.debug_struct("Sources")
            .field("pve", pve)
            .field("urls", urls)
            .field("trust", trust)
            .field("namespace", namespace)
            .field("cluster", cluster)
            .field("probe", probe)
            .finish_non_exhaustive()
    }
}

impl From<&pve::Trust> for TrustSeen {
    fn from(trust: &pve::Trust) -> Self {
        match trust {
            pve::Trust::System => Self::System,
            pve::Trust::Ca(_) => Self::Ca,
            pve::Trust::Fingerprint(_) => Self::Fingerprint,
            pve::Trust::Skip => Self::Anyone,
        }
    }
}

/// The time now, by the time that was given and what has passed since.
#[derive(Clone, Copy)]
struct Clock {
    started: Timestamp,
    since: Instant,
}

impl Clock {
    fn now(self) -> Timestamp {
        let passed = jiff::SignedDuration::try_from(self.since.elapsed()).unwrap_or_default();
        self.started.checked_add(passed).unwrap_or(self.started)
    }
}

const PARTS: [&str; 6] = [
    "Proxmox and the management cluster",
    "nodes and VMs of Proxmox",
    "the workload cluster",
    "guests",
    "machines again",
    "stores of metrics and logs",
];

/// Which probes are made, where an image was given for their pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Probes {
    /// Of network policies.
    pub(crate) policies: bool,
    /// Of a volume.
    pub(crate) volumes: bool,
}

impl Probes {
    /// The image of the probe's pods, or why there is no probe.
    fn image<'a>(sources: &'a Sources, asked: bool, what: &str) -> Result<&'a str, String> {
        match &sources.probe {
            Some(image) if asked => Ok(image),
            Some(_) => Err(format!("no check of {what} was asked for")),
            None => Err(format!("probes of {what} make pods of their own, and were not asked for")),
        }
    }
}

/// Reads everything that can be read. `now` is the time at the start.
pub async fn gather(sources: &Sources, now: Timestamp) -> Evidence {
    gather_with(sources, Probes { policies: true, volumes: true }, now, &mut |_, _, _| {}).await
}

/// Reads everything that can be read; tells each part, its place and how many there are before it is read.
pub(crate) async fn gather_with(
    sources: &Sources,
    probes: Probes,
    now: Timestamp,
    tell: &mut (dyn FnMut(&'static str, usize, usize) + Send),
) -> Evidence {
    let clock = Clock { started: now, since: Instant::now() };
    let mut n = 0;
    let mut next = || {
        if let Some(part) = PARTS.get(n) {
            n += 1;
            tell(part, n, PARTS.len());
        }
    };
    next();
    let (mut proxmox, (mut management, cluster)) =
        tokio::join!(Box::pin(proxmox::cluster(sources, clock)), management::read(sources));
    next();
    proxmox::nodes(&sources.pve, &mut proxmox).await;
    next();
    let workload = workload::read(sources, probes, &management, cluster.as_deref(), &mut proxmox, clock).await;
    next();
    proxmox::guests(&sources.pve, &management, &mut proxmox).await;
    workers::agents(&sources.pve, &management, &workload, &mut proxmox).await;
    next();
    management::again(sources, &mut management).await;
    next();
    let monitoring = monitoring::read(sources.metrics.as_deref(), sources.logs.as_deref()).await;
    Evidence {
        started: now,
        finished: clock.now(),
        oxmox: env!("CARGO_PKG_VERSION").to_owned(),
        namespace: sources.namespace.clone(),
        cluster,
        proxmox,
        management,
        workload,
        monitoring,
        story: crate::evidence::no_story(),
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge: a packet filter does not say when it has taken over a rule")]
async fn pause(time: std::time::Duration) {
    tokio::time::sleep(time).await;
}

/// An error with its causes, each once.
fn chain(error: &dyn StdError) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        source = cause.source();
    }
    words
}

fn of_proxmox<T>(answer: Result<T, pve::Error>) -> Read<T> {
    answer.map_or_else(|error| Read::unread(cause(&error), chain(&error)), Read::Known)
}

fn cause(error: &pve::Error) -> Cause {
    match error {
        pve::Error::Unsent(unsent) => match &unsent.cause {
            pve::UnsentCause::NoConnection { tried } => {
                let certificate = |word: &str| ["certificate", "fingerprint"].iter().any(|part| word.contains(part));
                if tried.iter().any(|one| certificate(&one.why)) { Cause::Certificate } else { Cause::NoConnection }
            }
            pve::UnsentCause::Login(error) => cause(error),
            pve::UnsentCause::NotYet => Cause::NoAnswer,
            pve::UnsentCause::BadSegment { .. } | pve::UnsentCause::EmptyValue { .. } => Cause::Refused,
        },
        pve::Error::Unanswered(_) => Cause::NoAnswer,
        pve::Error::Garbled(_) => Cause::Garbled,
        pve::Error::Refused(refused) => match &refused.kind {
            pve::Refusal::AuthFailed => Cause::NotKnown,
            pve::Refusal::Forbidden { .. } => Cause::Forbidden,
            pve::Refusal::NotFound => Cause::Missing,
            _ => Cause::Refused,
        },
        pve::Error::TaskFailed(_) => Cause::Refused,
    }
}

fn of_kube<T>(answer: Result<T, kube::Error>) -> Read<T> {
    let error = match answer {
        Ok(value) => return Read::Known(value),
        Err(error) => error,
    };
    // kube prints an error's source inside the error, but not what lies below that.
    let words = chain(&error);
    match error {
        kube::Error::Api(status) => {
            let cause = match status.code {
                401 => Cause::NotKnown,
                403 => Cause::Forbidden,
                404 => Cause::Missing,
                _ => Cause::Refused,
            };
            let why = if status.message.is_empty() { words } else { status.message.clone() };
            Read::unread(cause, why)
        }
        kube::Error::SerdeError(_) => Read::unread(Cause::Garbled, words),
        _ => Read::unread(Cause::NoConnection, words),
    }
}

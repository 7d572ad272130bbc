//! One reconcile of one object, with everything around it.
//!
//! * What it is: the span, the time, the outcome's metric, and what follows a failure.
//! * What it promises: it never fails: a failure is logged once, with its causes, and becomes a wait.
//! * What it assumes: the reconcile says in its error what it was doing.

use std::{convert::Infallible, fmt::Debug, sync::Arc};

use kube::{Resource, ResourceExt as _, core::error_boundary::InvalidObject, runtime::controller::Action};
use tokio::time::Instant;
use tracing::{Instrument as _, debug, info_span, warn};

use super::{
    Guarded,
    backoff::{Failed, Failures},
    measure::{Outcome, Reconciles},
};
use crate::{
    chain,
    events::{Kind, Recorder},
};

pub(super) struct Pass {
    pub(super) controller: &'static str,
    pub(super) failures: Arc<Failures>,
    pub(super) reconciles: Reconciles,
    pub(super) events: Option<Recorder>,
}

impl Pass {
    pub(super) async fn run<K, Ctx, Reconcile, Running, E>(
        self,
        object: Arc<Guarded<K>>,
        context: Arc<Ctx>,
        reconcile: Arc<Reconcile>,
    ) -> Result<Action, Infallible>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
        Reconcile: Fn(Arc<K>, Arc<Ctx>) -> Running,
        Running: Future<Output = Result<Action, E>>,
        E: std::error::Error + 'static,
    {
        let meta = object.meta();
        let span = info_span!(
            "reconcile",
            controller = self.controller,
            namespace = meta.namespace,
            name = meta.name,
            uid = meta.uid,
            generation = meta.generation
        );
        self.within(&object, context, reconcile).instrument(span).await
    }

    async fn within<K, Ctx, Reconcile, Running, E>(
        self,
        object: &Guarded<K>,
        context: Arc<Ctx>,
        reconcile: Arc<Reconcile>,
    ) -> Result<Action, Infallible>
    where
        K: Resource<DynamicType = ()> + Clone,
        Reconcile: Fn(Arc<K>, Arc<Ctx>) -> Running,
        Running: Future<Output = Result<Action, E>>,
        E: std::error::Error + 'static,
    {
        let key = (object.namespace(), object.name_any());
        let start = Instant::now();
        let (outcome, action) = match &object.0 {
            Err(why) => {
                self.unreadable(object, why).await;
                // Only a change can help, and a change triggers.
                (Outcome::Unreadable, Action::await_change())
            }
            Ok(readable) => match reconcile(Arc::new(readable.clone()), context).await {
                Ok(action) => {
                    self.failures.forget(&key);
                    (Outcome::Done, action)
                }
                Err(why) => {
                    let Failed { times, again } = self.failures.failed(&key);
                    warn!(why = chain(&why), times, again_in_s = again.as_secs(), "reconcile failed");
                    (Outcome::Failed, Action::requeue(again))
                }
            },
        };
        let took = start.elapsed();
        debug!(?outcome, took_ms = took.as_millis(), "reconciled");
        self.reconciles.record(self.controller, outcome, took);
        Ok(action)
    }

    async fn unreadable<K: Resource<DynamicType = ()>>(&self, object: &Guarded<K>, why: &InvalidObject) {
        let kind = K::kind(&());
        warn!(%kind, %why, "cannot be read");
        if let Some(events) = &self.events {
            let note = format!(
                "cannot be read as a {kind}: {why}. hint: compare it with `kubectl explain {}`",
                kind.to_lowercase()
            );
            events.publish(&object.object_ref(&()), Kind::Warning, "Unreadable", "Reading", &note).await;
        }
    }
}

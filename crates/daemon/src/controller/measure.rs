//! The metrics of all controllers of a process.
//!
//! * What it is: reconciles by outcome, and how long they took.
//! * What it promises: one family for all controllers, told apart by a label.
//! * What it assumes: registered once for each registry, see [`crate::metrics::Registry`].

use std::time::Duration;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

/// From a settled object (milliseconds) to one that waits for calls that time out.
const BUCKETS: [f64; 10] = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Outcome {
    Done,
    Failed,
    Unreadable,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Counted {
    controller: &'static str,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Timed {
    controller: &'static str,
}

#[derive(Clone, Debug)]
pub(crate) struct Reconciles {
    count: Family<Counted, Counter>,
    seconds: Family<Timed, Histogram>,
}

impl Reconciles {
    pub(crate) fn register(into: &mut Registry) -> Self {
        let count = Family::default();
        let seconds = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        into.register("controller_reconciles", "Reconciles by outcome", count.clone());
        into.register_with_unit(
            "controller_reconcile_duration",
            "How long reconciles took",
            Unit::Seconds,
            seconds.clone(),
        );
        Self { count, seconds }
    }

    pub(super) fn record(&self, controller: &'static str, outcome: Outcome, took: Duration) {
        self.count.get_or_create(&Counted { controller, outcome }).inc();
        self.seconds.get_or_create(&Timed { controller }).observe(took.as_secs_f64());
    }
}

//! What the exporter tells of itself, under the peer's names.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use daemon::metrics::Registry;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::settings::Settings;

/// The buckets of Prometheus's Python client.
const BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByModule {
    module: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCall {
    method: &'static str,
    url: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTarget {
    target: String,
    cluster: u8,
    node: u8,
}

/// The exporter's own metrics.
#[derive(Debug, Clone)]
pub struct Own(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Seconds of collections, and how many: together what Prometheus calls a summary.
    seconds: Family<ByModule, Counter<f64, AtomicU64>>,
    collections: Family<ByModule, Counter>,
    errors: Family<ByModule, Counter>,
    api: Option<(Family<ByCall, Histogram>, Family<ByCall, Counter>)>,
    targets: Option<(Family<ByTarget, Histogram>, Family<ByTarget, Counter>)>,
    ready: Gauge,
}

/// A scrape that is over.
pub(crate) struct Scrape<'a> {
    pub(crate) module: &'a str,
    pub(crate) target: &'a str,
    pub(crate) cluster: bool,
    pub(crate) node: bool,
    pub(crate) took: Duration,
    pub(crate) failed: bool,
}

impl Own {
    /// Registers them; each module is there from the start.
    pub(crate) fn register(settings: &Settings, registry: &Registry) -> Self {
        let histogram = || Histogram::new(BUCKETS);
        let slow = || Histogram::new(BUCKETS.map(|bound| bound * 10.0));
        let inner = Inner {
            seconds: Family::default(),
            collections: Family::default(),
            errors: Family::default(),
            api: settings
                .measure
                .api
                .then(|| (Family::new_with_constructor(histogram as fn() -> Histogram), Family::default())),
            targets: settings
                .measure
                .targets
                .then(|| (Family::new_with_constructor(slow as fn() -> Histogram), Family::default())),
            ready: Gauge::default(),
        };
        for module in settings.modules.keys() {
            let by = ByModule { module: module.clone() };
            drop(inner.errors.get_or_create(&by));
            drop(inner.seconds.get_or_create(&by));
            drop(inner.collections.get_or_create(&by));
        }
        registry.register(|into| {
            let Inner { seconds, collections, errors, api, targets, ready } = &inner;
            into.register("oxmox_exporter_collection_seconds", "Seconds that collections took", seconds.clone());
            into.register("oxmox_exporter_collections", "Collections", collections.clone());
            into.register("pve_request_errors", "Requests that failed as a whole", errors.clone());
            into.register("oxmox_exporter_ready", "Whether the exporter answers scrapes", ready.clone());
            if let Some((durations, failed)) = api {
                into.register("pve_scrape_api_duration_seconds", "Duration of calls of Proxmox VE", durations.clone());
                into.register("pve_scrape_api_errors", "Calls of Proxmox VE that failed", failed.clone());
            }
            if let Some((durations, failed)) = targets {
                into.register("pve_scrape_target_duration_seconds", "Duration of scrapes", durations.clone());
                into.register("pve_scrape_target_errors", "Scrapes that failed as a whole", failed.clone());
            }
        });
        inner.ready.set(1);
        Self(Arc::new(inner))
    }

    pub(crate) fn called(&self, path: &'static str, took: Duration, failed: bool) {
        if let Some((durations, errors)) = &self.0.api {
            let by = ByCall { method: "GET", url: path };
            durations.get_or_create(&by).observe(took.as_secs_f64());
            if failed {
                errors.get_or_create(&by).inc();
            }
        }
    }

    pub(crate) fn scraped(&self, scrape: &Scrape<'_>) {
        let by = ByModule { module: scrape.module.to_owned() };
        if scrape.failed {
            self.0.errors.get_or_create(&by).inc();
        } else {
            self.0.seconds.get_or_create(&by).inc_by(scrape.took.as_secs_f64());
            self.0.collections.get_or_create(&by).inc();
        }
        if let Some((durations, errors)) = &self.0.targets {
            let by = ByTarget {
                target: scrape.target.to_owned(),
                cluster: u8::from(scrape.cluster),
                node: u8::from(scrape.node),
            };
            durations.get_or_create(&by).observe(scrape.took.as_secs_f64());
            if scrape.failed {
                errors.get_or_create(&by).inc();
            }
        }
    }

    /// The summary `pve_collection_duration_seconds`, which the metrics library does not know, as text.
    pub(crate) fn summary(&self, modules: impl Iterator<Item = String>) -> String {
        use std::fmt::Write as _;
        let mut out = String::from(
            "# HELP pve_collection_duration_seconds Duration of collections\n# TYPE pve_collection_duration_seconds summary\n",
        );
        for module in modules {
            let by = ByModule { module: module.clone() };
            let count = self.0.collections.get_or_create(&by).get();
            let sum = self.0.seconds.get_or_create(&by).get();
            let _ok = writeln!(
                out,
                "pve_collection_duration_seconds_count{{module=\"{module}\"}} {count}\npve_collection_duration_seconds_sum{{module=\"{module}\"}} {sum}"
            );
        }
        out
    }
}

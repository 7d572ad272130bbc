//! The process's metrics.
//!
//! * What it is: a registry that clones share, already with the process's own metrics.
//! * What it promises: [`Registry::text`] is the OpenMetrics text that Prometheus reads.
//! * What it assumes: Linux's `/proc/self`; where it cannot be read those metrics are left out.

mod process;

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use prometheus_client::encoding::text;

use crate::controller::Reconciles;

/// The content type of [`Registry::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A metrics registry; clones share it.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    families: Mutex<prometheus_client::registry::Registry>,
    /// Shared by all controllers, and absent where there is none.
    reconciles: OnceLock<Reconciles>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registry")
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// With the metrics of the process: memory, CPU, open files, start time.
    pub fn new() -> Self {
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register_collector(Box::new(process::Process));
        Self(Arc::new(Inner { families: Mutex::new(registry), reconciles: OnceLock::new() }))
    }

    /// Registers metrics: `registry.register(|into| Metrics::register(into))`.
    pub fn register<T>(&self, with: impl FnOnce(&mut prometheus_client::registry::Registry) -> T) -> T {
        with(&mut self.0.families.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn reconciles(&self) -> Reconciles {
        self.0.reconciles.get_or_init(|| self.register(Reconciles::register)).clone()
    }

    /// All metrics as text.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.0.families.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(out)
    }
}

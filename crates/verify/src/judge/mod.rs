//! Judging: evidence in, report out, no clock and no network.
//!
//! * What it promises: every check says something about every evidence; a check that an earlier failure makes
//!   meaningless is blocked and names the first cause; what was not read is `unread`, never `passed`.
//! * What it assumes: checks stand in an order in which causes come before effects.

mod addresses;
mod api;
mod cilium;
mod end_to_end;
mod monitoring;
mod network_storage;
mod orphans;
mod policies;
mod privileges;
mod scope;
mod storages;
mod verdict;
mod vm_management;
mod volumes;
mod wanted;
mod workers;

#[cfg(test)]
mod test;

use std::collections::BTreeMap;

use crate::evidence::Evidence;
use crate::report::{Check, Deselected, Outcome, Report, Severity, StepReport, Summary, Versions};
use crate::selection::Selection;
use crate::step::{STEPS, StepId};

#[cfg(test)]
pub(crate) use monitoring::ALERTS;
use verdict::{Says, Verdict};

/// A check: what it is called, how it judges, and its page.
#[derive(Debug, Clone, Copy)]
pub struct CheckInfo {
    /// Its id, `STEP.NAME`; never renamed.
    pub id: &'static str,
    /// The step that it belongs to.
    pub step: StepId,
    /// Its title, the statement that holds when it passes.
    pub title: &'static str,
    /// What it looks at, and where the limits are.
    pub looks_at: &'static str,
    /// Why that matters.
    pub matters: &'static str,
    /// What to do when it does not pass.
    pub fix: &'static str,
    /// What it is about.
    pub of: Of,
    /// Earlier checks without which it means nothing.
    needs: &'static [&'static str],
    judge: fn(&Evidence) -> Verdict,
}

/// What a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Proxmox VE, with or without a cluster on it.
    Proxmox,
    /// A cluster on it: it needs the management cluster.
    Cluster,
    /// What pods of our own find out in a cluster: it is looked at only where such pods were asked for.
    Probe,
    /// What Cilium's own policies do, found out by those pods: it is looked at only where Cilium runs.
    Cilium,
    /// The same of what is outside of the cluster: it is looked at only where an address there was named.
    CiliumOutside,
    /// What only a story can show that makes, breaks and removes a whole cluster: `oxmox demo` plays one.
    Story,
    /// What a store of metrics holds: it is looked at only where one was named.
    Metrics,
    /// What a store of logs holds: it is looked at only where one was named.
    Logs,
}

/// All checks, causes before effects.
pub const CHECKS: [CheckInfo; 66] = [
    api::REACHABLE,
    api::TLS_CHAIN,
    api::AUTHENTICATED,
    api::VERSION_SUPPORTED,
    privileges::PRIVILEGES,
    api::QUORATE,
    api::NODES_ONLINE,
    api::CLOCK_SKEW,
    storages::ISO_STORAGE,
    storages::IMAGE_STORAGE,
    network_storage::BRIDGE,
    storages::FREE_SPACE,
    addresses::ADDRESS_RANGE,
    network_storage::ENDPOINT_ANSWERS,
    vm_management::TEMPLATE,
    wanted::MACHINES_HAVE_VMS,
    orphans::NO_ORPHANS,
    orphans::NO_DUPLICATES,
    vm_management::AGENT_ANSWERS,
    vm_management::NODES_READY,
    vm_management::SEED_REMOVED,
    workers::NODES_READY,
    workers::INITIALISED,
    workers::PROVIDER_IDS,
    workers::NO_ORPHANS,
    workers::ZONES,
    workers::ADDRESSES,
    workers::VERSION_SKEW,
    workers::NO_PENDING_CSRS,
    workers::CLOCKS,
    volumes::DRIVER_REGISTERED,
    volumes::STORAGE_CLASSES,
    volumes::CLAIMS_BOUND,
    volumes::VOLUMES_EXIST,
    volumes::ATTACHMENTS,
    volumes::NO_ORPHANS,
    volumes::PROBE,
    policies::CONNECTIVITY,
    policies::DENY_ALL,
    policies::ALLOW_ONE,
    policies::PORT,
    policies::NAMESPACE,
    policies::EGRESS,
    policies::UPDATE,
    policies::DELETE,
    cilium::DENY,
    cilium::ENTITIES,
    cilium::EGRESS_CIDR,
    cilium::DELETE,
    monitoring::SCRAPE_UP,
    monitoring::SCRAPE_FRESH,
    monitoring::METRICS_TRUE,
    monitoring::INFO_COMPLETE,
    monitoring::RULES_LOADED,
    monitoring::NONE_FIRING,
    monitoring::LOGS_ARRIVE,
    end_to_end::PROVISION,
    end_to_end::PODS,
    end_to_end::SCALE,
    end_to_end::REPAIR,
    end_to_end::VOLUMES,
    end_to_end::MONITORING,
    end_to_end::NODE_LOST_HA,
    end_to_end::NODE_LOST,
    end_to_end::DELETION,
    end_to_end::NOTHING_LEFT,
];

/// The last line of a VM's notes when it is our mark: all of them that evidence keeps.
pub(crate) fn mark_line(notes: &str) -> Option<&str> {
    orphans::Mark::line(notes)
}

/// Whose volumes a VM holds, when the last line of its notes says so.
pub(crate) fn holder_of(notes: &str) -> Option<&str> {
    orphans::holder(notes)
}

/// Names of snapshots by the drive of their holder that they are in.
pub(crate) fn copies_of(notes: &str) -> BTreeMap<String, String> {
    orphans::copies(notes)
}

/// Judges evidence.
pub fn judge(evidence: &Evidence, selection: &Selection) -> Report {
    judge_with(evidence, selection, &mut |_| {})
}

/// Judges evidence; tells each check's id before judging it.
pub(crate) fn judge_with(evidence: &Evidence, selection: &Selection, tell: &mut dyn FnMut(&'static str)) -> Report {
    // what failed first, and what it said
    let mut roots: BTreeMap<&str, (&str, String)> = BTreeMap::new();
    let mut checks = Vec::new();
    let mut deselected = Vec::new();
    // Those that nobody asked for are judged, too: what they block is blocked all the same.
    for info in &CHECKS {
        tell(info.id);
        let root = info.needs.iter().find_map(|need| roots.get(need).cloned());
        let verdict = match &root {
            Some((root, why)) => {
                let shown = CHECKS.iter().any(|info| info.id == *root && selection.leaves_out(info).is_none());
                // who does not see that check is told what it found
                let why = if shown { String::new() } else { format!(": {why}") };
                Verdict::blocked(*root, format!("means nothing while `{root}` fails{why}"))
            }
            None => (info.judge)(evidence),
        };
        match (root, &verdict.says) {
            (Some(root), _) => _ = roots.insert(info.id, root),
            (None, Says::Failed(Severity::Error)) => _ = roots.insert(info.id, (info.id, verdict.message.clone())),
            (None, _) => {}
        }
        match selection.leaves_out(info) {
            Some(why) => deselected.push(Deselected { id: info.id.to_owned(), why }),
            None => checks.push((info, verdict)),
        }
    }
    let steps = STEPS.map(|step| StepReport {
        id: step.id,
        number: step.number,
        title: step.title.to_owned(),
        asks: step.asks.to_owned(),
        not_yet: !CHECKS.iter().any(|check| check.step == step.id),
        checks: checks.iter().filter(|(info, _)| info.step == step.id).map(|(info, v)| check(info, v)).collect(),
    });
    let steps = Vec::from(steps);
    Report {
        started: evidence.started,
        finished: evidence.finished,
        cluster: evidence.cluster.as_ref().map(|name| format!("{}/{name}", evidence.namespace)),
        versions: Versions {
            oxmox: evidence.oxmox.clone(),
            proxmox: evidence.proxmox.version.known().map(|seen| seen.version.clone()),
            management: evidence.management.version.known().cloned(),
            workload: evidence.workload.version.known().cloned(),
        },
        summary: summary(evidence, &steps, deselected.len()),
        steps,
        deselected,
    }
}

fn check(info: &CheckInfo, verdict: &Verdict) -> Check {
    let Verdict { says, message, hint, evidence } = verdict.clone();
    let (outcome, severity, blocked_by) = match says {
        Says::Passed => (Outcome::Passed, Severity::Info, None),
        Says::Failed(severity) => (Outcome::Failed, severity, None),
        Says::Blocked(by) => (Outcome::Blocked, Severity::Warning, Some(by)),
        Says::Unread => (Outcome::Unread, Severity::Warning, None),
    };
    let (id, title) = (info.id.to_owned(), info.title.to_owned());
    Check { id, title, outcome, severity, message, hint, evidence, blocked_by }
}

fn summary(evidence: &Evidence, steps: &[StepReport], deselected: usize) -> Summary {
    let (parts_read, parts_unread) = evidence.count();
    let steps_not_yet = steps.iter().filter(|step| step.not_yet).count();
    let mut sum = Summary { deselected, steps_not_yet, parts_read, parts_unread, ..Summary::default() };
    for check in steps.iter().flat_map(|step| &step.checks) {
        let count = match check.outcome {
            Outcome::Passed => &mut sum.passed,
            Outcome::Failed if check.is_warning() => &mut sum.warnings,
            Outcome::Failed => &mut sum.failed,
            Outcome::Blocked => &mut sum.blocked,
            Outcome::Unread => &mut sum.unread,
        };
        *count += 1;
    }
    sum
}

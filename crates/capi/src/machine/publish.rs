//! Writes what a pass found: status by server-side apply, events, logs. Written last, from the plan and what came of it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use api::{
    ConditionType, Initialization, IpAddresses, MachineAddress, MachineReason, ProxmoxMachine, ProxmoxMachineStatus,
};
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use plan::machine::{Facts, Identity, Note, Plan, Step, Truth};
use plan::{Again, Severity};
use serde_json::json;

use super::Scope;
use super::act::Acted;
use crate::condition;
use crate::connection::Connection;
use crate::run::{Context, Error, FIELD_MANAGER};

/// A machine that looks again sooner than this is under way: the poller is quick for it.
const UNDER_WAY: Duration = Duration::from_secs(10);

pub(super) async fn publish(
    ctx: &Context,
    connection: &Connection,
    machines: &Api<ProxmoxMachine>,
    scope: &Scope,
    who: &Identity,
    plan: Plan,
    acted: Acted,
) -> Result<Again, Error> {
    let Plan { step, look, why, facts, again } = plan;
    if acted.gone {
        return Ok(Again::OnChange);
    }
    let note = match acted.failed.clone() {
        Some((doing, why)) => Note::Failed { doing, why },
        None if look.is_some() => Note::Unread("more facts were needed than one pass looks up".into()),
        None => why,
    };
    let task = ctx.memory.with(&who.uid, |progress| progress.task.clone());
    let under_way = task.is_some() || step.is_some() || matches!(again, Again::After(wait) if wait < UNDER_WAY);
    ctx.memory.with(&who.uid, |progress| {
        progress.busy = if under_way { progress.busy.take().or_else(|| Some(connection.poller.busy())) } else { None };
    });
    let status = status(ctx, scope, who, step.as_ref(), &note, &facts, task.as_ref().map(ToString::to_string));
    tell(ctx, scope, &note).await;
    write(machines, &scope.machine, status).await?;
    Ok(match (task, acted.failed) {
        // The poller tells when the task has ended.
        (Some(_), _) => Again::After(Duration::from_secs(15)),
        (None, Some(_)) => {
            let left = ctx.memory.with(&who.uid, |progress| progress.backoff());
            Again::After(left.map_or(Duration::from_secs(1), |backoff| backoff.left))
        }
        (None, None) if look.is_some() => Again::After(Duration::from_secs(5)),
        (None, None) => again,
    })
}

fn status(
    ctx: &Context,
    scope: &Scope,
    who: &Identity,
    step: Option<&Step>,
    note: &Note,
    facts: &Facts,
    task: Option<String>,
) -> ProxmoxMachineStatus {
    let old = scope.machine.status.clone().unwrap_or_default();
    let mut new = old.clone();
    new.task_ref = task;
    new.retry_after = None;
    if let Some(node) = &facts.node {
        new.proxmox_node = Some(node.to_string());
    }
    match step {
        Some(Step::Reserve { vmid, node, addresses }) => {
            new.reserved_vmid = Some(u32::from(*vmid).into());
            new.proxmox_node = Some(node.to_string());
            new.ip_addresses = written(addresses);
        }
        Some(Step::Release) => {
            new.reserved_vmid = None;
            new.proxmox_node = None;
            new.ip_addresses.clear();
        }
        Some(Step::Record { guest, addresses, .. }) => {
            new.reserved_vmid = Some(u32::from(guest.vmid()).into());
            if !addresses.is_empty() {
                new.ip_addresses = written(addresses);
            }
        }
        _ => {}
    }
    if facts.bootstrapped {
        new.bootstrap_data_provided = Some(true);
    }
    if ctx.memory.with(&who.uid, |progress| progress.seed_removed) {
        new.bootstrap_data_removed = Some(true);
    }
    if !facts.addresses.is_empty() {
        new.addresses = std::iter::once(MachineAddress { kind: "Hostname".into(), address: who.name.clone() })
            .chain(
                facts
                    .addresses
                    .iter()
                    .map(|address| MachineAddress { kind: "InternalIP".into(), address: address.to_string() }),
            )
            .collect();
    }
    if facts.ready {
        // set once, together with the addresses; never taken back
        new.initialization = Some(Initialization { provisioned: Some(true) });
        new.ready = Some(true);
    }
    new.vm_status = Some(vm_status(note, facts).into());
    let provisioned = old.initialization.as_ref().and_then(|init| init.provisioned).unwrap_or(false);
    let truth = if facts.ready { Some(Truth::True) } else { note.truth(provisioned) };
    say(&mut new, scope.machine.metadata.generation, truth, note.reason(), &note.to_string());
    new
}

fn vm_status(note: &Note, facts: &Facts) -> &'static str {
    match note {
        Note::Lost(_) | Note::Gone => "notfound",
        _ if facts.ready => "ready",
        _ => "pending",
    }
}

fn say(
    status: &mut ProxmoxMachineStatus,
    generation: Option<i64>,
    truth: Option<Truth>,
    reason: MachineReason,
    message: &str,
) {
    let now = now();
    if let Some(truth) = truth {
        condition::set(&mut status.conditions, ConditionType::Ready, truth, &reason, message, generation, now);
        // the peer's own condition is false until the VM is there
        let provisioned = if truth == Truth::Unknown && status.ready != Some(true) { Truth::False } else { truth };
        let kind = ConditionType::VirtualMachineProvisioned;
        condition::set(&mut status.conditions, kind, provisioned, &reason, message, generation, now);
    }
    let (paused, reason) = match reason {
        MachineReason::Paused => (Truth::True, MachineReason::Paused),
        _ => (Truth::False, MachineReason::NotPaused),
    };
    condition::set(&mut status.conditions, ConditionType::Paused, paused, &reason, "", generation, now);
}

#[expect(clippy::disallowed_methods, reason = "publish stamps what it writes; nothing is decided on it")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

fn written(addresses: &BTreeMap<u8, Vec<IpAddr>>) -> BTreeMap<String, Vec<IpAddresses>> {
    let texts = |all: &[IpAddr], v4: bool| {
        all.iter().filter(|one| one.is_ipv4() == v4).map(ToString::to_string).collect::<Vec<_>>()
    };
    addresses
        .iter()
        .map(|(nic, all)| {
            let net = format!("net{nic}");
            let one = IpAddresses { net: Some(net.clone()), ipv4: texts(all, true), ipv6: texts(all, false) };
            (net, vec![one])
        })
        .collect()
}

/// Events and logs: each reason once, not each pass.
async fn tell(ctx: &Context, scope: &Scope, note: &Note) {
    // what started the task was told
    if matches!(note, Note::TaskRuns(_)) {
        return;
    }
    let old = scope.machine.status.as_ref().and_then(|status| {
        status
            .conditions
            .iter()
            .find(|condition| condition.type_ == "Ready")
            .map(|c| (c.reason.clone(), c.message.clone()))
    });
    let (reason, message) = (note.reason().to_string(), note.to_string());
    if old.as_ref() == Some(&(reason.clone(), message.clone())) {
        return;
    }
    let name = scope.machine.name_any();
    match note.severity() {
        Severity::Info => tracing::info!(machine = %name, %reason, "{message}"),
        Severity::Warning => tracing::warn!(machine = %name, %reason, "{message}"),
    }
    ctx.event(&scope.machine, note.severity(), &reason, &message).await;
}

/// Nothing is written where nothing changed.
async fn write(
    machines: &Api<ProxmoxMachine>,
    machine: &ProxmoxMachine,
    status: ProxmoxMachineStatus,
) -> Result<(), Error> {
    if machine.status.as_ref() == Some(&status) {
        return Ok(());
    }
    let patch = json!({
        "apiVersion": format!("{}/{}", api::GROUP, api::VERSION),
        "kind": "ProxmoxMachine",
        "metadata": {"name": machine.name_any()},
        "status": status,
    });
    machines
        .patch_status(&machine.name_any(), &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(patch))
        .await
        .map_err(Error::kube("write the status of the ProxmoxMachine"))?;
    Ok(())
}

/// A machine that is left alone is told why.
pub(super) async fn waits(
    ctx: &Context,
    machines: &Api<ProxmoxMachine>,
    machine: &ProxmoxMachine,
    reason: MachineReason,
    message: String,
) -> Result<(), Error> {
    ctx.memory.with(&machine.uid().unwrap_or_default(), |progress| progress.busy = None);
    let mut status = machine.status.clone().unwrap_or_default();
    // what is paused keeps its state; waiting says nothing of the VM
    let truth = (reason != MachineReason::Paused).then_some(Truth::Unknown);
    say(&mut status, machine.metadata.generation, truth, reason, &message);
    write(machines, machine, status).await
}

/// Proxmox VE cannot be reached at all: the cluster says why.
pub(super) async fn unreachable(
    ctx: &Context,
    machines: &Api<ProxmoxMachine>,
    machine: &ProxmoxMachine,
    removed: bool,
) -> Result<(), Error> {
    let reason = if removed { MachineReason::DeletionFailed } else { MachineReason::ProxmoxUnreachable };
    let message = "no connection to Proxmox VE; the ProxmoxCluster's condition ProxmoxAvailable says why".into();
    waits(ctx, machines, machine, reason, message).await
}

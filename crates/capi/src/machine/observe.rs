//! Reads what a plan needs. Only reads; writes nothing anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use api::{MachineReason, ProxmoxMachine};
use kube::ResourceExt as _;
use plan::Seen;
use plan::address;
use plan::inventory::Inventory;
use plan::machine::{
    AgentAddress, Answers, CloudInit, Done, Fresh, Identity, Look, Observed, Recorded, Task, provider_uuid,
};
use pve::{Refusal, TaskSeen};
use pve_types::{GuestConfig, NodeName, Upid, Vmid};

use super::Scope;
use crate::connection::Connection;
use crate::core;
use crate::run::Context;

/// What is known without a call of its own: Kubernetes' objects, the shared reading, tasks.
pub(super) async fn observe(ctx: &Context, connection: &Arc<Connection>, scope: &Scope, who: &Identity) -> Observed {
    let task = task(ctx, connection, scope, who);
    // A destroyed VM shows as gone only in a reading that was begun after that.
    let destroyed = ctx.memory.with(&who.uid, |progress| progress.destroyed);
    let snapshot = match destroyed {
        Some(reading) => connection.poller.reading(reading).await,
        None => connection.poller.snapshot(),
    };
    let inventory = ctx.inventories.read(connection, &snapshot);
    let recorded = recorded(&scope.machine);
    let reserved = recorded.reserved;
    let (power, backoff, done, quiet) = ctx.memory.with(&who.uid, |progress| {
        let done = Done {
            seed_uploaded: progress.seed_uploaded,
            ejected: progress.ejected.clone(),
            destroyed: progress.destroyed.is_some(),
        };
        (progress.power(), progress.backoff(), done, progress.quiet(ctx.started))
    });
    let removed = ctx.memory.with(&who.uid, |progress| progress.seed_removed);
    let others = Others::of(ctx, scope, who, inventory.known().map(|inventory| &**inventory));
    Observed {
        cluster_ready: scope
            .cluster
            .as_ref()
            .and_then(|cluster| cluster.status.as_ref()?.initialization.as_ref()?.provisioned)
            .unwrap_or(false),
        bootstrap: match scope.owner.as_ref().and_then(core::bootstrap_secret) {
            Some(_) => Seen::Known(()),
            None => Seen::Absent,
        },
        kubernetes_version: scope.owner.as_ref().and_then(core::version).map(ToOwned::to_owned),
        node_joined: scope.owner.as_ref().is_some_and(core::joined),
        recorded: Recorded { seed_removed: recorded.seed_removed || removed, ..recorded },
        inventory,
        task,
        backoff,
        done,
        power,
        answers: Answers::default(),
        reserved: others.vmids,
        taken: others.addresses,
        siblings: others.siblings,
        promised: others.promised,
        next_vmid: None,
        untried: ctx.memory.with(&who.uid, |progress| {
            let vmid = progress.reserved.as_ref().map(|reserved| reserved.vmid);
            progress.untried && vmid.is_some() && vmid == reserved
        }),
        quiet,
    }
}

fn recorded(machine: &ProxmoxMachine) -> Recorded {
    let status = machine.status.clone().unwrap_or_default();
    let vmid = |number: Option<i64>| Vmid::try_from(u32::try_from(number?).ok()?).ok();
    let mut addresses: BTreeMap<u8, Vec<IpAddr>> = BTreeMap::new();
    for (net, all) in &status.ip_addresses {
        let Some(nic) = net.strip_prefix("net").and_then(|number| number.parse().ok()) else { continue };
        let texts = all.iter().flat_map(|one| one.ipv4.iter().chain(&one.ipv6));
        addresses.entry(nic).or_default().extend(texts.filter_map(|text| text.parse::<IpAddr>().ok()));
    }
    Recorded {
        reserved: vmid(status.reserved_vmid),
        vmid: vmid(machine.spec.virtual_machine_id),
        uuid: machine.spec.provider_id.as_deref().and_then(provider_uuid),
        node: status.proxmox_node.as_deref().and_then(|node| node.parse().ok()),
        addresses,
        provisioned: status.initialization.as_ref().and_then(|init| init.provisioned).unwrap_or(false),
        bootstrapped: status.bootstrap_data_provided.unwrap_or(false),
        seed_removed: status.bootstrap_data_removed.unwrap_or(false),
    }
}

/// The task under way. One that has ended is remembered for what it did, or failed to do.
fn task(ctx: &Context, connection: &Connection, scope: &Scope, who: &Identity) -> Seen<Task> {
    let written = scope.machine.status.as_ref().and_then(|status| status.task_ref.as_deref()?.parse::<Upid>().ok());
    let Some(upid) = ctx.memory.with(&who.uid, |progress| progress.task.clone()).or(written) else {
        return Seen::Absent;
    };
    let seen = connection.poller.task(&upid);
    match &seen {
        TaskSeen::Unknown => {
            connection.poller.watch_task_of(upid.clone(), &scope.words());
            ctx.memory.with(&who.uid, |progress| progress.task = Some(upid.clone()));
            Seen::Known(Task { upid })
        }
        TaskSeen::Running => Seen::Known(Task { upid }),
        TaskSeen::Ended { status, .. } => {
            ended(ctx, connection, who, &upid, status.is_ok(), seen.failure(&upid));
            Seen::Absent
        }
    }
}

fn ended(ctx: &Context, connection: &Connection, who: &Identity, upid: &Upid, ok: bool, failure: Option<pve::Error>) {
    // What a failed task wanted, and found done.
    let moot = failure.as_ref().is_some_and(|failure| match (upid.kind.as_str(), failure.refusal()) {
        ("qmstart", Some(Refusal::AlreadyRunning))
        | ("qmstop", Some(Refusal::NotRunning))
        | ("qmdestroy" | "imgdel", Some(Refusal::NotFound)) => true,
        ("imgdel", _) => failure.to_string().contains("does not exist"),
        _ => false,
    });
    ctx.memory.with(&who.uid, |progress| match failure {
        Some(failure) if !ok && !moot => {
            let hint = failure.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
            let why = format!("{}{hint}", daemon::chain(&failure));
            progress.failed(doing(&upid.kind), why, failure.refusal());
        }
        _ => progress.done(upid, || connection.poller.refresh_now()),
    });
}

fn doing(kind: &str) -> MachineReason {
    match kind {
        "qmclone" => MachineReason::CloningFailed,
        "qmstart" | "hastart" => MachineReason::PoweringOnFailed,
        "qmstop" | "qmdestroy" => MachineReason::DeletionFailed,
        _ => MachineReason::TaskFailed,
    }
}

/// What other machines have: VMIDs, addresses, room.
struct Others {
    vmids: BTreeSet<Vmid>,
    addresses: BTreeSet<IpAddr>,
    siblings: BTreeMap<NodeName, usize>,
    promised: BTreeMap<NodeName, u64>,
}

impl Others {
    fn of(ctx: &Context, scope: &Scope, who: &Identity, inventory: Option<&Inventory>) -> Self {
        let mut found = Self {
            vmids: BTreeSet::new(),
            addresses: BTreeSet::new(),
            siblings: BTreeMap::new(),
            promised: BTreeMap::new(),
        };
        let labels = scope.machine.labels();
        let kin = |other: &ProxmoxMachine| {
            other.labels().get(api::CLUSTER_NAME_LABEL) == labels.get(api::CLUSTER_NAME_LABEL)
                && other.labels().contains_key(api::CONTROL_PLANE_LABEL)
                    == labels.contains_key(api::CONTROL_PLANE_LABEL)
        };
        ctx.each_machine(|other| {
            let uid = other.uid().unwrap_or_default();
            if uid == who.uid {
                return;
            }
            let mut theirs = recorded(other);
            if let Some(promise) = ctx.memory.with(&uid, |progress| progress.reserved.clone()) {
                theirs.reserved = theirs.reserved.or(Some(promise.vmid));
                theirs.node = theirs.node.or(Some(promise.node));
                if theirs.addresses.is_empty() {
                    theirs.addresses = promise.addresses;
                }
            }
            let vmid = theirs.vmid.or(theirs.reserved);
            found.vmids.extend(theirs.vmid.into_iter().chain(theirs.reserved));
            found.addresses.extend(theirs.addresses.into_values().flatten());
            if let Some(node) = theirs.node {
                let visible = vmid.and_then(|vmid| inventory?.guest(vmid)).is_some_and(|row| row.maxmem > 0);
                if !visible && vmid.is_some() {
                    let mib = other.spec.memory_mib.and_then(|mib| u64::try_from(mib).ok()).unwrap_or(0);
                    *found.promised.entry(node.clone()).or_default() += mib << 20;
                }
                if kin(other) {
                    *found.siblings.entry(node).or_default() += 1;
                }
            }
        });
        // Promises of machines that the cache does not show yet.
        for promise in ctx.memory.reservations(&who.uid) {
            found.vmids.insert(promise.vmid);
            found.addresses.extend(promise.addresses.into_values().flatten());
        }
        let own = scope.machine.spec.virtual_machine_id;
        for row in inventory.map(|inventory| inventory.guests.as_slice()).unwrap_or_default() {
            if own != Some(i64::from(u32::from(row.vmid))) {
                found.addresses.extend(address::from_tags(row.tags.iter()));
            }
        }
        found
    }
}

/// Looks up one fact.
pub(super) async fn answer(
    ctx: &Context,
    connection: &Arc<Connection>,
    who: &Identity,
    look: &Look,
    seen: &mut Observed,
) {
    match look {
        Look::Config { node, vmid, fresh } => {
            let answer = config(ctx, connection, who, node, *vmid, *fresh).await;
            seen.answers.configs.insert(*vmid, answer);
        }
        Look::Exists(vmid) => {
            seen.answers.exists = match connection.client.vmid_is_free(*vmid).await {
                Ok(true) => Seen::Absent,
                Ok(false) => Seen::Known(()),
                Err(why) => Seen::Unread(daemon::chain(&why)),
            };
            // The reading may be older than what this told.
            connection.poller.refresh_now();
        }
        Look::NextVmid => match connection.next_vmid().await {
            Ok(vmid) => seen.next_vmid = Some(vmid),
            Err(why) => seen.inventory = Seen::Unread(daemon::chain(&why)),
        },
        Look::Agent { node, vmid } => seen.answers.agent = agent(connection, node, *vmid).await,
        Look::CloudInit { node, vmid } => {
            seen.answers.cloud_init = cloud_init(ctx, connection, who, node, *vmid).await;
        }
    }
}

async fn config(
    ctx: &Context,
    connection: &Connection,
    who: &Identity,
    node: &NodeName,
    vmid: Vmid,
    fresh: Fresh,
) -> Seen<GuestConfig> {
    if fresh == Fresh::Cached {
        let own = ctx.memory.with(&who.uid, |progress| progress.config.clone());
        if let Some((_, config)) = own.filter(|(of, _)| *of == vmid) {
            return Seen::Known(config);
        }
        if let Some(template) = connection.template(vmid) {
            return Seen::Known(template);
        }
    }
    match connection.client.guest_config(node, vmid).await {
        Ok(config) => {
            if config.template {
                connection.keep_template(vmid, config.clone());
            } else if config.lock.is_none() {
                ctx.memory.with(&who.uid, |progress| progress.config = Some((vmid, config.clone())));
            }
            Seen::Known(config)
        }
        Err(why) if why.is_not_found() => {
            connection.poller.refresh_now();
            Seen::Absent
        }
        Err(why) => Seen::Unread(daemon::chain(&why)),
    }
}

async fn agent(connection: &Connection, node: &NodeName, vmid: Vmid) -> Seen<Vec<AgentAddress>> {
    match connection.client.agent_interfaces(node, vmid).await {
        Ok(interfaces) => {
            let addresses = interfaces.into_iter().flat_map(|interface| {
                let mac = interface.mac.as_ref().map(ToString::to_string).unwrap_or_default();
                interface.addresses.into_iter().map(move |one| AgentAddress { mac: mac.clone(), address: one.address })
            });
            Seen::Known(addresses.collect())
        }
        Err(why) if quiet_agent(&why) => Seen::Absent,
        Err(why) => Seen::Unread(with_hint(&why)),
    }
}

fn quiet_agent(why: &pve::Error) -> bool {
    matches!(why.refusal(), Some(Refusal::AgentUnavailable | Refusal::NotRunning))
}

fn with_hint(why: &pve::Error) -> String {
    let hint = why.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{}{hint}", daemon::chain(why))
}

/// One command that ends when cloud-init has, so that the guest waits and we do not ask over and over. A shell starts it:
/// of a program that is not there the agent complains in more than ASCII, of which Proxmox VE makes a bare 596; a shell
/// ends with 127.
const AWAIT_CLOUD_INIT: [&str; 3] = ["/bin/sh", "-c", "cloud-init status --wait"];

/// How cloud-init stands, waited for in the guest.
async fn cloud_init(
    ctx: &Context,
    connection: &Connection,
    who: &Identity,
    node: &NodeName,
    vmid: Vmid,
) -> Seen<CloudInit> {
    let pid = match ctx.memory.with(&who.uid, |progress| progress.cloud_init) {
        Some(pid) => pid,
        None => match connection.client.agent_exec(node, vmid, &AWAIT_CLOUD_INIT, None).await {
            Ok(pid) => {
                ctx.memory.with(&who.uid, |progress| progress.cloud_init = Some(pid));
                pid
            }
            Err(why) if quiet_agent(&why) => return Seen::Absent,
            Err(why) => return Seen::Unread(with_hint(&why)),
        },
    };
    match connection.client.agent_exec_status(node, vmid, pid).await {
        Ok(status) if !status.exited => Seen::Absent,
        Ok(status) => {
            ctx.memory.with(&who.uid, |progress| progress.cloud_init = None);
            // 0: done; 2: done with recoverable errors; 127: no such command (man cloud-init)
            match status.exit_code {
                Some(0 | 2) => Seen::Known(CloudInit::Done),
                Some(127) => Seen::Known(CloudInit::None),
                _ => {
                    let said = format!("{} {}", status.out.trim(), status.err.trim());
                    Seen::Known(CloudInit::Failed(said.trim().chars().take(200).collect()))
                }
            }
        }
        Err(why) => {
            // The guest was restarted, or does not know the command any more: ask anew next time.
            ctx.memory.with(&who.uid, |progress| progress.cloud_init = None);
            if quiet_agent(&why) { Seen::Absent } else { Seen::Unread(with_hint(&why)) }
        }
    }
}

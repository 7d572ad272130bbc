//! One pass over one `ProxmoxMachine`: observe → plan → act → publish.
//!
//! ```text
//!   object ──gate──▶ observe ──▶ plan ──look──▶ observe a little more ──┐
//!                                 ▲ └────────────────────────────────────┘
//!                                 └─ step ──▶ act ──▶ publish (status, events; written last)
//! ```

mod act;
mod gate;
mod memory;
mod observe;
mod publish;

use std::sync::Arc;
use std::time::Duration;

use api::{ProxmoxCluster, ProxmoxMachine};
use k8s_openapi::api::core::v1::Secret;
use kube::api::DynamicObject;
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt as _};
use plan::Again;
use plan::machine::{Desired, Identity, Plan, Want};

use crate::connection::Connection;
use crate::run::{Context, Error};

pub(crate) use memory::Memory;
pub(crate) use publish::now;

/// So many facts at most are looked up in one pass; more would be a plan that goes in circles.
const LOOKS: usize = 8;

/// The objects of one pass.
pub(crate) struct Scope {
    pub(crate) machine: ProxmoxMachine,
    /// Cluster API's `Machine`.
    pub(crate) owner: Option<DynamicObject>,
    pub(crate) cluster: Option<ProxmoxCluster>,
}

impl Scope {
    /// As logs name it.
    fn words(&self) -> String {
        crate::failures::words(&self.machine)
    }

    fn secrets(&self, ctx: &Context) -> Api<Secret> {
        Api::namespaced(ctx.kube.clone(), &self.machine.namespace().unwrap_or_default())
    }
}

/// One pass.
pub(crate) async fn reconcile(namespace: &str, name: &str, ctx: Arc<Context>) -> Result<Action, Error> {
    let machines: Api<ProxmoxMachine> = Api::namespaced(ctx.kube.clone(), namespace);
    // The object as it is, not as the cache has it: what an earlier pass wrote is in it.
    let Some(machine) = machines.get_opt(name).await.map_err(Error::kube("read the ProxmoxMachine"))? else {
        return Ok(Action::await_change());
    };
    let scope = match gate::open(&ctx, &machines, machine).await? {
        gate::Gate::Open(scope) => *scope,
        gate::Gate::Shut => return Ok(Action::await_change()),
        gate::Gate::Waits { machine, reason, message } => {
            publish::waits(&ctx, &machines, &machine, reason, message).await?;
            return Ok(Action::requeue(Duration::from_secs(30)));
        }
    };
    let who = Identity::of(&scope.machine);
    let removed = scope.machine.metadata.deletion_timestamp.is_some();
    let Some(connection) = connection(&ctx, &scope).await? else {
        publish::unreachable(&ctx, &machines, &scope.machine, removed).await?;
        return Ok(Action::requeue(Duration::from_secs(10)));
    };
    let want = match (&scope.cluster, removed) {
        (_, true) | (None, false) => Want::Remove,
        (Some(cluster), false) => match Desired::read(&scope.machine, cluster) {
            Ok(desired) => Want::Keep(Box::new(desired)),
            Err(why) => Want::Invalid(why),
        },
    };
    let plan = decide(&ctx, &connection, &scope, &who, &want).await;
    let acted = act::act(&ctx, &connection, &machines, &scope, &who, &plan).await?;
    let again = publish::publish(&ctx, &connection, &machines, &scope, &who, plan, acted).await?;
    Ok(match again {
        Again::OnChange => Action::await_change(),
        Again::Now => Action::requeue(Duration::ZERO),
        Again::After(wait) => Action::requeue(wait),
    })
}

/// The Proxmox VE of the machine's cluster.
async fn connection(ctx: &Context, scope: &Scope) -> Result<Option<Arc<Connection>>, Error> {
    let default = ProxmoxCluster::new("", api::ProxmoxClusterSpec::default());
    let cluster = scope.cluster.as_ref().unwrap_or(&default);
    match ctx.connections.of(cluster).await {
        Ok(connection) => Ok(Some(connection)),
        Err(why) => {
            tracing::warn!(machine = %scope.machine.name_any(), %why, "no connection to Proxmox VE");
            Ok(None)
        }
    }
}

/// Plans, looking up what the plan asks for. Who has nothing reserved yet plans alone, so that no VMID or address is
/// promised twice.
async fn decide(ctx: &Context, connection: &Arc<Connection>, scope: &Scope, who: &Identity, want: &Want) -> Plan {
    let first = scope.machine.spec.virtual_machine_id.is_none()
        && scope.machine.status.as_ref().is_none_or(|status| status.reserved_vmid.is_none());
    let alone = if first { Some(ctx.reserving.lock().await) } else { None };
    let mut seen = observe::observe(ctx, connection, scope, who).await;
    let mut plan = plan::machine::plan(who, want, &seen);
    for _ in 0..LOOKS {
        let Some(look) = &plan.look else { break };
        observe::answer(ctx, connection, who, look, &mut seen).await;
        plan = plan::machine::plan(who, want, &seen);
    }
    if let Some(plan::machine::Step::Reserve { vmid, node, addresses }) = &plan.step {
        let reserved = memory::Reservation { vmid: *vmid, node: node.clone(), addresses: addresses.clone() };
        ctx.memory.with(&who.uid, |progress| {
            progress.reserved = Some(reserved);
            progress.untried = true;
        });
    }
    drop(alone);
    plan
}

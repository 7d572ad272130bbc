//! One pass over one Node: observe → plan → act → publish.

mod act;
mod object;
mod observe;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1;
use kube::Resource as _;
use kube::runtime::controller::Action;
use plan::Again;
use plan::node::{Answers, Plan};

use crate::run::{Context, Error};
use act::Acted;

pub(crate) use object::read;

/// So many facts at most are looked up in one pass; a search among many VMs goes on in the next.
const LOOKS: usize = 64;
/// The watch brings the Node as it is now, and wakes this pass before that.
const OUTDATED: Duration = Duration::from_secs(2);

/// One pass.
pub(crate) async fn reconcile(object: Arc<v1::Node>, ctx: Arc<Context>) -> Result<Action, Error> {
    if object.meta().deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let plan = decide(&ctx, &object).await;
    if act::act(&ctx, &object, &plan).await? == Acted::Outdated {
        return Ok(Action::requeue(OUTDATED));
    }
    tell(&ctx, &object, &plan).await;
    Ok(match (&plan.look, plan.again) {
        (Some(_), _) | (None, Again::Now) => Action::requeue(Duration::ZERO),
        (None, Again::OnChange) => Action::await_change(),
        (None, Again::After(wait)) => Action::requeue(wait),
    })
}

/// Plans, looking up what the plan asks for.
async fn decide(ctx: &Context, object: &v1::Node) -> Plan {
    let node = object::read(object);
    let mut answers = Answers::default();
    let mut plan = plan::node::plan(&ctx.settings, &node, &ctx.regions(), &answers);
    for _ in 0..LOOKS {
        let Some(look) = &plan.look else { break };
        observe::answer(ctx, look, &mut answers).await;
        plan = plan::node::plan(&ctx.settings, &node, &ctx.regions(), &answers);
    }
    plan
}

/// Says what was done, and what is wrong.
async fn tell(ctx: &Context, object: &v1::Node, plan: &Plan) {
    let note = &plan.why;
    let name = object.metadata.name.as_deref().unwrap_or_default();
    if plan.look.is_some() {
        tracing::debug!(node = name, "more VMs are to be looked at");
        return;
    }
    let warns = note.severity() == plan::Severity::Warning;
    match (plan.step.is_some(), warns) {
        (true, false) => tracing::info!(node = name, reason = note.reason(), "{note}"),
        (_, true) => tracing::warn!(node = name, reason = note.reason(), "{note}"),
        (false, false) => tracing::debug!(node = name, reason = note.reason(), "{note}"),
    }
    if plan.step.is_some() || warns {
        ctx.event(object, note.severity(), note.reason(), &note.to_string()).await;
    }
}

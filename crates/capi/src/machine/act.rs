//! Carries out one step. Only writes; nothing is decided here.

use std::sync::Arc;

use api::{MachineReason, ProxmoxMachine};
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use plan::machine::{Identity, Plan, Step};
use pve::{CloneRequest, ConfigUpdate, Purge};
use pve_types::{Upid, VolumeId};
use serde_json::json;

use super::Scope;
use super::memory::Config;
use crate::connection::Connection;
use crate::core;
use crate::run::{Context, Error};

/// What came of a step.
#[derive(Debug, Default)]
pub(super) struct Acted {
    /// The object has been let go.
    pub(super) gone: bool,
    /// What the step did not manage.
    pub(super) failed: Option<(MachineReason, String)>,
}

type Call = Result<Option<Upid>, pve::Error>;

/// Carries out the plan's step. A call that Proxmox VE refuses is remembered, not returned: the next pass looks again.
pub(super) async fn act(
    ctx: &Context,
    connection: &Arc<Connection>,
    machines: &Api<ProxmoxMachine>,
    scope: &Scope,
    who: &Identity,
    plan: &Plan,
) -> Result<Acted, Error> {
    let Some(step) = &plan.step else { return Ok(Acted::default()) };
    let client = &connection.client;
    let (doing, call): (MachineReason, Call) = match step {
        Step::Reserve { .. } => return Ok(Acted::default()),
        Step::Release => {
            ctx.memory.with(&who.uid, |progress| progress.reserved = None);
            return Ok(Acted::default());
        }
        Step::Record { guest, .. } => {
            let provider_id = format!("proxmox://{}", guest.uuid());
            let zone = scope.machine.spec.network.zone.as_deref().unwrap_or(api::DEFAULT_ZONE);
            let patch = json!({
                "metadata": {"labels": {api::ZONE_LABEL: zone}},
                "spec": {"providerID": provider_id, "virtualMachineID": u32::from(guest.vmid())},
            });
            let name = scope.machine.name_any();
            machines
                .patch(&name, &PatchParams::default(), &Patch::Merge(patch))
                .await
                .map_err(Error::kube("write the VMID and provider ID"))?;
            return Ok(Acted::default());
        }
        Step::LetGo => {
            let mut finalizers = scope.machine.finalizers().to_vec();
            finalizers.retain(|finalizer| finalizer != api::MACHINE_FINALIZER);
            let patch = json!({"metadata": {
                "finalizers": finalizers,
                "resourceVersion": scope.machine.resource_version(),
            }});
            machines
                .patch(&scope.machine.name_any(), &PatchParams::default(), &Patch::Merge(patch))
                .await
                .map_err(Error::kube("let the ProxmoxMachine go"))?;
            ctx.memory.forget(&who.uid);
            return Ok(Acted { gone: true, ..Acted::default() });
        }
        Step::Clone(order) => {
            // from here on it may have been tried, whatever becomes of this pass
            ctx.memory.with(&who.uid, |progress| progress.untried = false);
            let request = CloneRequest {
                newid: order.to,
                name: Some(order.name.clone()),
                description: Some(order.description.clone()),
                pool: order.pool.clone(),
                snapname: order.snapshot.clone(),
                storage: order.storage.clone(),
                format: order.format.clone(),
                full: Some(order.full),
                target: order.target.clone(),
            };
            (MachineReason::CloningFailed, client.clone_guest(&order.node, order.from, &request).await.map(Some))
        }
        Step::UploadSeed { guest: _, node, volume, meta_data, network } => {
            let user_data = match bootstrap_data(ctx, scope).await {
                Ok(data) => data,
                Err(why) => return Ok(failed(ctx, who, MachineReason::WaitingForBootstrapData, why)),
            };
            let image = nocloud::Seed { user_data: &user_data, meta_data, network }.to_iso();
            let name = volume.name.trim_start_matches("iso/");
            let call = client.upload_iso(node, &volume.storage, name, &image).await.map(Some);
            (MachineReason::TaskFailed, call)
        }
        Step::Configure { guest, node, set, digest, grow } => {
            let update = ConfigUpdate { set: set.clone(), digest: digest.clone(), ..ConfigUpdate::default() };
            let mut call = if set.is_empty() {
                Ok(None)
            } else {
                client.update_config(node, guest.vmid(), &update).await.map(|()| None)
            };
            if let (Ok(_), Some((disk, size))) = (&call, grow) {
                call = client.resize(node, guest.vmid(), disk, *size).await.map(Some);
            }
            (MachineReason::TaskFailed, call)
        }
        Step::Eject { guest, node, set, digest, volume } => {
            let update = ConfigUpdate { set: set.clone(), digest: digest.clone(), ..ConfigUpdate::default() };
            let call = client.update_config(node, guest.vmid(), &update).await.map(|()| None);
            if call.is_ok() {
                ctx.memory.with(&who.uid, |progress| progress.ejected = Some(volume.clone()));
            }
            (MachineReason::TaskFailed, call)
        }
        Step::Start { guest, node } => {
            (MachineReason::PoweringOnFailed, client.start(node, guest.vmid()).await.map(Some))
        }
        Step::Stop { guest, node } => (MachineReason::DeletionFailed, client.stop(node, guest.vmid()).await.map(Some)),
        Step::RemoveSeed { node, volume } => (MachineReason::TaskFailed, remove(client, node, volume).await),
        Step::Destroy { guest, node } => {
            (MachineReason::DeletionFailed, client.destroy(node, guest.vmid(), Purge::Yes).await.map(Some))
        }
    };
    Ok(called(ctx, connection, scope, who, step, doing, call))
}

/// Whether a step may change the VM's configuration; what was read of it is kept otherwise.
fn changes(step: &Step) -> Config {
    match step {
        Step::Clone(_) | Step::Configure { .. } | Step::Eject { .. } | Step::Destroy { .. } => Config::Changed,
        Step::Reserve { .. }
        | Step::Release
        | Step::Record { .. }
        | Step::UploadSeed { .. }
        | Step::Start { .. }
        | Step::Stop { .. }
        | Step::RemoveSeed { .. }
        | Step::LetGo => Config::Kept,
    }
}

async fn remove(client: &pve::Client, node: &pve_types::NodeName, volume: &VolumeId) -> Call {
    client.delete_volume(node, volume).await
}

fn called(
    ctx: &Context,
    connection: &Connection,
    scope: &Scope,
    who: &Identity,
    step: &Step,
    doing: MachineReason,
    call: Call,
) -> Acted {
    ctx.memory.with(&who.uid, |progress| progress.called(changes(step)));
    match call {
        Ok(Some(upid)) => {
            connection.poller.watch_task_of(upid.clone(), &scope.words());
            ctx.memory.with(&who.uid, |progress| {
                progress.task = Some(upid);
                progress.cloud_init = None;
            });
            Acted::default()
        }
        Ok(None) => {
            if matches!(step, Step::RemoveSeed { .. }) {
                ctx.memory.with(&who.uid, |progress| progress.seed_removed = true);
            }
            Acted::default()
        }
        Err(why) => {
            let hint = why.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
            let text = format!("{}{hint}", daemon::chain(&why));
            ctx.memory.with(&who.uid, |progress| progress.failed(doing, text.clone(), why.refusal()));
            connection.poller.refresh_now();
            Acted { failed: Some((doing, text)), ..Acted::default() }
        }
    }
}

fn failed(ctx: &Context, who: &Identity, doing: MachineReason, why: String) -> Acted {
    ctx.memory.with(&who.uid, |progress| progress.failed(doing, why.clone(), None));
    Acted { failed: Some((doing, why)), ..Acted::default() }
}

/// The bootstrap data. The error is for people.
async fn bootstrap_data(ctx: &Context, scope: &Scope) -> Result<Vec<u8>, String> {
    let name = scope.owner.as_ref().and_then(core::bootstrap_secret).unwrap_or_default();
    let secret = scope
        .secrets(ctx)
        .get_opt(name)
        .await
        .map_err(|why| format!("read the bootstrap data in Secret `{name}`: {}", daemon::chain(&why)))?
        .ok_or_else(|| format!("the Secret `{name}` with the bootstrap data is not there"))?;
    let data = secret.data.unwrap_or_default();
    let format = data.get("format").map(|format| String::from_utf8_lossy(&format.0).into_owned());
    match format.as_deref() {
        None | Some("" | "cloud-config") => {}
        Some(other) => {
            return Err(format!("bootstrap data of format `{other}` is not supported yet; use cloud-config"));
        }
    }
    let value = data.get("value").ok_or_else(|| format!("the Secret `{name}` has no key `value`"))?;
    Ok(value.0.clone())
}

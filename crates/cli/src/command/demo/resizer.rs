//! A stand-in for external-resizer, which cannot be had as a Go module: as much of it as the demo needs.
//!
//! Of each claim that asks for more than it has it tells the driver to grow the volume, writes the new size on the
//! PersistentVolume, and leaves the file system to the kubelet (condition `FileSystemResizePending`). Nothing more: no
//! events, no recovery of an expansion that failed, no VolumeAttributesClass.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use csi_proto::csi as rpc;
use csi_proto::csi::controller_client::ControllerClient;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tonic::transport::{Channel, Endpoint};

use crate::args::Kubernetes;

const EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The driver's socket.
    #[arg(long)]
    csi_address: PathBuf,
    #[command(flatten)]
    kubernetes: Kubernetes,
}

pub(super) async fn run(args: Args) -> Result<ExitCode> {
    let client = args.kubernetes.client().await?;
    let driver = Endpoint::from_shared(format!("unix://{}", args.csi_address.display()))
        .with_context(|| format!("--csi-address: `{}`", args.csi_address.display()))?
        .connect_lazy();
    let stop = daemon::shutdown::on_signal();
    let mut every = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
            _ = every.tick() => {}
        }
        // an API server that is gone must not hold up the end
        let passed = tokio::select! {
            () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
            passed = pass(&client, &driver) => passed,
        };
        if let Err(why) = passed {
            tracing::warn!("{why:#}: trying again");
        }
    }
}

async fn pass(client: &Client, driver: &Channel) -> Result<()> {
    let claims: Api<PersistentVolumeClaim> = Api::all(client.clone());
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    for claim in claims.list(&ListParams::default()).await.context("list the claims")? {
        let Some(name) = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()) else { continue };
        if wanted(&claim).is_none_or(|wanted| Some(wanted) <= has(&claim)) {
            continue;
        }
        let Some(volume) = volumes.get_opt(&name).await.with_context(|| format!("read volume `{name}`"))? else {
            continue;
        };
        if volume.spec.as_ref().and_then(|spec| spec.csi.as_ref()).is_some_and(|csi| csi.driver == csi::DRIVER) {
            grow(client, driver, &claim, &volume).await.with_context(|| format!("grow `{name}`"))?;
        }
    }
    Ok(())
}

async fn grow(
    client: &Client,
    driver: &Channel,
    claim: &PersistentVolumeClaim,
    volume: &PersistentVolume,
) -> Result<()> {
    let wanted = wanted(claim).context("the claim asks for nothing")?;
    let present = capacity(volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref()));
    let claims: Api<PersistentVolumeClaim> =
        Api::namespaced(client.clone(), claim.metadata.namespace.as_deref().unwrap_or_default());
    // Grown already; the rest is the kubelet's.
    if present.is_some_and(|present| present >= wanted) {
        return Ok(());
    }
    let source = volume.spec.as_ref().and_then(|spec| spec.csi.as_ref()).context("it is no volume of a driver")?;
    let request = rpc::ControllerExpandVolumeRequest {
        volume_id: source.volume_handle.clone(),
        capacity_range: Some(rpc::CapacityRange { required_bytes: wanted, limit_bytes: 0 }),
        ..rpc::ControllerExpandVolumeRequest::default()
    };
    let answer = ControllerClient::new(driver.clone()).controller_expand_volume(request).await;
    let rpc::ControllerExpandVolumeResponse { capacity_bytes, node_expansion_required } =
        answer.context("ControllerExpandVolume")?.into_inner();
    let status = if node_expansion_required {
        json!({"conditions": [{"type": "FileSystemResizePending", "status": "True"}]})
    } else {
        json!({"capacity": {"storage": quantity(capacity_bytes)}})
    };
    let merge = |body: Value| Patch::Merge(body);
    // First the claim: once the volume says its size, the kubelet is at work on it.
    let params = PatchParams::default();
    claims.patch_status(&claim.name_any(), &params, &merge(json!({"status": status}))).await.context("claim")?;
    let size = json!({"spec": {"capacity": {"storage": quantity(capacity_bytes)}}});
    Api::<PersistentVolume>::all(client.clone())
        .patch(&volume.name_any(), &params, &merge(size))
        .await
        .context("write its size")?;
    tracing::info!(volume = volume.name_any(), bytes = capacity_bytes, "grown");
    Ok(())
}

fn wanted(claim: &PersistentVolumeClaim) -> Option<i64> {
    capacity(claim.spec.as_ref()?.resources.as_ref()?.requests.as_ref())
}

fn has(claim: &PersistentVolumeClaim) -> Option<i64> {
    capacity(claim.status.as_ref()?.capacity.as_ref())
}

fn capacity(of: Option<&std::collections::BTreeMap<String, Quantity>>) -> Option<i64> {
    bytes(&of?.get("storage")?.0)
}

/// As Kubernetes prints it: `2Gi`.
fn quantity(bytes: i64) -> String {
    let unit = ["Ti", "Gi", "Mi", "Ki"].into_iter().zip([40, 30, 20, 10]).find(|(_, bits)| bytes % (1 << bits) == 0);
    unit.map_or_else(|| bytes.to_string(), |(unit, bits)| format!("{}{unit}", bytes >> bits))
}

/// `2Gi`, `1500M`, `1073741824`: whole numbers only, as claims in practice are written.
fn bytes(text: &str) -> Option<i64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        assert_eq!(bytes("2Gi"), Some(2 << 30));
        assert_eq!(bytes("1500M"), Some(1_500_000_000));
        assert_eq!(bytes("1073741824"), Some(1 << 30));
        assert_eq!(
            (quantity(2 << 30), quantity(1536 << 20), quantity(1000)),
            ("2Gi".into(), "1536Mi".into(), "1000".into())
        );
        assert_eq!((bytes("1.5Gi"), bytes("Gi"), bytes("5X")), (None, None, None));
    }
}

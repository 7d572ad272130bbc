//! The real `oxmox verify`, of one step.

use anyhow::{Context as _, Result, ensure};
use verify::Report;

use super::act::Lab;
use super::world::With;
use crate::command::demo::monitoring::{LOGS, METRICS};
use crate::command::demo::set::{TOKEN, beside};

/// Verifies a step; what it reports.
pub(super) async fn verify(lab: &Lab<'_>, step: u8, with: &[With]) -> Result<Report> {
    let mut verify = tokio::process::Command::new(beside("oxmox")?);
    verify.args(["--log", "error", "verify", "--output", "json"]).arg(step.to_string());
    if let Some(cluster) = lab.cluster() {
        verify.args(["--cluster", cluster]);
    }
    if step == 5 {
        // it makes a volume and waits for it: what it sees the claims of step 5 show as well
        verify.args(["--skip", "csi.probe"]);
    }
    if step == 6 {
        verify.args(["--skip", "policies.cilium-*", "--probe", "--probe-image", guest_node::DEMO_IMAGE]);
    }
    if step == 7 {
        verify.args(["--prometheus-url", METRICS, "--logs-url", LOGS]);
    }
    verify
        .env("KUBECONFIG", lab.set.plane.admin_kubeconfig())
        .env("PROXMOX_URL", &lab.set.sim.url)
        .env("PROXMOX_TOKEN", TOKEN)
        .env("PROXMOX_SECRET", &lab.set.sim.secret)
        .env("PROXMOX_ROOT_CA_FILE", &lab.set.sim.ca_file)
        .kill_on_drop(true);
    for With(name, value) in with {
        verify.env(name, lab.fill(value));
    }
    let output = verify.output().await.context("start `oxmox verify`")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Report = serde_json::from_slice(&output.stdout).with_context(|| {
        format!("`oxmox verify` ended with {:?} and no report: {}", output.status.code(), said.trim())
    })?;
    let code = i32::from(report.exit_code());
    ensure!(
        output.status.code() == Some(code),
        "`oxmox verify` ended with {:?}, its report says {code}",
        output.status
    );
    Ok(report)
}

//! Cluster API beside a control plane: its CRDs, its webhooks, its three managers.
//!
//! Promises: defaulting, validation and conversion are the real ones; `start` returns when every manager is ready and
//! a webhook has answered; dropped, the managers are killed.
//! Assumes: the managers dial only what is in the same network namespace (workload clusters' endpoints among it).

mod manifests;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use self::manifests::{Conversion, Managers, Webhooks};
use crate::control_plane::{ControlPlane, Identity, client, free_port, look};
use crate::eventually::{NotYet, eventually};
use crate::process::{Process, ProcessSpec};
use crate::tools::{Tool, Tools};

/// The namespace that the managers believe to run in.
pub const NAMESPACE: &str = "capi-system";

const READY: Duration = Duration::from_mins(2);
const GRACE: Duration = Duration::from_secs(10);

/// What a caller may choose.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// More flags for all three managers (`--v=5`, `--feature-gates=…`).
    pub args: Vec<String>,
}

/// The running managers.
#[must_use = "dropped, they are killed"]
pub struct ClusterApi {
    processes: Vec<Process>,
}

/// Installs the CRDs alone, for tests that play the managers themselves. Without conversion: nobody would answer.
pub async fn install_crds(plane: &ControlPlane, tools: &Tools) -> Result<()> {
    apply_crds(plane, tools, &Conversion::None).await
}

impl ClusterApi {
    /// Installs CRDs and webhooks and starts the managers.
    pub async fn start(plane: &ControlPlane, tools: &Tools, options: &Options) -> Result<Self> {
        let begun = std::time::Instant::now();
        let webhook_ports = Managers { core: free_port()?, bootstrap: free_port()?, control_plane: free_port()? };
        let webhooks = Webhooks::new(webhook_ports, plane.authority().certificate());
        apply_crds(plane, tools, &Conversion::Webhook(&webhooks)).await?;
        tracing::info!(elapsed = ?begun.elapsed(), "Cluster API's CRDs are served");
        plane
            .apply(&format!(r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{NAMESPACE}"}}}}"#))
            .await
            .context("make the namespace of Cluster API's managers")?;
        let certificates = plane.dir().join("capi-webhooks");
        write_webhook_certificate(plane, &certificates)?;
        let mut capi = Self { processes: Vec::new() };
        let mut health = Vec::new();
        for (tool, webhook) in [
            (Tool::CapiCore, webhook_ports.core),
            (Tool::CapiBootstrap, webhook_ports.bootstrap),
            (Tool::CapiControlPlane, webhook_ports.control_plane),
        ] {
            let port = free_port()?;
            health.push(port);
            capi.processes.push(
                ProcessSpec::new(tool.file_name(), tools.path(tool)?, plane.log(tool.file_name()))
                    .args([
                        format!("--kubeconfig={}", plane.admin_kubeconfig().display()),
                        "--leader-elect=false".to_owned(),
                        format!("--webhook-cert-dir={}", certificates.display()),
                        format!("--webhook-port={webhook}"),
                        format!("--health-addr=127.0.0.1:{port}"),
                        "--diagnostics-address=127.0.0.1:0".to_owned(),
                        "--insecure-diagnostics".to_owned(),
                        "--v=2".to_owned(),
                    ])
                    .args(options.args.iter().cloned())
                    .env("POD_NAMESPACE", NAMESPACE)
                    .env("POD_NAME", tool.file_name())
                    .env("POD_UID", tool.file_name())
                    .start()?,
            );
        }
        capi.await_ready(plane, &health).await?;
        tracing::info!(elapsed = ?begun.elapsed(), "Cluster API's managers are ready");
        plane
            .apply(&manifests::webhooks(tools.path(Tool::CapiManifests)?, &webhooks)?)
            .await
            .context("install Cluster API's webhooks")?;
        capi.await_webhook(plane).await?;
        tracing::info!(elapsed = ?begun.elapsed(), "Cluster API's webhooks answer");
        Ok(capi)
    }

    /// An error with the log's end if one of them has ended.
    pub fn must_run(&mut self) -> Result<()> {
        self.processes.iter_mut().try_for_each(Process::must_run)
    }

    /// Ends them. Before the control plane, please: they are its clients.
    pub async fn stop(self) -> Result<()> {
        for process in self.processes {
            process.stop(GRACE).await?;
        }
        Ok(())
    }

    async fn await_ready(&mut self, plane: &ControlPlane, health: &[u16]) -> Result<()> {
        let client = client(plane.authority().certificate())?;
        for (index, port) in health.iter().enumerate() {
            let process = &mut self.processes[index];
            let url = format!("http://127.0.0.1:{port}/readyz");
            let ready = eventually(READY, || {
                let died = process.must_run().err();
                let (client, url) = (client.clone(), url.clone());
                async move {
                    match died {
                        Some(death) => Err(NotYet::never(format!("{death:#}"))),
                        None => look(&client, &url).await,
                    }
                }
            })
            .await;
            ready.with_context(|| {
                format!("wait for {} at `{url}`\n{} ends:\n{}", process.name(), process.log().display(), process.tail())
            })?;
        }
        Ok(())
    }

    /// A manager is ready a little before the API server reaches its webhooks: dry runs tell.
    async fn await_webhook(&mut self, plane: &ControlPlane) -> Result<()> {
        eventually(READY, || {
            let died = self.must_run().err();
            let probe = plane.kubectl_command(&["create", "--dry-run=server", "-o", "name", "-f", "-"]);
            async move {
                match died {
                    Some(death) => Err(NotYet::never(format!("{death:#}"))),
                    None => probe.with_input(manifests::PROBE).run().await.map(drop).map_err(NotYet::from),
                }
            }
        })
        .await
        .context("wait for Cluster API's webhooks to answer")
    }
}

async fn apply_crds(plane: &ControlPlane, tools: &Tools, conversion: &Conversion<'_>) -> Result<()> {
    let crds = manifests::crds(tools.path(Tool::CapiManifests)?, conversion)?;
    plane.apply(&crds).await.context("install Cluster API's CRDs")?;
    plane
        .kubectl(&[
            "wait",
            "--for=condition=Established",
            "crd",
            "--selector=cluster.x-k8s.io/v1beta2",
            "--timeout=60s",
        ])
        .await
        .context("wait until Cluster API's CRDs are served")?;
    Ok(())
}

fn write_webhook_certificate(plane: &ControlPlane, dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("make `{}`", dir.display()))?;
    let identity = Identity::Server {
        name: "capi-webhooks".to_owned(),
        names: vec!["localhost".to_owned()],
        addresses: vec![std::net::Ipv4Addr::LOCALHOST.into()],
    };
    plane.authority().sign(&identity)?.write(dir, "tls")?;
    Ok(())
}

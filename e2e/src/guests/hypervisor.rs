//! A simulator as a process of its own, which can be killed, and VMs in it without a manager.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::{NotYet, Process, ProcessSpec, eventually};

use crate::binary::binary;
use crate::simulator::TOKEN;

const LIMIT: Duration = Duration::from_secs(20);

/// A running simulator.
pub struct Hypervisor {
    process: Process,
    url: String,
    control: String,
    token: String,
    http: reqwest::Client,
}

impl Hypervisor {
    /// Starts one.
    pub async fn start(dir: &Path) -> Result<Self> {
        let ready = dir.join("sim.json");
        let process = ProcessSpec::new("pve-sim", binary("pve-sim")?, dir.join("pve-sim.log"))
            .args(["--tick", "1", "--task-seconds", "clone-full=0.1", "--task-seconds", "start=0.1"])
            .args(["-o", "json", "--ready-file"])
            .arg(&ready)
            .start()?;
        let text = eventually(LIMIT, || async {
            std::fs::read_to_string(&ready).map_err(|_| NotYet::because("pve-sim does not listen yet"))
        })
        .await?;
        let said: Value = serde_json::from_str(&text).context("read what pve-sim says of itself")?;
        let word = |value: &Value| value.as_str().map(ToOwned::to_owned).context("pve-sim says too little of itself");
        let token = said["tokens"].as_array().into_iter().flatten().find(|token| token["id"] == TOKEN);
        let secret = word(&token.context("pve-sim has no token for the provider")?["secret"])?;
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let ca = reqwest::Certificate::from_pem(word(&said["ca"])?.as_bytes()).context("read pve-sim's CA")?;
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([ca]).build().context("make a client")?;
        let token = format!("PVEAPIToken={TOKEN}={secret}");
        Ok(Self { process, url: word(&said["url"])?, control: word(&said["control_url"])?, token, http })
    }

    /// URL of the control door.
    pub fn control(&self) -> &str {
        &self.control
    }

    /// Makes a VM of the template and starts it.
    pub async fn power_on(&self, vmid: u64) -> Result<()> {
        let (number, name) = (vmid.to_string(), format!("vm-{vmid}"));
        let form = [("newid", number.as_str()), ("name", &name), ("pool", "kubernetes"), ("full", "1")];
        self.post("/nodes/pve1/qemu/9000/clone", &form).await?;
        let started = eventually(LIMIT, || async {
            // refused until the clone is done
            Ok(self.post(&format!("/nodes/pve1/qemu/{vmid}/status/start"), &[]).await?)
        });
        started.await.with_context(|| format!("start VM {vmid}"))
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Result<()> {
        let call = self.http.post(format!("{}/api2/json{path}", self.url));
        let answer = call.header("Authorization", &self.token).form(form).send().await;
        let answer = answer.with_context(|| format!("POST {path}"))?;
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        ensure!(status.is_success(), "POST {path}: {status} {text}");
        Ok(())
    }

    /// Kills it as a power cut would.
    pub async fn kill(self) -> Result<()> {
        self.process.kill().await.map(drop)
    }
}

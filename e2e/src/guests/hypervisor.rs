//! A simulator as a process of its own, which can be killed, and VMs in it without a manager.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
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
            .arg("--backing")
            .arg(dir.join("volumes"))
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
        self.call(Method::POST, "/nodes/pve1/qemu/9000/clone", &form).await?;
        let started = eventually(LIMIT, || async {
            // refused until the clone is done
            Ok(self.call(Method::POST, &format!("/nodes/pve1/qemu/{vmid}/status/start"), &[]).await?)
        });
        started.await.map(drop).with_context(|| format!("start VM {vmid}"))
    }

    /// Calls the API; the answer's data.
    pub async fn call(&self, method: Method, path: &str, form: &[(&str, &str)]) -> Result<Value> {
        let what = format!("{method} {path}");
        let call = self.http.request(method, format!("{}/api2/json{path}", self.url));
        let answer = call.header("Authorization", &self.token).form(form).send().await;
        let answer = answer.with_context(|| what.clone())?;
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        ensure!(status.is_success(), "{what}: {status} {text}");
        let mut answer: Value = serde_json::from_str(&text).with_context(|| what.clone())?;
        Ok(answer["data"].take())
    }

    /// Changes a VM's configuration and waits for the task.
    pub async fn configure(&self, vmid: u64, form: &[(&str, &str)]) -> Result<()> {
        let task = self.call(Method::POST, &format!("/nodes/pve1/qemu/{vmid}/config"), form).await?;
        let Some(upid) = task.as_str() else { return Ok(()) };
        let path = format!("/nodes/pve1/tasks/{upid}/status");
        eventually(LIMIT, || async {
            let status = self.call(Method::GET, &path, &[]).await?;
            match status["exitstatus"].as_str() {
                Some("OK") => Ok(()),
                other => Err(NotYet::because(format!("the task is {} ({other:?})", status["status"]))),
            }
        })
        .await
        .with_context(|| format!("configure VM {vmid}"))
    }

    /// Kills it as a power cut would.
    pub async fn kill(self) -> Result<()> {
        self.process.kill().await.map(drop)
    }
}

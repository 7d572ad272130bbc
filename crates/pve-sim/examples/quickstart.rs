//! A test of your own tool against a Proxmox VE that fits in it.

use std::error::Error;

use pve_sim::{Options, Sim};
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sim = Sim::start(Options::default()).await?; // ends when it is dropped
    let ca = reqwest::Certificate::from_pem(sim.ca_pem().as_bytes())?;
    let _ = rustls::crypto::ring::default_provider().install_default(); // reqwest's default features need no such line
    let http = reqwest::Client::builder().tls_certs_only([ca]).build()?;
    let id = "capi@pve!oxmox";
    let token = format!("PVEAPIToken={id}={}", sim.token(id).ok_or("no such token")?);
    let api = format!("{}/api2/json", sim.url());

    let clone = [("newid", "101"), ("name", "from-rust"), ("pool", "kubernetes")];
    let request = http.post(format!("{api}/nodes/pve1/qemu/9000/clone")).form(&clone);
    let task: Value = request.header("authorization", &token).send().await?.error_for_status()?.json().await?;
    let task = task["data"].as_str().ok_or("no task")?;
    loop {
        let request = http.get(format!("{api}/nodes/pve1/tasks/{task}/status"));
        let status: Value = request.header("authorization", &token).send().await?.json().await?;
        if status["data"]["status"] == "stopped" {
            assert_eq!(status["data"]["exitstatus"], "OK");
            return Ok(());
        }
    }
}

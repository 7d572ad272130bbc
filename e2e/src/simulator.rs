//! The simulator, and its control door.

use anyhow::{Context as _, Result};
use pve_sim::{Options, Running, Sim};
use serde_json::{Value, json};

/// The token that the provider uses.
pub(crate) const TOKEN: &str = "capi@pve!oxmox";

/// A running simulator.
pub struct Simulator {
    running: Running,
    door: reqwest::Client,
}

impl Simulator {
    /// Starts one.
    pub async fn start(options: Options) -> Result<Self> {
        let running = Sim::start(options).await.context("start pve-sim")?;
        let door = reqwest::Client::builder().no_proxy().build().context("make a client of the control door")?;
        Ok(Self { running, door })
    }

    /// URL of the API.
    pub fn url(&self) -> &str {
        self.running.url()
    }

    /// The CA of its certificate.
    pub fn ca(&self) -> &str {
        self.running.ca_pem()
    }

    /// The provider's secret.
    pub fn secret(&self) -> Result<&str> {
        self.running.token(TOKEN).context("the simulator has no token for the provider")
    }

    /// Asks the control door.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let url = format!("{}{path}", self.running.control_url());
        let answer = self.door.get(&url).send().await.with_context(|| format!("GET {url}"))?;
        answer.error_for_status()?.json().await.with_context(|| format!("read the answer of {url}"))
    }

    /// Tells the control door.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let url = format!("{}{path}", self.running.control_url());
        let answer = self.door.post(&url).json(body).send().await.with_context(|| format!("POST {url}"))?;
        let answer = answer.error_for_status()?;
        let text = answer.text().await?;
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Tells the control door to forget.
    pub async fn delete(&self, path: &str) -> Result<()> {
        let url = format!("{}{path}", self.running.control_url());
        self.door.delete(&url).send().await.with_context(|| format!("DELETE {url}"))?.error_for_status()?;
        Ok(())
    }

    /// The `nth` write of the provider from now on is carried out and never answered.
    pub async fn hold_write(&self, nth: usize) -> Result<Value> {
        let rule = json!({"match": {"writes": true, "user": TOKEN}, "nth": nth, "then": "hold"});
        self.post("/sim/faults", &rule).await
    }

    /// Waits until a rule has fired; false if it has not within so many seconds.
    pub async fn fired(&self, rule: &Value, seconds: u64) -> bool {
        let id = rule.get("id").and_then(Value::as_u64).unwrap_or_default();
        self.get(&format!("/sim/faults/{id}/wait?seconds={seconds}")).await.is_ok()
    }

    /// Its whole state.
    pub async fn state(&self) -> Result<Value> {
        self.get("/sim/state").await
    }

    /// Stops it.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

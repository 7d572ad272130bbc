//! The simulator, and its control door.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use pve_sim::{Options, Running, Sim};
use serde_json::{Value, json};

use crate::world::World;

/// The token that the provider uses.
pub const TOKEN: &str = "capi@pve!oxmox";

/// A rule that makes calls go wrong, until it is lifted.
#[derive(Debug)]
pub struct Rule(u64);

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

    /// URL of the control door.
    pub fn control(&self) -> String {
        self.running.control_url().to_string()
    }

    /// The CA of its certificate.
    pub fn ca(&self) -> &str {
        self.running.ca_pem()
    }

    /// The password of `root@pam`.
    pub fn root_password(&self) -> &str {
        self.running.root_password()
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

    /// The `nth` write of the provider from now on goes wrong as `then` says.
    pub async fn wrong_write(&self, nth: usize, then: &str) -> Result<Rule> {
        self.rule(&json!({"match": {"writes": true, "user": TOKEN}, "nth": nth, "then": then})).await
    }

    /// The `nth` write of the provider from now on is carried out and never answered.
    pub async fn hold_write(&self, nth: usize) -> Result<Rule> {
        self.wrong_write(nth, "hold").await
    }

    /// The `nth` call of the provider from now on is carried out and never answered.
    pub async fn hold_call(&self, nth: usize) -> Result<Rule> {
        self.rule(&json!({"match": {"user": TOKEN}, "nth": nth, "then": "hold"})).await
    }

    /// Makes calls go wrong.
    pub async fn rule(&self, rule: &Value) -> Result<Rule> {
        let answer = self.post("/sim/faults", rule).await?;
        Ok(Rule(answer.get("id").and_then(Value::as_u64).context("the rule has no id")?))
    }

    /// Waits until a rule has fired; false if it has not within so many seconds.
    pub async fn fired(&self, rule: &Rule, seconds: u64) -> bool {
        self.get(&format!("/sim/faults/{}/wait?seconds={seconds}", rule.0)).await.is_ok()
    }

    /// Ends a rule; calls that it held are answered.
    pub async fn lift(&self, rule: Rule) -> Result<()> {
        self.delete(&format!("/sim/faults/{}", rule.0)).await
    }

    /// The writes since the last [`Simulator::forget_calls`], oldest first.
    pub async fn writes(&self) -> Result<Vec<Value>> {
        let trace = self.get("/sim/trace").await?;
        let Value::Array(all) = trace else { anyhow::bail!("the trace is no list: {trace}") };
        Ok(all.into_iter().filter(|call| call.get("user").and_then(Value::as_str) == Some(TOKEN)).collect())
    }

    /// Calls by endpoint since the last [`Simulator::forget_calls`].
    pub async fn calls(&self) -> Result<BTreeMap<String, u64>> {
        let counters = self.get("/sim/counters").await?;
        let calls = counters.get("calls").cloned().context("the counters have no calls")?;
        serde_json::from_value(calls).context("read the counters")
    }

    /// Sets counters and trace to nothing.
    pub async fn forget_calls(&self) -> Result<()> {
        self.delete("/sim/counters").await
    }

    /// What it holds.
    pub async fn world(&self) -> Result<World> {
        Ok(World::new(self.state().await?))
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

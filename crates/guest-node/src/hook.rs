//! The guest hook's client.
//!
//! Promises: events in the order they were said, one at a time; every call has a limit. Assumes plain HTTP on loopback.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tracing::warn;

use crate::guest::Event;

/// The simulator's control door.
#[derive(Clone, Debug)]
pub struct Hook {
    base: String,
    http: reqwest::Client,
}

/// The events that never end.
#[derive(Debug)]
pub struct Events {
    response: reqwest::Response,
    rest: Vec<u8>,
}

impl Hook {
    /// `base` is the URL that the simulator prints.
    pub fn new(base: &str) -> Result<Self> {
        // HTTP only, but the client wants to know; a provider that somebody installed before does as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build().context("HTTP client")?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), http })
    }

    /// Attaches.
    pub async fn attach(&self) -> Result<Events> {
        let url = format!("{}/sim/guests/events", self.base);
        let response = self.http.get(&url).send().await.with_context(|| format!("attach to `{url}`"))?;
        if !response.status().is_success() {
            bail!("attach to `{url}`: {}", response.status());
        }
        Ok(Events { response, rest: vec![] })
    }

    /// The bytes of a drive; none where nothing was ever written.
    pub async fn content(&self, vmid: u32, key: &str) -> Result<Option<Vec<u8>>> {
        let url = format!("{}/sim/guests/{vmid}/drives/{key}/content", self.base);
        let response = self
            .http
            .get(&url)
            .timeout(Duration::from_secs(30))
            .send()
            .await
            .with_context(|| format!("read `{url}`"))?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(response.bytes().await?.to_vec())),
            status => bail!("read `{url}`: {status}"),
        }
    }

    /// The guest has ended.
    pub async fn off(&self, vmid: u32, run: &str, why: &str) {
        self.post(&format!("/sim/guests/{vmid}/off"), &json!({"run": run, "why": why})).await;
    }

    /// The guest agent is there.
    pub async fn agent_up(&self, vmid: u32, run: &str) {
        self.post(&format!("/sim/guests/{vmid}/agent"), &json!({"run": run, "up": true})).await;
    }

    /// An agent call's answer.
    pub async fn answer(&self, call: &str, answer: &Value) {
        self.post(&format!("/sim/guests/agent-calls/{call}"), answer).await;
    }

    /// A refusal (409: another run by now) is for the log: there is nothing we could do about it.
    async fn post(&self, path: &str, body: &Value) {
        let url = format!("{}{path}", self.base);
        match self.http.post(&url).json(body).timeout(Duration::from_secs(5)).send().await {
            Ok(response) if response.status().is_success() => {}
            Ok(response) => warn!("`{url}`: {}", response.status()),
            Err(err) => warn!("`{url}`: {err}"),
        }
    }
}

impl Events {
    /// The next event; none when the simulator has ended.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                if line.trim().is_empty() {
                    continue;
                }
                match serde_json::from_str(line.trim()) {
                    Ok(event) => return Ok(Some(event)),
                    // One that we do not understand is no reason to drop all guests.
                    Err(err) => warn!("event `{}`: {err}", line.trim()),
                }
                continue;
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) => self.rest.extend_from_slice(&bytes),
                Ok(None) => return Ok(None),
                Err(err) => return Err(err).context("events of the simulator"),
            }
        }
    }
}

//! A client of the control door of a simulator that runs.

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// Where the control door is.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Door {
    /// URL of the control door
    #[arg(long, env = "PVE_CONTROL_URL", value_name = "URL")]
    control: Option<String>,
    /// The ready file that the simulator wrote
    #[arg(long, env = "PVE_SIM_READY_FILE", value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

impl Door {
    fn url(&self) -> anyhow::Result<String> {
        if let Some(file) = &self.ready_file {
            let text = std::fs::read_to_string(file).with_context(|| format!("read `{}`", file.display()))?;
            let facts: Value = serde_json::from_str(&text).with_context(|| format!("read `{}`", file.display()))?;
            return facts["control_url"].as_str().map(str::to_owned).context("the ready file names no control door");
        }
        self.control.clone().context(
            "which simulator is not said\nhint: --control URL, --ready-file FILE, or PVE_CONTROL_URL of `pve-sim -o env`",
        )
    }

    /// One call; what it answers, which is a failure if the door says so.
    pub(super) async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        match self.ask(method, path, body).await? {
            (status, value) if status.is_success() => Ok(value),
            (status, value) => bail!("{method} {path}: {status}: {}", value["error"].as_str().unwrap_or("no reason")),
        }
    }

    /// One call; its status and what it answers.
    pub(super) async fn ask(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Value)> {
        let url = self.url()?;
        let authority = url.trim_end_matches('/').strip_prefix("http://").map(str::to_owned);
        let authority =
            authority.with_context(|| format!("read the control door's URL `{url}`: not http://HOST:PORT"))?;
        let stream = TcpStream::connect(&authority).await.with_context(|| format!("connect to `{url}`"))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.with_context(|| not_a_door(&url))?;
        let driver = tokio::spawn(connection);
        let text = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &authority)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(text)))?;
        let answer = sender.send_request(request).await.with_context(|| format!("call `{method} {path}`"))?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await.with_context(|| format!("read `{method} {path}`"))?.to_bytes();
        drop(sender);
        driver.abort();
        ensure!(!bytes.is_empty() || status.is_success(), "{method} {path}: {status}");
        let value = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).with_context(|| not_a_door(&url))?
        };
        Ok((status, value))
    }
}

fn not_a_door(url: &str) -> String {
    format!("`{url}` does not answer as a control door (is it the URL of the API?)")
}

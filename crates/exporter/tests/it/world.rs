//! A simulator, our exporter in front of it, and somebody who scrapes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use exporter::{Collector, Measure, Module, Settings};
use pve::{Auth, Trust};
use pve_sim::{Options, Running, Sim};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// Whose token reads everything; a test makes it.
pub(crate) struct World {
    pub(crate) sim: Running,
    pub(crate) exporter: SocketAddr,
    stop: CancellationToken,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) text: String,
}

impl Answer {
    /// The value of the sample that begins so.
    pub(crate) fn value(&self, sample: &str) -> Option<f64> {
        self.text.lines().find_map(|line| line.strip_prefix(sample)?.trim().parse().ok())
    }
}

/// As root, for some parts of the API ask for that.
pub(crate) fn settings(sim: &Running) -> Settings {
    let password = SecretString::from(sim.root_password().to_owned());
    let module = Module {
        auth: Auth::Password { user: "root@pam".into(), password },
        trust: Trust::Ca(sim.ca_pem().to_owned()),
        port: 8006,
        timeout: None,
    };
    Settings {
        modules: BTreeMap::from([("default".to_owned(), module)]),
        collectors: Collector::ALL.into(),
        allowed_targets: Vec::new(),
        default_target: None,
        listen: ([127, 0, 0, 1], 0).into(),
        config_refresh: Duration::from_mins(15),
        negotiate: false,
        measure: Measure::default(),
    }
}

impl World {
    pub(crate) async fn start(options: Options) -> Self {
        Self::with(options, |settings| settings).await
    }

    pub(crate) async fn with(options: Options, change: impl FnOnce(Settings) -> Settings) -> Self {
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let sim = Sim::start(options).await.unwrap();
        let mut settings = change(settings(&sim));
        // The default target of a test is the simulator.
        settings.default_target = settings.default_target.map(|_| address(&sim));
        let stop = CancellationToken::new();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let token = stop.clone();
        tokio::spawn(async move {
            exporter::run(settings, Vec::new(), token, |addr| sender.send(addr).unwrap()).await.unwrap();
        });
        Self { exporter: receiver.await.unwrap(), sim, stop }
    }

    /// Host and port of the simulator.
    pub(crate) fn target(&self) -> String {
        address(&self.sim)
    }

    /// Scrapes the simulator.
    pub(crate) async fn scrape(&self, more: &str) -> Answer {
        self.get(&format!("/pve?target={}{more}", self.target()), "").await
    }

    /// One GET of the exporter, with further head lines.
    pub(crate) async fn get(&self, path: &str, lines: &str) -> Answer {
        http(self.exporter, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{lines}\r\n")).await
    }

    /// The simulator's control door.
    pub(crate) async fn door(&self, method: &str, path: &str, body: &Value) -> Value {
        let addr: SocketAddr = self.sim.control_url().strip_prefix("http://").unwrap().parse().unwrap();
        let body = body.to_string();
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n");
        let answer = http(addr, &format!("{head}content-length: {}\r\n\r\n{body}", body.len())).await;
        assert!((200..300).contains(&answer.status), "{answer:?}");
        serde_json::from_str(&answer.text).unwrap_or(Value::Null)
    }

    /// Calls of the API since the last time.
    pub(crate) async fn calls(&self) -> BTreeMap<String, u64> {
        let counters = self.door("GET", "/sim/counters", &json!({})).await;
        self.door("DELETE", "/sim/counters", &json!({})).await;
        serde_json::from_value(counters["calls"].clone()).unwrap()
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.sim.stop().await;
    }
}

fn address(sim: &Running) -> String {
    sim.url().strip_prefix("https://").unwrap().to_owned()
}

async fn http(addr: SocketAddr, request: &str) -> Answer {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let answer = String::from_utf8(bytes).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let text = if head.to_lowercase().contains("transfer-encoding: chunked") { dechunk(body) } else { body.to_owned() };
    Answer { status: head.split(' ').nth(1).unwrap().parse().unwrap(), head: head.to_lowercase(), text }
}

fn dechunk(mut body: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        out.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
        if size == 0 {
            break;
        }
    }
    out
}

//! A client that sees what is on the wire: status line with its reason, headers as sent, the body.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use pve_sim::{Options, Running, Sim};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub(crate) fn data(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["data"].clone()
    }

    /// The failure with its status, whose reason and message must agree.
    pub(crate) fn refusal(&self) -> (u16, String) {
        let json = self.json();
        let message = json["message"].as_str().unwrap_or_else(|| panic!("no message: {self:?}")).to_owned();
        assert_eq!(message.lines().next().unwrap(), self.reason);
        assert_eq!(self.headers["connection"], "close");
        (self.status, self.reason.clone())
    }
}

/// A simulator and somebody who calls it.
pub(crate) struct World {
    pub(crate) sim: Running,
    tls: TlsConnector,
}

impl World {
    pub(crate) async fn start(options: Options) -> Self {
        let sim = Sim::start(options).await.unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(sim.ca_pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { sim, tls: TlsConnector::from(Arc::new(config)) }
    }

    pub(crate) async fn quick() -> Self {
        Self::start(Options { speed: 50.0, ..Options::default() }).await
    }

    /// Host and port of the API.
    pub(crate) fn address(&self) -> &str {
        self.sim.url().strip_prefix("https://").unwrap()
    }

    /// A directory with what a program needs that finds the simulator by its files: `ca.pem`, `sim.json`.
    pub(crate) fn directory(&self) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let tokens: Vec<Value> =
            self.sim.tokens().iter().map(|(id, secret)| json!({"id": id, "secret": secret})).collect();
        let facts = json!({"url": self.sim.url(), "ca": self.sim.ca_pem(), "tokens": tokens});
        std::fs::write(dir.path().join("ca.pem"), self.sim.ca_pem()).unwrap();
        std::fs::write(dir.path().join("sim.json"), facts.to_string()).unwrap();
        dir
    }

    pub(crate) fn token(&self) -> String {
        let id = "capi@pve!oxmox";
        format!("Authorization: PVEAPIToken={id}={}\r\n", self.sim.token(id).unwrap())
    }

    pub(crate) async fn connect(&self) -> TlsStream<TcpStream> {
        let address = self.sim.url().strip_prefix("https://").unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        self.tls.connect(ServerName::try_from("127.0.0.1").unwrap(), stream).await.unwrap()
    }

    /// Sends bytes as they are; none if the connection closes without an answer.
    pub(crate) async fn raw(&self, text: &str, body: &[u8]) -> Option<Answer> {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        read(&mut stream).await
    }

    /// A call with these header lines and this form.
    pub(crate) async fn call_as(
        &self,
        headers: &str,
        method: &str,
        path: &str,
        form: &[(&str, &str)],
    ) -> Option<Answer> {
        let (mut path, mut body) = (format!("/api2/json{path}"), encode(form));
        let mut headers = headers.to_owned();
        if method == "GET" || method == "DELETE" {
            if !body.is_empty() {
                path = format!("{path}?{body}");
            }
            body.clear();
        } else {
            headers.push_str("Content-Type: application/x-www-form-urlencoded\r\n");
            let _ = write!(headers, "Content-Length: {}\r\n", body.len());
        }
        let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        self.raw(&head, body.as_bytes()).await
    }

    pub(crate) async fn call(&self, method: &str, path: &str, form: &[(&str, &str)]) -> Answer {
        self.call_as(&self.token(), method, path, form).await.expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.call("GET", path, &[]).await.data()
    }

    pub(crate) async fn root(&self) -> String {
        let password = self.sim.root_password().to_owned();
        let form = [("username", "root@pam"), ("password", password.as_str())];
        let data = self.call_as("", "POST", "/access/ticket", &form).await.unwrap().data();
        let (ticket, csrf) = (data["ticket"].as_str().unwrap(), data["CSRFPreventionToken"].as_str().unwrap());
        format!("Cookie: PVEAuthCookie={}\r\nCSRFPreventionToken: {csrf}\r\n", percent(ticket))
    }

    /// A call that starts a task, waited for; its exit status.
    pub(crate) async fn task(&self, method: &str, path: &str, form: &[(&str, &str)]) -> String {
        let upid = self.call(method, path, form).await.data();
        self.wait(upid.as_str().unwrap()).await
    }

    pub(crate) async fn wait(&self, upid: &str) -> String {
        self.wait_as(&self.token(), upid).await
    }

    /// The end of a task, as the owner of these header lines sees it.
    pub(crate) async fn wait_as(&self, headers: &str, upid: &str) -> String {
        let node = upid.split(':').nth(1).unwrap();
        let path = format!("/nodes/{node}/tasks/{}/status", percent(upid));
        loop {
            let status = self.call_as(headers, "GET", &path, &[]).await.expect("an answer").data();
            if status["status"] == "stopped" {
                return status["exitstatus"].as_str().unwrap().to_owned();
            }
            tokio::task::yield_now().await;
        }
    }

    /// A clone of the template in the pool, ready.
    pub(crate) async fn cloned(&self, vmid: &str) {
        let form = [("newid", vmid), ("name", "w-0"), ("pool", "kubernetes")];
        assert_eq!(self.task("POST", "/nodes/pve1/qemu/9000/clone", &form).await, "OK");
    }

    /// A call at the control door.
    pub(crate) async fn door(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut stream = self.door_stream(method, path, body).await;
        let answer = read(&mut stream).await.expect("an answer");
        (answer.status, if answer.text.is_empty() { Value::Null } else { answer.json() })
    }

    /// What the control door answers to a reading, as text.
    pub(crate) async fn door_text(&self, path: &str) -> String {
        let mut stream = self.door_stream("GET", path, "").await;
        read(&mut stream).await.expect("an answer").text
    }

    /// The connection after a call at the control door was sent.
    pub(crate) async fn door_stream(&self, method: &str, path: &str, body: &str) -> TcpStream {
        let address = self.sim.control_url().strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }
}

/// Percent-encodes everything that isn't plain.
pub(crate) fn percent(text: &str) -> String {
    text.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

fn encode(form: &[(&str, &str)]) -> String {
    form.iter().map(|(k, v)| format!("{}={}", percent(k), percent(v))).collect::<Vec<_>>().join("&")
}

/// Reads one answer; none if there is none.
pub(crate) async fn read<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> Option<Answer> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0u8; 65536];
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let mut lines = head.lines();
            let line = lines.next().unwrap();
            let mut words = line.splitn(3, ' ');
            let status = words.nth(1).unwrap().parse().unwrap();
            let reason = words.next().unwrap_or_default().to_owned();
            let headers: BTreeMap<String, String> =
                lines.filter_map(|l| l.split_once(": ")).map(|(k, v)| (k.to_lowercase(), v.to_owned())).collect();
            let length = headers.get("content-length").and_then(|l| l.parse().ok()).unwrap_or(0usize);
            while bytes.len() < end + 4 + length {
                let count = stream.read(&mut buffer).await.ok().filter(|n| *n > 0)?;
                bytes.extend_from_slice(&buffer[..count]);
            }
            let text = String::from_utf8_lossy(&bytes[end + 4..end + 4 + length]).into_owned();
            return Some(Answer { status, reason, headers, text });
        }
        let count = stream.read(&mut buffer).await.ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
    }
}

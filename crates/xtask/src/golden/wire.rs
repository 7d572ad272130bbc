//! The wire: bytes out, bytes in, over TLS or not.
//!
//! By hand, so that odd requests go out as they were recorded. A connection a request; nothing is retried.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The longest that an answer may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a raw socket is listened to after a whole answer: is it closed?
const AFTERWARDS: Duration = Duration::from_millis(200);

/// Where the simulator listens.
#[derive(Clone)]
pub(crate) struct Server {
    address: String,
    connector: TlsConnector,
}

/// What came back.
#[derive(Debug, Default)]
pub(crate) struct Came {
    pub(crate) bytes: Vec<u8>,
    pub(crate) closed: bool,
}

impl Server {
    /// `url` as a simulator gives it, with the authority that it is to be trusted by.
    pub(crate) fn new(url: &str, ca_pem: &str) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes()).context("read the simulator's authority")?;
        roots.add(ca).context("trust the simulator's authority")?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("choose TLS versions")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let address = url.split("://").nth(1).unwrap_or(url).trim_end_matches('/').to_owned();
        Ok(Self { address, connector: TlsConnector::from(Arc::new(config)) })
    }

    /// Sends a request and reads one answer, or all until the server is silent.
    pub(crate) async fn send(&self, request: &[u8], tls: bool, linger: bool) -> std::io::Result<Came> {
        let plain = TcpStream::connect(&self.address).await?;
        plain.set_nodelay(true)?;
        if !tls {
            return talk(plain, request, linger).await;
        }
        let name = ServerName::try_from("127.0.0.1").map_err(std::io::Error::other)?;
        talk(self.connector.connect(name, plain).await?, request, linger).await
    }
}

/// A call of the control door.
pub(crate) async fn door(url: &str, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
    let doing = || format!("call `{method} {path}` of the control door");
    let address = url.split("://").nth(1).unwrap_or(url).trim_end_matches('/');
    let text = body.map_or_else(String::new, Value::to_string);
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        text.len()
    );
    let plain = TcpStream::connect(address).await.with_context(doing)?;
    let came = talk(plain, format!("{head}{text}").as_bytes(), false).await.with_context(doing)?;
    let answer = Answer::read(&came.bytes).with_context(doing)?;
    anyhow::ensure!(answer.status < 400, "{}: {}", doing(), answer.text());
    serde_json::from_slice(&answer.body).with_context(doing)
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, request: &[u8], linger: bool) -> std::io::Result<Came> {
    let mut came = Came::default();
    // A server that refuses early closes while we still write; its answer counts.
    let written = stream.write_all(request).await;
    let flushed = stream.flush().await;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let whole = Answer::read(&came.bytes).is_some_and(|a| a.whole);
        if whole && !linger {
            return Ok(came);
        }
        let limit = if whole { AFTERWARDS } else { PATIENCE };
        match tokio::time::timeout(limit, stream.read(&mut buffer)).await {
            Ok(Ok(0)) => came.closed = true,
            Ok(Ok(n)) => {
                came.bytes.extend_from_slice(&buffer[..n]);
                continue;
            }
            Ok(Err(error)) if came.bytes.is_empty() => return Err(written.and(flushed).err().unwrap_or(error)),
            Ok(Err(_)) => came.closed = true,
            Err(_) if came.bytes.is_empty() => return Err(std::io::ErrorKind::TimedOut.into()),
            Err(_) => {}
        }
        return Ok(came);
    }
}

/// An answer, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// As much came as was announced.
    whole: bool,
}

/// The headers that recordings keep.
const KEPT: [&str; 4] = ["connection", "content-type", "content-encoding", "content-disposition"];

impl Answer {
    /// The first answer in these bytes, if its head is complete.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
        let head: String = bytes[..end].iter().map(|b| char::from(*b)).collect();
        let mut lines = head.split("\r\n");
        let mut first = lines.next()?.splitn(3, ' ');
        first.next()?.strip_prefix("HTTP/")?;
        let status = first.next()?.parse().ok()?;
        let reason: Vec<u8> = first.next().unwrap_or_default().chars().filter_map(|c| u8::try_from(c).ok()).collect();
        let headers: Vec<(String, String)> = lines
            .filter_map(|l| l.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let announced = headers.iter().find(|(n, _)| n.eq_ignore_ascii_case("content-length"));
        let length: Option<usize> = announced.and_then(|(_, v)| v.parse().ok());
        let rest = &bytes[end + 4..];
        let body = &rest[..length.unwrap_or(rest.len()).min(rest.len())];
        Some(Self {
            status,
            reason: String::from_utf8_lossy(&reason).into_owned(),
            headers,
            body: body.to_vec(),
            whole: length.is_some_and(|n| rest.len() >= n),
        })
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// As a transcript has it.
    pub(crate) fn recorded(&self) -> Value {
        let kept = self.headers.iter().filter(|(n, _)| KEPT.iter().any(|k| n.eq_ignore_ascii_case(k)));
        let mut headers: Vec<(String, String)> = kept.map(|(n, v)| (header_case(n), v.clone())).collect();
        headers.sort_by(|a, b| a.0.cmp(&b.0));
        let mut out = json!({"status": self.status, "reason": self.reason, "headers": headers});
        match serde_json::from_slice::<Value>(&self.body) {
            Ok(value) if !value.is_null() => out["body"] = value,
            Ok(_) | Err(_) => out["body_text"] = json!(self.text()),
        }
        out
    }
}

/// `content-type` as `Content-Type`.
fn header_case(name: &str) -> String {
    let word = |w: &str| {
        let mut letters = w.chars();
        letters.next().map_or_else(String::new, |c| c.to_uppercase().chain(letters).collect())
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_as_much_came_as_was_announced() {
        let head = b"HTTP/1.1 500 no such thing\r\nContent-Length: 4\r\nX: y\r\n\r\n";
        let read = |body: &[u8]| Answer::read(&[head, body].concat());
        assert!(read(b"abc").is_some_and(|a| !a.whole));
        let answer = read(b"abcdefg").unwrap();
        assert!(answer.whole);
        assert_eq!(
            (answer.status, answer.reason.as_str(), answer.body.as_slice()),
            (500, "no such thing", &b"abcd"[..])
        );
        assert!(Answer::read(b"HTTP/1.1 200 OK\r\n").is_none());
    }

    #[test]
    fn what_is_json_is_recorded_as_such_and_the_rest_as_text() {
        let recorded = |body: &str| {
            let bytes = format!("HTTP/1.1 200 OK\r\ncontent-type: x\r\ndate: now\r\n\r\n{body}");
            Answer::read(bytes.as_bytes()).unwrap().recorded()
        };
        assert_eq!(recorded("{\"data\":1}")["body"], json!({"data": 1}));
        assert_eq!(recorded("oh")["body_text"], "oh");
        assert_eq!(recorded("oh")["headers"], json!([["Content-Type", "x"]]));
    }
}

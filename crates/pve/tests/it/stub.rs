//! A tiny HTTP/1.1 server: it writes down what it is asked and answers as a script says.
//!
//! Own bytes rather than a library's, for the points are the odd ones: reason phrases, missing bodies,
//! connections that break.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pve::{Auth, BaseUrl, Client, ClientConfig, Proxy, Timeouts, Trust};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    /// `GET /version`: the API's path without its base.
    pub(crate) fn call(&self) -> String {
        format!("{} {}", self.method, self.path().trim_start_matches("/api2/json"))
    }

    pub(crate) fn body_text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// What to answer.
#[derive(Clone)]
pub(crate) enum Reply {
    Bytes(String),
    /// Close the connection without a word.
    Drop,
    /// Answer when a permit comes.
    When(Arc<Semaphore>, Box<Reply>),
}

impl Reply {
    pub(crate) fn raw(status: u16, reason: &str, kind: Option<&str>, body: &str) -> Self {
        let kind = kind.map(|k| format!("Content-Type: {k}\r\n")).unwrap_or_default();
        let close = if status >= 400 { "Connection: close\r\n" } else { "" };
        let length = body.len();
        Self::Bytes(format!("HTTP/1.1 {status} {reason}\r\n{kind}{close}Content-Length: {length}\r\n\r\n{body}"))
    }

    pub(crate) fn json(status: u16, reason: &str, body: &Value) -> Self {
        Self::raw(status, reason, Some("application/json;charset=UTF-8"), &body.to_string())
    }

    pub(crate) fn data(data: impl Into<Value>) -> Self {
        Self::json(200, "OK", &json!({"data": data.into()}))
    }

    /// A failure as Proxmox 9 words it: in the reason phrase and in the body.
    pub(crate) fn fails(status: u16, message: &str) -> Self {
        let first = message.lines().next().unwrap_or("");
        Self::json(status, first, &json!({"data": null, "message": format!("{message}\n")}))
    }

    /// One as Proxmox 8.3 and older word it: only in the reason phrase.
    pub(crate) fn fails_old(status: u16, message: &str) -> Self {
        Self::json(status, message, &json!({"data": null}))
    }

    /// One from before the answer is formatted: no body, no content type.
    pub(crate) fn fails_bare(status: u16, message: &str) -> Self {
        Self::raw(status, message, None, "")
    }

    pub(crate) fn unknown(asked: &Asked) -> Self {
        Self::fails(501, &format!("Method '{}' not implemented", asked.call()))
    }
}

type Script = Arc<dyn Fn(&Asked) -> Reply + Send + Sync>;

/// The running server; dropping it ends it.
pub(crate) struct Stub {
    pub(crate) addr: SocketAddr,
    scheme: &'static str,
    asked: Arc<Mutex<Vec<Asked>>>,
    most: Arc<AtomicUsize>,
    stop: CancellationToken,
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Stub {
    pub(crate) async fn start(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(None, script).await
    }

    pub(crate) async fn start_with(
        tls: Option<TlsAcceptor>,
        script: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stub = Self {
            addr: listener.local_addr().unwrap(),
            scheme: if tls.is_some() { "https" } else { "http" },
            asked: Arc::default(),
            most: Arc::default(),
            stop: CancellationToken::new(),
        };
        let room =
            Room { script: Arc::new(script), asked: stub.asked.clone(), now: Arc::default(), most: stub.most.clone() };
        let stop = stub.stop.clone();
        tokio::spawn(async move {
            while let Some(Ok((stream, _))) = stop.run_until_cancelled(listener.accept()).await {
                let (room, tls, stop) = (room.clone(), tls.clone(), stop.clone());
                tokio::spawn(async move {
                    let serve = async {
                        match tls {
                            None => room.serve(stream).await,
                            Some(tls) => room.serve(tls.accept(stream).await?).await,
                        }
                    };
                    // A client that goes away is no failure of the server's.
                    let _: Option<io::Result<()>> = stop.run_until_cancelled(serve).await;
                });
            }
        });
        stub
    }

    pub(crate) fn url(&self) -> BaseUrl {
        self.text_url().parse().unwrap()
    }

    pub(crate) fn text_url(&self) -> String {
        format!("{}://localhost:{}", self.scheme, self.addr.port())
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The calls in order: `GET /version`.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.asked().iter().map(Asked::call).collect()
    }

    pub(crate) fn count(&self, call: &str) -> usize {
        self.calls().iter().filter(|c| *c == call).count()
    }

    /// The most requests that were in hand at once.
    pub(crate) fn most_at_once(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    pub(crate) fn client(&self) -> Client {
        client(vec![self.url()])
    }
}

#[derive(Clone)]
struct Room {
    script: Script,
    asked: Arc<Mutex<Vec<Asked>>>,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Room {
    async fn serve(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        while let Some(asked) = read(&mut stream).await? {
            let reply = (self.script)(&asked);
            self.asked.lock().unwrap().push(asked);
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            let bytes = settle(reply).await;
            self.now.fetch_sub(1, Ordering::SeqCst);
            let Some(bytes) = bytes else { break };
            stream.write_all(bytes.as_bytes()).await?;
            stream.flush().await?;
            if bytes.contains("Connection: close") {
                break;
            }
        }
        stream.shutdown().await
    }
}

async fn settle(mut reply: Reply) -> Option<String> {
    loop {
        match reply {
            Reply::Bytes(bytes) => return Some(bytes),
            Reply::Drop => return None,
            Reply::When(gate, then) => {
                gate.acquire().await.unwrap().forget();
                reply = *then;
            }
        }
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Asked>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).map_err(io::Error::other)?;
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next().unwrap_or("").split(' ');
    let (method, target) = (first.next().unwrap_or(""), first.next().unwrap_or(""));
    let headers: Vec<(String, String)> =
        lines.filter_map(|l| l.split_once(": ")).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    let mut asked = Asked { method: method.to_owned(), target: target.to_owned(), headers, body: Vec::new() };
    let length = asked.header("content-length").map_or(0, |v| v.parse().unwrap());
    asked.body = vec![0; length];
    stream.read_exact(&mut asked.body).await?;
    Ok(Some(asked))
}

pub(crate) const TOKEN: &str = "capi@pve!t";
pub(crate) const SECRET: &str = "12345678-aaaa-bbbb-cccc-1234567890ab";

/// Settings with a token and nothing of the environment.
pub(crate) fn config(urls: Vec<BaseUrl>) -> ClientConfig {
    let auth = Auth::Token { id: TOKEN.to_owned(), secret: SECRET.to_owned().into() };
    ClientConfig {
        // No test looks at the machine's own certificates unless it says so.
        trust: Trust::Skip,
        proxy: Proxy::None,
        timeouts: Timeouts { answer: Duration::from_secs(10), ..Timeouts::default() },
        ..ClientConfig::new(urls, auth)
    }
}

pub(crate) fn client(urls: Vec<BaseUrl>) -> Client {
    Client::new(config(urls)).unwrap()
}

/// A URL where nobody listens.
pub(crate) async fn dead_url() -> BaseUrl {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    format!("http://127.0.0.1:{port}").parse().unwrap()
}

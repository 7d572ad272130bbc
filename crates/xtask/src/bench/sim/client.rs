//! A client that costs little: one connection, one call at a time, no trust.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::server::Server;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// One connection, made anew when the server closes it.
pub(super) struct Client {
    address: String,
    connector: TlsConnector,
    stream: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

/// Header lines of a login.
#[derive(Debug, Clone, Default)]
pub(super) struct Credentials(String);

impl Credentials {
    /// Logs in as root@pam.
    pub(super) async fn get(server: &Server) -> Result<Self> {
        let form = format!("username=root@pam&password={}", server.password);
        let answer = Client::connect(server).await?.call("POST", "/access/ticket", &Self::default(), &form).await?;
        let data: Value = serde_json::from_slice(&answer.body).context("read the ticket")?;
        let text = |key: &str| data["data"][key].as_str().map(str::to_owned).context("log in");
        let (ticket, csrf) = (text("ticket")?, text("CSRFPreventionToken")?);
        let ticket = ticket.replace('=', "%3D").replace('+', "%2B").replace('/', "%2F");
        Ok(Self(format!("Cookie: PVEAuthCookie={ticket}\r\nCSRFPreventionToken: {csrf}\r\n")))
    }
}

impl Client {
    pub(super) async fn connect(server: &Server) -> Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .context("choose TLS versions")?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let stream = open(&connector, &server.address).await?;
        Ok(Self { address: server.address.clone(), connector, stream, buffer: Vec::with_capacity(1 << 16) })
    }

    /// One call, with the form as its body if it has one.
    pub(super) async fn call(&mut self, verb: &str, path: &str, who: &Credentials, form: &str) -> Result<Answer> {
        let length = if form.is_empty() {
            String::new()
        } else {
            let kind = "Content-Type: application/x-www-form-urlencoded";
            format!("{kind}\r\nContent-Length: {}\r\n", form.len())
        };
        let head = format!("{verb} /api2/json{path} HTTP/1.1\r\nHost: {}\r\n{}{length}\r\n{form}", self.address, who.0);
        self.stream.write_all(head.as_bytes()).await?;
        self.stream.flush().await?;
        self.buffer.clear();
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).context("read the status")?;
        let length: usize = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .and_then(|n| n.trim().parse().ok())
            .unwrap_or(0);
        while self.buffer.len() < end + length {
            self.more().await?;
        }
        let body = self.buffer[end..end + length].to_vec();
        if head.contains("connection: close") {
            self.stream = open(&self.connector, &self.address).await?;
        }
        Ok(Answer { status, body })
    }

    async fn more(&mut self) -> Result<()> {
        let count = self.stream.read_buf(&mut self.buffer).await?;
        anyhow::ensure!(count > 0, "the server closed the connection");
        Ok(())
    }
}

async fn open(connector: &TlsConnector, address: &str) -> Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await.with_context(|| format!("connect to `{address}`"))?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").context("name the server")?;
    connector.connect(name, stream).await.with_context(|| format!("greet `{address}`"))
}

/// Trusts anybody: it is our own child.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

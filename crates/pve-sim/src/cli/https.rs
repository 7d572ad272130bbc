//! A client of a Proxmox VE: GETs over one connection, made anew when the server closes it.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Whom to trust.
#[derive(Debug)]
pub(super) enum Trust {
    /// An authority, as PEM.
    Authority(Vec<u8>),
    /// The certificate with this SHA-256, `AA:BB:…`.
    Fingerprint(String),
}

/// The client.
pub(super) struct Https {
    authority: String,
    name: ServerName<'static>,
    tls: TlsConnector,
    token: String,
    sender: Option<SendRequest<Empty<Bytes>>>,
}

impl Https {
    pub(super) fn new(url: &str, token: String, trust: Trust) -> anyhow::Result<Self> {
        let rest = url.strip_prefix("https://").with_context(|| format!("read `{url}`: not https://HOST[:PORT]"))?;
        let rest = rest.trim_end_matches('/').trim_end_matches("/api2/json");
        let (host, port) = rest.rsplit_once(':').unwrap_or((rest, "8006"));
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .with_context(|| format!("read the host of `{url}`"))?;
        let provider = Arc::new(ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let config = match trust {
            Trust::Authority(pem) => {
                let mut roots = RootCertStore::empty();
                for cert in CertificateDer::pem_slice_iter(&pem) {
                    roots.add(cert.context("read the authority")?).context("trust the authority")?;
                }
                builder.with_root_certificates(roots).with_no_client_auth()
            }
            Trust::Fingerprint(wanted) => {
                let wanted = wanted.replace(':', "").to_ascii_lowercase();
                let pinned = Arc::new(Pinned { wanted, provider });
                builder.dangerous().with_custom_certificate_verifier(pinned).with_no_client_auth()
            }
        };
        let authority = format!("{host}:{port}");
        Ok(Self { authority, name, tls: TlsConnector::from(Arc::new(config)), token, sender: None })
    }

    async fn connect(&self) -> anyhow::Result<SendRequest<Empty<Bytes>>> {
        let stream =
            TcpStream::connect(&self.authority).await.with_context(|| format!("connect to `{}`", self.authority))?;
        let stream = self.tls.connect(self.name.clone(), stream).await;
        let stream = stream.with_context(|| format!("trust `{}`", self.authority))?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the sender.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(sender)
    }

    /// What is under `data`; an error if the server says no.
    pub(super) async fn get(&mut self, path: &str) -> anyhow::Result<Value> {
        let doing = || format!("GET {path}");
        let mut kept = self.sender.take();
        if let Some(sender) = &mut kept
            && sender.ready().await.is_err()
        {
            kept = None;
        }
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let request = Request::builder()
            .uri(format!("/api2/json{path}"))
            .header("host", &self.authority)
            .header("user-agent", "pve-sim-capture")
            .header("authorization", format!("PVEAPIToken={}", self.token))
            .body(Empty::new())?;
        let answer = sender.send_request(request).await.with_context(doing)?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await.with_context(doing)?.to_bytes();
        if status.is_success() {
            self.sender = Some(sender);
        }
        ensure!(status != http::StatusCode::UNAUTHORIZED, "{}: the token is refused", doing());
        if !status.is_success() {
            bail!("{}: {status}", doing());
        }
        let mut value: Value = serde_json::from_slice(&bytes).with_context(doing)?;
        Ok(value["data"].take())
    }
}

/// Trusts one certificate.
#[derive(Debug)]
struct Pinned {
    wanted: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        cert: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if hex::encode(Sha256::digest(cert)) == self.wanted {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::General("the certificate has another fingerprint".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

//! How a TLS server looks to somebody who sends no credentials: its certificate, and its clock.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Clock, chain};
use crate::evidence::{Cause, Certificate, Read};

/// Long enough for a far-away network, short enough for a person who waits.
const LIMIT: Duration = Duration::from_secs(5);
/// Headers longer than this are not looked at.
const HEADERS: usize = 16 * 1024;

/// Connects, notes the certificate, and with `ask` (a path) sends a bare `GET` to learn the server's time.
pub(super) async fn look(host: &str, port: u16, ask: Option<&str>, clock: Clock) -> Read<Certificate> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let tls = match tokio::time::timeout(LIMIT, connect(host, port)).await {
        Ok(Ok(tls)) => tls,
        Ok(Err((cause, why))) => return Read::unread(cause, format!("`{host}:{port}`: {why}")),
        Err(_) => {
            return Read::unread(Cause::NoConnection, format!("`{host}:{port}`: no answer in {} s", LIMIT.as_secs()));
        }
    };
    let der = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|cert| cert.to_vec());
    let Some(der) = der else {
        return Read::unread(Cause::Garbled, format!("`{host}:{port}` shows no certificate"));
    };
    let mut seen = describe(&der);
    if let Some(path) = ask {
        let told = tokio::time::timeout(LIMIT, time(tls, host, path)).await.ok().flatten();
        seen.clock_ahead_ms = told.map(|told| ahead_ms(told, clock.now()));
    }
    Read::Known(seen)
}

/// The server told a whole second; on the average half of one has passed since.
fn ahead_ms(told: Timestamp, now: Timestamp) -> i64 {
    told.as_millisecond() + 500 - now.as_millisecond()
}

async fn connect(host: &str, port: u16) -> Result<TlsStream<TcpStream>, (Cause, String)> {
    let tcp = TcpStream::connect((host, port)).await.map_err(|e| (Cause::NoConnection, chain(&e)))?;
    let name = ServerName::try_from(host.to_owned()).map_err(|e| (Cause::Refused, e.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| (Cause::Refused, e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Onlooker { provider }))
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(|e| (Cause::Garbled, chain(&e)))
}

async fn time(mut tls: TlsStream<TcpStream>, host: &str, path: &str) -> Option<Timestamp> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAccept: */*\r\n\r\n");
    tls.write_all(request.as_bytes()).await.ok()?;
    tls.flush().await.ok()?;
    let mut text = Vec::new();
    while text.len() < HEADERS && !text.windows(4).any(|end| end == b"\r\n\r\n") {
        // whatever ends the stream, what came before it counts
        if tls.read_buf(&mut text).await.unwrap_or(0) == 0 {
            break;
        }
    }
    date(&String::from_utf8_lossy(&text))
}

/// The `Date` of an answer's headers.
fn date(text: &str) -> Option<Timestamp> {
    let value = text.lines().take_while(|line| !line.is_empty()).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case("date").then(|| value.trim())
    })?;
    jiff::fmt::rfc2822::parse(value).ok().map(|zoned| zoned.timestamp())
}

fn describe(der: &[u8]) -> Certificate {
    let pairs: Vec<String> = Sha256::digest(der).iter().map(|byte| format!("{byte:02X}")).collect();
    let parsed = X509Certificate::from_der(der).ok().map(|(_, cert)| cert);
    let not_after = parsed.as_ref().and_then(|cert| Timestamp::from_second(cert.validity().not_after.timestamp()).ok());
    Certificate {
        fingerprint: pairs.join(":"),
        subject: parsed.as_ref().map(|cert| cert.subject().to_string()),
        issuer: parsed.as_ref().map(|cert| cert.issuer().to_string()),
        not_after,
        clock_ahead_ms: None,
    }
}

/// Takes note of any certificate. Nothing secret is ever sent on such a connection.
#[derive(Debug)]
struct Onlooker {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Onlooker {
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
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_date_is_read_from_headers_only() {
        let text = "HTTP/1.1 401 No ticket\r\nCache-Control: max-age=0\r\ndate: Wed, 25 Nov 2026 21:22:45 GMT\r\n\r\n";
        assert_eq!(date(text).unwrap().to_string(), "2026-11-25T21:22:45Z");
        assert_eq!(date("HTTP/1.1 200 OK\r\n\r\nDate: Wed, 25 Nov 2026 21:22:45 GMT"), None);
        assert_eq!(date("HTTP/1.1 200 OK\r\nDate: soon\r\n\r\n"), None);
    }

    #[test]
    fn a_clock_that_tells_whole_seconds_is_not_thought_late() {
        let told: Timestamp = "2026-11-25T21:22:45Z".parse().unwrap();
        let now: Timestamp = "2026-11-25T21:22:45.5Z".parse().unwrap();
        assert_eq!(ahead_ms(told, now), 0);
    }
}

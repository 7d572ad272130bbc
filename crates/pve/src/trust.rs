//! Whose certificate we believe.
//!
//! A refusal names the fingerprint that was shown, so that a person can compare and pin it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use crate::config::{ClientCert, ConfigError};

/// Whose certificate we believe.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Whom the system believes.
    System,
    /// Certificates signed by these CAs (PEM), or one of these certificates itself.
    Ca(String),
    /// The one certificate with this fingerprint, whatever name and date it bears.
    Fingerprint(Fingerprint),
    /// Anyone's. Only by a person's explicit wish; the client warns.
    Skip,
}

/// The SHA-256 of a certificate, as Proxmox shows it: `AA:BB:…`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a certificate in DER.
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl FromStr for Fingerprint {
    type Err = ConfigError;

    fn from_str(given: &str) -> Result<Self, ConfigError> {
        let digits: String = given.trim().chars().filter(|c| *c != ':' && !c.is_whitespace()).collect();
        let mut bytes = [0; 32];
        hex::decode_to_slice(&digits, &mut bytes).map_err(|_| ConfigError::Fingerprint { given: given.to_owned() })?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self.0.iter().map(|b| format!("{b:02X}")).collect();
        f.write_str(&pairs.join(":"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The TLS settings for this trust and, perhaps, a certificate of ours.
pub(crate) fn tls(trust: &Trust, ours: Option<&ClientCert>) -> Result<rustls::ClientConfig, ConfigError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let broken = |e: TlsError| ConfigError::Tls { why: e.to_string() };
    let rule = match trust {
        Trust::System => Rule::Chain {
            chain: Arc::new(rustls_platform_verifier::Verifier::new(provider.clone()).map_err(broken)?),
            known: Vec::new(),
        },
        Trust::Ca(pem) => ca(pem, &provider)?,
        Trust::Fingerprint(fingerprint) => Rule::Pinned(*fingerprint),
        Trust::Skip => Rule::Anyone,
    };
    let verifier = Arc::new(Verifier { rule, provider: provider.clone() });
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(broken)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let Some(ours) = ours else {
        return Ok(builder.with_no_client_auth());
    };
    let wrong = |why: String| ConfigError::ClientCert { why };
    let chain = CertificateDer::pem_slice_iter(ours.cert_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| wrong(e.to_string()))?;
    if chain.is_empty() {
        return Err(wrong("it holds no certificate".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(ours.key_pem.expose_secret().as_bytes())
        .map_err(|e| wrong(format!("the key: {e}")))?;
    builder.with_client_auth_cert(chain, key).map_err(|e| wrong(e.to_string()))
}

fn ca(pem: &str, provider: &Arc<CryptoProvider>) -> Result<Rule, ConfigError> {
    let wrong = |why: String| ConfigError::Ca { why };
    let known = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| wrong(e.to_string()))?;
    if known.is_empty() {
        return Err(wrong("there is none in the text".to_owned()));
    }
    let mut roots = RootCertStore::empty();
    for cert in &known {
        roots.add(cert.clone()).map_err(|e| wrong(e.to_string()))?;
    }
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|e| wrong(e.to_string()))?;
    Ok(Rule::Chain { chain, known })
}

#[derive(Debug)]
enum Rule {
    Chain { chain: Arc<dyn ServerCertVerifier>, known: Vec<CertificateDer<'static>> },
    Pinned(Fingerprint),
    Anyone,
}

#[derive(Debug)]
struct Verifier {
    rule: Rule,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        cert: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let shown = Fingerprint::of(cert);
        match &self.rule {
            Rule::Anyone => Ok(ServerCertVerified::assertion()),
            Rule::Pinned(wanted) if *wanted == shown => Ok(ServerCertVerified::assertion()),
            Rule::Pinned(wanted) => Err(TlsError::General(format!(
                "the certificate has fingerprint {shown}, not the {wanted} that is trusted"
            ))),
            Rule::Chain { chain, known } => {
                // A self-signed certificate given as "the CA" is no CA to webpki, but plainly meant.
                if known.iter().any(|k| k.as_ref() == cert.as_ref()) {
                    return Ok(ServerCertVerified::assertion());
                }
                chain.verify_server_cert(cert, intermediates, name, ocsp, now).map_err(|e| {
                    TlsError::General(format!("the certificate is not trusted: {e}; its fingerprint is {shown}"))
                })
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

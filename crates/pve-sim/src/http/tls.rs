//! The certificate authority of the cluster and the certificate of the listener.

use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest as _, Sha256};

/// What the listener shows and what clients trust.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) ca_pem: String,
    /// `AA:BB:…`, SHA-256 over the listener's certificate.
    pub(crate) fingerprint: String,
}

fn named(name: &str) -> DistinguishedName {
    let mut out = DistinguishedName::new();
    out.push(DnType::OrganizationName, "PVE Cluster Manager CA (simulated)");
    out.push(DnType::CommonName, name);
    out
}

/// Makes an authority and a certificate for `localhost`, `127.0.0.1` and the names given.
pub(crate) fn identity(names: &[String]) -> anyhow::Result<Identity> {
    let ca_key = KeyPair::generate().context("generate the authority's key")?;
    let mut ca = CertificateParams::new(Vec::new()).context("describe the authority")?;
    ca.distinguished_name = named("Simulated Proxmox Virtual Environment");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let ca_cert = ca.self_signed(&ca_key).context("sign the authority")?;
    let ca_pem = ca_cert.pem();
    let issuer = Issuer::new(ca, ca_key);

    let mut subjects = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    subjects.extend(names.iter().cloned());
    let key = KeyPair::generate().context("generate the listener's key")?;
    let mut params = CertificateParams::new(subjects).context("describe the listener's certificate")?;
    params.distinguished_name = named("pve1");
    params.use_authority_key_identifier_extension = true;
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let cert = params.signed_by(&key, &issuer).context("sign the listener's certificate")?;
    let digest = Sha256::digest(cert.der());
    let fingerprint = digest.iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(":");

    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("choose TLS versions")?
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone(), ca_cert.der().clone()], key)
        .context("use the listener's certificate")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Identity { config: Arc::new(config), ca_pem, fingerprint })
}

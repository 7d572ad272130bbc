//! Certificates of a control plane: two authorities and what they sign. ECDSA, so that it takes milliseconds.
//!
//! Promises: keys are readable by their owner only; no clock is read (validity is a wide constant).

use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, date_time_ymd,
};

/// Wide enough that no test meets either end; Go refuses nothing here.
const FROM_YEAR: i32 = 2024;
const TO_YEAR: i32 = 2054;

/// A certificate authority, able to sign.
pub struct Authority {
    certificate: String,
    key_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// Whom a certificate names, and for what.
#[derive(Debug, Clone)]
pub enum Identity {
    /// A client: user and groups as Kubernetes reads them.
    Client {
        /// The common name.
        user: String,
        /// The organisations.
        groups: Vec<String>,
    },
    /// A server under these names and addresses.
    Server {
        /// The common name.
        name: String,
        /// DNS names.
        names: Vec<String>,
        /// Addresses.
        addresses: Vec<IpAddr>,
    },
}

impl Identity {
    /// A client certificate for `user` in `groups`.
    pub fn client(user: &str, groups: &[&str]) -> Self {
        Self::Client { user: user.to_owned(), groups: groups.iter().map(|&group| group.to_owned()).collect() }
    }
}

/// A signed certificate and its key, as PEM.
#[derive(Clone)]
pub struct Certificate {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl Authority {
    /// A new authority of that name.
    pub fn new(name: &str) -> Result<Self> {
        let key = KeyPair::generate().with_context(|| format!("make a key for the authority `{name}`"))?;
        let key_pem = key.serialize_pem();
        let mut params = blank(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&key).with_context(|| format!("sign the authority `{name}`"))?.pem();
        Ok(Self { certificate, key_pem, issuer: Issuer::new(params, key) })
    }

    /// Its certificate as PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Signs a certificate with a key of its own.
    pub fn sign(&self, identity: &Identity) -> Result<Certificate> {
        let (params, name) = match identity {
            Identity::Client { user, groups } => {
                let mut params = blank(user);
                for group in groups {
                    params.distinguished_name.push(DnType::OrganizationName, group.as_str());
                }
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
                (params, user)
            }
            Identity::Server { name, names, addresses } => {
                let mut params = blank(name);
                for dns in names {
                    let dns = dns.as_str().try_into().with_context(|| format!("put `{dns}` into a certificate"))?;
                    params.subject_alt_names.push(SanType::DnsName(dns));
                }
                params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                (params, name)
            }
        };
        let key = KeyPair::generate().with_context(|| format!("make a key for `{name}`"))?;
        let certificate = params.signed_by(&key, &self.issuer).with_context(|| format!("sign `{name}`"))?.pem();
        Ok(Certificate { certificate, key: key.serialize_pem() })
    }

    /// Writes `STEM.crt` and `STEM.key`.
    pub fn write(&self, dir: &Path, stem: &str) -> Result<()> {
        write_pair(dir, stem, &self.certificate, &self.key_pem)?;
        Ok(())
    }
}

impl Certificate {
    /// Writes `STEM.crt` and `STEM.key`; returns both paths.
    pub fn write(&self, dir: &Path, stem: &str) -> Result<(PathBuf, PathBuf)> {
        write_pair(dir, stem, &self.certificate, &self.key)
    }
}

/// The key pair that signs ServiceAccount tokens: `sa.key` and `sa.pub`.
pub(super) fn write_service_account_keys(dir: &Path) -> Result<()> {
    let key = KeyPair::generate().context("make the key that signs ServiceAccount tokens")?;
    write_secret(&dir.join("sa.key"), &key.serialize_pem())?;
    let path = dir.join("sa.pub");
    fs::write(&path, key.public_key_pem()).with_context(|| format!("write `{}`", path.display()))
}

fn blank(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(FROM_YEAR, 1, 1);
    params.not_after = date_time_ymd(TO_YEAR, 1, 1);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params
}

fn write_pair(dir: &Path, stem: &str, certificate: &str, key: &str) -> Result<(PathBuf, PathBuf)> {
    let (certificate_path, key_path) = (dir.join(format!("{stem}.crt")), dir.join(format!("{stem}.key")));
    fs::write(&certificate_path, certificate).with_context(|| format!("write `{}`", certificate_path.display()))?;
    write_secret(&key_path, key)?;
    Ok((certificate_path, key_path))
}

/// Writes a file that only its owner may read.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<()> {
    let open = || fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    open().and_then(|mut file| file.write_all(text.as_bytes())).with_context(|| format!("write `{}`", path.display()))
}

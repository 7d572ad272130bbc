//! The flags that say where a Proxmox VE is, and who we are to it. Names of the variables are those of the provider
//! that people use now.

use std::path::PathBuf;

use anyhow::Context as _;
use capi::Credentials;
use secrecy::SecretString;

/// Where a Proxmox VE is.
#[derive(Debug, clap::Args)]
pub(crate) struct Proxmox {
    /// URL, with or without `/api2/json`: `https://pve1:8006`. Several of one cluster: separated by commas.
    #[arg(id = "proxmox_url", long = "proxmox-url", env = "PROXMOX_URL", value_name = "URL", value_delimiter = ',')]
    pub(crate) url: Vec<String>,
    /// API token: `user@realm!tokenid`.
    #[arg(
        id = "proxmox_token",
        long = "proxmox-token",
        env = "PROXMOX_TOKEN",
        value_name = "TOKENID",
        requires = "proxmox_url"
    )]
    pub(crate) token: Option<String>,
    /// The token's secret.
    #[arg(
        id = "proxmox_secret",
        long = "proxmox-secret",
        env = "PROXMOX_SECRET",
        value_name = "UUID",
        hide_env_values = true,
        requires = "proxmox_url"
    )]
    pub(crate) secret: Option<String>,
    /// Do not verify the certificate. Whoever stands between can then read the token: prefer --proxmox-fingerprint.
    #[arg(id = "proxmox_insecure", long = "proxmox-insecure", env = "PROXMOX_INSECURE", default_value = "false", default_missing_value = "true", num_args = 0..=1)]
    pub(crate) insecure: bool,
    /// Certificates in PEM to trust, instead of the system's (on a node: /etc/pve/pve-root-ca.pem).
    #[arg(
        id = "proxmox_root_ca_file",
        long = "proxmox-root-ca-file",
        env = "PROXMOX_ROOT_CA_FILE",
        value_name = "FILE"
    )]
    pub(crate) root_ca_file: Option<PathBuf>,
    /// SHA-256 fingerprint of the certificate to trust, as Proxmox VE shows it.
    #[arg(
        id = "proxmox_fingerprint",
        long = "proxmox-fingerprint",
        env = "PROXMOX_FINGERPRINT",
        value_name = "AA:BB:…"
    )]
    pub(crate) fingerprint: Option<String>,
}

impl Proxmox {
    /// The credentials, if any are given.
    pub(crate) fn credentials(&self) -> anyhow::Result<Option<Credentials>> {
        if self.url.iter().all(String::is_empty) {
            return Ok(None);
        }
        let need = |value: &Option<String>, flag: &str, variable: &str| {
            value
                .clone()
                .filter(|value| !value.is_empty())
                .with_context(|| format!("--proxmox-url is given without {flag} (or ${variable})"))
        };
        let root_ca = self
            .root_ca_file
            .as_ref()
            .map(|file| {
                std::fs::read_to_string(file)
                    .with_context(|| format!("--proxmox-root-ca-file: read `{}`", file.display()))
            })
            .transpose()?;
        Ok(Some(Credentials {
            urls: self.url.clone(),
            token: need(&self.token, "--proxmox-token", "PROXMOX_TOKEN")?,
            secret: SecretString::from(need(&self.secret, "--proxmox-secret", "PROXMOX_SECRET")?),
            insecure: self.insecure,
            root_ca,
            fingerprint: self.fingerprint.clone(),
        }))
    }
}

//! The flags that say where a Proxmox VE is, and who we are to it. Names of the variables are those of the provider
//! that people use now.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Context as _;
use capi::Credentials;
use pve::{Client, ClientConfig, ConfigError};
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
    #[arg(id = "proxmox_insecure", long = "proxmox-insecure", env = "PROXMOX_INSECURE", default_value = "false", default_missing_value = "true", num_args = 0..=1, value_parser = switch)]
    pub(crate) insecure: bool,
    /// Certificates in PEM to trust, instead of the system's (on a node: /etc/pve/pve-root-ca.pem).
    #[arg(
        id = "proxmox_root_ca_file",
        long = "proxmox-root-ca-file",
        env = "PROXMOX_ROOT_CA_FILE",
        value_name = "FILE"
    )]
    pub(crate) root_ca_file: Option<OsString>,
    /// SHA-256 fingerprint of the certificate to trust, as Proxmox VE shows it.
    #[arg(
        id = "proxmox_fingerprint",
        long = "proxmox-fingerprint",
        env = "PROXMOX_FINGERPRINT",
        value_name = "AA:BB:…"
    )]
    pub(crate) fingerprint: Option<String>,
}

/// What a variable says that is on or off; an empty one says nothing, as one that is not set.
fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" | "" => Ok(false),
        _ => Err("neither `true` nor `false`".to_owned()),
    }
}

impl Proxmox {
    /// The credentials, if any are given. A variable that is empty counts as one that is not set.
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
            .filter(|file| !file.is_empty())
            .map(|file| {
                let file = Path::new(file);
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
            fingerprint: self.fingerprint.clone().filter(|text| !text.is_empty()),
        }))
    }
}

/// The settings of a client. The error names the flag.
pub(crate) fn config(credentials: &Credentials) -> anyhow::Result<ClientConfig> {
    credentials.config().map_err(|why| anyhow::anyhow!("--proxmox-{why}"))
}

/// A client; it has not connected yet. The error names the flag.
pub(crate) fn client(config: ClientConfig) -> anyhow::Result<Client> {
    Client::new(config).map_err(|why| {
        let flag = match &why {
            ConfigError::Url(_) | ConfigError::NoUrl => "--proxmox-url",
            ConfigError::TokenId { .. } => "--proxmox-token",
            ConfigError::EmptySecret { .. } | ConfigError::StrangeSecret { .. } => "--proxmox-secret",
            ConfigError::Fingerprint { .. } => "--proxmox-fingerprint",
            ConfigError::Ca { .. } => "--proxmox-root-ca-file",
            ConfigError::User { .. }
            | ConfigError::ClientCert { .. }
            | ConfigError::Proxy { .. }
            | ConfigError::Tls { .. } => "make a client of Proxmox VE",
        };
        anyhow::Error::new(why).context(flag)
    })
}

#[cfg(test)]
mod test {
    use super::*;

    fn given() -> Proxmox {
        Proxmox {
            url: vec!["https://pve1:8006".to_owned()],
            token: Some("capi@pve!oxmox".to_owned()),
            secret: Some("00000000-0000-0000-0000-000000000000".to_owned()),
            insecure: false,
            root_ca_file: Some(OsString::new()),
            fingerprint: Some(String::new()),
        }
    }

    fn refused(proxmox: &Proxmox) -> String {
        let made = proxmox.credentials().and_then(|some| client(config(&some.unwrap())?));
        format!("{:#}", made.unwrap_err())
    }

    #[test]
    fn an_empty_variable_is_as_one_that_is_not_set() {
        let credentials = given().credentials().unwrap().unwrap();
        assert_eq!((credentials.fingerprint, credentials.root_ca), (None, None));
        assert_eq!((switch(""), switch("1"), switch("true")), (Ok(false), Ok(true), Ok(true)));
        assert!(switch("maybe").is_err());
    }

    #[test]
    fn an_error_names_the_flag_that_it_is_about() {
        let token = refused(&Proxmox { token: Some("nonsense".to_owned()), ..given() });
        assert!(token.starts_with("--proxmox-token: `nonsense`"), "{token}");
        let fingerprint = refused(&Proxmox { fingerprint: Some("AA:BB".to_owned()), ..given() });
        assert!(fingerprint.starts_with("--proxmox-fingerprint: `AA:BB`"), "{fingerprint}");
        let url = refused(&Proxmox { url: vec!["http://pve1:8006".to_owned()], ..given() });
        assert!(url.starts_with("--proxmox-url: `http://pve1:8006`"), "{url}");
    }
}

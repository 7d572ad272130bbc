//! `pve.yml`, the configuration of prometheus-pve-exporter: a map of modules to the arguments of its Proxmox VE client.
//!
//! Promises: arguments that mean nothing here are refused by name, but for those that cannot change anything.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use exporter::Module;
use pve::{Auth, Trust};
use secrecy::SecretString;
use serde::Deserialize;

/// The port of Proxmox VE.
const PORT: u16 = 8006;

/// One module.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    token_name: Option<String>,
    #[serde(default)]
    token_value: Option<String>,
    #[serde(default)]
    verify_ssl: Option<Verify>,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    timeout: Option<f64>,
    #[serde(default)]
    backend: Option<String>,
    #[serde(default)]
    service: Option<String>,
    /// Ours: SHA-256 fingerprint of the certificate to trust.
    #[serde(default)]
    fingerprint: Option<String>,
}

/// Whether, or by which certificates, a certificate is verified.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Verify {
    Whether(bool),
    By(String),
}

/// Reads the file.
pub(crate) fn read(file: &Path) -> anyhow::Result<BTreeMap<String, Module>> {
    let text = std::fs::read_to_string(file).with_context(|| {
        format!("--config.file: read `{}` (or set PVE_USER with PVE_TOKEN_NAME and PVE_TOKEN_VALUE)", file.display())
    })?;
    parse(&text).with_context(|| format!("--config.file: `{}`", file.display()))
}

fn parse(text: &str) -> anyhow::Result<BTreeMap<String, Module>> {
    let raw: BTreeMap<String, Raw> = serde_saphyr::from_str(text).map_err(|why| anyhow::anyhow!("{why}"))?;
    ensure!(!raw.is_empty(), "there is no module in it");
    raw.into_iter()
        .map(|(name, raw)| {
            let module = module(raw).with_context(|| format!("module `{name}`"))?;
            Ok((name, module))
        })
        .collect()
}

fn module(raw: Raw) -> anyhow::Result<Module> {
    let Raw { user, password, token_name, token_value, verify_ssl, port, timeout, backend, service, fingerprint } = raw;
    if let Some(backend) = backend.filter(|backend| backend != "https") {
        bail!("backend: `{backend}` is not supported; only `https` is");
    }
    if let Some(service) = service.filter(|service| !service.eq_ignore_ascii_case("pve")) {
        bail!("service: `{service}` is not supported; only `PVE` is");
    }
    let user = user.filter(|user| !user.is_empty()).context("user is missing (`monitoring@pve`)")?;
    let auth = match (password, token_name, token_value) {
        (Some(password), None, None) => Auth::Password { user, password: SecretString::from(password) },
        // As the peer's client: the token where both are given.
        (_, Some(name), Some(value)) => Auth::Token { id: format!("{user}!{name}"), secret: SecretString::from(value) },
        (_, Some(_), None) => bail!("token_name is given without token_value"),
        (_, None, Some(_)) => bail!("token_value is given without token_name"),
        (None, None, None) => bail!("neither password nor token_name and token_value are given"),
    };
    let trust = match (fingerprint, verify_ssl) {
        (Some(text), _) => Trust::Fingerprint(text.parse().context("fingerprint")?),
        (None, None | Some(Verify::Whether(true))) => Trust::System,
        (None, Some(Verify::Whether(false))) => Trust::Skip,
        (None, Some(Verify::By(file))) => {
            Trust::Ca(std::fs::read_to_string(&file).with_context(|| format!("verify_ssl: read `{file}`"))?)
        }
    };
    let timeout = timeout
        .map(|seconds| {
            Duration::try_from_secs_f64(seconds).with_context(|| format!("timeout: `{seconds}` are no seconds"))
        })
        .transpose()?;
    Ok(Module { auth, trust, port: port.unwrap_or(PORT), timeout })
}

/// What the environment says in place of a file; the variables are the peer's.
#[derive(Debug, clap::Args)]
pub(crate) struct Env {
    /// `user@realm`; with it the file is not read.
    #[arg(long = "pve.user", env = "PVE_USER", hide = true)]
    user: Option<String>,
    #[arg(long = "pve.password", env = "PVE_PASSWORD", hide = true, hide_env_values = true)]
    password: Option<SecretString>,
    #[arg(long = "pve.token-name", env = "PVE_TOKEN_NAME", hide = true)]
    token_name: Option<String>,
    #[arg(long = "pve.token-value", env = "PVE_TOKEN_VALUE", hide = true, hide_env_values = true)]
    token_value: Option<SecretString>,
    #[arg(long = "pve.verify-ssl", env = "PVE_VERIFY_SSL", hide = true)]
    verify_ssl: Option<String>,
    #[arg(long = "pve.module", env = "PVE_MODULE", hide = true, default_value = "default")]
    module: String,
}

impl Env {
    /// Its one module, if the environment names a user.
    pub(crate) fn modules(&self) -> anyhow::Result<Option<BTreeMap<String, Module>>> {
        use secrecy::ExposeSecret as _;
        let Self { user, password, token_name, token_value, verify_ssl, module: name } = self;
        if user.is_none() {
            return Ok(None);
        }
        let clear = |secret: &Option<SecretString>| secret.as_ref().map(|secret| secret.expose_secret().to_owned());
        let verify = verify_ssl.as_ref().map(|text| !matches!(text.to_lowercase().as_str(), "false" | "0"));
        let raw = Raw {
            user: user.clone(),
            password: clear(password),
            token_name: token_name.clone(),
            token_value: clear(token_value),
            verify_ssl: verify.map(Verify::Whether),
            ..Raw::default()
        };
        let module = module(raw).context("the variables PVE_*")?;
        Ok(Some(BTreeMap::from([(name.clone(), module)])))
    }
}

#[cfg(test)]
mod test {
    use super::*;

    const GOOD: &str = "
default:
  user: monitoring@pve
  token_name: exporter
  token_value: 00000000-0000-0000-0000-000000000000
  verify_ssl: false
  timeout: 20
old:
  user: root@pam
  password: hunter2
  port: 443
";

    #[test]
    fn the_file_of_the_peer_is_read() {
        let modules = parse(GOOD).unwrap();
        assert_eq!(modules["default"].auth.name(), "monitoring@pve!exporter");
        assert_eq!((modules["default"].port, modules["old"].port), (8006, 443));
        assert_eq!(modules["default"].timeout, Some(Duration::from_secs(20)));
        assert!(matches!(modules["default"].trust, Trust::Skip) && matches!(modules["old"].trust, Trust::System));
        assert!(!format!("{modules:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_module() {
        for (from, to, says) in [
            ("  user: root@pam\n", "", "module `old`: user is missing"),
            ("  password: hunter2\n", "", "module `old`: neither password"),
            ("  token_name: exporter\n", "", "token_value is given without token_name"),
            ("port: 443", "backend: ssh_paramiko", "backend: `ssh_paramiko` is not supported"),
            ("verify_ssl: false", "verify_ssl: /nowhere.pem", "verify_ssl: read `/nowhere.pem`"),
            ("port: 443", "prot: 443", "prot"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from}");
            let said = format!("{:#}", parse(&text).unwrap_err());
            assert!(said.contains(says), "{said}");
        }
    }
}

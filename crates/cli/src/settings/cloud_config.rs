//! The cloud config: the YAML file that the CSI driver and the cloud controller manager that people use now are given.
//!
//! ```yaml
//! features: {provider: default}          # or capmox
//! clusters:
//! - url: https://pve1:8006/api2/json     # several of one cluster: separated by commas
//!   region: dc1
//!   token_id: kubernetes@pve!ccm         # or token_id_file
//!   token_secret: 00000000-0000-…        # or token_secret_file; or username and password
//! ```
//! Promises: what is not known is refused by name; what is known there and means nothing here is refused where leaving
//! it out would change what happens. `root_ca_file` and `fingerprint` are ours.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use pve::{Auth, BaseUrl, ClientConfig, Fingerprint, Trust};
use secrecy::SecretString;
use serde::Deserialize;

/// The file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CloudConfig {
    /// What is wanted of all clusters.
    #[serde(default)]
    pub(crate) features: Features,
    /// Proxmox VE clusters.
    pub(crate) clusters: Vec<Cluster>,
}

/// What is wanted of all clusters.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Features {
    /// Form of provider IDs.
    #[serde(default)]
    pub(crate) provider: Provider,
    /// The first HA group as zone. Groups are gone from Proxmox VE 9.
    #[serde(default)]
    pub(crate) ha_group: bool,
    /// Whether Kubernetes' own labels follow a migration.
    #[serde(default)]
    pub(crate) force_update_labels: Option<bool>,
    /// Where addresses come from.
    #[serde(default)]
    pub(crate) network: Network,
    /// The number that volumes are made for (CSI).
    #[serde(default, rename = "controllerVmID", alias = "controllerVMID")]
    #[expect(dead_code, reason = "a key of the CSI driver, which reads the same file")]
    pub(crate) controller_vm_id: Option<u32>,
}

/// Form of provider IDs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Provider {
    /// `proxmox://REGION/VMID`.
    #[default]
    Default,
    /// `proxmox://UUID`, as Cluster API providers write.
    Capmox,
}

/// Where addresses come from, and which.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Network {
    /// From the kubelet alone, or from the guest agent as well.
    #[serde(default)]
    pub(crate) mode: Mode,
    /// Addresses in these are external.
    #[serde(default)]
    pub(crate) external_ip_cidrs: String,
    /// The order of addresses; with `!`, those that are left out.
    #[serde(default)]
    pub(crate) ip_sort_order: String,
    /// No IPv6.
    #[serde(default)]
    pub(crate) ipv6_support_disabled: bool,
}

/// From whom addresses come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// From the kubelet.
    #[default]
    Default,
    /// From the guest agent as well.
    Qemu,
    /// The same.
    Auto,
}

/// A Proxmox VE cluster.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cluster {
    /// Its URL, or several.
    pub(crate) url: String,
    /// Its region.
    pub(crate) region: String,
    /// Do not verify the certificate.
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    token_id: Option<String>,
    #[serde(default)]
    token_id_file: Option<PathBuf>,
    #[serde(default, deserialize_with = "secret")]
    token_secret: Option<SecretString>,
    #[serde(default)]
    token_secret_file: Option<PathBuf>,
    #[serde(default)]
    username: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    password: Option<SecretString>,
    #[serde(default)]
    root_ca_file: Option<PathBuf>,
    #[serde(default)]
    fingerprint: Option<String>,
}

fn secret<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(SecretString::from))
}

impl CloudConfig {
    /// Reads the file.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = read(file)?;
        Self::parse(&text).with_context(|| format!("--cloud-config: `{}`", file.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let config: Self = serde_saphyr::from_str(text).map_err(|why| anyhow::anyhow!("{why}"))?;
        ensure!(!config.clusters.is_empty(), "clusters: there is none");
        let mut regions = BTreeSet::new();
        for (at, cluster) in config.clusters.iter().enumerate() {
            check_region(&cluster.region).with_context(|| format!("clusters[{at}].region"))?;
            ensure!(regions.insert(&cluster.region), "clusters[{at}].region: `{}` is there twice", cluster.region);
        }
        Ok(config)
    }
}

/// A region becomes a label's value and a part of provider IDs and volume handles.
pub(crate) fn check_region(region: &str) -> anyhow::Result<()> {
    let plain = |b: u8| b.is_ascii_alphanumeric();
    let fits = region.len() <= 63
        && region.bytes().next().is_some_and(plain)
        && region.bytes().last().is_some_and(plain)
        && region.bytes().all(|b| plain(b) || b"-_.".contains(&b));
    ensure!(fits, "`{region}` makes no label: 1 to 63 letters, digits, `-`, `_` and `.`, none of these at the ends");
    Ok(())
}

impl Cluster {
    /// The settings of a client.
    pub(crate) fn client(&self) -> anyhow::Result<ClientConfig> {
        self.build().with_context(|| format!("--cloud-config: cluster of region `{}`", self.region))
    }

    fn build(&self) -> anyhow::Result<ClientConfig> {
        let urls = self.url.split(',').map(str::trim).filter(|url| !url.is_empty());
        let urls = urls.map(str::parse::<BaseUrl>).collect::<Result<Vec<_>, _>>().context("url")?;
        let mut config = ClientConfig::new(urls, self.auth()?);
        config.trust = match (&self.fingerprint, &self.root_ca_file, self.insecure) {
            (Some(text), _, _) => Trust::Fingerprint(text.parse::<Fingerprint>().context("fingerprint")?),
            (None, Some(file), _) => Trust::Ca(read(file).context("root_ca_file")?),
            (None, None, true) => Trust::Skip,
            (None, None, false) => Trust::System,
        };
        Ok(config)
    }

    fn auth(&self) -> anyhow::Result<Auth> {
        let id = one("token_id", self.token_id.clone(), self.token_id_file.as_deref())?;
        let secret = match (&self.token_secret, &self.token_secret_file) {
            (Some(_), Some(_)) => bail!("token_secret and token_secret_file: give one of them"),
            (Some(secret), None) => Some(secret.clone()),
            (None, Some(file)) => Some(SecretString::from(read(file).context("token_secret_file")?.trim().to_owned())),
            (None, None) => None,
        };
        match (id, secret, &self.username, &self.password) {
            (Some(id), Some(secret), None, None) => Ok(Auth::Token { id, secret }),
            (None, None, Some(user), Some(password)) => {
                Ok(Auth::Password { user: user.clone(), password: password.clone() })
            }
            (Some(_) | None, _, Some(_), _) | (Some(_) | None, _, _, Some(_)) => {
                bail!("give either token_id with token_secret, or username with password")
            }
            (Some(_), None, None, None) => bail!("token_id is given without token_secret (or token_secret_file)"),
            (None, Some(_), None, None) => bail!("token_secret is given without token_id (or token_id_file)"),
            (None, None, None, None) => bail!("token_id and token_secret are missing"),
        }
    }
}

fn one(key: &str, value: Option<String>, file: Option<&Path>) -> anyhow::Result<Option<String>> {
    match (value, file) {
        (Some(_), Some(_)) => bail!("{key} and {key}_file: give one of them"),
        (Some(value), None) => Ok(Some(value)),
        (None, Some(file)) => Ok(Some(read(file).with_context(|| format!("{key}_file"))?.trim().to_owned())),
        (None, None) => Ok(None),
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("read `{}`", file.display()))
}

#[cfg(test)]
mod test {
    use super::*;

    const GOOD: &str = "
features:
  provider: capmox
  controllerVmID: 9999
  network: {mode: auto, ip_sort_order: '10.0.0.0/8,!fd00::/8'}
clusters:
- url: https://pve1:8006/api2/json, https://pve2:8006
  insecure: true
  region: dc1
  token_id: kubernetes@pve!ccm
  token_secret: 00000000-0000-0000-0000-000000000000
- {url: https://other:8006, region: dc2, username: root@pam, password: hunter2}
";

    #[test]
    fn the_file_of_the_peer_is_read() {
        let config = CloudConfig::parse(GOOD).unwrap();
        assert_eq!(config.features.provider, Provider::Capmox);
        assert_eq!(config.features.network.mode, Mode::Auto);
        let [one, two] = [&config.clusters[0], &config.clusters[1]].map(|cluster| cluster.client().unwrap());
        assert_eq!(one.urls.len(), 2);
        assert_eq!((one.auth.name(), two.auth.name()), ("kubernetes@pve!ccm", "root@pam"));
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |from: &str, to: &str| {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from}");
            let read = CloudConfig::parse(&text)
                .and_then(|config| config.clusters.iter().try_for_each(|cluster| cluster.client().map(|_| ())));
            format!("{:#}", read.unwrap_err())
        };
        for (from, to, says) in [
            ("region: dc1", "region: dc2", "clusters[1].region: `dc2` is there twice"),
            ("region: dc1", "region: -dc", "clusters[0].region"),
            (
                "token_id: kubernetes@pve!ccm",
                "username: x@pam",
                "token_id with token_secret, or username with password",
            ),
            ("  token_secret: 00000000-0000-0000-0000-000000000000\n", "", "without token_secret"),
            ("insecure: true", "insecrue: true", "insecrue"),
            ("provider: capmox", "provider: aws", "aws"),
            ("https://pve1:8006/api2/json", "ftp://pve1", "url"),
            ("token_secret: 0", "token_secret_file: /nowhere/0", "token_secret_file: read `/nowhere/"),
        ] {
            let said = wrong(from, to);
            assert!(said.contains(says), "{said}");
        }
        assert!(format!("{:#}", CloudConfig::parse("clusters: []").unwrap_err()).contains("there is none"));
    }
}

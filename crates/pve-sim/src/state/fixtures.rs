//! What the world outside would answer: the simulator opens no connection, so it is told beforehand.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// A file that a URL leads to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Download {
    pub(crate) filename: Option<String>,
    pub(crate) mimetype: Option<String>,
    /// Bytes, where no text is given.
    pub(crate) size: u64,
    /// The content, as far as it matters.
    pub(crate) text: Option<String>,
}

/// A template of the appliance index.
pub(crate) type Appliance = BTreeMap<String, String>;

/// Everything outside.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Fixtures {
    /// By URL.
    pub(crate) downloads: BTreeMap<String, Download>,
    /// Tags by image (`docker.io/library/alpine`).
    pub(crate) images: BTreeMap<String, Vec<String>>,
    pub(crate) appliances: Vec<Appliance>,
    /// Servers that no node reaches.
    pub(crate) unreachable: BTreeSet<String>,
    /// What servers offer, by server: exports, shares, targets, datastores, with what is said of each.
    pub(crate) exports: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) shares: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) targets: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) datastores: BTreeMap<String, BTreeMap<String, String>>,
    /// What can be known of a foreign guest before it is imported, by volume id.
    pub(crate) imports: BTreeMap<String, serde_json::Value>,
    /// What is in backups, by volume id: paths and their sizes; a path with a slash at its end is a directory.
    pub(crate) files: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Default for Fixtures {
    fn default() -> Self {
        Self {
            downloads: BTreeMap::new(),
            images: BTreeMap::new(),
            appliances: vec![
                appliance("alpine-3.22-default", "3.22", "alpine", "20250617", "tar.xz"),
                appliance("debian-13-standard", "13.1-2", "debian-13", "13.1-2", "tar.zst"),
            ],
            unreachable: BTreeSet::new(),
            exports: BTreeMap::new(),
            shares: BTreeMap::new(),
            targets: BTreeMap::new(),
            datastores: BTreeMap::new(),
            imports: BTreeMap::new(),
            files: BTreeMap::new(),
        }
    }
}

fn appliance(package: &str, version: &str, os: &str, build: &str, ending: &str) -> Appliance {
    let template = format!("{package}_{build}_amd64.{ending}");
    let location = format!("http://download.invalid/images/system/{template}");
    [
        ("architecture", "amd64"),
        ("description", "A small system."),
        ("headline", "A small system."),
        ("infopage", "https://download.invalid/"),
        ("location", &location),
        ("maintainer", "Nobody <nobody@download.invalid>"),
        ("manageurl", ""),
        ("os", os),
        ("package", package),
        ("section", "system"),
        ("source", "http://download.invalid/images"),
        ("template", &template),
        ("type", "lxc"),
        ("version", version),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .collect()
}

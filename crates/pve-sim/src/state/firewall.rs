//! A firewall's configuration: of the cluster, a node, a guest or a vnet.
//!
//! Promises to keep what Proxmox VE's files keep, in their order, and the digests that guard changes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha1::{Digest as _, Sha1};

/// One rule: its properties without position and digest.
pub(crate) type Rule = BTreeMap<String, String>;

/// A name for an address or network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Alias {
    pub(crate) name: String,
    pub(crate) cidr: String,
    #[serde(default)]
    pub(crate) comment: Option<String>,
}

/// A member of a set of addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) cidr: String,
    #[serde(default)]
    pub(crate) nomatch: bool,
    #[serde(default)]
    pub(crate) comment: Option<String>,
}

/// A set of addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IpSet {
    #[serde(default)]
    pub(crate) comment: Option<String>,
    #[serde(default)]
    pub(crate) members: Vec<Member>,
}

/// A security group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    #[serde(default)]
    pub(crate) comment: Option<String>,
    #[serde(default)]
    pub(crate) rules: Vec<Rule>,
}

/// A firewall.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Firewall {
    #[serde(default)]
    pub(crate) options: BTreeMap<String, String>,
    /// By the name in lower case.
    #[serde(default)]
    pub(crate) aliases: BTreeMap<String, Alias>,
    #[serde(default)]
    pub(crate) ipsets: BTreeMap<String, IpSet>,
    #[serde(default)]
    pub(crate) groups: BTreeMap<String, Group>,
    #[serde(default)]
    pub(crate) rules: Vec<Rule>,
}

/// Whose firewall it is: the key in the world.
pub(crate) fn key_of_guest(vmid: u32) -> String {
    format!("guest/{vmid}")
}

/// The digest of some objects, each a list of names and values.
pub(crate) fn digest<'a>(objects: impl IntoIterator<Item = Vec<(&'a str, String)>>) -> String {
    let mut text = String::new();
    for object in objects {
        for (name, value) in object {
            let _ = writeln!(text, "{name}:{value}");
        }
    }
    hex::encode(Sha1::digest(text.as_bytes()))
}

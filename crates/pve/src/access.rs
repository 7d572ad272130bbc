//! What we may do.

use std::collections::BTreeMap;

use pve_types::lenient;
use serde::Deserialize;

use crate::call::Call;
use crate::client::Client;
use crate::error::Error;

/// Our privileges by path, as Proxmox lists them: only paths with entries of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions(BTreeMap<String, BTreeMap<String, bool>>);

impl Permissions {
    /// Whether we have the privilege on the path, given there or handed down to it.
    pub fn has(&self, path: &str, privilege: &str) -> bool {
        let mut at = path;
        loop {
            // An entry on a nearer path replaces what farther ones hand down.
            if let Some(privileges) = self.0.get(at) {
                return privileges.get(privilege).is_some_and(|handed_down| at == path || *handed_down);
            }
            if at == "/" {
                return false;
            }
            at = match at.rsplit_once('/') {
                Some(("", _)) | None => "/",
                Some((parent, _)) => parent,
            };
        }
    }

    /// All paths with their privileges; true where a privilege is handed down.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &BTreeMap<String, bool>)> {
        self.0.iter().map(|(path, p)| (path.as_str(), p))
    }
}

#[derive(Deserialize)]
struct Flag(#[serde(deserialize_with = "lenient::flag")] bool);

impl Client {
    /// What we may do.
    pub async fn permissions(&self) -> Result<Permissions, Error> {
        let call = Call::get("/access/permissions", &[])?;
        let paths: BTreeMap<String, BTreeMap<String, Flag>> = self.fetch(call).await?;
        let plain = |p: BTreeMap<String, Flag>| p.into_iter().map(|(k, v)| (k, v.0)).collect();
        Ok(Permissions(paths.into_iter().map(|(k, p)| (k, plain(p))).collect()))
    }
}

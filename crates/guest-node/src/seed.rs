//! The NoCloud seed of a guest: found among its CD drives, kept as files.
//!
//! Promises: the first drive whose volume is labelled `cidata` (either case, as cloud-init takes it) and holds user-data
//! or meta-data. A guest without one boots without one, as a real VM would.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::iso;

/// What a NoCloud volume holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seed {
    /// Instance id and host name.
    pub meta_data: Vec<u8>,
    /// What to do.
    pub user_data: Vec<u8>,
    /// Network configuration, version 2 as a rule.
    pub network_config: Option<Vec<u8>>,
    /// The vendor's additions.
    pub vendor_data: Option<Vec<u8>>,
}

impl Seed {
    /// The seed in this image, if it is one.
    pub fn from_iso(image: &[u8]) -> Option<Self> {
        let mut volume = iso::read(image).ok()?;
        if !volume.label.eq_ignore_ascii_case("cidata") {
            return None;
        }
        let mut take = |name: &str| volume.files.remove(name);
        let meta_data = take("meta-data");
        let user_data = take("user-data");
        (meta_data.is_some() || user_data.is_some()).then(|| Self {
            meta_data: meta_data.unwrap_or_default(),
            user_data: user_data.unwrap_or_default(),
            network_config: take("network-config"),
            vendor_data: take("vendor-data"),
        })
    }

    /// Writes the seed where cloud-init's NoCloud looks for it.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let Self { meta_data, user_data, network_config, vendor_data } = self;
        if dir.exists() {
            fs::remove_dir_all(dir).context("remove the last boot's seed")?;
        }
        fs::create_dir_all(dir).context("seed directory")?;
        let write =
            |name: &str, bytes: &[u8]| fs::write(dir.join(name), bytes).with_context(|| format!("seed `{name}`"));
        write("meta-data", meta_data)?;
        write("user-data", user_data)?;
        if let Some(bytes) = network_config {
            write("network-config", bytes)?;
        }
        if let Some(bytes) = vendor_data {
            write("vendor-data", bytes)?;
        }
        Ok(())
    }
}

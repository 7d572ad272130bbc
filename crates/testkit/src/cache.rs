//! Where what is slow to make is kept between runs.
//!
//! Promises: one directory, outside of any checkout; removing it costs time and nothing else.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// `$HOME/.cache/oxmox`, or what `OXMOX_CACHE` says.
pub fn cache_dir() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("OXMOX_CACHE") {
        return Ok(PathBuf::from(dir));
    }
    let home = std::env::var_os("HOME")
        .filter(|home| !home.is_empty())
        .context("find the cache directory: HOME is not set; hint: set OXMOX_CACHE")?;
    Ok(PathBuf::from(home).join(".cache/oxmox"))
}

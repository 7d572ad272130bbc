//! Where cargo has put our binaries.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

/// A binary of this workspace, next to whatever runs now. Built by `make test` beforehand.
pub fn binary(name: &str) -> Result<PathBuf> {
    let here = std::env::current_exe().context("find our own binary")?;
    for directory in here.ancestors().skip(1).take(3) {
        let candidate = directory.join(name);
        if candidate.is_file() {
            return Ok(candidate);
        }
    }
    bail!("`{name}` is not built beside `{}`\nhint: cargo build --bins", here.display())
}

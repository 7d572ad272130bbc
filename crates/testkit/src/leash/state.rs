//! What a leash writes down so that another process can find it, enter it or end it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::proc::ProcessId;
use crate::cache::cache_dir;

/// One leash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// What its owner calls it (`lab`, `demo`).
    pub(super) name: String,
    /// Who cleans up at its end.
    pub(super) owner: ProcessId,
    /// `unshare`: one SIGKILL to it ends everything inside.
    pub(super) leash: ProcessId,
    /// Its cgroup, if the machine has a cgroup2 tree.
    pub(super) cgroup: Option<PathBuf>,
    /// A directory that goes away with it.
    pub(super) dir: PathBuf,
}

/// Where they are written down.
pub(super) fn directory() -> Result<PathBuf> {
    Ok(cache_dir()?.join("leash"))
}

/// Directories of owners that died before they wrote anything down.
pub(super) fn ownerless(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| {
            let owner = entry.file_name().to_string_lossy().parse::<u32>().ok();
            owner.is_some_and(|pid| ProcessId::of(pid).is_none() && !State::path(directory, pid).exists())
        })
        .map(|entry| entry.path())
        .collect()
}

impl State {
    pub(super) fn path(directory: &Path, owner: u32) -> PathBuf {
        directory.join(format!("{owner}.json"))
    }

    pub(super) fn write(&self, directory: &Path) -> Result<()> {
        let path = Self::path(directory, self.owner.pid);
        let unfinished = path.with_extension("unfinished");
        let text = serde_json::to_string(self).context("write down a leash")?;
        fs::write(&unfinished, text)
            .and_then(|()| fs::rename(&unfinished, &path))
            .with_context(|| format!("write `{}`", path.display()))
    }

    /// All that are written down. A file that cannot be read as one is of another version: left alone.
    pub(super) fn all(directory: &Path) -> Result<Vec<Self>> {
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.with_context(|| format!("read `{}`", directory.display()))?,
        };
        let mut states = Vec::new();
        for entry in entries {
            let path = entry.with_context(|| format!("read `{}`", directory.display()))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let text = fs::read_to_string(&path).unwrap_or_default();
                match serde_json::from_str(&text) {
                    Ok(state) => states.push(state),
                    Err(error) => tracing::warn!(path = %path.display(), %error, "not a leash we understand"),
                }
            }
        }
        Ok(states)
    }
}

//! The tools of Kubernetes, built from Go modules once and kept.
//!
//! What it promises: every tool handed out is of the version that its family's go.mod names; a build that is
//! interrupted leaves nothing that looks finished; two runs at once build once. Somebody who waits is told what is
//! being built, how many are left, and how long it has taken.
//! What it assumes: a Go module proxy can be reached while something is missing, and never after.

mod build;
mod family;
mod found;
mod go;
mod lock;
mod progress;
mod tool;
mod watch;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

pub(crate) use self::lock::Lock;
pub use self::progress::{Progress, Stage};
pub use self::tool::Tool;
pub(crate) use self::watch::watch;
use crate::cache::cache_dir;

/// Where each tool is.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    paths: BTreeMap<Tool, PathBuf>,
}

impl Tools {
    /// Finds or builds these tools. Blocks for minutes when the caches are cold; `progress` hears from it all along.
    pub fn ensure(which: &[Tool], progress: &dyn Fn(Progress)) -> Result<Self> {
        Self::ensure_in(&cache_dir()?, which, progress)
    }

    /// The same with a cache directory of one's own.
    pub fn ensure_in(cache: &Path, which: &[Tool], progress: &dyn Fn(Progress)) -> Result<Self> {
        let mut tools = Self::default();
        let mut missing = Vec::new();
        for &tool in which {
            match already(cache, tool) {
                Some(path) => drop(tools.paths.insert(tool, path)),
                None => missing.push(tool),
            }
        }
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            tools.paths.extend(build::build(cache, &missing, progress)?);
        }
        Ok(tools)
    }

    /// What is there already, nothing built: for tests that skip aloud when something is missing.
    pub fn present(which: &[Tool]) -> Result<Self, Vec<Tool>> {
        let Ok(cache) = cache_dir() else { return Err(which.to_vec()) };
        let mut tools = Self::default();
        let mut missing = Vec::new();
        for &tool in which {
            match already(&cache, tool) {
                Some(path) => drop(tools.paths.insert(tool, path)),
                None => missing.push(tool),
            }
        }
        if missing.is_empty() { Ok(tools) } else { Err(missing) }
    }

    /// Where one is.
    pub fn path(&self, tool: Tool) -> Result<&Path> {
        self.paths
            .get(&tool)
            .map(PathBuf::as_path)
            .with_context(|| format!("use `{tool}`: it was not asked for when the tools were made ready"))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (Tool, &Path)> {
        self.paths.iter().map(|(&tool, path)| (tool, path.as_path()))
    }

    /// Makes `dir` a directory of links to them under their usual names (CNI plugins in `cni/`).
    pub fn link_into(&self, dir: &Path) -> Result<()> {
        for (tool, path) in self.iter() {
            let link = dir.join(tool.relative_path());
            let parent = link.parent().unwrap_or(dir);
            fs::create_dir_all(parent).with_context(|| format!("make `{}`", parent.display()))?;
            match fs::remove_file(&link) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("replace `{}`", link.display()));
                }
                Ok(()) | Err(_) => {}
            }
            std::os::unix::fs::symlink(path, &link).with_context(|| format!("link `{}`", link.display()))?;
        }
        Ok(())
    }
}

fn already(cache: &Path, tool: Tool) -> Option<PathBuf> {
    let built = tool.family().dir(cache).join(tool.relative_path());
    if built.exists() { Some(built) } else { found::elsewhere(tool) }
}

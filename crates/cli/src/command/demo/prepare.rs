//! What the demo needs, made once and kept in the cache: tools from Go modules, the node image. No root needed.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};
use guest_node::image::{self, ToolPaths};
use testkit::{Tool, Tools, requirements};

use super::say;

/// Tools, then the node image; its directory.
pub(super) fn prepare() -> Result<PathBuf> {
    requirements::ensure(&requirements::LEASH, &say::line)?;
    requirements::ensure(&requirements::NODE, &say::line)?;
    let all: Vec<Tool> = Tool::ALL.into_iter().chain(Tool::MONITORING).collect();
    let tools = Tools::ensure(&all, &|progress| say::line(&progress.to_string()))?;
    let cache = testkit::cache_dir()?;
    let links = cache.join("tools/demo");
    std::fs::create_dir_all(&links).with_context(|| format!("make `{}`", links.display()))?;
    tools.link_into(&links)?;
    let started = Instant::now();
    let image = image::ensure(&cache, &ToolPaths::in_directory(&links), |step| {
        say::line(&format!("node image {:5.0} s: {step}", started.elapsed().as_secs_f64()));
    })
    .context("make the node image")?;
    Ok(image.dir().to_owned())
}

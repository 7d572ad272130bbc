//! What the demo needs, made once and kept in the cache: tools from Go modules, the node image. No root needed.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};
use guest_node::image::cilium::{self, CiliumPaths};
use guest_node::image::{self, ToolPaths};
use testkit::{Tool, Tools, requirements};

use super::{Cni, say};

/// Tools, then the node image that brings this engine along; its directory.
pub(super) fn prepare(cni: Cni) -> Result<PathBuf> {
    requirements::ensure(&requirements::LEASH, &say::line)?;
    requirements::ensure(&requirements::NODE, &say::line)?;
    let of_cni: &[Tool] = match cni {
        Cni::KubeRouter => &[],
        Cni::Cilium => &Tool::CILIUM,
    };
    let all: Vec<Tool> = Tool::ALL.into_iter().chain(Tool::MONITORING).chain(of_cni.iter().copied()).collect();
    let tools = Tools::ensure(&all, &|progress| say::line(&progress.to_string()))?;
    let cache = testkit::cache_dir()?;
    let links = cache.join("tools/demo");
    std::fs::create_dir_all(&links).with_context(|| format!("make `{}`", links.display()))?;
    tools.link_into(&links)?;
    let started = Instant::now();
    let say = |step: &str| say::line(&format!("node image {:5.0} s: {step}", started.elapsed().as_secs_f64()));
    let image = image::ensure(&cache, &ToolPaths::in_directory(&links), say).context("make the node image")?;
    let image = match cni {
        Cni::KubeRouter => image,
        Cni::Cilium => cilium::ensure(&cache, &image, &CiliumPaths::in_directory(&links), say)
            .context("make the node image with Cilium")?,
    };
    Ok(image.dir().to_owned())
}

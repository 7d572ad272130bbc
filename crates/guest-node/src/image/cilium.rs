//! A node image that also holds Cilium's container images, beside the one without them.
//!
//! Promises: the node image itself stays as it is, tree and key; complete or absent. Cilium's agent compiles its
//! programs when it starts, so its image holds clang, out of Debian's package. Assumes the directory of the node image
//! to lie in the same cache, because the tree is a link to it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::{NodeImage, container, debian, oci, stamp};

/// Changed whenever what [`ensure`] lays down changes.
const RECIPE: &str = "1";

/// The compiler that Cilium's programs are tried with.
const COMPILER: [&str; 1] = ["clang-19"];

/// Where Cilium's tools lie.
#[derive(Clone, Debug)]
pub struct CiliumPaths {
    /// The agent, as a container image with its compiler.
    pub agent: PathBuf,
    /// The operator, as a container image.
    pub operator: PathBuf,
    /// The CNI plugin, which the agent's image brings to the node.
    pub cni: PathBuf,
    /// What asks an agent how it is.
    pub dbg: PathBuf,
    /// The directory of what the agent compiles.
    pub bpf: PathBuf,
}

impl CiliumPaths {
    /// All of them in one directory under their usual names.
    pub fn in_directory(dir: &Path) -> Self {
        Self {
            agent: dir.join("cilium-agent"),
            operator: dir.join("cilium-operator"),
            cni: dir.join("cilium-cni"),
            dbg: dir.join("cilium-dbg"),
            bpf: dir.join("cilium-files/bpf"),
        }
    }
}

/// Makes it, or finds the one already made for these tools. `progress` is told each step as it begins.
pub fn ensure(
    cache: &Path,
    image: &NodeImage,
    tools: &CiliumPaths,
    mut progress: impl FnMut(&str),
) -> Result<NodeImage> {
    let name = image.dir().file_name().context("name of the node image")?.to_string_lossy().into_owned();
    let name = format!("{name}-cilium-{}", key(tools)?);
    let dir = cache.join(&name);
    if dir.is_dir() {
        return NodeImage::open(&dir);
    }
    let building = cache.join(format!(".{name}.{}", std::process::id()));
    if building.exists() {
        fs::remove_dir_all(&building).context("remove an unfinished node image")?;
    }
    let images = building.join("images");
    fs::create_dir_all(&images).context("node image directory")?;
    symlink(image.dir().join("rootfs"), building.join("rootfs")).context("link the node image's tree")?;
    for entry in fs::read_dir(image.dir().join("images")).context("container images")? {
        let (from, to) = (entry.as_ref().map(fs::DirEntry::path), entry.as_ref().map(fs::DirEntry::file_name));
        let (Ok(from), Ok(to)) = (from, to.map(|name| images.join(name))) else { continue };
        // On another file system there is nothing to link to.
        fs::hard_link(&from, &to)
            .or_else(|_| fs::copy(&from, &to).map(drop))
            .with_context(|| format!("bring `{}` along", from.display()))?;
    }
    progress("node image: Debian's clang, for Cilium's agent");
    let compiler = building.join("compiler");
    if !Path::new("/").join(container::CLANG).is_file() {
        let packages = debian::download(&cache.join("debian"), &COMPILER)?;
        debian::unpack(&packages, &compiler)?;
    }
    for recipe in container::cilium(tools, &image.dir().join("rootfs"), &compiler)? {
        progress(&format!("node image: container image {}", recipe.name));
        oci::write(&recipe, &images)?;
    }
    if compiler.exists() {
        fs::remove_dir_all(&compiler).context("remove the unpacked compiler")?;
    }
    super::put(&building, &dir)?;
    NodeImage::open(&dir)
}

fn key(tools: &CiliumPaths) -> Result<String> {
    let CiliumPaths { agent, operator, cni, dbg, bpf } = tools;
    let mut hash = Sha256::new();
    hash.update(RECIPE);
    for tool in [agent, operator, cni, dbg, bpf] {
        stamp(&mut hash, tool)?;
    }
    Ok(hex::encode(&hash.finalize()[..6]))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn another_agent_is_another_image_and_the_same_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("cilium-files/bpf")).unwrap();
        for name in ["cilium-agent", "cilium-operator", "cilium-cni", "cilium-dbg", "cilium-files/bpf/bpf_lxc.c"] {
            fs::write(dir.path().join(name), "tool").unwrap();
        }
        let tools = CiliumPaths::in_directory(dir.path());
        let first = key(&tools).unwrap();
        assert_eq!(key(&tools).unwrap(), first);
        fs::write(&tools.agent, "another agent").unwrap();
        assert_ne!(key(&tools).unwrap(), first);
    }
}

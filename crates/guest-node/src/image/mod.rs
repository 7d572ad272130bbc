//! The node image: what a guest's disk would hold, in one directory of the cache.
//!
//! Promises: made without root and without installing anything; complete or absent (built aside, renamed last);
//! a new key for every change of the tools or of the recipe. Assumes Debian's apt and dpkg, and that the machine's own
//! `/usr` lies below the image's when a guest boots.

pub mod cilium;
mod container;
mod debian;
mod oci;
mod oxmox;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

pub use oxmox::oxmox;

/// Changed whenever what [`ensure`] lays down changes.
const RECIPE: &str = "11";

/// Where the Kubernetes tools lie that go into the image.
#[derive(Clone, Debug)]
pub struct ToolPaths {
    /// The kubelet, into the node.
    pub kubelet: PathBuf,
    /// kubeadm, into the node, behind a front.
    pub kubeadm: PathBuf,
    /// kubectl, into the node.
    pub kubectl: PathBuf,
    /// The API server, as a container image.
    pub kube_apiserver: PathBuf,
    /// The controller manager, as a container image.
    pub kube_controller_manager: PathBuf,
    /// The scheduler, as a container image.
    pub kube_scheduler: PathBuf,
    /// etcd, as a container image.
    pub etcd: PathBuf,
    /// kube-proxy, as a container image with its firewall tools.
    pub kube_proxy: PathBuf,
    /// `CoreDNS`, as a container image.
    pub coredns: PathBuf,
    /// kube-router, as a container image with its firewall tools.
    pub kube_router: PathBuf,
    /// The directory of CNI plugins.
    pub cni: PathBuf,
}

impl ToolPaths {
    /// All tools in one directory under their usual names, the CNI plugins in `cni/` below it.
    pub fn in_directory(dir: &Path) -> Self {
        Self {
            kubelet: dir.join("kubelet"),
            kubeadm: dir.join("kubeadm"),
            kubectl: dir.join("kubectl"),
            kube_apiserver: dir.join("kube-apiserver"),
            kube_controller_manager: dir.join("kube-controller-manager"),
            kube_scheduler: dir.join("kube-scheduler"),
            etcd: dir.join("etcd"),
            kube_proxy: dir.join("kube-proxy"),
            coredns: dir.join("coredns"),
            kube_router: dir.join("kube-router"),
            cni: dir.join("cni"),
        }
    }

    fn all(&self) -> [&Path; 11] {
        let Self {
            kubelet,
            kubeadm,
            kubectl,
            kube_apiserver,
            kube_controller_manager,
            kube_scheduler,
            etcd,
            kube_proxy,
            coredns,
            kube_router,
            cni,
        } = self;
        [
            kubelet,
            kubeadm,
            kubectl,
            kube_apiserver,
            kube_controller_manager,
            kube_scheduler,
            etcd,
            kube_proxy,
            coredns,
            kube_router,
            cni,
        ]
    }
}

/// A finished node image.
#[derive(Clone, Debug)]
pub struct NodeImage {
    dir: PathBuf,
}

impl NodeImage {
    /// Opens an image that [`ensure`] made.
    pub fn open(dir: &Path) -> Result<Self> {
        if !dir.join("rootfs/usr").is_dir() || !dir.join("images").is_dir() {
            bail!("`{}` is no node image; hint: make one with `guest-node image --tools DIR`", dir.display());
        }
        Ok(Self { dir: dir.canonicalize().context("node image")? })
    }

    /// The image's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Makes the image, or finds the one already made for these tools. `progress` is told each step as it begins.
pub fn ensure(cache: &Path, tools: &ToolPaths, mut progress: impl FnMut(&str)) -> Result<NodeImage> {
    let key = key(tools)?;
    let dir = cache.join(format!("node-image-{key}"));
    if dir.is_dir() {
        return NodeImage::open(&dir);
    }
    fs::create_dir_all(cache).context("cache directory")?;
    let building = cache.join(format!(".node-image-{key}.{}", std::process::id()));
    if building.exists() {
        fs::remove_dir_all(&building).context("remove an unfinished node image")?;
    }
    let rootfs = building.join("rootfs");
    fs::create_dir_all(building.join("images")).context("node image directory")?;

    progress("node image: Debian's containerd, runc, keepalived, cloud-init");
    let packages = debian::download(&cache.join("debian"), &debian::NODE)?;
    debian::unpack(&packages, &rootfs)?;
    progress("node image: kubelet, kubeadm, kubectl, CNI plugins");
    tree::lay(&rootfs, tools)?;
    tree::compile_python(&rootfs)?;
    let list = container::list(&tools.kubeadm)?;
    for recipe in container::recipes(&list, tools, &rootfs)? {
        progress(&format!("node image: container image {}", recipe.name));
        oci::write(&recipe, &building.join("images"))?;
    }
    put(&building, &dir)?;
    NodeImage::open(&dir)
}

/// Puts a finished image in its place.
fn put(building: &Path, dir: &Path) -> Result<()> {
    match fs::rename(building, dir) {
        Ok(()) => Ok(()),
        // Another run was quicker: its image has the same key, so it is as good as ours.
        Err(_) if dir.is_dir() => fs::remove_dir_all(building).context("remove the second node image"),
        Err(err) => Err(err).context("put the node image in place"),
    }
}

/// Changes with the recipe, and with size or time of any tool.
fn key(tools: &ToolPaths) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(RECIPE);
    for tool in tools.all() {
        stamp(&mut hash, tool)?;
    }
    Ok(hex::encode(&hash.finalize()[..6]))
}

/// Size and time of a tool, or of each in a directory of them.
fn stamp(hash: &mut Sha256, tool: &Path) -> Result<()> {
    for file in files(tool)? {
        let meta = fs::metadata(&file).with_context(|| format!("tool `{}`", file.display()))?;
        let modified = meta.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        hash.update(format!("{}:{}:{}\n", file.display(), meta.len(), modified.as_nanos()));
    }
    Ok(())
}

/// The tool itself, or what is in a directory of tools: the directory's own time changes whenever its links are laid anew.
fn files(tool: &Path) -> Result<Vec<PathBuf>> {
    if !tool.is_dir() {
        return Ok(vec![tool.to_owned()]);
    }
    let entries = fs::read_dir(tool).with_context(|| format!("tools in `{}`", tool.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod test {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_that_are_laid_anew_make_no_new_image_and_another_tool_does() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, links) = (dir.path().join("kept"), dir.path().join("links"));
        fs::create_dir_all(kept.join("cni")).unwrap();
        fs::create_dir_all(links.join("cni")).unwrap();
        let tools = ToolPaths::in_directory(&links);
        let names: Vec<PathBuf> =
            tools.all().iter().map(|tool| tool.strip_prefix(&links).unwrap().to_owned()).collect();
        let names: Vec<PathBuf> =
            names.into_iter().map(|name| if name.ends_with("cni") { name.join("bridge") } else { name }).collect();
        let lay = || {
            for name in &names {
                let _old = fs::remove_file(links.join(name));
                symlink(kept.join(name), links.join(name)).unwrap();
            }
        };
        for name in &names {
            fs::write(kept.join(name), "tool").unwrap();
        }
        lay();
        let first = key(&tools).unwrap();
        lay();
        assert_eq!(key(&tools).unwrap(), first);
        fs::write(kept.join("cni/bridge"), "another tool").unwrap();
        assert_ne!(key(&tools).unwrap(), first);
    }
}

//! Which container images a node brings along, and what goes into each.
//!
//! Promises: exactly the names of `kubeadm config images list`, so that no cluster has to know that its images came
//! without a registry; [`DEMO_IMAGE`] for pods of a demo, and [`KUBE_ROUTER_IMAGE`] for its network policies. Assumes statically linked Go programs; what is not
//! (iptables, nft, busybox) comes with the libraries that `ldd` names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::ToolPaths;
use super::cilium::CiliumPaths;
use super::oci::{Entry, Recipe};
use crate::{CILIUM_IMAGE, CILIUM_OPERATOR_IMAGE, DEMO_IMAGE, KUBE_ROUTER_IMAGE, tool};

/// A network namespace cannot set the machine's limit of connections, and kube-proxy ends when it cannot.
const KUBE_PROXY_FRONT: &str = include_str!("kube-proxy.sh");

/// Settings of the whole machine are kept from Cilium's agent.
const CILIUM_AGENT_FRONT: &str = include_str!("cilium-agent.sh");

/// Where Debian has the compiler of Cilium's agent.
pub(super) const CLANG: &str = "usr/lib/llvm-19/bin/clang";

/// What the node plugin of the storage driver calls.
const FILE_SYSTEM_PROGRAMS: [&str; 8] = [
    "usr/sbin/blkid",
    "usr/sbin/mkfs.ext4",
    "usr/sbin/e2fsck",
    "usr/sbin/resize2fs",
    "usr/sbin/mkfs.xfs",
    "usr/sbin/xfs_growfs",
    "usr/bin/mount",
    "usr/bin/umount",
];

/// The image names of this kubeadm's own version.
pub(super) fn list(kubeadm: &Path) -> Result<Vec<String>> {
    let version = tool::run(Command::new(kubeadm).args(["version", "-o", "short"]))?;
    let said =
        tool::run(Command::new(kubeadm).args(["config", "images", "list", "--kubernetes-version", version.trim()]))?;
    Ok(said.lines().map(str::trim).filter(|line| line.contains('/')).map(str::to_owned).collect())
}

/// Recipes for all of `list`, and for the demo's images.
pub(super) fn recipes(list: &[String], tools: &ToolPaths, root: &Path) -> Result<Vec<Recipe>> {
    let mut recipes = vec![];
    for name in list.iter().map(String::as_str).chain([DEMO_IMAGE, KUBE_ROUTER_IMAGE]) {
        let short = name.rsplit('/').next().and_then(|last| last.split(':').next()).unwrap_or_default();
        let recipe = match short {
            "kube-apiserver" => program(name, "usr/local/bin/kube-apiserver", &tools.kube_apiserver),
            "kube-controller-manager" => {
                program(name, "usr/local/bin/kube-controller-manager", &tools.kube_controller_manager)
            }
            "kube-scheduler" => program(name, "usr/local/bin/kube-scheduler", &tools.kube_scheduler),
            "etcd" => program(name, "usr/local/bin/etcd", &tools.etcd),
            "coredns" => program(name, "coredns", &tools.coredns),
            "kube-proxy" => kube_proxy(name, &tools.kube_proxy, root)?,
            "kube-router" => kube_router(name, &tools.kube_router, root)?,
            // A pause that ends at once would take its pod with it: busybox sleeps.
            "pause" => busybox(name, root, &["/bin/sleep", "2147483647"])?,
            "busybox" => busybox(name, root, &[])?,
            other => bail!("no recipe for container image `{name}` (`{other}`)"),
        };
        recipes.push(recipe);
    }
    Ok(recipes)
}

fn base() -> Vec<Entry> {
    vec![
        Entry::Dir("tmp".to_owned(), 0o1777),
        Entry::Dir("etc".to_owned(), 0o755),
        Entry::Text(
            "etc/passwd".to_owned(),
            "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n".to_owned(),
            0o644,
        ),
        Entry::Text("etc/group".to_owned(), "root:x:0:\nnogroup:x:65534:\n".to_owned(), 0o644),
        Entry::Text("etc/nsswitch.conf".to_owned(), "hosts: files dns\n".to_owned(), 0o644),
    ]
}

fn program(name: &str, at: &str, from: &Path) -> Recipe {
    let mut entries = base();
    entries.push(Entry::File(at.to_owned(), from.to_owned()));
    Recipe { name: name.to_owned(), entries, entrypoint: vec![format!("/{at}")], command: vec![] }
}

fn kube_proxy(name: &str, from: &Path, root: &Path) -> Result<Recipe> {
    let mut entries = base();
    entries.push(Entry::File("usr/local/bin/kube-proxy.real".to_owned(), from.to_owned()));
    entries.push(Entry::Text("usr/local/bin/kube-proxy".to_owned(), KUBE_PROXY_FRONT.to_owned(), 0o755));
    entries.extend(firewall(root, &[])?);
    let entrypoint = vec!["/usr/local/bin/kube-proxy".to_owned()];
    Ok(Recipe { name: name.to_owned(), entries, entrypoint, command: vec![] })
}

fn kube_router(name: &str, from: &Path, root: &Path) -> Result<Recipe> {
    let mut entries = base();
    entries.push(Entry::File("usr/local/bin/kube-router".to_owned(), from.to_owned()));
    entries.extend(firewall(root, &["usr/sbin/ipset", "usr/bin/ip"])?);
    let entrypoint = vec!["/usr/local/bin/kube-router".to_owned()];
    Ok(Recipe { name: name.to_owned(), entries, entrypoint, command: vec![] })
}

/// Cilium's agent with what it compiles, its compiler and its CNI plugin; and its operator. `compiler` is where Debian's
/// package is unpacked.
pub(super) fn cilium(tools: &CiliumPaths, root: &Path, compiler: &Path) -> Result<Vec<Recipe>> {
    let CiliumPaths { agent, operator, cni, dbg, bpf } = tools;
    let mut entries = base();
    entries.extend(firewall(root, &["usr/sbin/ipset", "usr/bin/ip"])?);
    let applets = ["cat", "cp", "echo", "mount", "mv", "tr"];
    entries.extend(applets.map(|name| Entry::Link(format!("usr/bin/{name}"), "busybox".to_owned())));
    entries.push(Entry::Dir("run".to_owned(), 0o755));
    entries.push(Entry::Text("usr/bin/cilium-agent".to_owned(), CILIUM_AGENT_FRONT.to_owned(), 0o755));
    for (at, from) in
        [("usr/bin/cilium-agent.real", agent), ("usr/bin/cilium-dbg", dbg), ("opt/cni/bin/cilium-cni", cni)]
    {
        entries.push(Entry::File(at.to_owned(), from.clone()));
    }
    tree(bpf, "var/lib/cilium/bpf", &mut entries)?;
    let clang = find(compiler, CLANG)?.canonicalize().with_context(|| format!("`/{CLANG}`"))?;
    entries.push(Entry::File("usr/bin/clang".to_owned(), clang.clone()));
    entries.extend(libraries(compiler, &[clang])?);
    let mut names = BTreeSet::new();
    entries.retain(|entry| names.insert(entry.name().to_owned()));
    let entrypoint = vec!["/usr/bin/cilium-agent".to_owned()];
    let agent = Recipe { name: CILIUM_IMAGE.to_owned(), entries, entrypoint, command: vec![] };
    Ok(vec![agent, program(CILIUM_OPERATOR_IMAGE, "usr/bin/cilium-operator-generic", operator)])
}

/// All files below a directory, in an order that is always the same.
fn tree(from: &Path, at: &str, entries: &mut Vec<Entry>) -> Result<()> {
    let there = fs::read_dir(from).with_context(|| format!("read `{}`", from.display()))?;
    let mut paths = there.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    paths.sort();
    for path in paths {
        let name = path.file_name().context("file name")?.to_string_lossy().into_owned();
        let at = format!("{at}/{name}");
        if path.is_dir() { tree(&path, &at, entries)? } else { entries.push(Entry::File(at, path)) }
    }
    Ok(())
}

/// The userland of a packet filter, with these programs beside it.
fn firewall(root: &Path, more: &[&str]) -> Result<Vec<Entry>> {
    let mut entries = merged_usr();
    let shell = find(root, "usr/bin/busybox")?;
    entries.push(Entry::File("usr/bin/busybox".to_owned(), shell.clone()));
    entries.extend(["sh", "sed"].map(|name| Entry::Link(format!("usr/bin/{name}"), "busybox".to_owned())));
    let mut programs = vec![shell];
    for at in more {
        let file = find(root, at)?;
        entries.push(Entry::File((*at).to_owned(), file.clone()));
        programs.push(file);
    }
    for (at, links) in [
        (
            "usr/sbin/xtables-nft-multi",
            &["iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"][..],
        ),
        ("usr/sbin/nft", &[][..]),
    ] {
        let file = find(root, at)?;
        entries.push(Entry::File(at.to_owned(), file.clone()));
        entries
            .extend(links.iter().map(|link| Entry::Link(format!("usr/sbin/{link}"), "xtables-nft-multi".to_owned())));
        programs.push(file);
    }
    for dir in library_dirs(root) {
        let Ok(plugins) = fs::read_dir(dir.join("xtables")) else { continue };
        let inside = inside(root, &dir.join("xtables"));
        let mut plugins: Vec<PathBuf> = plugins.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
        plugins.sort();
        for plugin in plugins {
            let file = plugin.file_name().context("plugin name")?.to_string_lossy().into_owned();
            let real = plugin.canonicalize()?;
            entries.push(Entry::File(format!("{inside}/{file}"), real.clone()));
            // Plugins bring demands of their own (`statistic` wants libm), and fail only when a rule first needs them.
            programs.push(real);
        }
        break;
    }
    entries.extend(libraries(root, &programs)?);
    Ok(entries)
}

/// The `oxmox` binary, as its chart runs it, with the programs that make, check, grow and mount file systems.
pub(super) fn oxmox(name: &str, binary: &Path, root: &Path) -> Result<Recipe> {
    let mut entries = base();
    entries.extend(merged_usr());
    let at = "usr/local/bin/oxmox";
    entries.push(Entry::File(at.to_owned(), binary.to_owned()));
    let mut programs = vec![binary.to_owned()];
    for at in FILE_SYSTEM_PROGRAMS {
        // A name of several (`mkfs.ext4`) is a file of its own there: they tell by it what they are to do.
        let real = find(root, at)?.canonicalize().with_context(|| format!("`/{at}`"))?;
        entries.push(Entry::File(at.to_owned(), real.clone()));
        programs.push(real);
    }
    if let Ok(settings) = find(root, "etc/mke2fs.conf") {
        entries.push(Entry::File("etc/mke2fs.conf".to_owned(), settings));
    }
    entries.extend(libraries(root, &programs)?);
    Ok(Recipe { name: name.to_owned(), entries, entrypoint: vec![format!("/{at}")], command: vec![] })
}

fn busybox(name: &str, root: &Path, entrypoint: &[&str]) -> Result<Recipe> {
    let mut entries = base();
    entries.extend(merged_usr());
    let file = find(root, "usr/bin/busybox")?;
    entries.push(Entry::File("usr/bin/busybox".to_owned(), file.clone()));
    let applets = tool::run(with_libraries(root, Command::new(&file).arg("--list")))?;
    for applet in applets.lines().map(str::trim).filter(|applet| !applet.is_empty() && *applet != "busybox") {
        entries.push(Entry::Link(format!("usr/bin/{applet}"), "busybox".to_owned()));
    }
    entries.extend(libraries(root, &[file])?);
    let command = if entrypoint.is_empty() { vec!["/bin/sh".to_owned()] } else { vec![] };
    Ok(Recipe {
        name: name.to_owned(),
        entries,
        entrypoint: entrypoint.iter().map(|&word| word.to_owned()).collect(),
        command,
    })
}

/// `/bin`, `/sbin`, `/lib`, `/lib64` are links into `/usr`, as on Debian.
fn merged_usr() -> Vec<Entry> {
    let mut entries: Vec<Entry> =
        ["usr", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64"].map(|dir| Entry::Dir(dir.to_owned(), 0o755)).into();
    entries.extend(["bin", "sbin", "lib", "lib64"].map(|name| Entry::Link(name.to_owned(), format!("usr/{name}"))));
    entries
}

/// In the image's tree, else in the machine's own, which lies below it.
fn find(root: &Path, at: &str) -> Result<PathBuf> {
    [root.join(at), Path::new("/").join(at)]
        .into_iter()
        .find(|path| path.is_file())
        .with_context(|| format!("`/{at}` is neither in the node image nor on this machine"))
}

fn library_dirs(root: &Path) -> Vec<PathBuf> {
    let triple = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    vec![root.join(&triple), Path::new("/").join(&triple)]
}

fn with_libraries<'a>(root: &Path, command: &'a mut Command) -> &'a mut Command {
    let dirs: Vec<String> = library_dirs(root).iter().map(|dir| dir.display().to_string()).collect();
    command.env("LD_LIBRARY_PATH", dirs.join(":"))
}

/// The shared libraries of these programs, at the paths where the loader looks.
fn libraries(root: &Path, programs: &[PathBuf]) -> Result<Vec<Entry>> {
    let said = tool::run(with_libraries(root, Command::new("ldd").args(programs)))?;
    let found: BTreeSet<PathBuf> = said.lines().filter_map(library).collect();
    found
        .into_iter()
        .map(|path| {
            let real = path.canonicalize().with_context(|| format!("library `{}`", path.display()))?;
            Ok(Entry::File(inside(root, &path), real))
        })
        .collect()
}

/// `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)` or `/lib64/ld-linux-x86-64.so.2 (0x…)`
fn library(line: &str) -> Option<PathBuf> {
    line.split_whitespace().find(|word| word.starts_with('/') && !word.ends_with(':')).map(PathBuf::from)
}

/// Where a file of the image's tree or of the machine lies in a merged `/usr`, without the leading slash.
fn inside(root: &Path, path: &Path) -> String {
    let path = path.strip_prefix(root).unwrap_or(path).display().to_string();
    let path = path.trim_start_matches('/');
    if path.starts_with("usr/") { path.to_owned() } else { format!("usr/{path}") }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn both_forms_of_ldds_lines_name_a_library() {
        assert_eq!(library("\tlibc.so.6 => /lib/x/libc.so.6 (0x7f)"), Some("/lib/x/libc.so.6".into()));
        assert_eq!(library("\t/lib64/ld-linux-x86-64.so.2 (0x7f)"), Some("/lib64/ld-linux-x86-64.so.2".into()));
        assert_eq!(library("\tlinux-vdso.so.1 (0x7ffe)"), None);
        assert_eq!(library("/image/usr/sbin/nft:"), None);
    }

    #[test]
    fn libraries_lie_in_usr_wherever_they_were_found() {
        let root = Path::new("/cache/image/rootfs");
        assert_eq!(inside(root, Path::new("/lib64/ld.so")), "usr/lib64/ld.so");
        assert_eq!(inside(root, Path::new("/cache/image/rootfs/usr/lib/x/a.so")), "usr/lib/x/a.so");
    }
}

//! Building what is missing.
//!
//! Promises: a finished file appears by rename, so an interrupted build leaves nothing that looks like a tool; the
//! log of a failed build stays and its end is in the error.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use super::family::Family;
use super::go::Go;
use super::lock::Lock;
use super::progress::{Progress, Stage};
use super::tool::Tool;
use super::watch::watch;

/// Where Cluster API's module keeps what the managers need, and what we call it.
const CAPI_DIRECTORIES: [(&str, &str); 3] = [
    ("core/config", "core"),
    ("bootstrap/kubeadm/config", "bootstrap"),
    ("controlplane/kubeadm/config", "controlplane"),
];

/// Where Cilium's module keeps its CRDs, by version.
const CILIUM_CRDS: &str = "pkg/k8s/apis/cilium.io/client/crds";

/// The module that holds the CRDs of volume snapshots.
const SNAPSHOT_MODULE: &str = "github.com/kubernetes-csi/external-snapshotter/client/v8";

struct Report<'a> {
    tool: Tool,
    number: usize,
    total: usize,
    begun: Instant,
    progress: &'a dyn Fn(Progress),
}

impl Report<'_> {
    fn say(&self, stage: Stage) {
        let Self { tool, number, total, begun, progress } = self;
        progress(Progress { tool: *tool, number: *number, total: *total, elapsed: begun.elapsed(), stage });
    }
}

pub(super) fn build(cache: &Path, missing: &[Tool], progress: &dyn Fn(Progress)) -> Result<BTreeMap<Tool, PathBuf>> {
    let report = |index: usize| Report {
        tool: missing[index],
        number: index + 1,
        total: missing.len(),
        begun: Instant::now(),
        progress,
    };
    let root = cache.join("tools");
    let first = report(0);
    let _lock = Lock::take(&root.join("lock"), || first.say(Stage::WaitingForAnotherRun))?;
    sweep(&root)?;
    let go = Go::ensure(cache, &|| first.say(Stage::FetchingGo))?;
    let mut built = BTreeMap::new();
    for (index, &tool) in missing.iter().enumerate() {
        let path = tool.family().dir(cache).join(tool.relative_path());
        if !path.exists() {
            // else: whoever held the lock before us built it
            let report = report(index);
            report.say(Stage::Building { says: None });
            build_one(&go, &root, tool, &path, &report).with_context(|| format!("build `{tool}`"))?;
            report.say(Stage::Built);
        }
        built.insert(tool, path);
    }
    Ok(built)
}

/// What an interrupted run left. We hold the lock, so nobody is at it.
fn sweep(root: &Path) -> Result<()> {
    for entry in fs::read_dir(root).with_context(|| format!("read `{}`", root.display()))? {
        let path = entry.with_context(|| format!("read `{}`", root.display()))?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".unfinished-")) {
            fs::remove_dir_all(&path).with_context(|| format!("remove `{}`", path.display()))?;
        }
    }
    Ok(())
}

fn build_one(go: &Go, root: &Path, tool: Tool, path: &Path, report: &Report<'_>) -> Result<()> {
    let family = tool.family();
    let unfinished = root.join(format!(".unfinished-{tool}"));
    fs::create_dir_all(&unfinished).with_context(|| format!("make `{}`", unfinished.display()))?;
    let module = unfinished.join("module");
    lay_module(family, &module)?;
    let result = unfinished.join(tool.file_name());
    let log = root.join(format!("{tool}.log"));
    match tool.package() {
        Some(package) => {
            let mut command = go.command(&module);
            command.args(["build", "-p", "2", "-trimpath", "-ldflags", &family.ldflags()]);
            if !family.tags().is_empty() {
                command.args(["-tags", family.tags()]);
            }
            command.arg("-o").arg(&result).arg(package);
            watched(command, &log, report)?;
        }
        None if tool == Tool::SnapshotCrds => {
            let source = module_directory(go, &module, SNAPSHOT_MODULE, &log, report)?;
            copy_all(&source.join("config/crd"), &result, |name| name.starts_with("snapshot."))?;
        }
        None if tool == Tool::CiliumFiles => {
            let source = module_directory(go, &module, Family::Cilium.module_path(), &log, report)?;
            copy_tree(&source.join("bpf"), &result.join("bpf"))?;
            for version in ["v2", "v2alpha1"] {
                copy_all(&source.join(CILIUM_CRDS).join(version), &result.join("crds"), |_| true)?;
            }
        }
        None => lay_manifests(go, &module, &result, &log, report)?,
    }
    let parent = path.parent().unwrap_or(root);
    fs::create_dir_all(parent).with_context(|| format!("make `{}`", parent.display()))?;
    fs::rename(&result, path).with_context(|| format!("move `{}` to its place", result.display()))?;
    fs::remove_dir_all(&unfinished).with_context(|| format!("remove `{}`", unfinished.display()))?;
    let _ = fs::remove_file(&log); // of a good build nobody wants to read
    Ok(())
}

fn lay_module(family: Family, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("make `{}`", dir.display()))?;
    for (name, text) in [("go.mod", family.go_mod()), ("go.sum", family.go_sum())] {
        fs::write(dir.join(name), text).with_context(|| format!("write `{name}` into `{}`", dir.display()))?;
    }
    for (name, text) in family.sources() {
        let file = dir.join(name);
        let parent = file.parent().unwrap_or(dir);
        fs::create_dir_all(parent).with_context(|| format!("make `{}`", parent.display()))?;
        fs::write(&file, text).with_context(|| format!("write `{}`", file.display()))?;
    }
    Ok(())
}

/// Copies CRDs and webhook configurations out of the module, so that a later run needs no module cache.
fn lay_manifests(go: &Go, module: &Path, result: &Path, log: &Path, report: &Report<'_>) -> Result<()> {
    let source = module_directory(go, module, Family::Capi.module_path(), log, report)?;
    for (from, to) in CAPI_DIRECTORIES {
        let (from, to) = (source.join(from), result.join(to));
        copy_all(&from.join("crd/bases"), &to.join("crds"), |_| true)?;
        copy(&from.join("webhook/manifests.yaml"), &to.join("webhooks.yaml"))?;
    }
    Ok(())
}

/// Where the module cache has this module.
fn module_directory(go: &Go, module: &Path, name: &str, log: &Path, report: &Report<'_>) -> Result<PathBuf> {
    let mut download = go.command(module);
    download.args(["mod", "download", name]);
    watched(download, log, report)?;
    let output = go.command(module).args(["list", "-m", "-f", "{{.Dir}}", name]).output().context("start Go")?;
    let source = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    if !output.status.success() || !source.is_dir() {
        bail!("find the module `{name}`: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(source)
}

fn copy_all(from: &Path, to: &Path, which: impl Fn(&str) -> bool) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("make `{}`", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("read `{}`", from.display()))? {
        let entry = entry.with_context(|| format!("read `{}`", from.display()))?;
        if which(&entry.file_name().to_string_lossy()) {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// With all that is below, except what is there to test it.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("make `{}`", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("read `{}`", from.display()))? {
        let entry = entry.with_context(|| format!("read `{}`", from.display()))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if !path.is_dir() {
            copy(&path, &target)?;
        } else if !["tests", "complexity-tests"].iter().any(|name| entry.file_name() == *name) {
            copy_tree(&path, &target)?;
        }
    }
    Ok(())
}

/// The bytes only: files of a module cache are read-only, and ours should not be.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("read `{}`", from.display()))?;
    fs::write(to, bytes).with_context(|| format!("write `{}`", to.display()))
}

/// A build's words go to its log; the last of them into each report.
fn watched(command: Command, log: &Path, report: &Report<'_>) -> Result<()> {
    watch(command, log, &|says| report.say(Stage::Building { says }))
}

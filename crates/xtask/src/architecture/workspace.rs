//! What the crates of the workspace import of each other, and what they see: asked of cargo.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// A crate of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    /// Other crates of the workspace.
    pub(super) imports: BTreeMap<String, Import>,
}

/// When something is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Import {
    Always,
    /// For tests, or behind a feature.
    Sometimes,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    optional: bool,
}

pub(super) fn members(root: &Path) -> Result<Vec<Member>> {
    let text = cargo(root, &["metadata", "--offline", "--no-deps", "--format-version", "1"])?;
    let metadata: Metadata = serde_json::from_str(&text).context("read what `cargo metadata` says")?;
    let ours: BTreeSet<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    Ok(metadata.packages.iter().map(|package| member(package, &ours)).collect())
}

fn member(package: &Package, ours: &BTreeSet<&str>) -> Member {
    let mut imports = BTreeMap::new();
    for Dependency { name, kind, optional } in &package.dependencies {
        if !ours.contains(name.as_str()) {
            continue;
        }
        let import = if kind.is_none() && !optional { Import::Always } else { Import::Sometimes };
        let known = imports.entry(name.clone()).or_insert(import);
        if import == Import::Always {
            *known = import;
        }
    }
    Member { name: package.name.clone(), imports }
}

/// Which of `names` a crate sees, at whatever distance, in what is shipped of it.
pub(super) fn sees(root: &Path, package: &str, names: &BTreeSet<String>) -> Result<Vec<String>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let tree = cargo(root, &["tree", "--offline", "-p", package, "-e", "normal", "--prefix", "none", "-f", "{p}"])?;
    let seen: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    Ok(names.iter().filter(|name| seen.contains(name.as_str())).cloned().collect())
}

fn cargo(root: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new("cargo").args(args).current_dir(root).output().context("start `cargo`")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`cargo {}`: {}", args.join(" "), said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

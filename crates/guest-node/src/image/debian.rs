//! Debian packages, downloaded and unpacked, never installed.
//!
//! Promises: no root, no change to the machine's package state, only what the machine lacks (the rest lies in its own
//! `/usr`, below the image). Assumes apt sources of Debian on the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::tool;

/// What a node needs beyond a minimal Debian.
pub(super) const NODE: [&str; 18] = [
    "containerd",
    "runc",
    "keepalived",
    "cloud-init",
    "python3-minimal",
    "iptables",
    "nftables",
    "conntrack",
    "ipset",
    "ebtables",
    "ethtool",
    "socat",
    "kmod",
    "iproute2",
    "iputils-ping",
    "busybox",
    "xfsprogs",
    "libc6",
];

/// Downloads these packages and their missing dependencies into `cache`; gives their files.
pub(super) fn download(cache: &Path, packages: &[&str]) -> Result<Vec<PathBuf>> {
    let archives = cache.join("archives");
    for dir in ["lists/partial", "cache/archives/partial", "archives"] {
        fs::create_dir_all(cache.join(dir)).context("package cache")?;
    }
    let wanted = if let Ok(wanted) = wanted(cache, packages) {
        wanted
    } else {
        tool::run(apt(cache)?.arg("update"))?;
        wanted(cache, packages)?
    };
    let missing = |wanted: &[Wanted]| wanted.iter().any(|one| !archives.join(&one.file).is_file());
    if missing(&wanted) {
        let fetch = |wanted: &[Wanted]| -> Result<()> {
            let mut command = apt(cache)?;
            command.arg("download").current_dir(&archives);
            command.args(wanted.iter().map(|one| &one.package));
            tool::run(&mut command).map(drop)
        };
        // Lists grow old: a file may be gone from the mirror. One fresh look before giving up.
        if fetch(&wanted).is_err() {
            tool::run(apt(cache)?.arg("update"))?;
            let again = self::wanted(cache, packages)?;
            fetch(&again)?;
            return Ok(again.iter().map(|one| archives.join(&one.file)).collect());
        }
    }
    Ok(wanted.iter().map(|one| archives.join(&one.file)).collect())
}

struct Wanted {
    package: String,
    file: String,
}

/// What apt would install: package and file name of each.
fn wanted(cache: &Path, packages: &[&str]) -> Result<Vec<Wanted>> {
    let mut command = apt(cache)?;
    command.args(["install", "-y", "--no-install-recommends", "--no-upgrade", "--print-uris", "-qq"]);
    let said = tool::run(command.args(packages))?;
    let wanted: Vec<Wanted> = said.lines().filter_map(parse_uri).collect();
    if wanted.is_empty() {
        bail!("apt named no package to download; hint: check the apt sources of this machine");
    }
    Ok(wanted)
}

/// `'http://…/x_1%3a2_amd64.deb' x_1%3a2_amd64.deb 123 MD5Sum:…`
fn parse_uri(line: &str) -> Option<Wanted> {
    let file = line.strip_prefix('\'')?.split_whitespace().nth(1)?;
    let package = file.split('_').next()?;
    Some(Wanted { package: package.to_owned(), file: file.to_owned() })
}

/// apt with lists and caches of our own, and Debian's sources only (others may be out of reach).
fn apt(cache: &Path) -> Result<Command> {
    let parts = cache.join("sources");
    fs::create_dir_all(&parts).context("apt sources")?;
    for from in ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"] {
        let from = Path::new(from);
        if let Ok(text) = fs::read_to_string(from) {
            let ext = if from.extension().is_some_and(|ext| ext == "sources") { "sources" } else { "list" };
            fs::write(parts.join(format!("debian.{ext}")), text).context("apt sources")?;
        }
    }
    let mut command = Command::new("apt-get");
    let option = |key: &str, value: &Path| format!("{key}={}", value.display());
    command
        .args(["-o", &option("Dir::State::Lists", &cache.join("lists"))])
        .args(["-o", &option("Dir::Cache", &cache.join("cache"))])
        .args(["-o", "Dir::Etc::SourceList=/dev/null"])
        .args(["-o", &option("Dir::Etc::SourceParts", &parts)])
        .args(["-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none"])
        .env("LC_ALL", "C")
        .env("DEBIAN_FRONTEND", "noninteractive");
    Ok(command)
}

/// Unpacks the packages into `root`, with the merged `/usr` that Debian 12 has.
pub(super) fn unpack(packages: &[PathBuf], root: &Path) -> Result<()> {
    fs::create_dir_all(root.join("usr")).context("node image")?;
    for package in packages {
        tool::run(Command::new("dpkg-deb").arg("-x").arg(package).arg(root))?;
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        let from = root.join(name);
        if from.is_dir() {
            merge(&from, &root.join("usr").join(name))?;
            fs::remove_dir_all(&from)?;
        }
    }
    Ok(())
}

/// Moves everything below `from` to `to`.
fn merge(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() && target.is_dir() {
            merge(&entry.path(), &target)?;
        } else {
            fs::rename(entry.path(), &target).with_context(|| format!("move `{}`", target.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_line_of_print_uris_names_package_and_file() {
        let line =
            "'http://deb/pool/keepalived_1%3a2.2.7-1_amd64.deb' keepalived_1%3a2.2.7-1_amd64.deb 569660 MD5Sum:e5";
        let wanted = parse_uri(line).unwrap();
        assert_eq!(wanted.package, "keepalived");
        assert_eq!(wanted.file, "keepalived_1%3a2.2.7-1_amd64.deb");
        assert!(parse_uri("Reading package lists...").is_none());
    }

    #[test]
    fn merging_keeps_what_both_sides_hold() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("lib/x")).unwrap();
        fs::create_dir_all(dir.path().join("usr/lib/x")).unwrap();
        fs::write(dir.path().join("lib/x/a"), "a").unwrap();
        fs::write(dir.path().join("usr/lib/x/b"), "b").unwrap();
        merge(&dir.path().join("lib"), &dir.path().join("usr/lib")).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("usr/lib/x/a")).unwrap(), "a");
        assert_eq!(fs::read_to_string(dir.path().join("usr/lib/x/b")).unwrap(), "b");
    }
}

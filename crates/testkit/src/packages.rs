//! Programs out of Debian's packages, downloaded and unpacked, never installed: no daemon starts, the machine's package
//! state stays as it is.
//!
//! Promises: unpacked once into the cache; a directory appears whole, by rename; two runs at once unpack once.
//! Assumes: apt sources of Debian on the machine while something is missing, and never after. No root.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::cache::cache_dir;
use crate::tools::{Lock, watch};

/// What we take from Debian; the names are the key of the cache.
const PACKAGES: [&str; 2] = ["prometheus", "prometheus-alertmanager"];

/// Where apt finds Debian's sources; others may be out of reach.
const SOURCES: [&str; 2] = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];

/// Prometheus's programs, as Debian has them.
#[derive(Debug, Clone)]
pub struct Prometheus {
    root: PathBuf,
}

impl Prometheus {
    /// Downloads and unpacks them, if that is not done yet. `waiting` is told what is under way, every few seconds.
    pub fn ensure(waiting: &dyn Fn(&str)) -> Result<Self> {
        Self::ensure_in(&cache_dir()?, waiting)
    }

    /// The same with a cache directory of one's own.
    pub fn ensure_in(cache: &Path, waiting: &dyn Fn(&str)) -> Result<Self> {
        let root = root(cache);
        if !root.is_dir() {
            fetch(cache, &root, waiting).with_context(|| {
                format!(
                    "unpack Debian's packages {}\nhint: it needs apt-get, dpkg-deb and Debian's apt sources",
                    PACKAGES.join(" and ")
                )
            })?;
        }
        Ok(Self { root })
    }

    /// What is there already, nothing downloaded: for tests that skip aloud when it is missing.
    pub fn present() -> Option<Self> {
        let root = root(&cache_dir().ok()?);
        root.is_dir().then_some(Self { root })
    }

    /// The checker of rules and their tests.
    pub fn promtool(&self) -> PathBuf {
        self.root.join("usr/bin/promtool")
    }

    /// Prometheus itself.
    pub fn prometheus(&self) -> PathBuf {
        self.root.join("usr/bin/prometheus")
    }

    /// What they expect in `/usr/share`.
    pub fn share(&self) -> PathBuf {
        self.root.join("usr/share")
    }

    /// Alertmanager.
    pub fn alertmanager(&self) -> PathBuf {
        self.root.join("usr/bin/prometheus-alertmanager")
    }
}

fn root(cache: &Path) -> PathBuf {
    cache.join("packages").join(PACKAGES.join("+"))
}

fn fetch(cache: &Path, root: &Path, waiting: &dyn Fn(&str)) -> Result<()> {
    let parent = cache.join("packages");
    let _lock = Lock::take(&parent.join("lock"), || waiting("waiting for another run that unpacks packages"))?;
    if root.is_dir() {
        return Ok(()); // whoever held the lock before us did it
    }
    let unfinished = parent.join(".unfinished");
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).context("clear an unfinished download"),
        Ok(()) | Err(_) => {}
    }
    for dir in ["lists/partial", "cache/archives/partial", "archives", "sources", "root"] {
        fs::create_dir_all(unfinished.join(dir)).with_context(|| format!("make `{dir}`"))?;
    }
    let log = parent.join("fetch.log");
    let run = |command: Command, what: &str| {
        watch(command, &log, &|says| waiting(says.as_deref().unwrap_or(what))).with_context(|| what.to_owned())
    };
    let mut update = apt(&unfinished)?;
    update.arg("update");
    run(update, "read Debian's lists of packages")?;
    let mut download = apt(&unfinished)?;
    download.arg("download").args(PACKAGES).current_dir(unfinished.join("archives"));
    run(download, "download the packages")?;
    let mut count = 0;
    for entry in fs::read_dir(unfinished.join("archives")).context("read what was downloaded")? {
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("-x").arg(entry.context("read what was downloaded")?.path()).arg(unfinished.join("root"));
        run(unpack, "unpack a package")?;
        count += 1;
    }
    ensure!(count == PACKAGES.len(), "{count} packages were downloaded instead of {}", PACKAGES.len());
    fs::rename(unfinished.join("root"), root).with_context(|| format!("move it to `{}`", root.display()))?;
    fs::remove_dir_all(&unfinished).context("remove the packages")?;
    let _ = fs::remove_file(&log); // of a good download nobody wants to read
    Ok(())
}

/// apt with lists and caches of our own, and Debian's sources only.
fn apt(dir: &Path) -> Result<Command> {
    let parts = dir.join("sources");
    for from in SOURCES {
        let from = Path::new(from);
        if let Ok(text) = fs::read_to_string(from) {
            let kind = from.extension().and_then(|kind| kind.to_str()).unwrap_or("list");
            fs::write(parts.join(format!("debian.{kind}")), text).context("write apt's sources")?;
        }
    }
    let mut command = Command::new("apt-get");
    for (key, value) in [("Dir::State::Lists", "lists"), ("Dir::Cache", "cache"), ("Dir::Etc::SourceParts", "sources")]
    {
        command.arg("-o").arg(format!("{key}={}", dir.join(value).display()));
    }
    command
        .args(["-o", "Dir::Etc::SourceList=/dev/null", "-o", "APT::Sandbox::User=root"])
        .args(["-o", "Acquire::Languages=none", "-q"])
        .env("LC_ALL", "C")
        .env("DEBIAN_FRONTEND", "noninteractive");
    Ok(command)
}

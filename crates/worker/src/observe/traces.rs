//! What of Kubernetes is on this machine: files, mounts, links, packet filters.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::process::Stdio;

use tokio::process::Command;

use super::Place;
use crate::leave::{Traces, WATCHED};
use crate::{Seen, firewall};

/// kubeadm's own leftovers.
pub(super) fn left(place: &Place) -> Seen<Vec<String>> {
    match files(place) {
        Seen::Known(all) => Seen::Known(crate::leave::leftovers(&all)),
        Seen::Absent => Seen::Absent,
        Seen::Unread(why) => Seen::Unread(why),
        Seen::Unasked => Seen::Unasked,
    }
}

/// Everything.
pub async fn traces(place: &Place) -> Traces {
    Traces {
        record: place.record(),
        files: files(place),
        mounts: mounts(place),
        links: links(place),
        filters: filters(place).await,
        kubeadm: which(place, "kubeadm"),
    }
}

fn which(place: &Place, program: &str) -> bool {
    ["/usr/bin", "/usr/local/bin", "/usr/sbin", "/opt/bin"]
        .iter()
        .any(|directory| place.path(&format!("{directory}/{program}")).exists())
}

fn files(place: &Place) -> Seen<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for directory in WATCHED {
        if let Err(why) = walk(place, directory, &mut all) {
            return Seen::Unread(format!("below `{directory}`: {why}"));
        }
    }
    Seen::Known(all)
}

/// Does not go into what is mounted below, nor along links: that is somebody else's.
fn walk(place: &Place, directory: &str, all: &mut BTreeSet<String>) -> std::io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let path = place.path(directory);
    let gone = |why: std::io::Error| if why.kind() == ErrorKind::NotFound { Ok(()) } else { Err(why) };
    let own = match path.symlink_metadata() {
        Ok(own) => own,
        Err(why) => return gone(why),
    };
    if !own.is_dir() {
        all.insert(directory.to_owned());
        return Ok(());
    }
    all.insert(format!("{directory}/"));
    let entries = match std::fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(why) => return gone(why),
    };
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let below = format!("{directory}/{name}");
        let meta = match entry.path().symlink_metadata() {
            Ok(meta) => meta,
            Err(why) => {
                gone(why)?;
                continue;
            }
        };
        if meta.is_dir() && meta.dev() == own.dev() {
            walk(place, &below, all)?;
        } else if meta.is_dir() {
            all.insert(format!("{below}/"));
        } else {
            all.insert(below);
        }
    }
    Ok(())
}

/// The fifth word of each line of `mountinfo`; blanks are written `\040`.
fn mounts(place: &Place) -> Seen<BTreeSet<String>> {
    let path = place.path("/proc/self/mountinfo");
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let target = |line: &str| line.split(' ').nth(4).map(|word| word.replace("\\040", " "));
            Seen::Known(text.lines().filter_map(target).collect())
        }
        Err(why) => Seen::Unread(format!("`{}`: {why}", path.display())),
    }
}

fn links(place: &Place) -> Seen<BTreeSet<String>> {
    let path = place.path("/sys/class/net");
    match std::fs::read_dir(&path) {
        Ok(entries) => Seen::Known(
            entries.filter_map(Result::ok).filter_map(|entry| entry.file_name().into_string().ok()).collect(),
        ),
        Err(why) => Seen::Unread(format!("`{}`: {why}", path.display())),
    }
}

/// Kubernetes' own tables, chains and sets, as the programs list them that are there.
async fn filters(place: &Place) -> Seen<BTreeSet<String>> {
    if !place.is_here() {
        return Seen::Absent;
    }
    let mut all = BTreeSet::new();
    for family in ["iptables", "ip6tables"] {
        match saved(family).await {
            Ok(Some(text)) => all.extend(firewall::chains(&text).into_iter().map(|chain| format!("{family} {chain}"))),
            Ok(None) => {}
            Err(why) => return Seen::Unread(why),
        }
    }
    match listing("nft", &["list", "tables"]).await {
        Ok(text) => {
            let tables =
                text.iter().flat_map(|text| text.lines()).filter_map(|line| line.trim().strip_prefix("table "));
            all.extend(tables.filter(|table| firewall::is_our_table(table)).map(|table| format!("nft {table}")));
        }
        Err(why) => return Seen::Unread(why),
    }
    match listing("ipset", &["list", "-n"]).await {
        Ok(text) => {
            let sets = text.iter().flat_map(|text| text.lines()).map(str::trim);
            all.extend(sets.filter(|set| firewall::is_our_set(set)).map(|set| format!("ipset {set}")));
        }
        Err(why) => return Seen::Unread(why),
    }
    Seen::Known(all)
}

/// What `iptables-save` prints; `None`: there is no such program.
pub(crate) async fn saved(family: &str) -> Result<Option<String>, String> {
    listing(&format!("{family}-save"), &[]).await
}

async fn listing(program: &str, words: &[&str]) -> Result<Option<String>, String> {
    let output = Command::new(program).args(words).stdin(Stdio::null()).kill_on_drop(true).output().await;
    match output {
        Err(why) if why.kind() == ErrorKind::NotFound => Ok(None),
        Err(why) => Err(format!("run `{program}`: {why}")),
        Ok(output) if output.status.success() => Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned())),
        Ok(output) => {
            let error = String::from_utf8_lossy(&output.stderr);
            Err(format!("`{program}`: {}", error.trim()))
        }
    }
}

//! A demo seen from outside: its processes, and whatever could be left of it on the machine.
//!
//! Other demos and tests may run beside it: only what carries this demo's number, directory or namespaces is looked at.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A process of the demo.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) pid: u32,
    pub(crate) words: Vec<String>,
}

/// What tells one demo from all others.
#[derive(Debug)]
pub(crate) struct Demo {
    /// The process that people started.
    pub(crate) owner: u32,
    /// Its directory.
    pub(crate) dir: PathBuf,
    /// Network namespaces that were seen in it.
    networks: BTreeSet<PathBuf>,
}

impl Demo {
    pub(crate) fn new(owner: u32, dir: &Path) -> Self {
        Self { owner, dir: dir.to_owned(), networks: BTreeSet::new() }
    }

    /// Looks at its processes; their namespaces are remembered.
    pub(crate) fn members(&mut self) -> Vec<Member> {
        let ours = fs::read_link("/proc/self/ns/net").ok();
        let mut members = Vec::new();
        let pids: Vec<u32> = pids().filter(|&pid| self.holds(pid)).collect();
        for pid in pids {
            let network = fs::read_link(format!("/proc/{pid}/ns/net")).ok();
            self.networks.extend(network.filter(|network| Some(network) != ours.as_ref()));
            members.push(Member { pid, words: words(pid) });
        }
        members
    }

    /// In its cgroup, or the owner, or what the owner has started.
    fn holds(&self, pid: u32) -> bool {
        let started = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.owner)).unwrap_or_default();
        let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let name = format!("oxmox-{}", self.owner);
        pid == self.owner
            || started.split_whitespace().any(|child| child == pid.to_string())
            || cgroup.lines().any(|line| line.split('/').any(|part| part == name))
    }

    /// Everything that is left of it, a line each.
    pub(crate) fn left(&self) -> Vec<String> {
        let dir = self.dir.display().to_string();
        let mut left = Vec::new();
        for pid in pids().filter(|&pid| pid != std::process::id()) {
            let said = words(pid).join(" ");
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let told = said.contains(&dir) || String::from_utf8_lossy(&environment).contains(&dir);
            let network = fs::read_link(format!("/proc/{pid}/ns/net")).ok();
            let inside = network.is_some_and(|network| self.networks.contains(&network));
            // no words: it is dead already, and its parent has not buried it yet
            let alive = !said.trim().is_empty();
            if alive && (self.holds(pid) || told || inside) {
                left.push(format!("process {pid}: {said}"));
            }
            let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
            let ours = |line: &&str| {
                line.contains(&dir) || self.networks.iter().any(|net| line.contains(&*net.to_string_lossy()))
            };
            left.extend(mounts.lines().filter(ours).map(|line| format!("mount seen by {pid}: {line}")));
        }
        let name = format!("oxmox-{}", self.owner);
        let tree = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let trees = tree.lines().filter(|line| line.split(' ').nth(2) == Some("cgroup2"));
        let cgroups = trees.filter_map(|line| Some(Path::new(line.split(' ').nth(1)?).join(&name)));
        let leash = testkit::cache_dir().unwrap().join("leash");
        let files = [leash.join(self.owner.to_string()), leash.join(format!("{}.json", self.owner)), self.dir.clone()];
        left.extend(cgroups.chain(files).filter(|path| path.exists()).map(|path| format!("file {}", path.display())));
        for device in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
            let file = fs::read_to_string(device.path().join("loop/backing_file")).unwrap_or_default();
            if file.contains(&dir) {
                left.push(format!("loop device {}: {file}", device.path().display()));
            }
        }
        left
    }
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn words(pid: u32) -> Vec<String> {
    let text = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    text.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

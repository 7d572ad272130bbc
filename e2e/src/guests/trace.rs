//! What guests leave on the machine, by looking at it: processes, cards, mounts, namespaces, cgroups, loop devices, files.
//!
//! Assumes the lab: its network has no other veth pairs, and all processes of other network namespaces are guests'.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Every trace of guests whose files are below `state`, a line each, those of process `but` apart.
pub fn left(state: &Path, but: Option<u32>) -> Vec<String> {
    let mut all = processes(state, but);
    all.extend(links(&["type", "veth"]).into_iter().map(|name| format!("link {name}")));
    all.extend(cgroups().into_iter().map(|path| format!("cgroup {}", path.display())));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let state_text = state.display().to_string();
    let ours = |line: &&str| line.contains(&state_text) || line.contains(" nsfs ");
    all.extend(mounts.lines().filter(ours).map(|line| format!("mount {line}")));
    all.extend(names("/run/netns".as_ref()).into_iter().map(|path| format!("netns {}", path.display())));
    // Volumes lie beside the guests' own files.
    all.extend(loops(state.parent().unwrap_or(state)).into_iter().map(|file| format!("loop device over {file}")));
    all.extend(names(state).into_iter().map(|path| format!("file {}", path.display())));
    all
}

/// Files below `dir` that lie under a loop device, and devices whose file cannot be named any more.
pub fn loops(dir: &Path) -> Vec<String> {
    let devices = names("/sys/block".as_ref()).into_iter();
    let files = devices.filter_map(|device| fs::read_to_string(device.join("loop/backing_file")).ok());
    let dir = dir.display().to_string();
    files.map(|file| file.trim().to_owned()).filter(|file| file.starts_with(&dir) || file == "(/)").collect()
}

/// Processes that have to do with the guests: told of `state`, in a guest's cgroup, or in another network than ours.
pub fn processes(state: &Path, but: Option<u32>) -> Vec<String> {
    let state = state.display().to_string();
    let network = fs::read_link("/proc/self/ns/net").ok();
    let pids = names("/proc".as_ref()).into_iter().filter_map(|path| path.file_name()?.to_str()?.parse::<u32>().ok());
    let mut all = Vec::new();
    for pid in pids.filter(|&pid| Some(pid) != but && pid != std::process::id()) {
        let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let words = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let cgroup = String::from_utf8_lossy(&read("cgroup")).into_owned();
        // None: it is ending, or has no namespaces any more; its cgroup and words tell.
        let elsewhere = fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|link| Some(link) != network);
        if words.contains(&state) || cgroup.contains("/guest-node-") || elsewhere {
            all.push(format!("process {pid} {words}"));
        }
    }
    all
}

/// The bridges of this network.
pub(super) fn bridges() -> Vec<String> {
    links(&["type", "bridge"])
}

/// The cards on a bridge.
pub fn on_bridge(bridge: &str) -> Vec<String> {
    links(&["master", bridge])
}

fn links(which: &[&str]) -> Vec<String> {
    let output = Command::new("ip").args(["-j", "link", "show"]).args(which).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    let links: Vec<Value> = serde_json::from_slice(&text).unwrap_or_default();
    links.iter().filter_map(|link| link["ifname"].as_str().map(ToOwned::to_owned)).collect()
}

fn cgroups() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mount = mounts.lines().rfind(|line| line.contains(" cgroup2 "));
    let Some(root) = mount.and_then(|line| line.split(' ').nth(1)) else { return Vec::new() };
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from(root)];
    while let Some(directory) = open.pop() {
        for path in names(&directory).into_iter().filter(|path| path.is_dir()) {
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("guest-node-")) {
                found.push(path);
            } else {
                open.push(path);
            }
        }
    }
    found
}

fn names(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

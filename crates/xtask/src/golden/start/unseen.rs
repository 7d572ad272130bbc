//! What happened between the exchanges, told by what came after it.
//!
//! Volumes that are attached though nothing made them, guests that are made again though nothing destroyed them, guests
//! that run or don't though nothing started or stopped them: somebody else did it. It is done here just before the first
//! exchange that shows it.

use std::collections::{BTreeMap, BTreeSet};

use super::guests::Guest;
use super::seen::Seen;
use super::server::NODE;
use super::volumes::{is_disk, owner, sized};
use super::{Call, Plan};

/// What is known at one moment of the transcript.
#[derive(Debug, Default)]
struct World {
    volumes: BTreeSet<String>,
    /// Drives by guest and key.
    drives: BTreeMap<u32, BTreeMap<String, String>>,
    /// Guests that are there, and whether they run if that is known.
    running: BTreeMap<u32, Option<bool>>,
    calls: Vec<Call>,
}

fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ';', ' ']).filter(|k| !k.is_empty())
}

/// Whether what is deleted is destroyed, too.
fn forced(one: &Seen) -> bool {
    one.form.get("force").is_some_and(|f| f == "1")
}

impl World {
    fn need(&mut self, volid: &str, seen: &[Seen]) {
        let Some((storage, name)) = volid.split_once(':') else { return };
        let file = name.rsplit('/').next().unwrap_or_default();
        if !self.volumes.insert(volid.to_owned()) || file.contains("cloudinit") {
            return;
        }
        let Some(vmid) = owner(name) else { return };
        let kib = (sized(volid, seen).unwrap_or(4 << 20) >> 10).max(1).to_string();
        let mut form = vec![("vmid", vmid.to_string()), ("filename", file.to_owned()), ("size", kib)];
        if let Some((_, format)) = file.rsplit_once('.') {
            form.push(("format", format.to_owned()));
        }
        let form: Vec<(&str, &str)> = form.iter().map(|(k, v)| (*k, v.as_str())).collect();
        self.calls.push(Call::new("POST", &format!("/nodes/{NODE}/storage/{storage}/content"), &form));
    }

    fn gone(&mut self, vmid: u32) {
        self.volumes.retain(|v| v.split_once(':').and_then(|(_, n)| owner(n)) != Some(vmid));
        self.drives.remove(&vmid);
        self.running.remove(&vmid);
    }

    /// Another guest of that number, which must have been destroyed before.
    fn made(&mut self, vmid: u32) {
        if self.running.contains_key(&vmid) {
            let base = format!("/nodes/{NODE}/qemu/{vmid}");
            let free = [("skiplock", "1"), ("delete", "lock,protection")];
            self.calls.push(Call::new("PUT", &format!("{base}/config"), &free));
            self.calls.push(Call::new("DELETE", &base, &[("skiplock", "1")]));
        }
        self.gone(vmid);
        self.running.insert(vmid, Some(false));
    }

    /// That the guest runs, or not, is shown.
    fn shown(&mut self, kind: &str, vmid: u32, runs: bool) {
        let Some(state) = self.running.get_mut(&vmid) else { return };
        if state.replace(runs) == Some(!runs) {
            let what = if runs { "start" } else { "stop" };
            self.calls.push(Call::new("POST", &format!("/nodes/{NODE}/{kind}/{vmid}/status/{what}"), &[]));
        }
    }

    fn configured(&mut self, vmid: u32, one: &Seen, seen: &[Seen]) {
        for (key, text) in one.form.iter().filter(|(k, v)| is_disk(k) && !v.contains("import-from=")) {
            let volid = super::volumes::volume_of(text).filter(|v| self_named(v));
            if let Some(volid) = volid {
                // A volume that is gone can be written down as unused.
                if !key.starts_with("unused") {
                    self.need(&volid, seen);
                }
                self.drives.entry(vmid).or_default().insert(key.clone(), volid);
            }
        }
        let drives = self.drives.entry(vmid).or_default();
        for key in one.form.get("delete").into_iter().flat_map(|d| names(d)) {
            let Some(volid) = drives.remove(key) else { continue };
            let own = volid.split_once(':').and_then(|(_, n)| owner(n)) == Some(vmid);
            if own && (key.starts_with("unused") || forced(one)) {
                self.volumes.remove(&volid);
            } else if own && let Some(slot) = (0..256).map(|n| format!("unused{n}")).find(|k| !drives.contains_key(k)) {
                drives.insert(slot, volid);
            }
        }
    }

    fn guest(&mut self, one: &Seen, seen: &[Seen]) {
        let Some((kind, vmid, below)) = one.guest() else { return };
        let below: Vec<&str> = below.iter().map(String::as_str).collect();
        if one.reason == format!("VM {vmid} is not running") {
            self.shown(kind, vmid, false);
        }
        if !one.done() {
            return;
        }
        match (one.method.as_str(), below.as_slice()) {
            ("PUT" | "POST", ["config"]) => self.configured(vmid, one, seen),
            ("GET", ["config"]) if one.query.is_empty() => {
                let all = one.data.as_object().into_iter().flatten().filter(|(k, _)| is_disk(k));
                let drives = all.filter_map(|(k, v)| Some((k.clone(), super::volumes::volume_of(v.as_str()?)?)));
                self.drives.insert(vmid, drives.collect());
            }
            ("GET", ["status", "current"]) if one.data["status"] == "stopped" => self.shown(kind, vmid, false),
            ("POST", ["agent", "exec" | "ping"]) => self.shown(kind, vmid, true),
            ("POST", ["status", "start"]) => drop(self.running.insert(vmid, Some(true))),
            ("POST", ["status", "stop" | "shutdown"]) => drop(self.running.insert(vmid, Some(false))),
            ("POST", ["status", _] | ["snapshot", _, "rollback"] | ["migrate"]) => {
                self.running.insert(vmid, None);
            }
            ("DELETE", []) => self.gone(vmid),
            _ => {}
        }
    }

    fn storage(&mut self, one: &Seen, seen: &[Seen]) {
        let Some(rest) = one.on_node() else { return };
        let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
        match (one.method.as_str(), rest.as_slice()) {
            ("POST", ["storage", _, "content"]) if one.ok() => {
                self.volumes.extend(one.data.as_str().map(str::to_owned));
            }
            ("DELETE", ["storage", storage, "content", name @ ..]) if one.done() => {
                let name = name.join("/");
                self.volumes.remove(&name);
                self.volumes.remove(&format!("{storage}:{name}"));
            }
            ("GET", ["storage", _, "content", name @ ..]) if !name.is_empty() => {
                let name = name.join("/");
                if one.reason.contains("no format") {
                    self.volumes.remove(&name);
                } else if one.ok() && self_named(&name) {
                    self.need(&name, seen);
                }
            }
            ("POST", ["qemu" | "lxc"]) if one.done() => {
                if let Some(vmid) = one.form.get("vmid").and_then(|v| v.parse().ok()) {
                    self.made(vmid);
                    self.configured(vmid, one, seen);
                }
            }
            _ => {}
        }
    }
}

/// Whether it is named by somebody, not by the server: those come and go with their guests.
fn self_named(volid: &str) -> bool {
    let name = volid.rsplit('/').next().unwrap_or_default();
    owner(name).is_some() && name.starts_with("vm-") && !name.contains("-disk-")
}

/// Adds what must have happened.
pub(super) fn add(plan: &mut Plan, seen: &[Seen], guests: &BTreeMap<u32, Guest>) {
    let mut world = World::default();
    for (vmid, guest) in guests {
        world.running.insert(*vmid, Some(guest.running));
    }
    for volume in plan.state["volumes"].as_array().into_iter().flatten() {
        let text = |key: &str| volume[key].as_str().unwrap_or_default();
        world.volumes.insert(format!("{}:{}", text("storage"), text("name")));
    }
    for (at, one) in seen.iter().enumerate() {
        world.guest(one, seen);
        world.storage(one, seen);
        let calls = std::mem::take(&mut world.calls);
        if !calls.is_empty() {
            plan.before.entry(at).or_default().extend(calls);
        }
    }
}

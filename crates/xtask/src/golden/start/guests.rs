//! Guests that were there before the transcript began, as far as it shows them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::fixture::Fixture;
use super::seen::Seen;
use super::server::NODE;
use super::{Call, Plan, volumes};

/// A guest that was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guest {
    pub(super) kind: &'static str,
    pub(super) config: BTreeMap<String, String>,
    pub(super) running: bool,
    /// It was running, and its agent answered.
    pub(super) agent: bool,
    /// Snapshots, oldest first: name, description.
    pub(super) snapshots: Vec<(String, String)>,
}

/// What is known of one number before anything made a guest of it.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own that was seen or not")]
struct Known {
    kind: Option<&'static str>,
    exists: bool,
    absent: bool,
    made: bool,
    /// Where it was destroyed, until it is seen again.
    gone: Option<usize>,
    /// Where it must have been made anew behind the transcript's back.
    revived: Vec<usize>,
    protected: bool,
    config: Option<BTreeMap<String, String>>,
    status: Option<Value>,
    running: Option<bool>,
    agent: Option<bool>,
    /// Set or deleted since the beginning, so that a later reading doesn't tell how it began.
    touched: BTreeSet<String>,
    started: bool,
    snapshots: Vec<(String, String)>,
    snapshotted: bool,
}

fn text(v: &Value) -> String {
    v.as_str().map_or_else(|| v.to_string(), str::to_owned)
}

impl Known {
    /// Takes what one exchange with the guest tells.
    fn learn(&mut self, kind: &'static str, below: &[String], one: &Seen) {
        let refusal = one.refusal();
        let mine = refusal.contains("does not exist") && refusal.contains("Configuration file");
        if mine && !self.exists {
            self.absent = true;
        }
        if self.made || self.absent {
            return;
        }
        let below: Vec<&str> = below.iter().map(String::as_str).collect();
        if refusal.contains("is running") || refusal.contains("already running") {
            self.exists = true;
            self.running.get_or_insert(true);
        }
        if refusal.contains("protection mode enabled") && !self.touched.contains("protection") {
            self.exists = true;
            self.protected = true;
        }
        if refusal.ends_with("not running") {
            self.exists = true;
            self.running.get_or_insert(false);
        }
        // The index of a guest is answered whether it is there or not.
        let index = one.is("GET") && below.is_empty();
        if !index
            && !matches!(one.status, 401 | 403 | 400 | 501 | 595 | 596)
            && (one.ok() || one.exit.is_some() || refusal.contains("VM is locked"))
        {
            self.exists = true;
            self.kind.get_or_insert(kind);
        }
        if one.ok() {
            self.answered(&below, one);
        }
    }

    fn answered(&mut self, below: &[&str], one: &Seen) {
        match (one.method.as_str(), below) {
            ("GET", ["config"])
                if one.data.is_object() && !one.query.contains_key("snapshot") && self.config.is_none() =>
            {
                self.config = Some(self.before(&one.data));
            }
            ("GET", ["status", "current"]) => {
                if !self.started {
                    self.running.get_or_insert(one.data["status"] == "running");
                }
                self.status.get_or_insert_with(|| one.data.clone());
            }
            ("GET", ["snapshot"]) if !self.snapshotted => {
                self.snapshotted = true;
                let all = one.data.as_array().cloned().unwrap_or_default();
                let named = all.iter().filter(|s| s["name"] != "current" && s["name"].is_string());
                let mut named: Vec<_> =
                    named.map(|s| (s["snaptime"].as_i64(), text(&s["name"]), text(&s["description"]))).collect();
                named.sort();
                self.snapshots = named.into_iter().map(|(_, name, text)| (name, text)).collect();
            }
            ("POST", ["snapshot"]) => self.snapshotted = true,
            (_, ["agent", "ping"]) | ("GET", ["agent", ..]) if below.len() > 1 => {
                self.agent.get_or_insert(true);
                if !self.started {
                    self.running.get_or_insert(true);
                }
            }
            ("PUT" | "POST", ["config"]) => {
                let deleted = one.form.get("delete").into_iter().flat_map(|d| d.split([',', ';', ' ']));
                let keys: Vec<String> = one.form.keys().cloned().chain(deleted.map(str::to_owned)).collect();
                self.touched.extend(keys);
            }
            ("POST", ["template"]) => {
                self.touched.insert("template".to_owned());
            }
            ("POST", ["status", "start" | "stop" | "shutdown"]) => {
                if *below.last().unwrap_or(&"") == "start" && one.done() {
                    self.running.get_or_insert(false);
                }
                self.started = true;
            }
            _ => {}
        }
    }

    /// A configuration as it was before what the transcript did to it.
    fn before(&self, data: &Value) -> BTreeMap<String, String> {
        let templated = self.touched.contains("template");
        let all = data.as_object().into_iter().flatten();
        let kept = all.filter(|(k, _)| k.as_str() != "digest" && !self.touched.contains(*k));
        let plain = |v: &Value| if templated { text(v).replace("/base-", "/vm-") } else { text(v) };
        kept.map(|(k, v)| (k.clone(), plain(v))).collect()
    }

    fn guest(self, vmid: u32) -> Option<Guest> {
        if !self.exists && self.config.is_none() && self.status.is_none() {
            return None;
        }
        let kind = self.kind.unwrap_or("qemu");
        let mut config = self.config.unwrap_or_else(|| guessed(kind, vmid, self.status.as_ref()));
        if self.protected {
            config.insert("protection".to_owned(), "1".to_owned());
        }
        let agent = self.agent.unwrap_or(false);
        let running = self.running.unwrap_or(false);
        Some(Guest { kind, config, running, agent, snapshots: self.snapshots })
    }
}

/// A configuration that fits what lists and states tell.
fn guessed(kind: &str, vmid: u32, status: Option<&Value>) -> BTreeMap<String, String> {
    let mut config = BTreeMap::new();
    let mut set = |k: &str, v: String| {
        config.insert(k.to_owned(), v);
    };
    let empty = json!({});
    let status = status.unwrap_or(&empty);
    let mib = status["maxmem"].as_u64().unwrap_or(128 << 20) >> 20;
    set("memory", mib.to_string());
    set("cores", status["cpus"].as_u64().unwrap_or(1).to_string());
    let gib = (status["maxdisk"].as_u64().unwrap_or(1 << 30) >> 30).max(1);
    let name = status["name"].as_str().filter(|n| *n != format!("VM {vmid}"));
    if let Some(tags) = status["tags"].as_str() {
        set("tags", tags.to_owned());
    }
    if let Some(lock) = status["lock"].as_str() {
        set("lock", lock.to_owned());
    }
    if kind == "lxc" {
        set("hostname", name.map_or_else(|| format!("CT{vmid}"), str::to_owned));
        set("rootfs", format!("data:{vmid}/vm-{vmid}-disk-0.raw,size={gib}G"));
        set("arch", "amd64".to_owned());
        set("ostype", "debian".to_owned());
        set("swap", "512".to_owned());
        return config;
    }
    if let Some(name) = name {
        set("name", name.to_owned());
    }
    set("scsi0", format!("data:{vmid}/vm-{vmid}-disk-0.raw,size={gib}G"));
    set("scsihw", "virtio-scsi-single".to_owned());
    set("boot", "order=scsi0".to_owned());
    set("net0", format!("virtio=BC:24:11:00:{:02X}:{:02X},bridge=vmbr0", (vmid >> 8) & 0xff, vmid & 0xff));
    set("smbios1", format!("uuid=00000000-0000-4000-8000-{vmid:012}"));
    set("vmgenid", format!("00000000-0000-4000-9000-{vmid:012}"));
    set("meta", "creation-qemu=10.0.13,ctime=1795460000".to_owned());
    if status["agent"] == json!(1) {
        set("agent", "1".to_owned());
    }
    if status["serial"] == json!(1) {
        set("serial0", "socket".to_owned());
    }
    if status["template"] == json!(1) {
        set("template", "1".to_owned());
    }
    config
}

/// The number that a call makes a guest of.
fn made(one: &Seen) -> Option<u32> {
    if !one.is("POST") || !one.done() {
        return None;
    }
    let rest: Vec<&str> = one.on_node()?.iter().map(String::as_str).collect();
    let key = match rest.as_slice() {
        ["qemu" | "lxc"] => "vmid",
        ["qemu" | "lxc", _, "clone"] => "newid",
        _ => return None,
    };
    one.form.get(key)?.parse().ok()
}

/// The guests that were there.
pub(super) fn found(plan: &mut Plan, seen: &[Seen], fixture: &Fixture) -> BTreeMap<u32, Guest> {
    let mut known: BTreeMap<u32, Known> = BTreeMap::new();
    for (at, one) in seen.iter().enumerate() {
        if let Some(vmid) = made(one) {
            let number = known.entry(vmid).or_default();
            number.made = true;
            number.gone = None;
        }
        revived(&mut known, seen, at);
        backed_up(&mut known, one);
        listed(&mut known, seen, at);
        if let Some((kind, vmid, below)) = one.guest() {
            let kind = if kind == "lxc" { "lxc" } else { "qemu" };
            known.entry(vmid).or_default().learn(kind, below, one);
            if one.is("DELETE") && below.is_empty() && one.done() {
                // What comes later under this number is another guest.
                let number = known.entry(vmid).or_default();
                number.made = true;
                number.gone = Some(at);
            }
        }
    }
    for (vmid, number) in &known {
        for at in &number.revived {
            let mut call = Call::new("POST", &format!("/nodes/{NODE}/qemu"), &[("scsi0", "data:1"), ("memory", "128")]);
            call.form.insert("vmid".to_owned(), vmid.to_string());
            plan.before.entry(*at).or_default().push(call);
        }
    }
    // The recorded server's guests had empty disks, but for those whose agents answered.
    plan.state["boots"] = json!("empty");
    plan.systems = known.iter().filter(|(_, k)| k.agent == Some(true)).map(|(vmid, _)| *vmid).collect();
    let mut guests: BTreeMap<u32, Guest> =
        known.into_iter().filter_map(|(vmid, k)| k.guest(vmid).map(|g| (vmid, g))).collect();
    fixture.guests(&mut guests);
    guests
}

/// Guests that nothing made and that were backed up, and what their archives say of them.
fn backed_up(known: &mut BTreeMap<u32, Known>, one: &Seen) {
    let rest: Vec<&str> = one.on_node().unwrap_or_default().iter().map(String::as_str).collect();
    match (one.method.as_str(), rest.as_slice()) {
        ("POST", ["vzdump"]) if one.exit.as_deref() == Some("OK") => {
            for vmid in volumes::named(one) {
                known.entry(vmid).or_default().exists = true;
            }
        }
        ("GET", ["vzdump", "extractconfig"]) if one.ok() => {
            let archive = one.query.get("volume").and_then(|v| v.split_once("vzdump-")).map_or("", |(_, rest)| rest);
            let mut parts = archive.split('-');
            let kind = parts.next().and_then(|k| ["qemu", "lxc"].into_iter().find(|known| *known == k));
            let vmid = parts.next().and_then(|v| v.parse().ok());
            let (Some(kind), Some(vmid), Some(text)) = (kind, vmid, one.data.as_str()) else { return };
            let number = known.entry(vmid).or_default();
            if number.exists && !number.made && number.config.is_none() {
                let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(": "));
                let kept = lines.filter(|(key, _)| !number.touched.contains(*key));
                number.config = Some(kept.map(|(key, value)| (key.to_owned(), value.to_owned())).collect());
                number.kind = Some(kind);
            }
        }
        _ => {}
    }
}

/// Guests that the first list of all shows and that nothing made.
fn listed(known: &mut BTreeMap<u32, Known>, seen: &[Seen], at: usize) {
    let all = |s: &Seen| s.is("GET") && s.ok() && s.path == ["cluster", "resources"] && s.who == "root@pam";
    if !all(&seen[at]) || seen[..at].iter().any(all) {
        return;
    }
    for row in seen[at].data.as_array().into_iter().flatten() {
        let kind = row["type"].as_str().and_then(|t| ["qemu", "lxc"].into_iter().find(|k| *k == t));
        let (Some(kind), Some(vmid)) = (kind, row["vmid"].as_u64().and_then(|v| u32::try_from(v).ok())) else {
            continue;
        };
        let number = known.entry(vmid).or_default();
        if !number.made && !number.exists {
            number.exists = true;
            number.kind = Some(kind);
            number.status.get_or_insert_with(|| row.clone());
            number.running.get_or_insert(row["status"] == "running");
        }
    }
}

/// Whether a destroyed guest is there again, without anything in the transcript having made it.
fn revived(known: &mut BTreeMap<u32, Known>, seen: &[Seen], at: usize) {
    let one = &seen[at];
    let listed = one.ok() && one.path == ["cluster", "ha", "resources"];
    for (vmid, number) in known.iter_mut() {
        let Some(gone) = number.gone else { continue };
        let own = one.guest().is_some_and(|(_, v, _)| v == *vmid);
        let refusal = one.refusal();
        let there = own && !refusal.contains("does not exist") && (one.done() || one.status == 500);
        let sid = format!("vm:{vmid}");
        let managed = listed && one.data.as_array().is_some_and(|l| l.iter().any(|r| r["sid"] == sid.as_str()));
        if own && refusal.contains("does not exist") {
            number.gone = Some(at);
        } else if there || managed {
            let tasks = |s: &&Seen| s.path.iter().any(|p| p == "tasks");
            let first = gone + 1 + seen[gone + 1..at].iter().take_while(tasks).count();
            number.revived.push(first);
            number.gone = None;
        }
    }
}

/// Puts them into the plan: configurations into the state, the rest as calls.
pub(super) fn add(plan: &mut Plan, guests: &BTreeMap<u32, Guest>) {
    for (vmid, guest) in guests {
        plan.state["guests"][vmid.to_string()] =
            json!({"vmid": vmid, "node": NODE, "kind": guest.kind, "config": guest.config});
        let linux = guest.agent || plan.systems.contains(vmid);
        plan.state["guests"][vmid.to_string()]["system"] = json!(if linux { "linux" } else { "empty" });
        let base = format!("/nodes/{NODE}/{}/{vmid}", guest.kind);
        for (name, text) in &guest.snapshots {
            plan.setup.push(Call::new(
                "POST",
                &format!("{base}/snapshot"),
                &[("snapname", name), ("description", text)],
            ));
        }
        if guest.running {
            plan.setup.push(Call::new("POST", &format!("{base}/status/start"), &[]));
        }
    }
}

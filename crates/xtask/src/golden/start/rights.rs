//! Which rights tokens and users evidently have, and when that changed behind the transcript's back.
//!
//! Three kinds of evidence: what `/access/permissions` and `/access/acl` tell, refusals that name a path and a privilege,
//! and calls that were refused at first and then let through.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::seen::Seen;
use super::{Call, Plan};

/// Privileges by path.
type Rights = BTreeMap<String, BTreeSet<String>>;

/// A refusal: the path, and the privileges of which one was missing.
fn refusal(one: &Seen) -> Option<(String, BTreeSet<String>)> {
    let inner = one.reason.strip_prefix("Permission check failed (")?.strip_suffix(')')?;
    let (path, privs) = inner.rsplit_once(", ")?;
    path.starts_with('/').then(|| (path.to_owned(), privs.split('|').map(str::to_owned).collect()))
}

/// What `/access/permissions` tells of the caller itself.
fn told(one: &Seen) -> Option<Rights> {
    let own = one.is("GET") && one.path == ["access", "permissions"] && one.ok() && one.query.is_empty();
    let data = one.data.as_object().filter(|_| own)?;
    let privs = |v: &Value| v.as_object().into_iter().flat_map(|m| m.keys().cloned()).collect::<BTreeSet<_>>();
    Some(minimal(&data.iter().map(|(path, v)| (path.clone(), privs(v))).collect()))
}

/// Without what follows from a path above.
fn minimal(all: &Rights) -> Rights {
    let above = |path: &str| {
        let mut up = path;
        while let Some((parent, _)) = up.rsplit_once('/') {
            up = parent;
            if let Some(found) = all.get(if up.is_empty() { "/" } else { up }) {
                return Some(found);
            }
        }
        None
    };
    all.iter().filter(|(path, privs)| above(path) != Some(*privs)).map(|(p, v)| (p.clone(), v.clone())).collect()
}

/// The pool that a guest's rights come from: it was made there, or has what the pool has and no more.
fn home(path: &str, seen: &[Seen]) -> Option<String> {
    let vmid = path.strip_prefix("/vms/")?;
    let made = seen.iter().filter(|s| s.is("POST") && s.ok()).find_map(|s| {
        (s.form.get("vmid").or(s.form.get("newid")).map(String::as_str) == Some(vmid)).then(|| s.form.get("pool"))?
    });
    let by_privs = || members(seen).into_iter().find(|(_, v)| v.contains(vmid)).map(|(pool, _)| pool);
    made.cloned().or_else(by_privs).map(|pool| format!("/pool/{pool}"))
}

/// Pools and those of their members that what callers are told of their own rights gives away: the same privileges as
/// on the pool, none of them handed down.
pub(super) fn members(seen: &[Seen]) -> BTreeMap<String, BTreeSet<String>> {
    let mut out: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for one in seen.iter().filter(|s| s.is("GET") && s.path == ["access", "permissions"] && s.ok()) {
        let all: Vec<(&String, &serde_json::Map<String, Value>)> =
            one.data.as_object().into_iter().flatten().filter_map(|(p, v)| Some((p, v.as_object()?))).collect();
        for (path, privs) in &all {
            let Some(vmid) = path.strip_prefix("/vms/").filter(|_| privs.values().all(|v| v == 0)) else { continue };
            let same =
                |m: &serde_json::Map<String, Value>| m.len() == privs.len() && m.keys().all(|k| privs.contains_key(k));
            let mut pools = all.iter().filter_map(|(p, m)| p.strip_prefix("/pool/").filter(|_| same(m)));
            if let (Some(pool), None) = (pools.next(), pools.next()) {
                out.entry(pool.to_owned()).or_default().insert(vmid.to_owned());
            }
        }
    }
    out
}

/// Members that have their rights from a pool need none of their own.
fn without_members(rights: Rights, seen: &[Seen]) -> Rights {
    let pooled: Vec<BTreeSet<String>> =
        rights.iter().filter(|(p, _)| p.starts_with("/pool/")).map(|(_, v)| v.clone()).collect();
    rights.into_iter().filter(|(p, v)| !(home(p, seen).is_some() && pooled.contains(v))).collect()
}

/// What a call that was let through needs beyond what all calls to a guest need: one of these on it.
fn needs(one: &Seen) -> Option<(String, &'static [&'static str])> {
    let (_, vmid, below) = one.guest().filter(|_| one.ok() && !one.is("GET"))?;
    let below: Vec<&str> = below.iter().map(String::as_str).collect();
    let privs: &[&str] = match below.as_slice() {
        ["snapshot", _, "rollback"] => &["VM.Snapshot", "VM.Snapshot.Rollback"],
        ["snapshot", ..] => &["VM.Snapshot"],
        ["clone"] => &["VM.Clone"],
        ["status", _] => &["VM.PowerMgmt"],
        ["migrate"] => &["VM.Migrate"],
        _ => return None,
    };
    Some((format!("/vms/{vmid}"), privs))
}

/// What the first list of all entries shows that the transcript had not made by then; nothing if there is no list.
pub(super) fn listed(seen: &[Seen]) -> Option<Vec<Value>> {
    let at = seen.iter().position(|s| s.is("GET") && s.path == ["access", "acl"] && s.who == "root@pam" && s.ok())?;
    let changes: Vec<&Seen> =
        seen.iter().take(at).filter(|s| s.is("PUT") && s.path == ["access", "acl"] && s.ok()).collect();
    let made = |entry: &Value| {
        let text = |key: &str| entry[key].as_str().unwrap_or_default();
        changes.iter().any(|c| {
            let names = ["users", "groups", "tokens"].iter().filter_map(|k| c.form.get(*k));
            let whom = names.flat_map(|list| list.split([',', ' ', ';'])).any(|w| w == text("ugid"));
            whom && c.form.get("path").is_some_and(|p| p == text("path"))
        })
    };
    Some(seen[at].data.as_array()?.iter().filter(|e| !made(e)).cloned().collect())
}

/// Grants `rights` to a subject (and to a token's user, or privilege separation takes them away).
fn grant(who: &str, rights: &Rights, roles: &BTreeMap<String, String>, made: &mut usize) -> Vec<Call> {
    let mut calls = Vec::new();
    for (path, privs) in rights.iter().filter(|(_, privs)| !privs.is_empty()) {
        let same = |text: &str| text.split(',').map(str::to_owned).collect::<BTreeSet<_>>() == *privs;
        let role = roles.iter().find(|(_, p)| same(p)).map(|(r, _)| r.clone());
        let role = role.unwrap_or_else(|| {
            *made += 1;
            let role = format!("Scenario{made}");
            let privs: Vec<&str> = privs.iter().map(String::as_str).collect();
            calls.push(Call::new("POST", "/access/roles", &[("roleid", &role), ("privs", &privs.join(","))]));
            role
        });
        if let Some((user, _)) = who.split_once('!') {
            calls.push(Call::new("PUT", "/access/acl", &[("path", path), ("roles", &role), ("tokens", who)]));
            calls.push(Call::new("PUT", "/access/acl", &[("path", path), ("roles", &role), ("users", user)]));
        } else {
            calls.push(Call::new("PUT", "/access/acl", &[("path", path), ("roles", &role), ("users", who)]));
        }
    }
    calls
}

/// What a call that was let through shows: the family of privileges on what it was about.
fn evident(one: &Seen) -> Vec<(String, &'static str)> {
    let mut out = Vec::new();
    if !one.ok() {
        return out;
    }
    if let Some((_, vmid, below)) = one.guest() {
        if !(one.is("GET") && below.first().is_some_and(|b| b == "firewall")) {
            out.push((format!("/vms/{vmid}"), "VM."));
        }
    } else if let Some(["storage", storage, ..]) =
        one.on_node().map(|r| r.iter().map(String::as_str).collect::<Vec<_>>()).as_deref()
    {
        out.push((format!("/storage/{storage}"), "Datastore."));
    }
    if one.part(0) == "pools" && !one.part(1).is_empty() {
        out.push((format!("/pool/{}", one.part(1)), "Pool."));
    }
    if one.is("POST") && one.exit.as_deref().is_none_or(|e| e == "OK") {
        for key in ["newid", "vmid"] {
            if let Some(vmid) = one.form.get(key) {
                out.push((format!("/vms/{vmid}"), "VM."));
            }
        }
    }
    if !one.is("GET") {
        let storages = one.form.values().filter_map(|v| v.split_once(':')).map(|(s, _)| s);
        let named = one.form.get("storage").map(String::as_str).into_iter();
        for storage in storages.chain(named).filter(|s| ["local", "data", "data2"].contains(s)) {
            out.push((format!("/storage/{storage}"), "Datastore."));
        }
    }
    out
}

/// All privileges whose names begin so, that scenarios of machines and volumes use.
fn family(prefix: &str) -> BTreeSet<String> {
    const ALL: &[&str] = &[
        "VM.Allocate",
        "VM.Audit",
        "VM.Backup",
        "VM.Clone",
        "VM.Config.CDROM",
        "VM.Config.CPU",
        "VM.Config.Cloudinit",
        "VM.Config.Disk",
        "VM.Config.HWType",
        "VM.Config.Memory",
        "VM.Config.Network",
        "VM.Config.Options",
        "VM.Console",
        "VM.GuestAgent.Audit",
        "VM.GuestAgent.FileRead",
        "VM.GuestAgent.FileSystemMgmt",
        "VM.GuestAgent.FileWrite",
        "VM.GuestAgent.Unrestricted",
        "VM.Migrate",
        "VM.PowerMgmt",
        "VM.Replicate",
        "VM.Snapshot",
        "VM.Snapshot.Rollback",
        "Datastore.Allocate",
        "Datastore.AllocateSpace",
        "Datastore.AllocateTemplate",
        "Datastore.Audit",
        "Pool.Allocate",
        "Pool.Audit",
    ];
    ALL.iter().filter(|p| p.starts_with(prefix)).map(|p| (*p).to_owned()).collect()
}

/// From the first word on that a privilege was missing until the first call that shows it was granted.
#[derive(Debug)]
struct Granted {
    after: usize,
    by: usize,
    path: String,
    privs: BTreeSet<String>,
}

/// Refusals that were lifted without anything in the transcript that lifts them.
fn lifted(seen: &[Seen], who: &str) -> Vec<Granted> {
    let mut refused: BTreeMap<String, (usize, String, BTreeSet<String>)> = BTreeMap::new();
    let mut out = Vec::new();
    for (at, one) in seen.iter().enumerate() {
        if one.path == ["access", "acl"] && one.is("PUT") && one.ok()
            || one.part(1) == "roles" && !one.is("GET") && one.ok()
        {
            refused.clear();
        }
        if one.who != who || one.status == 401 {
            continue;
        }
        let key = format!("{} {:?} {:?} {:?}", one.method, one.path, one.query, one.form);
        let now = refusal(one);
        if let Some((after, path, privs)) = refused.remove(&key)
            && now.as_ref() != Some(&(path.clone(), privs.clone()))
            && (one.ok() || now.is_some())
        {
            out.push(Granted { after, by: at, path, privs });
        }
        if let Some((path, privs)) = now {
            refused.insert(key, (at, path, privs));
        }
    }
    // What can have happened at once did: as late as the latest refusal says.
    out.sort_by_key(|g| g.by);
    let spans: Vec<(usize, usize)> = out.iter().map(|g| (g.after, g.by)).collect();
    for granted in &mut out {
        let together = spans.iter().filter(|(after, by)| *after < granted.by && granted.after < *by);
        granted.after = together.map(|(after, _)| *after).filter(|a| *a < granted.by).max().unwrap_or(granted.after);
    }
    out
}

/// Those who were there before the transcript, by what it tells of their rights.
pub(super) fn add(plan: &mut Plan, seen: &[Seen], roles: &BTreeMap<String, String>) {
    let mut made = 0;
    let known = listed(seen);
    let mut unknown: BTreeSet<&str> = known.iter().flatten().filter_map(|e| e["roleid"].as_str()).collect();
    unknown.retain(|r| !roles.contains_key(*r) && !r.starts_with("PVE") && !["Administrator", "NoAccess"].contains(r));
    for role in unknown {
        // Nothing tells what it is made of.
        plan.setup.push(Call::new("POST", "/access/roles", &[("roleid", role), ("privs", "VM.Audit,Datastore.Audit")]));
    }
    for entry in known.iter().flatten() {
        let text = |key: &str| entry[key].as_str().unwrap_or_default();
        let kind = match text("type") {
            "group" => "groups",
            "token" => "tokens",
            _ => "users",
        };
        let propagate = entry["propagate"].as_i64().unwrap_or(1).to_string();
        let form = [("path", text("path")), ("roles", text("roleid")), (kind, text("ugid")), ("propagate", &propagate)];
        plan.setup.push(Call::new("PUT", "/access/acl", &form));
    }
    let ours: BTreeSet<&str> =
        seen.iter().map(|s| s.who.as_str()).filter(|w| !w.is_empty() && *w != "root@pam").collect();
    for who in ours {
        let user = who.split('!').next().unwrap_or_default();
        let born = |s: &Seen| {
            s.is("POST") && s.ok() && s.path == ["access", "users"] && s.form.get("userid").is_some_and(|u| u == user)
        };
        if known.is_none() && !seen.iter().any(born) {
            of_one(plan, seen, who, roles, &mut made);
        }
    }
}

/// The path and those above it.
fn above(path: &str) -> impl Iterator<Item = &str> {
    let starts = path.match_indices('/').map(|(at, _)| at).skip(1).map(move |at| &path[..at]);
    starts.chain([path, "/"])
}

fn of_one(plan: &mut Plan, seen: &[Seen], who: &str, roles: &BTreeMap<String, String>, made: &mut usize) {
    let changes = lifted(seen, who);
    let first = changes.iter().map(|g| g.after + 1).min().unwrap_or(usize::MAX);
    let mut told_at = seen.iter().enumerate().filter(|(_, s)| s.who == who).filter_map(|(at, s)| Some((at, told(s)?)));
    let Some((at, rights)) = told_at.next() else {
        let mut rights = Rights::new();
        for one in seen.iter().filter(|s| s.who == who) {
            for (path, prefix) in evident(one) {
                let path = home(&path, seen).unwrap_or(path);
                let mut privs = family(prefix);
                // Who has that may use everybody's volumes: only what needs it shows it.
                if !["DELETE", "PUT"].iter().any(|m| one.is(m)) || one.guest().is_some() {
                    privs.remove("Datastore.Allocate");
                }
                rights.entry(path).or_default().extend(privs);
            }
        }
        for (path, missing) in seen.iter().filter(|s| s.who == who).filter_map(refusal) {
            let path = home(&path, seen).unwrap_or(path);
            if let Some(privs) = rights.get_mut(&path) {
                privs.retain(|p| !missing.contains(p));
            }
        }
        plan.setup.extend(grant(who, &rights, roles, made));
        return;
    };
    let rights = without_members(rights, seen);
    let first_calls = grant(who, &rights, roles, made);
    // What was told after the first change is what there was from that change on.
    if at < first {
        plan.setup.extend(first_calls);
    } else {
        plan.before.entry(first).or_default().extend(first_calls);
    }
    let mut now = rights;
    for granted in changes.iter().filter(|g| g.after + 1 > first || at < first) {
        let more = granted.privs.iter().cloned();
        let path = home(&granted.path, seen).unwrap_or_else(|| granted.path.clone());
        let privs = now.entry(path.clone()).or_default();
        privs.extend(more);
        // A role that is listed and has all of these is the likeliest reason.
        let sets = roles.values().map(|r| r.split(',').map(str::to_owned).collect::<BTreeSet<_>>());
        if let Some(likely) = sets.filter(|s| s.is_superset(privs)).min_by_key(BTreeSet::len) {
            privs.extend(likely);
        }
        let step: Rights = [(path, privs.clone())].into();
        plan.before.entry(granted.after + 1).or_default().extend(grant(who, &step, roles, made));
    }
    for (at, one) in seen.iter().enumerate().filter(|(_, s)| s.who == who) {
        let Some((path, any)) = needs(one) else { continue };
        let own = |now: &Rights, path: &str| now.get(path).is_some_and(|p| any.iter().any(|a| p.contains(*a)));
        let from = home(&path, seen).unwrap_or_else(|| path.clone());
        if above(&path).chain([from.as_str()]).any(|p| own(&now, p)) {
            continue;
        }
        let privs = now.entry(from.clone()).or_default();
        privs.insert(any[0].to_owned());
        let step: Rights = [(from, privs.clone())].into();
        plan.before.entry(at).or_default().extend(grant(who, &step, roles, made));
    }
}

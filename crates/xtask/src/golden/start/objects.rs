//! Pools and storages that were there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::seen::Seen;
use super::{Call, Plan};

/// The pools that were there, with their first known members.
fn pools(seen: &[Seen]) -> BTreeMap<String, Value> {
    let mut made: BTreeSet<String> = BTreeSet::new();
    let mut out: BTreeMap<String, Value> = BTreeMap::new();
    let mut touched = BTreeSet::new();
    for one in seen {
        let guests = one.on_node().is_some_and(|r| r.first().is_some_and(|k| k == "qemu" || k == "lxc"));
        if let Some(pool) = one.form.get("pool").filter(|_| guests && one.done() && one.is("POST")) {
            if !made.contains(pool) {
                out.entry(pool.clone()).or_default();
            }
            touched.insert(pool.clone());
        }
        if one.part(0) != "pools" {
            continue;
        }
        let named = one.path.get(1).or(one.query.get("poolid")).or(one.form.get("poolid")).cloned();
        match (one.method.as_str(), named) {
            ("POST", Some(pool)) if one.ok() => drop(made.insert(pool)),
            ("PUT", Some(pool)) if one.ok() => {
                if !made.contains(&pool) {
                    out.entry(pool.clone()).or_default();
                }
                touched.insert(pool);
            }
            ("GET", Some(pool)) if one.ok() && !made.contains(&pool) && !touched.contains(&pool) => {
                let row = if one.data.is_array() { one.data[0].clone() } else { one.data.clone() };
                let known = out.entry(pool).or_default();
                if known.is_null() {
                    *known = row;
                }
            }
            ("GET", None) if one.ok() => {
                for row in one.data.as_array().into_iter().flatten() {
                    let pool = row["poolid"].as_str().unwrap_or_default();
                    if !made.contains(pool) && !pool.starts_with("tenant-") {
                        out.entry(pool.to_owned()).or_insert_with(|| row.clone());
                    }
                }
            }
            _ => {}
        }
    }
    for path in seen.iter().filter(|s| s.is("GET") && s.ok() && s.path == ["access", "permissions"]) {
        for pool in path.data.as_object().into_iter().flat_map(|m| m.keys()).filter_map(|p| p.strip_prefix("/pool/")) {
            if !made.contains(pool) {
                out.entry(pool.to_owned()).or_default();
            }
        }
    }
    out
}

/// Storages that are listed beside those of every scenario.
fn storages(seen: &[Seen]) -> BTreeMap<String, Value> {
    let mut made: BTreeSet<String> = ["local", "data", "data2"].into_iter().map(str::to_owned).collect();
    let mut out = BTreeMap::new();
    for one in seen.iter().filter(|s| s.part(0) == "storage" && s.ok()) {
        if one.is("POST") {
            made.extend(one.form.get("storage").cloned());
        }
        let rows: Vec<&Value> = one.data.as_array().map_or_else(|| vec![&one.data], |l| l.iter().collect());
        for row in rows.into_iter().filter(|_| one.is("GET")) {
            let id = row["storage"].as_str().or(one.path.get(1).map(String::as_str)).unwrap_or_default();
            if !made.contains(id) && row["type"].is_string() {
                out.entry(id.to_owned()).or_insert_with(|| row.clone());
            }
        }
    }
    out
}

/// HA resources that are listed without the transcript having made them: there from that list on.
fn ha(plan: &mut Plan, seen: &[Seen]) {
    let mut made = BTreeSet::new();
    for (at, one) in seen.iter().enumerate() {
        let path: Vec<&str> = one.path.iter().map(String::as_str).collect();
        match (one.method.as_str(), path.as_slice()) {
            ("POST", ["cluster", "ha", "resources"]) => made.extend(one.form.get("sid").cloned()),
            ("GET", ["cluster", "ha", "resources"]) if one.ok() => {
                for row in one.data.as_array().into_iter().flatten() {
                    let sid = row["sid"].as_str().unwrap_or_default();
                    if made.insert(sid.to_owned()) {
                        let state = row["state"].as_str().unwrap_or("ignored");
                        let call = Call::new("POST", "/cluster/ha/resources", &[("sid", sid), ("state", state)]);
                        plan.before.entry(at).or_default().push(call);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Adds them.
pub(super) fn add(plan: &mut Plan, seen: &[Seen]) {
    ha(plan, seen);
    let mut first = Vec::new();
    for (id, row) in storages(seen) {
        let keys = row.as_object().into_iter().flatten().filter(|(k, _)| !matches!(k.as_str(), "digest" | "storage"));
        let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
        let mut call = Call::new("POST", "/storage", &[("storage", &id)]);
        call.form.extend(keys.map(|(k, v)| (k.clone(), text(v))));
        first.push(call);
    }
    let hinted = super::rights::members(seen);
    for (pool, row) in pools(seen) {
        let comment = row["comment"].as_str().unwrap_or_default();
        let mut form = vec![("poolid", pool.as_str())];
        if !comment.is_empty() {
            form.push(("comment", comment));
        }
        first.push(Call::new("POST", "/pools", &form));
        let members = row["members"].as_array().into_iter().flatten();
        let vms: Vec<String> = members.clone().filter_map(|m| m["vmid"].as_i64()).map(|v| v.to_string()).collect();
        let there = |v: &String| plan.state["guests"][v.as_str()].is_object() && !vms.contains(v);
        let told: Vec<String> = hinted.get(&pool).into_iter().flatten().filter(|v| there(v)).cloned().collect();
        let vms = [vms, told].concat();
        let stores: Vec<&str> =
            members.filter(|m| m["type"] == "storage").filter_map(|m| m["storage"].as_str()).collect();
        for (key, list) in [("vms", vms.join(",")), ("storage", stores.join(","))] {
            if !list.is_empty() {
                first.push(Call::new("PUT", "/pools", &[("poolid", &pool), (key, &list)]));
            }
        }
    }
    first.append(&mut plan.setup);
    plan.setup = first;
}

//! The world that was read.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Readings, guest_path, resources, rows};
use crate::options::Options;
use crate::perm::{Entry, Role, Subject, Token, User};
use crate::state::guest::{Config, Guest, GuestKind, Run, Snapshot};
use crate::state::node::Node;
use crate::state::pool::Pool;
use crate::state::storage::{Storage, Volumes};
use crate::state::{World, default_world};

/// Keys of a configuration that are secrets, or no configuration.
const LEFT_OUT: [&str; 5] = ["digest", "cipassword", "sshkeys", "lxc", "pending"];
/// Options of storages that have fields of their own, or none.
const STORAGE_FIELDS: [&str; 8] = ["storage", "type", "content", "shared", "path", "disable", "nodes", "digest"];

pub(super) fn world(readings: &Readings, seed: u64, now: f64) -> anyhow::Result<World> {
    let version = readings.get("/version").and_then(|v| v["version"].as_str());
    anyhow::ensure!(version.is_some(), "GET /version was not answered");
    let options = Options { seed, nodes: 1, pve: version.unwrap_or_default().to_owned(), ..Options::default() };
    let mut world = default_world::build(&options, now, "");
    world.guests.clear();
    world.volumes = Volumes::default();
    world.access.users.retain(|user, _| user == "root@pam");
    world.access.roles.retain(|_, role| role.special);
    world.access.acl.clear();
    cluster(&mut world, readings)?;
    if let Some(model) = world.nodes.first().cloned() {
        world.nodes = nodes(readings, &model, now);
    }
    world.storages = rows(readings, "/storage").filter_map(|row| storage(readings, row)).collect();
    world.pools = rows(readings, "/pools").filter_map(|row| pool(readings, row)).collect();
    volumes(&mut world, readings)?;
    for row in resources(readings, &["qemu", "lxc"]) {
        if let Some(guest) = guest(readings, row, now) {
            world.runs.insert(guest.vmid, guest.runs);
            world.guests.insert(guest.vmid, guest);
        }
    }
    access(&mut world, readings);
    world.publish();
    Ok(world)
}

fn text(row: &Value, key: &str) -> Option<String> {
    match &row[key] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(u8::from(*yes).to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn flag(row: &Value, key: &str) -> bool {
    text(row, key).is_some_and(|t| t == "1")
}

fn words(list: Option<String>) -> BTreeSet<String> {
    let list = list.unwrap_or_default();
    list.split([',', ';', ' ']).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

fn cluster(world: &mut World, readings: &Readings) -> anyhow::Result<()> {
    let name = rows(readings, "/cluster/status").find(|r| r["type"] == "cluster").and_then(|r| text(r, "name"));
    world.cluster.name = name.unwrap_or_else(|| "captured".to_owned());
    for key in ["mac_prefix", "keyboard", "language", "max_workers", "registered-tags"] {
        if let Some(value) = readings.get("/cluster/options").and_then(|o| text(o, key)) {
            world.cluster.options.insert(key.to_owned(), value);
        }
    }
    for row in rows(readings, "/cluster/ha/resources") {
        let Some(sid) = text(row, "sid") else { continue };
        let state = text(row, "state").unwrap_or_else(|| "started".to_owned());
        let kept = ["group", "max_restart", "max_relocate", "comment", "failback"];
        let more: BTreeMap<_, _> = kept.iter().filter_map(|k| Some(((*k).to_owned(), text(row, k)?))).collect();
        world.cluster.ha.insert(sid, serde_json::from_value(json!({"state": state, "more": more}))?);
    }
    Ok(())
}

fn nodes(readings: &Readings, model: &Node, now: f64) -> Vec<Node> {
    let mut rows: Vec<&Value> = rows(readings, "/nodes").collect();
    rows.sort_by_key(|r| r["node"].as_str());
    let node = |(at, row): (usize, &&Value)| {
        let name = text(row, "node")?;
        let status = super::rows(readings, "/cluster/status").find(|r| r["type"] == "node" && r["name"] == *name);
        let bridges = super::rows(readings, &format!("/nodes/{name}/network"))
            .filter(|r| r["type"] == "bridge" || r["type"] == "OVSBridge")
            .filter_map(|r| text(r, "iface"))
            .collect();
        let id = u32::try_from(at + 1).unwrap_or(1);
        Some(Node {
            id: status.and_then(|s| s["nodeid"].as_u64()).and_then(|n| u32::try_from(n).ok()).unwrap_or(id).max(1),
            ip: status.and_then(|s| text(s, "ip")).unwrap_or_else(|| format!("192.0.2.{}", 10 + id)),
            online: row["status"] == "online",
            cores: row["maxcpu"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(16),
            memory: row["maxmem"].as_u64().unwrap_or(64 << 30),
            booted: now - row["uptime"].as_f64().unwrap_or(5000.0),
            next_pid: 0x1200,
            fingerprint: String::new(),
            bridges,
            name,
            ..model.clone()
        })
    };
    rows.iter().enumerate().filter_map(node).collect()
}

fn storage(readings: &Readings, row: &Value) -> Option<(String, Storage)> {
    let (id, kind) = (text(row, "storage")?, text(row, "type")?);
    let total = resources(readings, &["storage"]).filter(|r| r["storage"] == *id).find_map(|r| r["maxdisk"].as_u64());
    let secret = |key: &str| key.contains("password") || key.contains("key") || key == "username";
    let more =
        row.as_object().into_iter().flatten().filter(|(k, _)| !STORAGE_FIELDS.contains(&k.as_str()) && !secret(k));
    let more: BTreeMap<&String, String> = more.filter_map(|(k, _)| Some((k, text(row, k)?))).collect();
    let storage = json!({
        "id": id, "kind": kind, "content": words(text(row, "content")), "shared": flag(row, "shared"),
        "path": text(row, "path").unwrap_or_default(), "disabled": flag(row, "disable"),
        "nodes": text(row, "nodes").map(|nodes| words(Some(nodes))), "total": total.unwrap_or(100 << 30), "more": more,
    });
    let storage = serde_json::from_value(storage).ok()?;
    Some((id, storage))
}

fn volumes(world: &mut World, readings: &Readings) -> anyhow::Result<()> {
    for (path, data) in readings {
        let parts: Vec<&str> = path.split('/').collect();
        let ["", "nodes", node, "storage", storage, "content"] = parts.as_slice() else { continue };
        let shared = world.storages.get(*storage).is_some_and(|s| s.shared);
        for row in data.as_array().into_iter().flatten() {
            let Some((_, name)) = row["volid"].as_str().and_then(|v| v.split_once(':')) else { continue };
            let volume = json!({
                "storage": storage, "node": (!shared).then_some(node), "name": name, "content": row["content"],
                "format": text(row, "format").unwrap_or_default(), "size": row["size"].as_u64().unwrap_or_default(),
                "ctime": row["ctime"].as_i64().unwrap_or_default(), "parent": row["parent"],
                "vmid": row["vmid"].as_u64(), "notes": row["notes"], "protected": flag(row, "protected"),
            });
            world.volumes.insert(serde_json::from_value(volume)?);
        }
    }
    Ok(())
}

fn config(data: &Value) -> Config {
    let known = data.as_object().into_iter().flatten().filter(|(k, _)| !LEFT_OUT.contains(&k.as_str()));
    known.filter_map(|(k, _)| Some((k.clone(), text(data, k)?))).collect()
}

fn guest(readings: &Readings, row: &Value, now: f64) -> Option<Guest> {
    let (vmid, node) = (u32::try_from(row["vmid"].as_u64()?).ok()?, text(row, "node")?);
    let base = guest_path(row)?;
    let data = readings.get(&format!("{base}/config?current=1")).filter(|d| d.is_object())?;
    let mut guest = Guest::new(vmid, &node, config(data));
    guest.kind = if row["type"] == "lxc" { GuestKind::Lxc } else { GuestKind::Qemu };
    if row["status"] == "running" {
        let since = now - row["uptime"].as_f64().unwrap_or_default();
        guest.runs = 1;
        guest.run = Some(Run { id: format!("{vmid}-1"), since, pid: 1000 + vmid % 30_000, ..Run::default() });
    }
    for snapshot in rows(readings, &format!("{base}/snapshot")) {
        let Some(name) = text(snapshot, "name") else { continue };
        if name == "current" {
            guest.parent = text(snapshot, "parent");
            continue;
        }
        let taken = Snapshot {
            config: readings.get(&format!("{base}/snapshot/{name}/config")).map(kept).unwrap_or_default(),
            snaptime: snapshot["snaptime"].as_i64().unwrap_or_default(),
            description: text(snapshot, "description").unwrap_or_default(),
            vmstate: flag(snapshot, "vmstate"),
            parent: text(snapshot, "parent"),
            snapstate: text(snapshot, "snapstate"),
        };
        guest.snapshots.insert(name, taken);
    }
    Some(guest)
}

/// What a snapshot keeps of a configuration, without what is said of the snapshot.
fn kept(data: &Value) -> Config {
    let mut config = config(data);
    config.retain(|key, _| !["snaptime", "description", "parent", "snapstate"].contains(&key.as_str()));
    config
}

fn pool(readings: &Readings, row: &Value) -> Option<(String, Pool)> {
    let id = text(row, "poolid")?;
    let detail = rows(readings, &format!("/pools?poolid={id}")).next();
    let members = || detail.and_then(|d| d["members"].as_array()).into_iter().flatten();
    let pool = Pool {
        comment: text(row, "comment"),
        vms: members().filter_map(|m| m["vmid"].as_u64()).filter_map(|v| u32::try_from(v).ok()).collect(),
        storages: members().filter(|m| m["type"] == "storage").filter_map(|m| text(m, "storage")).collect(),
    };
    Some((id, pool))
}

fn access(world: &mut World, readings: &Readings) {
    for row in rows(readings, "/access/roles").filter(|r| !flag(r, "special")) {
        if let Some(id) = text(row, "roleid") {
            world.access.roles.insert(id, Role { privs: words(text(row, "privs")), special: false });
        }
    }
    for row in rows(readings, "/access/groups") {
        if let Some(id) = text(row, "groupid") {
            world.access.groups.insert(id, text(row, "comment").unwrap_or_default());
        }
    }
    for row in rows(readings, "/access/users?full=1") {
        let Some(id) = text(row, "userid") else { continue };
        let mut tokens = BTreeMap::new();
        for token in row["tokens"].as_array().into_iter().flatten() {
            let Some(name) = text(token, "tokenid") else { continue };
            let secret = world.chance.uuid();
            let privsep = text(token, "privsep").is_none_or(|p| p == "1");
            let expire = token["expire"].as_i64().unwrap_or_default();
            tokens.insert(name, Token { secret, privsep, expire, comment: None });
        }
        let password = world.access.users.get(&id).and_then(|u| u.password.clone());
        let password = password.or_else(|| Some(world.chance.hex(16)));
        let user = User {
            enable: text(row, "enable").is_none_or(|e| e == "1"),
            expire: row["expire"].as_i64().unwrap_or_default(),
            groups: words(text(row, "groups")),
            password,
            tokens,
            ..User::default()
        };
        world.access.users.insert(id, user);
    }
    for row in rows(readings, "/access/acl") {
        let subject = match row["type"].as_str() {
            Some("user") => Subject::User,
            Some("group") => Subject::Group,
            Some("token") => Subject::Token,
            _ => continue,
        };
        let (Some(path), Some(ugid), Some(roleid)) = (text(row, "path"), text(row, "ugid"), text(row, "roleid")) else {
            continue;
        };
        world.access.acl.push(Entry { path, subject, ugid, roleid, propagate: flag(row, "propagate") });
    }
}

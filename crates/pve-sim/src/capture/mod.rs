//! A Proxmox VE that lives somewhere, as a world to start from.
//!
//! What is read comes in as answers by path, and [`wanted`] says what else to read, so that this opens no connection.
//! Promises that no secret is in what comes out: passwords, keys and tokens are made anew or left out.

mod anonymous;
mod build;

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::Value;

/// Answers by path, `/version` and on: what is under `data`, or null for what was refused.
pub type Readings = BTreeMap<String, Value>;

/// Whether names may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// As they are.
    Kept,
    /// Names, addresses and words of people are replaced.
    Anonymous,
}

/// The state that the readings tell, for [`crate::Options::state`]; `now` is when they were made, in seconds since the
/// epoch.
pub fn state(readings: &Readings, names: Names, seed: u64, now: f64) -> anyhow::Result<Value> {
    let mut world = build::world(readings, seed, now).context("make a world of what was read")?;
    if names == Names::Anonymous {
        anonymous::hide(&mut world);
    }
    world.dump().context("write the state")
}

/// The paths to read next; none when all has been read.
pub fn wanted(readings: &Readings) -> Vec<String> {
    let first = [
        "/version",
        "/cluster/status",
        "/nodes",
        "/cluster/resources",
        "/cluster/options",
        "/storage",
        "/pools",
        "/access/users?full=1",
        "/access/groups",
        "/access/roles",
        "/access/acl",
        "/cluster/ha/resources",
    ];
    let mut paths: Vec<String> = first.iter().map(|p| (*p).to_owned()).collect();
    let online = |row: &&Value| row["status"] == "online";
    for node in rows(readings, "/nodes").filter(online).filter_map(|n| n["node"].as_str()) {
        paths.push(format!("/nodes/{node}/network"));
        paths.push(format!("/nodes/{node}/storage?enabled=1"));
    }
    let mut shared = std::collections::BTreeSet::new();
    for storage in resources(readings, &["storage"]).filter(|r| r["status"] == "available") {
        let (Some(node), Some(id)) = (storage["node"].as_str(), storage["storage"].as_str()) else { continue };
        if storage["shared"] != 1 || shared.insert(id) {
            paths.push(format!("/nodes/{node}/storage/{id}/content"));
        }
    }
    for guest in resources(readings, &["qemu", "lxc"]) {
        let (Some(base), Some(_)) = (guest_path(guest), guest["vmid"].as_u64()) else { continue };
        for row in rows(readings, &format!("{base}/snapshot")).filter(|r| r["name"] != "current") {
            paths.extend(row["name"].as_str().map(|name| format!("{base}/snapshot/{name}/config")));
        }
        paths.push(format!("{base}/config?current=1"));
        paths.push(format!("{base}/snapshot"));
    }
    for pool in rows(readings, "/pools").filter_map(|p| p["poolid"].as_str()) {
        paths.push(format!("/pools?poolid={pool}"));
    }
    paths.retain(|path| !readings.contains_key(path));
    paths
}

/// `/nodes/NODE/qemu/VMID`.
fn guest_path(row: &Value) -> Option<String> {
    Some(format!("/nodes/{}/{}/{}", row["node"].as_str()?, row["type"].as_str()?, row["vmid"].as_u64()?))
}

fn rows<'r>(readings: &'r Readings, path: &str) -> impl Iterator<Item = &'r Value> {
    readings.get(path).and_then(Value::as_array).into_iter().flatten()
}

fn resources<'r>(readings: &'r Readings, kinds: &'r [&str]) -> impl Iterator<Item = &'r Value> {
    rows(readings, "/cluster/resources").filter(|r| r["type"].as_str().is_some_and(|t| kinds.contains(&t)))
}

//! What a node finds when it looks around for storages.
//!
//! Promises to ask nobody: servers offer what [`crate::state::fixtures`] says, the node's own pools and groups are
//! those that storages name.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::calls::{Call, Outcome, names, now};
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::storage::Layout;

pub(crate) fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("method", &["cifs", "iscsi", "lvm", "nfs", "pbs", "zfs"]))
}

/// The rows of what a server offers.
fn offers(
    of: &BTreeMap<String, BTreeMap<String, String>>,
    server: &str,
    (key, also): (&str, &str),
    failure: String,
) -> Outcome {
    let Some(found) = of.get(server) else { return Err(Fail::die(failure).into()) };
    now(found.iter().map(|(name, said)| json!({key: name, also: said})).collect())
}

fn is_address(server: &str) -> bool {
    server.parse::<std::net::IpAddr>().is_ok()
}

fn unresolved(server: &str) -> String {
    format!("unable to resolve address for server '{server}'")
}

pub(crate) fn nfs(world: &mut World, call: &Call<'_>) -> Outcome {
    let server = call.str("server");
    let failure = if is_address(server) {
        format!("command '/sbin/showmount --no-headers --exports {server}' failed: exit code 1")
    } else {
        unresolved(server)
    };
    offers(&world.fixtures.exports, server, ("path", "options"), failure)
}

pub(crate) fn cifs(world: &mut World, call: &Call<'_>) -> Outcome {
    let server = call.str("server");
    let failure = if is_address(server) {
        "unexpected status: NT_STATUS_HOST_UNREACHABLE".to_owned()
    } else {
        unresolved(server)
    };
    offers(&world.fixtures.shares, server, ("share", "description"), failure)
}

pub(crate) fn pbs(world: &mut World, call: &Call<'_>) -> Outcome {
    let server = call.str("server");
    let port = call.get("port").unwrap_or("8007");
    let failure = format!("error fetching datastores - 500 Can't connect to {server}:{port} (No route to host)");
    offers(&world.fixtures.datastores, server, ("store", "comment"), failure)
}

pub(crate) fn iscsi(world: &mut World, call: &Call<'_>) -> Outcome {
    let portal = call.str("portal");
    let server = portal.rsplit_once(':').map_or(portal, |(host, _)| host);
    let failure = if is_address(server) {
        "iscsiadm: No portals found".to_owned()
    } else {
        format!("unable to parse/resolve portal address '{portal}'")
    };
    offers(&world.fixtures.targets, portal, ("target", "portal"), failure)
}

/// Volume groups with the thin pools that storages name in them.
fn groups(world: &World, node: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for storage in world.storages.values().filter(|s| s.on(node)) {
        match storage.kind().layout {
            Layout::Lvm => {
                groups.entry(storage.option("vgname").to_owned()).or_default();
            }
            Layout::LvmThin => {
                let pools = groups.entry(storage.option("vgname").to_owned()).or_default();
                pools.insert(storage.option("thinpool").to_owned());
            }
            _ => {}
        }
    }
    groups
}

pub(crate) fn lvm(world: &mut World, call: &Call<'_>) -> Outcome {
    now(groups(world, call.node()).keys().map(|vg| json!({"vg": vg})).collect())
}

pub(crate) fn lvmthin(world: &mut World, call: &Call<'_>) -> Outcome {
    let vg = call.str("vg");
    let pools = groups(world, call.node()).remove(vg).unwrap_or_default();
    now(pools.iter().map(|lv| json!({"lv": lv, "vg": vg, "lv_type": "t", "lv_state": "a"})).collect())
}

pub(crate) fn zfs(world: &mut World, call: &Call<'_>) -> Outcome {
    let node = call.node();
    let here = world.storages.values().filter(|s| s.kind == "zfspool" && s.on(node));
    let rows = here.map(|s| {
        let fill = s.fill(&world.volumes, node);
        json!({"pool": s.option("pool"), "size": fill.avail, "free": fill.avail.saturating_sub(fill.used)})
    });
    now(rows.collect::<Vec<Value>>().into())
}

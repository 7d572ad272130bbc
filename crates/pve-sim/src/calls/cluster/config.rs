//! `/cluster/config`: corosync's nodes and how to join.

use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use crate::calls::{Call, Outcome, names, now};
use crate::http::fail::Fail;
use crate::state::World;

pub(crate) fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("name", &["nodes", "totem", "join", "qdevice", "apiversion"]))
}

/// A single node knows no corosync.
fn clustered(world: &World) -> bool {
    world.nodes.len() > 1
}

fn totem(world: &World) -> Value {
    json!({
        "cluster_name": world.cluster.name, "config_version": world.nodes.len().to_string(),
        "interface": {"0": {"linknumber": "0"}}, "ip_version": "ipv4-6", "link_mode": "passive",
        "secauth": "on", "version": "2",
    })
}

pub(crate) fn nodes(world: &mut World, _: &Call<'_>) -> Outcome {
    if !clustered(world) {
        return now(json!([]));
    }
    let rows = world.nodes.iter().map(|n| {
        json!({
            "name": n.name, "node": n.name, "nodeid": n.id.to_string(), "quorum_votes": "1", "ring0_addr": n.ip,
        })
    });
    now(rows.collect())
}

pub(crate) fn totem_section(world: &mut World, _: &Call<'_>) -> Outcome {
    now(if clustered(world) { totem(world) } else { Value::Null })
}

pub(crate) fn qdevice(_: &mut World, _: &Call<'_>) -> Outcome {
    now(json!({}))
}

pub(crate) fn api_version(_: &mut World, _: &Call<'_>) -> Outcome {
    now(json!(1))
}

pub(crate) fn join_info(world: &mut World, call: &Call<'_>) -> Outcome {
    if !clustered(world) {
        return Err(Fail::exact(424, "node is not in a cluster, no join info available!").into());
    }
    let preferred = call.get("node").map_or_else(|| world.local_node(), str::to_owned);
    if world.node(&preferred).is_none() {
        return Err(Fail::die(format!("no such cluster node '{preferred}'")).into());
    }
    let list: Vec<Value> = world
        .nodes
        .iter()
        .map(|n| {
            json!({
                "name": n.name, "nodeid": n.id.to_string(), "pve_addr": n.ip, "pve_fp": n.fingerprint,
                "quorum_votes": "1", "ring0_addr": n.ip,
            })
        })
        .collect();
    let digest = hex::encode(Sha1::digest(json!([list, totem(world)]).to_string().as_bytes()));
    now(json!({
        "nodelist": list, "preferred_node": preferred, "totem": totem(world), "config_digest": digest,
    }))
}

/// A node's removal from the configuration, as when it is gone for good.
pub(crate) fn remove_node(world: &mut World, call: &Call<'_>) -> Outcome {
    let name = call.str("node");
    if !clustered(world) {
        return Err(Fail::die("unable to read file '/etc/pve/corosync.conf'").into());
    }
    let Some(at) = world.nodes.iter().position(|n| n.name == name) else {
        return Err(Fail::die(format!("Node/IP: {name} is not a known host of the cluster.")).into());
    };
    if name == world.local_node() {
        return Err(Fail::die("Cannot delete myself from cluster!").into());
    }
    world.nodes.remove(at);
    world.cluster.manager.nodes.remove(name);
    world.changes += 1;
    now(Value::Null)
}

pub(crate) fn create(world: &mut World, _: &Call<'_>) -> Outcome {
    let _ = clustered(world);
    let text = if clustered(world) {
        "cluster config '/etc/pve/corosync.conf' already exists"
    } else {
        "simulated nodes join by `--nodes`, not by calls"
    };
    Err(Fail::die(text).into())
}

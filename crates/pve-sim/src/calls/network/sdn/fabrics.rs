//! Fabrics: the networks under the virtual ones. They are only kept.

use serde_json::{Map, Value, json};

use super::object::{Kind, locked, rows};
use crate::calls::{Call, Outcome, names, now};
use crate::http::fail::Fail;
use crate::schema::split_list;
use crate::state::World;
use crate::state::sdn::Object;

pub(super) fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("subdir", &["fabric", "node", "all"]))
}

fn may(world: &World, call: &Call<'_>, fabric: &str) -> bool {
    world.need_any(call.who, &format!("/sdn/fabrics/{fabric}"), &["SDN.Audit", "SDN.Allocate"]).is_ok()
}

fn fabrics(world: &World, call: &Call<'_>) -> Vec<Value> {
    let rows = rows(world, call, Kind::Fabric).into_iter().filter(|(id, _)| may(world, call, id));
    rows.map(|(id, mut row)| {
        row.remove("fabric");
        row.insert("id".to_owned(), json!(id));
        Value::Object(row)
    })
    .collect()
}

fn shown(id: &str, node: &Object) -> Value {
    let (fabric, name) = id.split_once('/').unwrap_or((id, ""));
    let mut row: Map<String, Value> = node.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
    let interfaces = node.get("interfaces").and_then(|i| serde_json::from_str(i).ok()).unwrap_or_else(|| json!([]));
    row.insert("interfaces".to_owned(), interfaces);
    row.insert("fabric_id".to_owned(), json!(fabric));
    row.insert("node_id".to_owned(), json!(name));
    Value::Object(row)
}

fn nodes(world: &World, call: &Call<'_>) -> Vec<Value> {
    let wanted = call.get("fabric_id");
    let all = world.sdn.config.fabric_nodes.iter().filter(|(id, _)| {
        let fabric = id.split('/').next().unwrap_or_default();
        wanted.is_none_or(|w| w == fabric) && may(world, call, fabric)
    });
    all.map(|(id, node)| shown(id, node)).collect()
}

pub(super) fn all(world: &mut World, call: &Call<'_>) -> Outcome {
    now(json!({"fabrics": fabrics(world, call), "nodes": nodes(world, call)}))
}

pub(super) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    now(Value::Array(fabrics(world, call)))
}

pub(super) fn list_nodes(world: &mut World, call: &Call<'_>) -> Outcome {
    now(Value::Array(nodes(world, call)))
}

fn said(call: &Call<'_>) -> Object {
    let others = ["id", "fabric_id", "node_id", "digest", "delete", "lock-token"];
    let given = call.params.iter().filter(|(key, _)| !others.contains(&key.as_str()));
    given.map(|(key, text)| (key.clone(), text.clone())).collect()
}

fn removed(call: &Call<'_>, object: &mut Object) {
    let text = call.str("delete");
    let keys: Vec<String> =
        serde_json::from_str(text).unwrap_or_else(|_| split_list(text).map(str::to_owned).collect());
    for key in keys {
        object.remove(&key);
    }
}

pub(super) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("id");
    match fabrics(world, call).into_iter().find(|row| row["id"] == id) {
        Some(row) => now(row),
        None => Err(Fail::die(format!("fabric '{id}' does not exist")).into()),
    }
}

pub(super) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("id");
    locked(world, call, "adding fabric failed", |world| {
        if world.sdn.config.fabrics.contains_key(id) {
            return Err(Fail::die(format!("fabric '{id}' already exists")));
        }
        world.sdn.config.fabrics.insert(id.to_owned(), said(call));
        Ok(Value::Null)
    })
}

pub(super) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("id");
    locked(world, call, "updating fabric failed", |world| {
        let Some(fabric) = world.sdn.config.fabrics.get_mut(id) else {
            return Err(Fail::die(format!("fabric '{id}' does not exist")));
        };
        removed(call, fabric);
        fabric.extend(said(call));
        Ok(Value::Null)
    })
}

pub(super) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("id");
    locked(world, call, "deleting fabric failed", |world| {
        if world.sdn.config.fabrics.remove(id).is_none() {
            return Err(Fail::die(format!("fabric '{id}' does not exist")));
        }
        world.sdn.config.fabric_nodes.retain(|key, _| key.split('/').next() != Some(id));
        Ok(Value::Null)
    })
}

fn key(call: &Call<'_>) -> String {
    format!("{}/{}", call.str("fabric_id"), call.str("node_id"))
}

fn no_node(call: &Call<'_>) -> Fail {
    Fail::die(format!("node '{}' does not exist in fabric '{}'", call.str("node_id"), call.str("fabric_id")))
}

pub(super) fn get_node(world: &mut World, call: &Call<'_>) -> Outcome {
    match world.sdn.config.fabric_nodes.get(&key(call)) {
        Some(node) => now(shown(&key(call), node)),
        None => Err(no_node(call).into()),
    }
}

pub(super) fn create_node(world: &mut World, call: &Call<'_>) -> Outcome {
    locked(world, call, "adding node failed", |world| {
        let fabric = call.str("fabric_id");
        if !world.sdn.config.fabrics.contains_key(fabric) {
            return Err(Fail::die(format!("fabric '{fabric}' does not exist")));
        }
        if world.sdn.config.fabric_nodes.contains_key(&key(call)) {
            return Err(Fail::die(format!("node '{}' already exists in fabric '{fabric}'", call.str("node_id"))));
        }
        world.sdn.config.fabric_nodes.insert(key(call), said(call));
        Ok(Value::Null)
    })
}

pub(super) fn update_node(world: &mut World, call: &Call<'_>) -> Outcome {
    locked(world, call, "updating node failed", |world| {
        let Some(node) = world.sdn.config.fabric_nodes.get_mut(&key(call)) else { return Err(no_node(call)) };
        removed(call, node);
        node.extend(said(call));
        Ok(Value::Null)
    })
}

pub(super) fn delete_node(world: &mut World, call: &Call<'_>) -> Outcome {
    locked(world, call, "deleting node failed", |world| match world.sdn.config.fabric_nodes.remove(&key(call)) {
        Some(_) => Ok(Value::Null),
        None => Err(no_node(call)),
    })
}

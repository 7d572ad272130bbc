//! Resource pools.

use serde_json::{Value, json};

use super::cluster::resources;
use super::{Call, Outcome, needs, now};
use crate::http::fail::Fail;
use crate::perm::Pools as _;
use crate::state::World;
use crate::state::pool::Pool;

fn members(world: &World, call: &Call<'_>, id: &str) -> Result<Value, Fail> {
    let Some(pool) = world.pools.get(id) else {
        return Err(Fail::die(format!("pool '{id}' does not exist")));
    };
    let mut members = Vec::new();
    if call.get("type").is_none_or(|t| t != "storage") {
        for guest in pool.vms.iter().filter_map(|v| world.guests.get(v)) {
            if call.get("type").is_some_and(|t| t != guest.kind.word()) {
                continue;
            }
            let mut row = resources::guest_row(world, guest);
            if let Some(map) = row.as_object_mut() {
                for key in ["pool", "lock", "hastate", "tags"] {
                    map.remove(key);
                }
            }
            members.push(row);
        }
    }
    if call.get("type").is_none_or(|t| t == "storage") {
        let local = world.local_node();
        for id in &pool.storages {
            // One row, of the node that answers if it has the storage.
            let on = |node: &&str| world.storages.get(id).is_some_and(|s| s.on(node));
            let others = world.nodes.iter().map(|n| n.name.as_str());
            if let Some(node) = std::iter::once(local.as_str()).chain(others).find(on) {
                members.extend(resources::storage_row(world, node, id));
            }
        }
    }
    let mut data = json!({"poolid": id, "members": members});
    if let Some(comment) = &pool.comment {
        data["comment"] = json!(comment);
    }
    Ok(data)
}

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    if let Some(id) = call.get("poolid") {
        world.need(call.who, &format!("/pool/{id}"), &["Pool.Audit"])?;
        return now(json!([members(world, call, id)?]));
    }
    let rows: Vec<Value> = world
        .pools
        .iter()
        .filter(|(id, _)| world.may(call.who, &format!("/pool/{id}"), "Pool.Audit"))
        .map(|(id, pool)| {
            let mut row = json!({"poolid": id});
            if let Some(comment) = &pool.comment {
                row["comment"] = json!(comment);
            }
            row
        })
        .collect();
    now(Value::Array(rows))
}

pub(crate) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let mut data = members(world, call, call.str("poolid"))?;
    if let Some(map) = data.as_object_mut() {
        map.entry("poolid").or_insert_with(|| json!(call.str("poolid")));
    }
    now(data)
}

pub(crate) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("poolid");
    if world.pools.contains_key(id) {
        return Err(Fail::die(format!("create pool failed: pool '{id}' already exists")).into());
    }
    if let Some((parent, _)) = id.rsplit_once('/').filter(|(parent, _)| !world.pools.contains_key(*parent)) {
        let text = format!("create pool failed: parent '{parent}' of pool '{id}' does not exist");
        return Err(Fail::die(text).into());
    }
    let comment = call.get("comment").filter(|c| !c.is_empty()).map(str::to_owned);
    world.pools.insert(id.to_owned(), Pool { comment, ..Pool::default() });
    now(Value::Null)
}

pub(crate) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("poolid").to_owned();
    let fail = |text: String| Fail::die(format!("update pools failed: {text}"));
    if !world.pools.contains_key(&id) {
        return Err(fail(format!("pool '{id}' does not exist")).into());
    }
    let words = |name: &str| -> Vec<String> {
        call.str(name).split([',', ';', ' ']).filter(|w| !w.is_empty()).map(str::to_owned).collect()
    };
    let (vms, storages) = (words("vms"), words("storage"));
    // Refusals inside the lock lose their status.
    let wrapped = |refused: Fail| fail(refused.line());
    for path in vms.iter().map(|v| format!("/vms/{v}")).chain(storages.iter().map(|s| format!("/storage/{s}"))) {
        needs::modify(world, call.who, &path).map_err(wrapped)?;
    }
    let delete = call.flag("delete");
    for vm in &vms {
        let number: u32 = vm.parse().unwrap_or_default();
        let current = world.pool_of_vm(vm);
        if delete {
            if current.as_deref() != Some(&id) {
                return Err(fail(format!("VM {vm} is not a pool member")).into());
            }
            if let Some(pool) = world.pools.get_mut(&id) {
                pool.vms.remove(&number);
            }
            continue;
        }
        match current {
            Some(current) if current == id => return Err(fail(format!("VM {vm} is already a pool member")).into()),
            Some(current) if !call.flag("allow-move") => {
                let text = format!("VM {vm} belongs already to pool '{current}' and 'allow-move' is not set");
                return Err(fail(text).into());
            }
            Some(current) => {
                world.need(call.who, &format!("/pool/{current}"), &["Pool.Allocate"]).map_err(wrapped)?;
                if let Some(pool) = world.pools.get_mut(&current) {
                    pool.vms.remove(&number);
                }
            }
            None => {}
        }
        if let Some(pool) = world.pools.get_mut(&id) {
            pool.vms.insert(number);
        }
    }
    for storage in &storages {
        let known = world.storages.contains_key(storage);
        let Some(pool) = world.pools.get_mut(&id) else { continue };
        if delete {
            if !pool.storages.remove(storage) {
                return Err(fail(format!("Storage '{storage}' is not a pool member")).into());
            }
        } else if !known {
            return Err(fail(format!("storage '{storage}' does not exist")).into());
        } else if !pool.storages.insert(storage.clone()) {
            return Err(fail(format!("Storage '{storage}' is already a pool member")).into());
        }
    }
    if let (Some(comment), Some(pool)) = (call.get("comment"), world.pools.get_mut(&id)) {
        pool.comment = Some(comment.to_owned()).filter(|c| !c.is_empty());
    }
    now(Value::Null)
}

pub(crate) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("poolid");
    let fail = |text: String| Fail::die(format!("delete pool failed: {text}"));
    let Some(pool) = world.pools.get(id) else {
        return Err(fail(format!("pool '{id}' does not exist")).into());
    };
    let inner = format!("{id}/");
    if let Some(sub) = world.pools.keys().find(|p| p.starts_with(&inner)) {
        return Err(fail(format!("pool '{id}' is not empty (contains pool '{sub}')")).into());
    }
    if let Some(vm) = pool.vms.iter().find(|v| world.guests.contains_key(v)) {
        return Err(fail(format!("pool '{id}' is not empty (contains VM {vm})")).into());
    }
    if let Some(storage) = pool.storages.iter().find(|s| world.storages.contains_key(*s)) {
        return Err(fail(format!("pool '{id}' is not empty (contains storage '{storage}')")).into());
    }
    let path = format!("/pool/{id}");
    world.pools.remove(id);
    world.access.acl.retain(|e| e.path != path);
    now(Value::Null)
}

/// The handler of a method.
pub(super) fn handler(verb: &str, path: &str) -> Option<super::Handler> {
    Some(match (verb, path) {
        ("GET", "/pools") => list,
        ("POST", "/pools") => create,
        ("PUT", "/pools" | "/pools/{poolid}") => update,
        ("DELETE", "/pools" | "/pools/{poolid}") => delete,
        ("GET", "/pools/{poolid}") => get,
        _ => return None,
    })
}

//! The permission expressions of the table, evaluated on parameters that nobody verified yet.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::http::fail::Fail;
use crate::perm::Who;
use crate::state::World;

/// Whether `who` may call; the failure is what Proxmox VE says.
pub(crate) fn check(world: &World, who: &Who, needs: &Value, params: &BTreeMap<String, String>) -> Result<(), Fail> {
    if who.is_root() {
        return Ok(());
    }
    match needs {
        Value::String(all) if all == "all" || all == "world" => Ok(()),
        Value::Array(words) => expression(world, who, words, params),
        _ => Err(Fail::forbidden("user != root@pam")),
    }
}

fn expression(world: &World, who: &Who, words: &[Value], params: &BTreeMap<String, String>) -> Result<(), Fail> {
    let part = |at: usize| words.get(at).and_then(Value::as_array);
    match words.first().and_then(Value::as_str) {
        Some("and") => (1..words.len()).filter_map(part).try_for_each(|e| expression(world, who, e, params)),
        Some("or") => {
            let ok = (1..words.len()).filter_map(part).any(|e| expression(world, who, e, params).is_ok());
            if ok { Ok(()) } else { Err(Fail::forbidden("")) }
        }
        Some("perm") => permission(world, who, words, params),
        Some("perm-modify") => {
            let path = fill(words.get(1).and_then(Value::as_str).unwrap_or_default(), params);
            let path = path.as_deref().unwrap_or("/");
            modify(world, who, path)
        }
        Some("userid-param") => {
            let userid = params.get("userid").map_or("", String::as_str);
            match words.get(1).and_then(Value::as_str) {
                Some("self") => {
                    if who.0 == userid {
                        Ok(())
                    } else {
                        Err(Fail::forbidden(""))
                    }
                }
                Some(privilege) => {
                    let realm = userid.rsplit('@').next().unwrap_or_default();
                    world.need(who, &format!("/access/realm/{realm}"), &[privilege])
                }
                None => Ok(()),
            }
        }
        Some("userid-group") => {
            let wanted: Vec<&str> = part(1).into_iter().flatten().filter_map(Value::as_str).collect();
            if world.need_any(who, "/access/groups", &wanted).is_ok() {
                return Ok(());
            }
            let userid = params.get("userid").map_or("", String::as_str);
            let groups = world.access.users.get(userid).map(|u| u.groups.clone()).unwrap_or_default();
            let ok = groups.iter().any(|g| world.need_any(who, &format!("/access/groups/{g}"), &wanted).is_ok());
            if ok { Ok(()) } else { Err(Fail::forbidden("")) }
        }
        _ => Err(Fail::forbidden("")),
    }
}

fn permission(world: &World, who: &Who, words: &[Value], params: &BTreeMap<String, String>) -> Result<(), Fail> {
    let option = |name: &str| words.iter().position(|w| w.as_str() == Some(name)).and_then(|at| words.get(at + 1));
    if let Some(required) = option("require_param").and_then(Value::as_str)
        && !params.contains_key(required)
    {
        return Err(Fail::forbidden(""));
    }
    let Some(path) = fill(words.get(1).and_then(Value::as_str).unwrap_or_default(), params) else {
        return Err(Fail::forbidden(""));
    };
    if let Some(pool) = path.strip_prefix("/pool/")
        && !world.pools.contains_key(pool)
        && option("require_param").is_some()
    {
        return Err(Fail::forbidden(&format!("pool '{pool}' does not exist")));
    }
    let wanted: Vec<&str> =
        words.get(2).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let wanted = world.wanted(wanted);
    if option("any").is_some() { world.need_any(who, &path, &wanted) } else { world.need(who, &path, &wanted) }
}

/// The right to change permissions on a path.
pub(crate) fn modify(world: &World, who: &Who, path: &str) -> Result<(), Fail> {
    let also = if path.starts_with("/storage/") {
        "Datastore.Allocate"
    } else if path.starts_with("/vms/") {
        "VM.Allocate"
    } else if path.starts_with("/pool/") {
        "Pool.Allocate"
    } else {
        return world.need(who, path, &["Permissions.Modify"]);
    };
    world.need_any(who, path, &["Permissions.Modify", also])
}

/// Puts parameters into the template of a path; none if one is missing.
fn fill(template: &str, params: &BTreeMap<String, String>) -> Option<String> {
    let mut out = template.to_owned();
    while let Some(from) = out.find('{') {
        let to = out[from..].find('}')? + from;
        let value = params.get(&out[from + 1..to])?.clone();
        out.replace_range(from..=to, &value);
    }
    Some(out)
}

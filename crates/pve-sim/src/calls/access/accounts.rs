//! Users and their API tokens.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::tokens;
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::perm::{User, Who};
use crate::state::World;

/// The paths that the answer of `/access/permissions` looks at.
fn paths(world: &World) -> Vec<String> {
    let fixed = ["/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"];
    let mut paths: Vec<String> = fixed.iter().map(|p| (*p).to_owned()).collect();
    paths.extend(world.access.acl.iter().map(|e| e.path.clone()));
    for (id, pool) in &world.pools {
        paths.push(format!("/pool/{id}"));
        paths.extend(pool.vms.iter().map(|v| format!("/vms/{v}")));
        paths.extend(pool.storages.iter().map(|s| format!("/storage/{s}")));
    }
    paths.sort();
    paths.dedup();
    paths
}

pub(crate) fn permissions(world: &mut World, call: &Call<'_>) -> Outcome {
    let who = match call.get("userid") {
        Some(userid) if userid != call.who.0 && !userid.starts_with(&format!("{}!", call.who.0)) => {
            world.need(call.who, "/access", &["Sys.Audit"])?;
            Who(userid.to_owned())
        }
        Some(userid) => Who(userid.to_owned()),
        None => call.who.clone(),
    };
    let wanted = call.get("path").map_or_else(|| paths(world), |p| vec![p.to_owned()]);
    let mut data = serde_json::Map::new();
    for path in wanted {
        let grants = world.access.grants(world, &who, &path);
        if !grants.is_empty() || call.get("path").is_some() {
            let shown: BTreeMap<String, i32> = grants.into_iter().map(|(p, f)| (p, i32::from(f))).collect();
            data.insert(path, json!(shown));
        }
    }
    now(Value::Object(data))
}

pub(crate) fn password(world: &mut World, call: &Call<'_>) -> Outcome {
    let userid = call.str("userid");
    let Some(user) = world.access.users.get_mut(userid) else {
        return Err(Fail::die(format!("no such user ('{userid}')")).into());
    };
    user.password = Some(call.str("password").to_owned());
    now(Value::Null)
}

/// A user's line, as it is read back from the file: what is empty is not there, but for an e-mail address with something
/// behind it.
fn user_row(userid: &str, user: &User) -> Value {
    let mut row = json!({"userid": userid, "enable": i32::from(user.enable), "expire": user.expire});
    let has = |key: &str| user.more.get(key).is_some_and(|v| !v.is_empty());
    for (key, value) in user.more.iter().filter(|(key, _)| has(key)) {
        row[key] = json!(value);
    }
    if !has("email") && (has("comment") || has("keys")) {
        row["email"] = json!("");
    }
    row
}

pub(crate) fn users(world: &mut World, call: &Call<'_>) -> Outcome {
    let all = world.need_any(call.who, "/access/groups", &["User.Modify", "Sys.Audit"]).is_ok();
    let rows: Vec<Value> = world
        .access
        .users
        .iter()
        .filter(|(id, _)| all || **id == call.who.0)
        .filter(|(_, u)| call.get("enabled").is_none_or(|e| u.enable == (e == "1")))
        .map(|(id, user)| {
            let mut row = user_row(id, user);
            if let Some(kind) = world.access.realm_kind(id) {
                row["realm-type"] = json!(kind);
            }
            if call.flag("full") {
                row["groups"] = json!(user.groups.iter().cloned().collect::<Vec<_>>().join(","));
                let tokens: Vec<Value> = user.tokens.iter().map(|(id, t)| tokens::row(id, t)).collect();
                row["tokens"] = if tokens.is_empty() { Value::Null } else { json!(tokens) };
            }
            row
        })
        .collect();
    now(Value::Array(rows))
}

fn apply(user: &mut User, call: &Call<'_>) {
    if let Some(enable) = call.get("enable") {
        user.enable = enable == "1";
    }
    if let Some(expire) = call.number("expire") {
        user.expire = expire;
    }
    if let Some(password) = call.get("password") {
        user.password = Some(password.to_owned());
    }
    if let Some(groups) = call.get("groups") {
        let named = groups.split([',', ';', ' ']).filter(|g| !g.is_empty()).map(str::to_owned);
        if !call.flag("append") {
            user.groups.clear();
        }
        user.groups.extend(named);
    }
    for key in ["comment", "email", "firstname", "lastname", "keys"] {
        if let Some(value) = call.get(key) {
            user.more.insert(key.to_owned(), value.to_owned());
        }
    }
}

fn known_groups(world: &World, call: &Call<'_>, doing: &str) -> Result<(), Fail> {
    let groups = call.str("groups").split([',', ';', ' ']).filter(|g| !g.is_empty());
    for group in groups {
        if !world.access.groups.contains_key(group) {
            return Err(Fail::die(format!("{doing} user failed: no such group '{group}'")));
        }
    }
    Ok(())
}

pub(crate) fn create_user(world: &mut World, call: &Call<'_>) -> Outcome {
    let userid = call.str("userid");
    if world.access.users.contains_key(userid) {
        return Err(Fail::die(format!("create user failed: user '{userid}' already exists")).into());
    }
    known_groups(world, call, "create")?;
    let mut user = User { enable: true, ..User::default() };
    apply(&mut user, call);
    world.access.users.insert(userid.to_owned(), user);
    now(Value::Null)
}

pub(super) fn find<'w>(world: &'w mut World, userid: &str) -> Result<&'w mut User, Fail> {
    world.access.users.get_mut(userid).ok_or_else(|| Fail::die(format!("no such user ('{userid}')")))
}

pub(crate) fn user(world: &mut World, call: &Call<'_>) -> Outcome {
    let userid = call.str("userid");
    let user = find(world, userid)?;
    let mut row = user_row(userid, user);
    row["groups"] = json!(user.groups);
    let tokens: serde_json::Map<_, _> = user.tokens.iter().map(|(id, t)| (id.clone(), tokens::info(t))).collect();
    row["tokens"] = if tokens.is_empty() { Value::Null } else { Value::Object(tokens) };
    if let Some(map) = row.as_object_mut() {
        map.remove("userid");
    }
    now(row)
}

pub(crate) fn update_user(world: &mut World, call: &Call<'_>) -> Outcome {
    let userid = call.str("userid");
    if !world.access.users.contains_key(userid) {
        return Err(Fail::die(format!("update user failed: no such user ('{userid}')")).into());
    }
    known_groups(world, call, "update")?;
    apply(find(world, userid)?, call);
    now(Value::Null)
}

pub(crate) fn delete_user(world: &mut World, call: &Call<'_>) -> Outcome {
    let userid = call.str("userid");
    // Deleting somebody who isn't there is no failure.
    world.access.users.remove(userid);
    let tokens = format!("{userid}!");
    world.access.acl.retain(|e| e.ugid != userid && !e.ugid.starts_with(&tokens));
    now(Value::Null)
}

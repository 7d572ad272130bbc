//! Users and their API tokens.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::perm::{Token, User, Who};
use crate::state::World;

pub(crate) fn domains(_: &mut World, _: &Call<'_>) -> Outcome {
    now(json!([
        {"realm": "pam", "type": "pam", "comment": "Linux PAM standard authentication"},
        {"realm": "pve", "type": "pve", "comment": "Proxmox VE authentication server"},
    ]))
}

pub(crate) fn domain(_: &mut World, call: &Call<'_>) -> Outcome {
    let (kind, comment) = match call.str("realm") {
        "pam" => ("pam", "Linux PAM standard authentication"),
        "pve" => ("pve", "Proxmox VE authentication server"),
        other => return Err(Fail::die(format!("domain '{other}' does not exist")).into()),
    };
    let plugin = format!("PVE::Auth::{}", kind.to_uppercase());
    let digest = "0000000000000000000000000000000000000000";
    now(json!({"type": kind, "comment": comment, "plugin": plugin, "digest": digest}))
}

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

fn user_row(userid: &str, user: &User) -> Value {
    let mut row = json!({
        "userid": userid, "enable": i32::from(user.enable), "expire": user.expire,
        "realm-type": if userid.ends_with("@pam") { "pam" } else { "pve" },
    });
    for (key, value) in &user.more {
        row[key] = json!(value);
    }
    row
}

fn token_row(id: &str, token: &Token) -> Value {
    let mut row = json!({"tokenid": id, "privsep": i32::from(token.privsep), "expire": token.expire});
    if let Some(comment) = &token.comment {
        row["comment"] = json!(comment);
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
            if call.flag("full") {
                row["groups"] = json!(user.groups.iter().cloned().collect::<Vec<_>>().join(","));
                let tokens: serde_json::Map<_, _> =
                    user.tokens.iter().map(|(id, t)| (id.clone(), token_info(id, t))).collect();
                row["tokens"] = if tokens.is_empty() { Value::Null } else { Value::Object(tokens) };
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

fn find<'w>(world: &'w mut World, userid: &str) -> Result<&'w mut User, Fail> {
    world.access.users.get_mut(userid).ok_or_else(|| Fail::die(format!("no such user ('{userid}')")))
}

pub(crate) fn user(world: &mut World, call: &Call<'_>) -> Outcome {
    let userid = call.str("userid");
    let user = find(world, userid)?;
    let mut row = user_row(userid, user);
    row["groups"] = json!(user.groups);
    row["tokens"] =
        user.tokens.iter().map(|(id, t)| (id.clone(), token_row(id, t))).collect::<serde_json::Map<_, _>>().into();
    if let Some(map) = row.as_object_mut() {
        map.remove("userid");
        map.remove("realm-type");
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

pub(crate) fn tokens(world: &mut World, call: &Call<'_>) -> Outcome {
    let user = find(world, call.str("userid"))?;
    now(user.tokens.iter().map(|(id, t)| token_row(id, t)).collect())
}

fn find_token<'w>(world: &'w mut World, call: &Call<'_>) -> Result<&'w mut Token, Fail> {
    let (userid, id) = (call.str("userid"), call.str("tokenid"));
    find(world, userid)?
        .tokens
        .get_mut(id)
        .ok_or_else(|| Fail::die(format!("no such token '{id}' for user '{userid}'")))
}

fn token_info(id: &str, token: &Token) -> Value {
    let mut row = token_row(id, token);
    if let Some(map) = row.as_object_mut() {
        map.remove("tokenid");
    }
    row
}

pub(crate) fn token(world: &mut World, call: &Call<'_>) -> Outcome {
    let token = find_token(world, call)?;
    now(token_info(call.str("tokenid"), token))
}

pub(crate) fn create_token(world: &mut World, call: &Call<'_>) -> Outcome {
    let (userid, id) = (call.str("userid"), call.str("tokenid"));
    let secret = world.chance.uuid();
    let user = find(world, userid)?;
    if user.tokens.contains_key(id) {
        return Err(Fail::param("tokenid", "Token already exists.").into());
    }
    let token = Token {
        secret: secret.clone(),
        privsep: call.get("privsep") != Some("0"),
        expire: call.number("expire").unwrap_or(0),
        comment: call.get("comment").map(str::to_owned),
    };
    // Here privsep comes back as it was sent, as text, and what wasn't sent not at all.
    let mut info = json!({"privsep": if token.privsep { "1" } else { "0" }});
    if token.expire != 0 {
        info["expire"] = json!(token.expire);
    }
    if let Some(comment) = &token.comment {
        info["comment"] = json!(comment);
    }
    user.tokens.insert(id.to_owned(), token);
    now(json!({"full-tokenid": format!("{userid}!{id}"), "value": secret, "info": info}))
}

pub(crate) fn update_token(world: &mut World, call: &Call<'_>) -> Outcome {
    let fresh = call.flag("regenerate").then(|| world.chance.uuid());
    let token = find_token(world, call)?;
    if let Some(privsep) = call.get("privsep") {
        token.privsep = privsep == "1";
    }
    if let Some(expire) = call.number("expire") {
        token.expire = expire;
    }
    if let Some(comment) = call.get("comment") {
        token.comment = Some(comment.to_owned());
    }
    let mut info = token_info(call.str("tokenid"), token);
    if let Some(fresh) = fresh {
        token.secret.clone_from(&fresh);
        info["value"] = json!(fresh);
        info["full-tokenid"] = json!(format!("{}!{}", call.str("userid"), call.str("tokenid")));
    }
    now(info)
}

pub(crate) fn delete_token(world: &mut World, call: &Call<'_>) -> Outcome {
    let (userid, id) = (call.str("userid"), call.str("tokenid"));
    find_token(world, call)?;
    find(world, userid)?.tokens.remove(id);
    let full = format!("{userid}!{id}");
    world.access.acl.retain(|e| e.ugid != full);
    now(Value::Null)
}

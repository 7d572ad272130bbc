//! Groups, roles and the access control list.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::calls::{Call, Outcome, needs, now};
use crate::http::fail::Fail;
use crate::perm::{Entry, Role, Subject, is_acl_path};
use crate::state::World;

pub(crate) fn groups(world: &mut World, call: &Call<'_>) -> Outcome {
    let all = world.need_any(call.who, "/access/groups", &["User.Modify", "Sys.Audit", "Group.Allocate"]).is_ok();
    let rows = world.access.groups.iter().filter(|_| all).map(|(id, comment)| {
        let users: Vec<&String> =
            world.access.users.iter().filter(|(_, u)| u.groups.contains(id)).map(|(id, _)| id).collect();
        let users: Vec<&str> = users.into_iter().map(String::as_str).collect();
        let mut row = json!({"groupid": id, "users": users.join(",")});
        if !comment.is_empty() {
            row["comment"] = json!(comment);
        }
        row
    });
    now(rows.collect())
}

pub(crate) fn create_group(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("groupid");
    if world.access.groups.contains_key(id) {
        return Err(Fail::die(format!("create group failed: group '{id}' already exists")).into());
    }
    world.access.groups.insert(id.to_owned(), call.str("comment").to_owned());
    now(Value::Null)
}

pub(crate) fn group(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("groupid");
    let Some(comment) = world.access.groups.get(id) else {
        return Err(Fail::die(format!("group '{id}' does not exist")).into());
    };
    let members: Vec<&String> =
        world.access.users.iter().filter(|(_, u)| u.groups.contains(id)).map(|(id, _)| id).collect();
    let mut data = json!({"members": members});
    if !comment.is_empty() {
        data["comment"] = json!(comment);
    }
    now(data)
}

pub(crate) fn update_group(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("groupid");
    let Some(comment) = world.access.groups.get_mut(id) else {
        return Err(Fail::die(format!("update group failed: group '{id}' does not exist")).into());
    };
    call.str("comment").clone_into(comment);
    now(Value::Null)
}

pub(crate) fn delete_group(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("groupid");
    if world.access.groups.remove(id).is_none() {
        return Err(Fail::die(format!("delete group failed: group '{id}' does not exist")).into());
    }
    for user in world.access.users.values_mut() {
        user.groups.remove(id);
    }
    world.access.acl.retain(|e| !(e.subject == Subject::Group && e.ugid == id));
    now(Value::Null)
}

pub(crate) fn roles(world: &mut World, _: &Call<'_>) -> Outcome {
    let rows = world.access.roles.iter().map(|(id, role)| {
        let privs: Vec<&str> = role.privs.iter().map(String::as_str).collect();
        json!({"roleid": id, "privs": privs.join(","), "special": i32::from(role.special)})
    });
    now(rows.collect())
}

fn privileges(world: &World, call: &Call<'_>) -> Result<BTreeSet<String>, Fail> {
    let named = call.str("privs").split([',', ';', ' ']).filter(|p| !p.is_empty());
    let mut privs = BTreeSet::new();
    for privilege in named {
        if !world.has_privilege(privilege) {
            return Err(Fail::param("privs", format!("invalid format - invalid privilege '{privilege}'\n")));
        }
        privs.insert(privilege.to_owned());
    }
    Ok(privs)
}

pub(crate) fn create_role(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("roleid");
    let privs = privileges(world, call)?;
    if id.to_lowercase().starts_with("pve") {
        let text = "cannot use role ID starting with the (case-insensitive) 'PVE' namespace";
        return Err(Fail::param("roleid", text).into());
    }
    if world.access.roles.contains_key(id) {
        return Err(Fail::die(format!("create role failed: role '{id}' already exists")).into());
    }
    world.access.roles.insert(id.to_owned(), Role { privs, special: false });
    now(Value::Null)
}

pub(crate) fn role(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("roleid");
    match world.access.roles.get(id) {
        Some(role) => now(role.privs.iter().map(|p| (p.clone(), json!(1))).collect::<serde_json::Map<_, _>>().into()),
        None => Err(Fail::die(format!("role '{id}' does not exist")).into()),
    }
}

pub(crate) fn update_role(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("roleid");
    let privs = privileges(world, call)?;
    let Some(role) = world.access.roles.get_mut(id) else {
        return Err(Fail::die(format!("update role failed: role '{id}' does not exist")).into());
    };
    if role.special {
        return Err(Fail::die(format!("auto-generated role '{id}' cannot be modified")).into());
    }
    if !call.flag("append") {
        role.privs.clear();
    }
    role.privs.extend(privs);
    now(Value::Null)
}

pub(crate) fn delete_role(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("roleid");
    match world.access.roles.get(id) {
        None => return Err(Fail::die(format!("delete role failed: role '{id}' does not exist")).into()),
        Some(role) if role.special => {
            return Err(Fail::die(format!("auto-generated role '{id}' cannot be deleted")).into());
        }
        Some(_) => {}
    }
    world.access.roles.remove(id);
    world.access.acl.retain(|e| e.roleid != id);
    now(Value::Null)
}

pub(crate) fn acl(world: &mut World, call: &Call<'_>) -> Outcome {
    let all = world.may(call.who, "/access", "Sys.Audit");
    let rows = world.access.acl.iter().filter(|e| all || needs::modify(world, call.who, &e.path).is_ok()).map(|e| {
        let kind = match e.subject {
            Subject::User => "user",
            Subject::Group => "group",
            Subject::Token => "token",
        };
        json!({
            "path": e.path, "type": kind, "ugid": e.ugid, "roleid": e.roleid,
            "propagate": i32::from(e.propagate),
        })
    });
    now(rows.collect())
}

pub(crate) fn update_acl(world: &mut World, call: &Call<'_>) -> Outcome {
    let path = call.str("path");
    let path = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    if !is_acl_path(path) {
        return Err(Fail::param("path", format!("invalid ACL path '{path}'")).into());
    }
    needs::modify(world, call.who, path)?;
    let fail = |text: String| Fail::die(format!("ACL update failed: {text}"));
    let words = |name: &str| -> Vec<String> {
        call.str(name).split([',', ';', ' ']).filter(|w| !w.is_empty()).map(str::to_owned).collect()
    };
    let mut whom = Vec::new();
    for (name, subject) in [("users", Subject::User), ("groups", Subject::Group), ("tokens", Subject::Token)] {
        whom.extend(words(name).into_iter().map(|id| (subject, id)));
    }
    if whom.is_empty() {
        let text = "either 'users', 'groups' or 'tokens' is required.";
        let all = ["groups", "tokens", "users"].map(|name| (name.to_owned(), text.to_owned()));
        return Err(Fail::params(all.into()).into());
    }
    for role in words("roles") {
        if !world.access.roles.contains_key(&role) {
            return Err(fail(format!("role '{role}' does not exist")).into());
        }
        for (subject, id) in &whom {
            let (user, token) = id.split_once('!').map_or((id.as_str(), None), |(u, t)| (u, Some(t)));
            let known = match subject {
                Subject::User => world.access.users.contains_key(id),
                Subject::Group => world.access.groups.contains_key(id),
                Subject::Token => {
                    token.is_some_and(|t| world.access.users.get(user).is_some_and(|u| u.tokens.contains_key(t)))
                }
            };
            if !known {
                let text = match subject {
                    Subject::User => format!("user '{id}' does not exist"),
                    Subject::Group => format!("group '{id}' does not exist"),
                    Subject::Token => format!("no such token '{}' for user '{user}'", token.unwrap_or_default()),
                };
                return Err(fail(text).into());
            }
            world
                .access
                .acl
                .retain(|e| !(e.path == path && e.subject == *subject && e.ugid == *id && e.roleid == role));
            if !call.flag("delete") {
                world.access.acl.push(Entry {
                    path: path.to_owned(),
                    subject: *subject,
                    ugid: id.clone(),
                    roleid: role.clone(),
                    propagate: call.get("propagate") != Some("0"),
                });
            }
        }
    }
    now(Value::Null)
}

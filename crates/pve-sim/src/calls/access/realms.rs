//! Realms: where users come from. Only `pam` and `pve` let anybody in here; the others are kept as they were written.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::perm::Realm;
use crate::schema::split_list;
use crate::state::World;

/// What a realm cannot do without.
const REQUIRED: &[(&str, &[&str])] = &[
    ("ad", &["domain", "server1"]),
    ("ldap", &["server1", "base_dn", "user_attr"]),
    ("openid", &["issuer-url", "client-id"]),
];

/// Numbers in answers.
const NUMBERS: &[&str] = &[
    "port",
    "default",
    "autocreate",
    "secure",
    "verify",
    "case-sensitive",
    "groups-autocreate",
    "groups-overwrite",
    "query-userinfo",
];

fn shown(key: &str, value: &str) -> Value {
    match value.parse::<i64>() {
        Ok(number) if NUMBERS.contains(&key) => json!(number),
        Ok(_) | Err(_) => json!(value),
    }
}

/// The digest of the file that keeps them; it is not there as long as there are only the first two.
fn digest(world: &World) -> String {
    let mut text = String::new();
    if world.access.realms != Realm::built_in() {
        text = format!("{:?}", world.access.realms);
    }
    hex::encode(Sha1::digest(text.as_bytes()))
}

pub(crate) fn domains(world: &mut World, _: &Call<'_>) -> Outcome {
    let rows = world.access.realms.iter().map(|(id, realm)| {
        let mut row = json!({"realm": id, "type": realm.kind});
        for key in ["comment", "default"] {
            if let Some(value) = realm.options.get(key) {
                row[key] = shown(key, value);
            }
        }
        if let Some(tfa) = realm.options.get("tfa").and_then(|t| t.split(',').find_map(|p| p.strip_prefix("type="))) {
            row["tfa"] = json!(tfa);
        }
        row
    });
    now(rows.collect())
}

pub(crate) fn domain(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("realm");
    let Some(realm) = world.access.realms.get(id) else {
        return Err(Fail::die(format!("domain '{id}' does not exist")).into());
    };
    let mut data = json!({"type": realm.kind, "digest": digest(world)});
    if ["pam", "pve"].contains(&realm.kind.as_str()) {
        data["plugin"] = json!(format!("PVE::Auth::{}", realm.kind.to_uppercase()));
    }
    for (key, value) in realm.options.iter().filter(|(key, _)| *key != "password" && *key != "client-key") {
        data[key] = shown(key, value);
    }
    now(data)
}

fn check_digest(world: &World, call: &Call<'_>) -> Result<(), Fail> {
    match call.get("digest") {
        Some(given) if given != digest(world) => {
            Err(Fail::die("detected modified configuration - file changed by other user? Try again."))
        }
        _ => Ok(()),
    }
}

fn set(options: &mut BTreeMap<String, String>, call: &Call<'_>) {
    for (key, value) in &call.params {
        if !["realm", "type", "digest", "delete", "check-connection"].contains(&key.as_str()) {
            options.insert(key.clone(), value.clone());
        }
    }
}

/// Only one realm is the default.
fn only_default(world: &mut World, id: &str) {
    if world.access.realms.get(id).is_some_and(|r| r.options.get("default").is_some_and(|d| d == "1")) {
        for (_, other) in world.access.realms.iter_mut().filter(|(other, _)| *other != id) {
            other.options.remove("default");
        }
    }
}

pub(crate) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let (id, kind) = (call.str("realm"), call.str("type"));
    let fail = |text: String| Fail::die(format!("add auth server failed: {text}"));
    if id == "pam" || id == "pve" {
        return Err(fail(format!("unable to use reserved name '{id}'")).into());
    }
    if world.access.realms.contains_key(id) {
        return Err(fail(format!("domain '{id}' already exists")).into());
    }
    if kind == "pam" || kind == "pve" {
        return Err(fail(format!("unable to create builtin type '{kind}'")).into());
    }
    let needed = REQUIRED.iter().find(|(k, _)| *k == kind).map_or(&[][..], |(_, keys)| keys);
    if let Some(missing) = needed.iter().find(|key| call.get(key).is_none()) {
        return Err(fail(format!("missing value for required option '{missing}'")).into());
    }
    let mut realm = Realm { kind: kind.to_owned(), options: BTreeMap::new() };
    set(&mut realm.options, call);
    world.access.realms.insert(id.to_owned(), realm);
    only_default(world, id);
    now(Value::Null)
}

pub(crate) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("realm");
    let fail = |text: &str| Fail::die(format!("update auth server failed: {text}"));
    check_digest(world, call).map_err(|f| fail(f.message.trim_end()))?;
    let Some(realm) = world.access.realms.get_mut(id) else {
        return Err(fail(&format!("domain '{id}' does not exist")).into());
    };
    let needed = REQUIRED.iter().find(|(k, _)| *k == realm.kind).map_or(&[][..], |(_, keys)| keys);
    for key in split_list(call.str("delete")) {
        if needed.contains(&key) {
            return Err(fail(&format!("cannot delete required option '{key}'")).into());
        }
        realm.options.remove(key);
    }
    set(&mut realm.options, call);
    only_default(world, id);
    now(Value::Null)
}

pub(crate) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("realm");
    if !world.access.realms.contains_key(id) {
        return Err(Fail::die(format!("delete auth server failed: domain '{id}' does not exist")).into());
    }
    // The first two come back by themselves.
    if id != "pam" && id != "pve" {
        world.access.realms.remove(id);
    }
    now(Value::Null)
}

//! ACME accounts and plugins, without a directory behind them.

use serde_json::{Value, json};

use super::sections;
use crate::calls::{Call, Outcome, names, now};
use crate::http::fail::Fail;
use crate::state::World;

const PLUGINS: &str = "priv/acme/plugins.cfg";
const ACCOUNTS: &str = "priv/acme";
const PATH: &str = "/cluster/acme/plugins";

pub(crate) fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("name", &["account", "tos", "meta", "directories", "plugins", "challenge-schema"]))
}

pub(crate) fn directories(_: &mut World, _: &Call<'_>) -> Outcome {
    now(json!([
        {"name": "Let's Encrypt V2", "url": "https://acme-v02.api.letsencrypt.org/directory"},
        {"name": "Let's Encrypt V2 Staging", "url": "https://acme-staging-v02.api.letsencrypt.org/directory"},
    ]))
}

pub(crate) fn tos(_: &mut World, _: &Call<'_>) -> Outcome {
    now(json!("https://letsencrypt.org/documents/LE-SA-v1.5-February-24-2025.pdf"))
}

pub(crate) fn meta(_: &mut World, _: &Call<'_>) -> Outcome {
    now(json!({
        "termsOfService": "https://letsencrypt.org/documents/LE-SA-v1.5-February-24-2025.pdf",
        "website": "https://letsencrypt.org", "caaIdentities": ["letsencrypt.org"],
    }))
}

pub(crate) fn schemas(_: &mut World, _: &Call<'_>) -> Outcome {
    now(json!([]))
}

pub(crate) fn accounts(world: &mut World, _: &Call<'_>) -> Outcome {
    now(world.cluster.file_mut(ACCOUNTS).keys().map(|name| json!({"name": name})).collect())
}

fn name(call: &Call<'_>) -> String {
    call.get("name").unwrap_or("default").to_owned()
}

fn missing(name: &str) -> Fail {
    Fail::param("name", format!("ACME account config file '{name}' does not exist."))
}

pub(crate) fn account(world: &mut World, call: &Call<'_>) -> Outcome {
    let name = name(call);
    let Some(section) = world.cluster.file_mut(ACCOUNTS).get(&name) else { return Err(missing(&name).into()) };
    let contact: Vec<String> =
        section.get("contact").map_or("", String::as_str).split(',').map(|c| format!("mailto:{c}")).collect();
    let directory = section.get("directory").cloned().unwrap_or_default();
    now(json!({
        "account": {"contact": contact, "status": "valid"}, "directory": directory,
        "location": format!("{directory}/acct/1"), "tos": section.get("tos_url"),
    }))
}

pub(crate) fn register(world: &mut World, call: &Call<'_>) -> Outcome {
    let name = name(call);
    let set = sections::settings(call, &["name"]);
    let entries = world.cluster.file_mut(ACCOUNTS);
    if entries.contains_key(&name) {
        return Err(Fail::param("name", format!("ACME account config file '{name}' already exists.")).into());
    }
    entries.insert(name, set);
    task(world, call, "acmeregister")
}

pub(crate) fn update_account(world: &mut World, call: &Call<'_>) -> Outcome {
    let name = name(call);
    let set = sections::settings(call, &["name"]);
    let Some(section) = world.cluster.file_mut(ACCOUNTS).get_mut(&name) else { return Err(missing(&name).into()) };
    section.extend(set);
    task(world, call, if call.get("contact").is_some() { "acmeupdate" } else { "acmerefresh" })
}

pub(crate) fn deactivate(world: &mut World, call: &Call<'_>) -> Outcome {
    let name = name(call);
    if world.cluster.file_mut(ACCOUNTS).remove(&name).is_none() {
        return Err(missing(&name).into());
    }
    task(world, call, "acmedeactivate")
}

fn task(world: &mut World, call: &Call<'_>, kind: &str) -> Outcome {
    let node = world.local_node();
    let job = crate::jobs::Job::Nothing { log: Vec::new() };
    now(json!(world.spawn(&node, kind, "", call.who, job, 0.1)))
}

pub(crate) fn plugins(world: &mut World, call: &Call<'_>) -> Outcome {
    let entries = world.cluster.file_mut(PLUGINS);
    let digest = sections::digest(entries);
    let mut rows = vec![json!({"plugin": "standalone", "type": "standalone", "digest": digest})];
    rows.extend(entries.iter().map(|(id, section)| plugin_row(call, id, section, &digest)));
    rows.retain(|row| call.get("type").is_none_or(|t| row["type"] == t));
    now(Value::Array(rows))
}

fn plugin_row(call: &Call<'_>, id: &str, section: &crate::state::cluster::Section, digest: &str) -> Value {
    let mut row = sections::typed(call.schema, PATH, section);
    row.insert("plugin".to_owned(), json!(id));
    row.insert("digest".to_owned(), json!(digest));
    Value::Object(row)
}

pub(crate) fn plugin(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("id");
    let entries = world.cluster.file_mut(PLUGINS);
    let digest = sections::digest(entries);
    match entries.get(id) {
        Some(section) => now(plugin_row(call, id, section, &digest)),
        None if id == "standalone" => now(json!({"plugin": id, "type": "standalone", "digest": digest})),
        None => Err(Fail::die(format!("ACME plugin '{id}' not defined")).into()),
    }
}

pub(crate) fn create_plugin(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("id");
    let entries = world.cluster.file_mut(PLUGINS);
    if entries.contains_key(id) || id == "standalone" {
        return Err(Fail::die(format!("ACME plugin ID '{id}' already exists")).into());
    }
    entries.insert(id.to_owned(), sections::settings(call, &["id"]));
    now(Value::Null)
}

pub(crate) fn update_plugin(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("id");
    let entries = world.cluster.file_mut(PLUGINS);
    sections::unchanged(call, &sections::digest(entries))?;
    let Some(section) = entries.get_mut(id) else {
        return Err(Fail::die(format!("ACME plugin '{id}' not defined")).into());
    };
    sections::change(call, PATH, section, &sections::settings(call, &["id"])).map_err(Fail::die)?;
    now(Value::Null)
}

pub(crate) fn delete_plugin(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("id");
    if world.cluster.file_mut(PLUGINS).remove(id).is_none() {
        return Err(Fail::die(format!("ACME plugin '{id}' does not exist")).into());
    }
    now(Value::Null)
}

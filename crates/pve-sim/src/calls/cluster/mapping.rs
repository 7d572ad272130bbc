//! Resource mappings: PCI and USB devices and directories under a name that every node knows.

use serde_json::{Value, json};

use super::sections::{self, Entries};
use crate::calls::{Call, Outcome, names, now};
use crate::http::fail::Fail;
use crate::schema::Kind;
use crate::state::World;

pub(crate) fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("name", &["pci", "usb", "dir"]))
}

/// `pci`, `usb` or `dir`, and the file.
fn kind<'a>(call: &'a Call<'_>) -> (&'a str, String) {
    let kind = call.method.segments.get(2).map_or("", String::as_str);
    (kind, format!("mapping/{kind}.cfg"))
}

fn path(kind: &str) -> String {
    format!("/cluster/mapping/{kind}")
}

const LOOK: [&str; 3] = ["Mapping.Modify", "Mapping.Use", "Mapping.Audit"];

/// What is wrong with the entries of one node.
fn checks(kind: &str, node: &str, entries: &[String]) -> Value {
    let here: Vec<&String> = entries.iter().filter(|e| e.split(',').any(|p| p == format!("node={node}"))).collect();
    if here.is_empty() {
        return json!([{"severity": "warning", "message": format!("No mapping for node {node}.")}]);
    }
    let missing = |entry: &&String| {
        let part = |key: &str| entry.split(',').find_map(|p| p.strip_prefix(key)).unwrap_or_default().to_owned();
        match kind {
            "pci" => format!("pci device '{}' not found\n", part("path=")),
            "usb" => format!("USB device '{}' not found\n", part("id=")),
            _ => format!("Path {} does not exist\n", part("path=")),
        }
    };
    here.iter()
        .map(|e| json!({"severity": "error", "message": format!("Invalid configuration: {}", missing(e))}))
        .collect()
}

fn lines(text: Option<&String>) -> Vec<String> {
    text.and_then(|t| serde_json::from_str(t).ok()).unwrap_or_default()
}

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let (kind, file) = kind(call);
    let empty = Entries::new();
    let entries = world.cluster.file(&file).unwrap_or(&empty);
    let digest = sections::digest(entries);
    let check = call.get("check-node");
    if let Some(node) = check.filter(|n| *n != "localhost" && world.node(n).is_none()) {
        let text = format!("hostname lookup '{node}' failed - failed to get address info for: {node}: ");
        return Err(Fail::die(text + "Name or service not known").into());
    }
    let mut rows = Vec::new();
    for (id, section) in entries {
        if world.need_any(call.who, &format!("/mapping/{kind}/{id}"), &LOOK).is_err() {
            continue;
        }
        let mut row = sections::typed(call.schema, &path(kind), section);
        row.insert("id".to_owned(), json!(id));
        row.insert("type".to_owned(), json!(kind));
        row.insert("digest".to_owned(), json!(digest));
        if let Some(node) = check {
            row.insert("checks".to_owned(), checks(kind, node, &lines(section.get("map"))));
        }
        rows.push(Value::Object(row));
    }
    now(Value::Array(rows))
}

pub(crate) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let (kind, file) = kind(call);
    let id = call.str("id");
    let entries = world.cluster.file(&file).cloned().unwrap_or_default();
    let Some(section) = entries.get(id) else {
        return Err(Fail::die(format!("mapping '{id}' not found")).into());
    };
    let mut data = sections::typed(call.schema, &path(kind), section);
    data.insert("type".to_owned(), json!(kind));
    data.insert("digest".to_owned(), json!(sections::digest(&entries)));
    now(Value::Object(data))
}

/// One entry alone comes as a text, not as a list.
fn with_list(call: &Call<'_>) -> crate::state::cluster::Section {
    let mut set = sections::settings(call, &["id"]);
    let array = call.method.params.get("map").is_some_and(|p| p.kind == Kind::Array);
    if let Some(map) = set.get_mut("map").filter(|m| array && !m.starts_with('[')) {
        *map = json!([map.as_str()]).to_string();
    }
    set
}

pub(crate) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let (kind, file) = kind(call);
    let id = call.str("id");
    let entries = world.cluster.file_mut(&file);
    if entries.contains_key(id) {
        let what = if kind == "dir" { "dir" } else { kind };
        let text = format!("create hardware mapping failed: {what} ID '{id}' already defined");
        return Err(Fail::die(text.replace("hardware mapping failed: dir", "directory mapping failed: dir")).into());
    }
    entries.insert(id.to_owned(), with_list(call));
    now(Value::Null)
}

pub(crate) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let (kind, file) = kind(call);
    let id = call.str("id");
    let failed = if kind == "dir" { "update directory mapping failed" } else { "update hardware mapping failed" };
    let fail = |text: &str| Fail::die(format!("{failed}: {text}"));
    let entries = world.cluster.file_mut(&file);
    sections::unchanged(call, &sections::digest(entries)).map_err(|f| fail(&f.line()))?;
    let Some(section) = entries.get_mut(id) else {
        return Err(fail(&format!("{kind} ID '{id}' does not exist")).into());
    };
    sections::change(call, &path(kind), section, &with_list(call)).map_err(|text| fail(&text))?;
    now(Value::Null)
}

pub(crate) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let (_, file) = kind(call);
    world.cluster.file_mut(&file).remove(call.str("id"));
    now(Value::Null)
}

//! Notifications: endpoints and matchers are kept; nothing is ever sent.

use serde_json::{Value, json};

use super::sections;
use crate::calls::{Call, Outcome, names, now};
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::cluster::Section;

const KINDS: [&str; 4] = ["sendmail", "gotify", "smtp", "webhook"];

pub(crate) fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("name", &["endpoints", "matchers", "targets", "matcher-fields", "matcher-field-values"]))
}

pub(crate) fn endpoints(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("name", &["gotify", "sendmail", "smtp", "webhook"]))
}

pub(crate) fn fields(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("name", &["type", "hostname", "job-id"]))
}

pub(crate) fn field_values(world: &mut World, _: &Call<'_>) -> Outcome {
    let types = ["package-updates", "fencing", "replication", "vzdump", "system-mail"];
    let mut rows: Vec<Value> = types.iter().map(|t| json!({"field": "type", "value": t})).collect();
    rows.extend(world.nodes.iter().map(|n| json!({"field": "hostname", "value": n.name})));
    now(Value::Array(rows))
}

/// The file, the kind of the entry, and the method that makes such entries.
fn place(call: &Call<'_>) -> (String, String, String) {
    let path = call.method.path.trim_end_matches("/{name}").to_owned();
    let kind = path.rsplit('/').next().unwrap_or_default().to_owned();
    (format!("notifications/{kind}"), kind, path)
}

fn row(call: &Call<'_>, path: &str, name: &str, section: &Section, digest: Option<&str>) -> Value {
    let mut row = sections::typed(call.schema, path, section);
    // Secrets are write-only.
    for secret in ["token", "password", "secret"] {
        row.remove(secret);
    }
    row.insert("name".to_owned(), json!(name));
    row.entry("origin").or_insert_with(|| json!("user-created"));
    if let Some(digest) = digest {
        row.remove("origin");
        row.insert("digest".to_owned(), json!(digest));
    }
    Value::Object(row)
}

/// The entries, and what is there before anybody made one.
fn entries(world: &mut World, file: &str, kind: &str) -> sections::Entries {
    let mut all = world.cluster.file(file).cloned().unwrap_or_default();
    let built_in = |pairs: &[(&str, &str)]| {
        let mut section: Section = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        section.insert("origin".to_owned(), "builtin".to_owned());
        section
    };
    match kind {
        "sendmail" if !all.contains_key("mail-to-root") => {
            let section =
                built_in(&[("comment", "Send mails to root@pam's email address"), ("mailto-user", "[\"root@pam\"]")]);
            all.insert("mail-to-root".to_owned(), section);
        }
        "matchers" if !all.contains_key("default-matcher") => {
            let text = "Route all notifications to mail-to-root";
            let section = built_in(&[("comment", text), ("mode", "all"), ("target", "[\"mail-to-root\"]")]);
            all.insert("default-matcher".to_owned(), section);
        }
        _ => {}
    }
    all
}

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let (file, kind, path) = place(call);
    let all = entries(world, &file, &kind);
    now(all.iter().map(|(name, section)| row(call, &path, name, section, None)).collect())
}

pub(crate) fn targets(world: &mut World, _: &Call<'_>) -> Outcome {
    let mut rows = Vec::new();
    for kind in KINDS {
        for (name, section) in entries(world, &format!("notifications/{kind}"), kind) {
            let origin = section.get("origin").cloned().unwrap_or_else(|| "user-created".to_owned());
            let mut row = json!({"name": name, "type": kind, "origin": origin});
            if let Some(comment) = section.get("comment") {
                row["comment"] = json!(comment);
            }
            if section.get("disable").is_some_and(|d| d == "1") {
                row["disable"] = json!(1);
            }
            rows.push(row);
        }
    }
    now(Value::Array(rows))
}

fn absent(kind: &str, name: &str) -> Fail {
    let what = if kind == "matchers" { "matcher" } else { "endpoint" };
    Fail::with(404, format!("{what} '{name}' does not exist"))
}

pub(crate) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let (file, kind, path) = place(call);
    let all = entries(world, &file, &kind);
    let name = call.str("name");
    let section = all.get(name).ok_or_else(|| absent(&kind, name))?;
    now(row(call, &path, name, section, Some(&sections::digest(&all))))
}

pub(crate) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let (file, kind, _) = place(call);
    let name = call.str("name");
    let taken = if kind == "matchers" {
        entries(world, &file, &kind).contains_key(name)
    } else {
        KINDS.iter().any(|k| entries(world, &format!("notifications/{k}"), k).contains_key(name))
    };
    if taken {
        let what = if kind == "matchers" { "matcher" } else { "target" };
        return Err(Fail::die(format!("{what} '{name}' already exists")).into());
    }
    world.cluster.file_mut(&file).insert(name.to_owned(), sections::settings(call, &["name"]));
    now(Value::Null)
}

pub(crate) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let (file, kind, path) = place(call);
    let all = entries(world, &file, &kind);
    let name = call.str("name");
    sections::unchanged(call, &sections::digest(&all))?;
    let mut section = all.get(name).ok_or_else(|| absent(&kind, name))?.clone();
    if section.contains_key("origin") {
        section.insert("origin".to_owned(), "modified-builtin".to_owned());
    }
    sections::change(call, &path, &mut section, &sections::settings(call, &["name"])).map_err(Fail::die)?;
    world.cluster.file_mut(&file).insert(name.to_owned(), section);
    now(Value::Null)
}

pub(crate) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let (file, kind, _) = place(call);
    let name = call.str("name");
    // Taking away what is built in brings back its first form.
    if world.cluster.file_mut(&file).remove(name).is_none() {
        return Err(absent(&kind, name).into());
    }
    now(Value::Null)
}

pub(crate) fn test(world: &mut World, call: &Call<'_>) -> Outcome {
    let name = call.str("name");
    let known = KINDS.iter().any(|k| entries(world, &format!("notifications/{k}"), k).contains_key(name));
    if known { now(Value::Null) } else { Err(absent("endpoint", name).into()) }
}

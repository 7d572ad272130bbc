//! Section files: what the entries of mappings, metric servers, jobs, notifications, rules have in common.
//!
//! An entry is kept as texts; how an answer shows them, and which of them may be taken away, is read off the table of
//! the method that makes entries.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use sha1::{Digest as _, Sha1};

use crate::calls::Call;
use crate::http::fail::Fail;
use crate::schema::{Kind, Method, Schema};
use crate::state::cluster::Section;

/// The entries of a file by their id.
pub(crate) type Entries = BTreeMap<String, Section>;

fn method<'a>(schema: &'a Schema, verb: &str, path: &str) -> Option<&'a Method> {
    schema.methods.iter().find(|m| m.verb == verb && m.path == path)
}

/// The parameters of a call that become settings.
pub(crate) fn settings(call: &Call<'_>, besides: &[&str]) -> Section {
    let kept = |key: &str| !["delete", "digest"].contains(&key) && !besides.contains(&key);
    call.params.iter().filter(|(k, _)| kept(k)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// An entry as answers show it: numbers as numbers, lists as lists.
pub(crate) fn typed(schema: &Schema, path: &str, section: &Section) -> Map<String, Value> {
    let method = method(schema, "POST", path);
    section
        .iter()
        .map(|(key, text)| {
            let kind = method.and_then(|m| m.params.get(key)).map_or(Kind::String, |p| p.kind);
            let value = match kind {
                Kind::Integer | Kind::Boolean => text.parse::<i64>().map_or_else(|_| json!(text), |n| json!(n)),
                Kind::Number => text.parse::<f64>().map_or_else(|_| json!(text), |n| json!(n)),
                Kind::Array => serde_json::from_str(text).unwrap_or_else(|_| json!([text])),
                Kind::String => json!(text),
            };
            (key.clone(), value)
        })
        .collect()
}

/// The digest of a file.
pub(crate) fn digest(entries: &Entries) -> String {
    let mut text = String::new();
    for (id, section) in entries {
        let _ = writeln!(text, "{id}: {section:?}");
    }
    hex::encode(Sha1::digest(text.as_bytes()))
}

/// Whether the file is still what the caller saw.
pub(crate) fn unchanged(call: &Call<'_>, now: &str) -> Result<(), Fail> {
    match call.get("digest") {
        Some(seen) if seen != now => {
            Err(Fail::die("detected modified configuration - file changed by other user? Try again."))
        }
        _ => Ok(()),
    }
}

/// Sets and takes away what a `PUT` says; `path` is the method that makes entries. The error is the text that Proxmox
/// VE dies with.
pub(crate) fn change(call: &Call<'_>, path: &str, section: &mut Section, set: &Section) -> Result<(), String> {
    let made = method(call.schema, "POST", path);
    let words: Vec<&str> =
        call.str("delete").split([',', ';', ' ', '\0']).map(str::trim).filter(|k| !k.is_empty()).collect();
    for key in &words {
        let Some(param) = made.and_then(|m| m.params.get(*key)) else {
            return Err(format!("no such option '{key}'"));
        };
        if !param.optional {
            return Err(format!("unable to delete required option '{key}'"));
        }
        if !call.method.params.contains_key(*key) {
            return Err(format!("unable to delete fixed option '{key}'"));
        }
        if set.contains_key(*key) {
            return Err(format!("cannot set and delete property '{key}' at the same time!"));
        }
    }
    for key in words {
        section.remove(key);
    }
    section.extend(set.clone());
    Ok(())
}

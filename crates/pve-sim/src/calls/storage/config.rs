//! The configuration of storages: `/storage`.
//!
//! Promises the options of each type: which there are, which are required, which can't be changed later.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};

use super::status::visible;
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::schema::split_list;
use crate::state::World;
use crate::state::storage::kind::{Kind, Sharing};
use crate::state::storage::{Layout, Storage};

/// Options that are numbers in answers.
const NUMBERS: &[&str] = &[
    "create-base-path",
    "create-subdirs",
    "fuse",
    "krbd",
    "max-protected-backups",
    "mkdir",
    "nocow",
    "nowritecache",
    "port",
    "saferemove",
    "saferemove-stepsize",
    "skip-cert-verification",
    "snapshot-as-volume-chain",
    "sparse",
    "tagged_only",
];

/// Options that are kept in files of their own, or not at all.
fn secret(kind: &str) -> &'static [&'static str] {
    match kind {
        "cifs" | "esxi" => &["password"],
        "pbs" => &["password", "encryption-key", "master-pubkey"],
        "rbd" | "cephfs" => &["keyring"],
        _ => &[],
    }
}

/// The digest of `storage.cfg`.
fn digest(world: &World) -> String {
    let mut text = String::new();
    for s in world.storages.values() {
        let (content, nodes) = (s.content_text(), s.nodes.as_ref());
        let _ = writeln!(text, "{} {} {content} {} {} {} {nodes:?}", s.id, s.kind, s.path, s.shared, s.disabled);
        let _ = writeln!(text, "{:?}", s.more);
    }
    hex::encode(Sha1::digest(text.as_bytes()))
}

fn configuration(storage: &Storage, digest: &str) -> Value {
    let mut row = json!({
        "storage": storage.id, "type": storage.kind, "content": storage.content_text(), "digest": digest,
    });
    if !storage.path.is_empty() {
        row["path"] = json!(storage.path);
    }
    if storage.shared {
        row["shared"] = json!(1);
    }
    if storage.disabled {
        row["disable"] = json!(1);
    }
    if let Some(nodes) = &storage.nodes {
        row["nodes"] = json!(nodes.iter().cloned().collect::<Vec<_>>().join(","));
    }
    for (key, value) in &storage.more {
        row[key] = if NUMBERS.contains(&key.as_str()) {
            value.parse::<i64>().map_or_else(|_| json!(value), |n| json!(n))
        } else if key == "content-dirs" {
            split_list(value).filter_map(|d| d.split_once('=')).map(|(k, v)| (k.to_owned(), json!(v))).collect()
        } else {
            json!(value)
        };
    }
    row
}

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let digest = digest(world);
    let seen = world.storages.values().filter(|s| visible(world, call.who, &s.id));
    let rows = seen.filter(|s| call.get("type").is_none_or(|t| t == s.kind)).map(|s| configuration(s, &digest));
    now(rows.collect())
}

pub(crate) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let digest = digest(world);
    now(configuration(world.storage(call.str("storage"))?, &digest))
}

/// Checks options against the type and reads them; what is not known, fixed or malformed is refused.
fn read(kind: &Kind, params: &BTreeMap<String, String>, new: bool) -> Result<BTreeMap<String, String>, String> {
    let mut options = BTreeMap::new();
    for (key, value) in params {
        let usage = kind.option(key).ok_or_else(|| format!("unexpected property '{key}'"))?;
        if !new && usage.fixed {
            return Err(format!("can't change value of fixed parameter '{key}'"));
        }
        if value.contains(['\n', '\r']) {
            return Err("property contains a line feed".to_owned());
        }
        match key.as_str() {
            "content" => {
                options.insert(key.clone(), content(kind, value)?);
            }
            "format" if !kind.formats.contains(&value.as_str()) => {}
            _ => {
                options.insert(key.clone(), value.clone());
            }
        }
    }
    if new && let Some((missing, _)) = kind.options().find(|(k, usage)| usage.required && !params.contains_key(*k)) {
        return Err(format!("missing value for required option '{missing}'"));
    }
    if let Some(path) = options.get_mut("path").filter(|_| kind.name == "dir" || kind.name == "btrfs") {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-/_.@".contains(&b);
        if path.len() < 2 || !path.starts_with('/') || !path.bytes().all(fits) {
            return Err(format!("illegal path for directory storage: {path}"));
        }
        let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
        *path = format!("/{}", parts.join("/"));
    }
    Ok(options)
}

/// Content types as far as the storage knows them; the others are dropped.
fn content(kind: &Kind, value: &str) -> Result<String, String> {
    let known: BTreeSet<&str> = split_list(value).filter(|c| kind.content.contains(c)).collect();
    if known.contains("none") && known.len() > 1 {
        return Err("unable to combine 'none' with other content types".to_owned());
    }
    if known.is_empty() && !kind.content.contains(&"none") {
        return Err("storage does not support content type 'none'".to_owned());
    }
    Ok(known.into_iter().collect::<Vec<_>>().join(","))
}

fn apply(storage: &mut Storage, options: BTreeMap<String, String>) {
    for (key, value) in options {
        match key.as_str() {
            "content" => storage.content = split_list(&value).map(str::to_owned).collect(),
            "nodes" => {
                let nodes: BTreeSet<String> = split_list(&value).map(str::to_owned).collect();
                storage.nodes = (!nodes.is_empty()).then_some(nodes);
            }
            "disable" => storage.disabled = value == "1",
            "shared" => storage.shared = value == "1",
            "path" => storage.path = value,
            _ => {
                storage.more.insert(key, value);
            }
        }
    }
}

/// The parameters without those that are kept elsewhere.
fn open(kind: &str, params: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut params = params.clone();
    for key in ["storage", "type", "digest", "delete"].iter().chain(secret(kind)) {
        params.remove(*key);
    }
    params
}

pub(crate) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let (id, kind) = (call.str("storage"), Kind::of(call.str("type")));
    let mut params = open(kind.name, &call.params);
    if params.get("nodes").is_some_and(String::is_empty) {
        params.remove("nodes");
    }
    let options = read(kind, &params, true).map_err(Fail::die)?;
    let failed = |text: &str| Fail::die(format!("create storage failed: {text}"));
    if world.storages.contains_key(id) {
        return Err(failed(&format!("storage ID '{id}' already defined")).into());
    }
    let mut storage = Storage {
        id: id.to_owned(),
        kind: kind.name.to_owned(),
        content: split_list(kind.default_content).map(str::to_owned).collect(),
        shared: kind.sharing == Sharing::Always,
        path: if kind.files() { format!("/mnt/pve/{id}") } else { String::new() },
        total: 500 << 30,
        ..Storage::default()
    };
    apply(&mut storage, options);
    if kind.layout == Layout::Lvm
        && let Some(base) = storage.more.get("base").and_then(|b| b.split(':').next())
    {
        match world.storages.get(base) {
            None => return Err(failed(&format!("base storage ID '{base}' does not exist")).into()),
            Some(s) if s.kind != "iscsi" => return Err(failed(&format!("unsupported base type '{}'", s.kind)).into()),
            Some(_) => {}
        }
    }
    let server = storage.more.get("server").is_some_and(|s| world.fixtures.unreachable.contains(s));
    if server {
        if !storage.disabled {
            return Err(failed(&format!("storage '{id}' is not online")).into());
        }
        storage.offline.insert("*".to_owned());
    }
    let mut answer = json!({"storage": id, "type": kind.name});
    if call.get("encryption-key").is_some() && kind.layout == Layout::BackupServer {
        let fingerprint = world.chance.hex(64);
        storage.more.insert("encryption-key".to_owned(), fingerprint.clone());
        if call.get("encryption-key") == Some("autogen") {
            answer["config"] = json!({"encryption-key": json!({"kdf": null, "fingerprint": fingerprint}).to_string()});
        }
    }
    world.storages.insert(id.to_owned(), storage);
    now(answer)
}

pub(crate) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("storage");
    let failed = |text: String| Fail::die(format!("update storage failed: {text}"));
    if call.get("digest").is_some_and(|d| d != digest(world)) {
        let text = "detected modified configuration - file changed by other user? Try again.";
        return Err(failed(text.to_owned()).into());
    }
    let Some(storage) = world.storages.get(id) else {
        return Err(failed(format!("storage '{id}' does not exist")).into());
    };
    let kind = storage.kind();
    let options = read(kind, &open(kind.name, &call.params), false).map_err(failed)?;
    let gone: Vec<&str> = split_list(call.str("delete")).filter(|k| !secret(kind.name).contains(k)).collect();
    for key in &gone {
        let usage = kind.option(key).ok_or_else(|| failed(format!("no such option '{key}'")))?;
        if usage.required {
            return Err(failed(format!("unable to delete required option '{key}'")).into());
        }
        if usage.fixed {
            return Err(failed(format!("unable to delete fixed option '{key}'")).into());
        }
        if options.contains_key(*key) {
            return Err(failed(format!("cannot set and delete property '{key}' at the same time!")).into());
        }
    }
    if let Some(storage) = world.storages.get_mut(id) {
        for key in gone {
            match key {
                "nodes" => storage.nodes = None,
                "disable" => storage.disabled = false,
                "shared" => storage.shared = kind.sharing == Sharing::Always,
                "content" => storage.content = split_list(kind.default_content).map(str::to_owned).collect(),
                other => {
                    storage.more.remove(other);
                }
            }
        }
        apply(storage, options);
    }
    now(json!({"storage": id, "type": kind.name}))
}

pub(crate) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("storage");
    let failed = |text: &str| Fail::die(format!("delete storage failed: {text}"));
    if !world.storages.contains_key(id) {
        return Err(failed(&format!("storage '{id}' does not exist")).into());
    }
    let based = |s: &Storage| s.more.get("base").is_some_and(|b| b.split(':').next() == Some(id));
    if world.storages.values().any(based) {
        return Err(failed("can't remove storage - storage is used as base of another storage").into());
    }
    let gone = world.storages.remove(id);
    if id == "local" {
        // It is always there.
        let total = gone.map_or(0, |s| s.total);
        let content = split_list("images,rootdir,vztmpl,iso,backup,snippets,import").map(str::to_owned).collect();
        let more = BTreeMap::from([("prune-backups".to_owned(), "keep-all=1".to_owned())]);
        let (kind, path) = ("dir".to_owned(), "/var/lib/vz".to_owned());
        let local = Storage { id: id.to_owned(), kind, content, path, total, more, ..Storage::default() };
        world.storages.insert(id.to_owned(), local);
    }
    let path = format!("/storage/{id}");
    world.access.acl.retain(|e| e.path != path);
    for pool in world.pools.values_mut() {
        pool.storages.remove(id);
    }
    now(Value::Null)
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::state::storage::kind::KINDS;

    fn params(of: &[(&str, &str)]) -> BTreeMap<String, String> {
        of.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn every_type_wants_its_own_options_and_no_others() {
        for kind in &KINDS {
            let required: Vec<(&str, &str)> =
                kind.options().filter(|(_, u)| u.required).map(|(k, _)| (k, "/x1")).collect();
            assert!(read(kind, &params(&required), true).is_ok(), "{}", kind.name);
            for (missing, _) in &required {
                let others: Vec<_> = required.iter().copied().filter(|(k, _)| k != missing).collect();
                let wrong = read(kind, &params(&others), true).unwrap_err();
                assert_eq!(wrong, format!("missing value for required option '{missing}'"));
            }
        }
        let wrong = read(Kind::of("lvmthin"), &params(&[("krbd", "1")]), true).unwrap_err();
        assert_eq!(wrong, "unexpected property 'krbd'");
        let wrong = read(Kind::of("nfs"), &params(&[("server", "192.0.2.7")]), false).unwrap_err();
        assert_eq!(wrong, "can't change value of fixed parameter 'server'");
    }

    #[test]
    fn content_that_a_type_can_not_hold_is_dropped_and_none_stands_alone() {
        assert_eq!(content(Kind::of("lvm"), "images,iso").unwrap(), "images");
        assert!(content(Kind::of("zfspool"), "backup").is_err());
        assert_eq!(content(Kind::of("dir"), "none").unwrap(), "none");
        assert!(content(Kind::of("dir"), "none,iso").is_err());
    }

    #[test]
    fn the_path_of_a_directory_is_made_plain() {
        let read = |path| read(Kind::of("dir"), &params(&[("path", path)]), true);
        assert_eq!(read("/srv//vm/./a/").unwrap()["path"], "/srv/vm/a");
        assert_eq!(read("/srv/a b").unwrap_err(), "illegal path for directory storage: /srv/a b");
    }
}

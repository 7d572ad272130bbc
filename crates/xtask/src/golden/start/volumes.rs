//! Volumes that were there: of the guests that were, and of listings.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::Plan;
use super::guests::Guest;
use super::seen::Seen;
use super::server::NODE;

/// `4M`, `1G`, or bytes.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok().map(|n| n << shift)
}

/// The volume of a drive's text, and its size.
fn of_drive(text: &str) -> Option<(String, u64)> {
    let mut parts = text.split(',');
    let first = parts.next()?;
    let volid = first.strip_prefix("file=").or(first.strip_prefix("volume=")).unwrap_or(first);
    let size = parts.find_map(|p| p.strip_prefix("size=")).and_then(bytes).unwrap_or(4 << 20);
    let (storage, name) = volid.split_once(':')?;
    let plain = !storage.is_empty() && storage.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    (plain && name.contains('/') && !storage.starts_with("order")).then(|| (volid.to_owned(), size))
}

pub(super) fn is_disk(key: &str) -> bool {
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    let stems = ["scsi", "ide", "sata", "virtio", "efidisk", "tpmstate", "unused", "mp"];
    key == "rootfs" || stem.len() < key.len() && stems.contains(&stem)
}

/// The content that a name below a directory is of.
fn content_of(name: &str) -> &'static str {
    match name.split('/').next().unwrap_or_default() {
        "iso" => "iso",
        "vztmpl" => "vztmpl",
        "backup" => "backup",
        "snippets" => "snippets",
        "import" => "import",
        _ => "images",
    }
}

fn format_of(name: &str) -> String {
    let file = name.rsplit('/').next().unwrap_or_default();
    let tail = |n: usize| file.rsplit('.').take(n).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join(".");
    if content_of(name) == "backup" { tail(2) } else { tail(1) }
}

pub(super) fn owner(name: &str) -> Option<u32> {
    let file = name.rsplit('/').next()?;
    let mut parts = file.split('-');
    match parts.next()? {
        "vm" | "base" | "subvol" => parts.next()?.parse().ok(),
        "vzdump" => parts.nth(1)?.parse().ok(),
        _ => None,
    }
}

fn entry(volid: &str, size: u64, listed: &Value) -> Option<Value> {
    let (storage, name) = volid.split_once(':')?;
    let format = listed["format"].as_str().map_or_else(|| format_of(name), str::to_owned);
    let mut parts: Vec<&str> = name.split('/').collect();
    // The name of a linked clone tells its base.
    let parent = (parts.len() == 4).then(|| parts.drain(..2).collect::<Vec<_>>().join("/"));
    Some(json!({
        "storage": storage, "node": NODE, "name": name, "content": listed["content"].as_str().unwrap_or(content_of(name)),
        "format": format, "size": listed["size"].as_u64().unwrap_or(size),
        "ctime": listed["ctime"].as_i64().unwrap_or(1_795_460_000), "parent": parent, "vmid": owner(name),
    }))
}

/// Volumes that listings show before the transcript made them, by their ids.
fn listed(seen: &[Seen]) -> BTreeMap<String, Value> {
    let mut made: BTreeSet<String> = BTreeSet::new();
    let mut guests: BTreeSet<u32> = BTreeSet::new();
    let mut first: BTreeSet<(String, String)> = BTreeSet::new();
    let mut out = BTreeMap::new();
    for one in seen {
        let Some(rest) = one.on_node() else { continue };
        let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
        match (one.method.as_str(), rest.as_slice()) {
            ("GET", ["storage", storage, "content"]) if one.ok() => {
                let what = format!("{:?}", one.query);
                let fresh = first.insert(((*storage).to_owned(), what));
                for volume in one.data.as_array().into_iter().flatten() {
                    let Some(volid) = volume["volid"].as_str() else { continue };
                    let known = made.contains(volid) || owner(volid).is_some_and(|o| guests.contains(&o));
                    if fresh && !known {
                        out.entry(volid.to_owned()).or_insert_with(|| volume.clone());
                    }
                }
            }
            ("POST", ["storage", storage, "content"]) if one.ok() => {
                made.extend(one.data.as_str().map(str::to_owned));
                made.extend(one.form.get("filename").map(|f| format!("{storage}:{f}")));
            }
            ("POST", ["storage", _, "upload" | "download-url" | "oci-registry-pull"]) => made.extend(sent(one)),
            ("POST", ["qemu" | "lxc"]) => guests.extend(one.form.get("vmid").and_then(|v| v.parse::<u32>().ok())),
            ("POST" | "PUT", ["qemu" | "lxc", vmid, ..]) => {
                guests.extend(vmid.parse::<u32>());
                guests.extend(one.form.get("newid").and_then(|v| v.parse::<u32>().ok()));
            }
            ("POST", ["vzdump"]) => guests.extend(named(one)),
            _ => {}
        }
    }
    out
}

/// Files that calls used with success without anything having made them: images, templates, archives.
fn used(seen: &[Seen]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let sent: BTreeSet<String> = seen.iter().filter_map(sent).collect();
    for one in seen.iter().filter(|s| s.done() && !s.is("GET") && s.guest().is_some() | made_guest(s)) {
        for (key, v) in &one.form {
            let file = match key.as_str() {
                "ostemplate" | "archive" => v.split(',').next(),
                k if is_disk(k) => v.split(',').next().or(v.split("import-from=").nth(1)),
                _ => None,
            };
            out.extend(
                file.filter(|f| f.contains(':') && content_of(f.split_once(':').map_or("", |x| x.1)) != "images")
                    .map(str::to_owned),
            );
            if let Some(from) = v.split(',').find_map(|p| p.strip_prefix("import-from=")) {
                out.push(from.to_owned());
            }
        }
    }
    let allocated = allocated(seen);
    let backups = seen.iter().filter(|s| s.is("POST") && s.done() && s.path.last().is_some_and(|p| p == "vzdump"));
    let backed_up: BTreeSet<u32> = backups.flat_map(named).collect();
    let archived = |volid: &str| volid.contains(":backup/") && owner(volid).is_some_and(|o| backed_up.contains(&o));
    out.retain(|volid| !sent.contains(volid) && !allocated.contains(volid) && !archived(volid));
    out
}

/// The guests that a call names.
pub(super) fn named(one: &Seen) -> Vec<u32> {
    let all = one.form.get("vmid").into_iter().flat_map(|v| v.split([',', ';', ' ']));
    all.filter_map(|v| v.parse().ok()).collect()
}

/// The volume that an upload or download makes.
fn sent(one: &Seen) -> Option<String> {
    let rest: Vec<&str> = one.on_node()?.iter().map(String::as_str).collect();
    let ["storage", storage, "upload" | "download-url" | "oci-registry-pull"] = rest.as_slice() else { return None };
    Some(format!("{storage}:{}/{}", one.form.get("content")?, one.form.get("filename")?))
}

fn made_guest(one: &Seen) -> bool {
    one.on_node()
        .is_some_and(|r| matches!(r.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), ["qemu" | "lxc"]))
}

/// Volumes that the transcript itself allocates.
pub(super) fn allocated(seen: &[Seen]) -> BTreeSet<String> {
    let made = seen
        .iter()
        .filter(|s| s.is("POST") && s.ok())
        .filter(|s| s.on_node().is_some_and(|r| r.len() == 3 && r[0] == "storage" && r[2] == "content"));
    made.filter_map(|s| s.data.as_str()).map(str::to_owned).collect()
}

/// The volume of a drive's text.
pub(super) fn volume_of(text: &str) -> Option<String> {
    of_drive(text).map(|(volid, _)| volid)
}

/// The size that some configuration tells of a volume.
pub(super) fn sized(volid: &str, seen: &[Seen]) -> Option<u64> {
    let of = |one: &Seen| {
        let all = one.data.as_object().filter(|_| one.is("GET"))?;
        all.values().filter_map(|v| v.as_str()).find_map(|text| {
            let (found, size) = of_drive(text).filter(|_| text.contains(",size="))?;
            (found == volid).then_some(size)
        })
    };
    seen.iter().filter(|s| s.path.last().is_some_and(|p| p == "config")).find_map(of)
}

/// Puts them into the state.
pub(super) fn add(plan: &mut Plan, seen: &[Seen], guests: &BTreeMap<u32, Guest>) {
    let mut volumes: BTreeMap<String, Value> = BTreeMap::new();
    for (volid, row) in listed(seen) {
        if let Some(volume) = entry(&volid, 1 << 20, &row) {
            volumes.insert(volid, volume);
        }
    }
    for volid in used(seen) {
        if let Some(volume) = entry(&volid, 1 << 20, &Value::Null) {
            volumes.entry(volid).or_insert(volume);
        }
    }
    for text in guests.values().flat_map(|g| g.config.iter().filter(|(k, _)| is_disk(k)).map(|(_, v)| v)) {
        if let Some((volid, size)) = of_drive(text)
            && let Some(volume) = entry(&volid, size, &Value::Null)
        {
            volumes.entry(volid).or_insert(volume);
        }
    }
    plan.state["volumes"] = Value::Array(volumes.into_values().collect());
}

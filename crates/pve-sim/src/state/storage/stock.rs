//! The storages that a world starts with, by their types.

use std::collections::{BTreeMap, BTreeSet};

use super::kind::{Kind, Sharing};
use super::{Layout, Storage};
use crate::schema::split_list;

/// Id, size and options.
type Stock = (&'static str, u64, &'static [(&'static str, &'static str)]);

/// A storage of a type.
fn stock(kind: &str) -> Option<Stock> {
    Some(match kind {
        "nfs" => ("shared", 4 << 40, &[("server", "192.0.2.2"), ("export", "/export/shared")]),
        "cifs" => ("share", 4 << 40, &[("server", "192.0.2.3"), ("share", "vm"), ("username", "pve")]),
        "cephfs" => ("cephfs", 8 << 40, &[("monhost", "192.0.2.5"), ("username", "admin")]),
        "rbd" => ("rbd", 8 << 40, &[("monhost", "192.0.2.5"), ("pool", "rbd"), ("username", "admin")]),
        "lvm" => ("lvm", 1 << 40, &[("vgname", "vmdata")]),
        "lvmthin" => ("local-lvm", 1 << 40, &[("vgname", "pve"), ("thinpool", "data")]),
        "zfspool" => ("local-zfs", 1 << 40, &[("pool", "rpool/data"), ("sparse", "1")]),
        "zfs" => (
            "zfs",
            4 << 40,
            &[
                ("portal", "192.0.2.6"),
                ("target", "iqn.2001-01.invalid.sim:zfs"),
                ("pool", "tank"),
                ("blocksize", "16k"),
                ("iscsiprovider", "LIO"),
            ],
        ),
        "btrfs" => ("local-btrfs", 1 << 40, &[]),
        "iscsi" => ("iscsi", 1 << 40, &[("portal", "192.0.2.6"), ("target", "iqn.2001-01.invalid.sim:lun")]),
        "iscsidirect" => ("iscsidirect", 1 << 40, &[("portal", "192.0.2.6"), ("target", "iqn.2001-01.invalid.sim:d")]),
        "pbs" => ("pbs", 8 << 40, &[("server", "192.0.2.4"), ("datastore", "main"), ("username", "sim@pbs")]),
        _ => return None,
    })
}

fn words(text: &str) -> BTreeSet<String> {
    split_list(text).map(str::to_owned).collect()
}

/// `local` is always there; with no types asked for, an NFS export beside it.
pub(crate) fn storages(kinds: &[String]) -> BTreeMap<String, Storage> {
    let local = Storage {
        id: "local".to_owned(),
        kind: "dir".to_owned(),
        content: words("iso,vztmpl,backup,snippets,import,images"),
        path: "/var/lib/vz".to_owned(),
        total: 500 << 30,
        ..Storage::default()
    };
    let asked: Vec<&str> = if kinds.is_empty() { vec!["nfs"] } else { kinds.iter().map(String::as_str).collect() };
    let others = asked.into_iter().filter_map(|kind| {
        let (id, total, options) = stock(kind)?;
        let kind = Kind::of(kind);
        let content = match kind.name {
            "nfs" | "cifs" => "images,iso,import",
            _ if kind.layout == Layout::Zfs || kind.layout == Layout::LvmThin => "images,rootdir",
            _ => kind.default_content,
        };
        let content = words(content).into_iter().filter(|c| kind.content.contains(&c.as_str())).collect();
        Some(Storage {
            id: id.to_owned(),
            kind: kind.name.to_owned(),
            content,
            shared: kind.sharing == Sharing::Always,
            path: if kind.files() { format!("/mnt/pve/{id}") } else { String::new() },
            total,
            more: options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..Storage::default()
        })
    });
    std::iter::once(local).chain(others).map(|s| (s.id.clone(), s)).collect()
}

/// Kinds of storages that a world can start with.
pub(crate) fn kinds() -> Vec<&'static str> {
    super::kind::KINDS.iter().map(|kind| kind.name).filter(|kind| has(kind)).collect()
}

/// Whether a world can start with a storage of this kind.
pub(crate) fn has(kind: &str) -> bool {
    kind == "dir" || stock(kind).is_some() // `local` is one, and always there
}

#[cfg(test)]
mod test {
    use super::super::kind::KINDS;
    use super::*;

    #[test]
    fn a_storage_of_each_type_has_what_the_type_requires() {
        for kind in KINDS.iter().filter(|k| k.name != "dir" && stock(k.name).is_some()) {
            let made = storages(&[kind.name.to_owned()]);
            let storage = made.values().find(|s| s.kind == kind.name).unwrap();
            for (option, _) in kind.options().filter(|(o, usage)| usage.required && *o != "path") {
                assert!(storage.more.contains_key(option), "{} {option}", kind.name);
            }
            assert!(storage.content.iter().all(|c| kind.content.contains(&c.as_str())), "{}", kind.name);
        }
        assert_eq!(storages(&[]).keys().collect::<Vec<_>>(), ["local", "shared"]);
    }
}

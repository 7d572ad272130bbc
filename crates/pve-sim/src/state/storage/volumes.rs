//! All volumes, found by name, by storage, by guest and by base without looking at the others.
//!
//! Written and read as a plain list in the order in which they were made.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};

use super::volume::Volume;
use crate::state::contents::Contents;

/// Bytes taken on one storage by what lies there, in both ways of counting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) written: u64,
    pub(crate) extents: u64,
}

/// All volumes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Volume>", into = "Vec<Volume>")]
pub(crate) struct Volumes {
    all: BTreeMap<u64, Volume>,
    next: u64,
    /// Storage, then name; the same name may be on several nodes.
    named: BTreeMap<String, BTreeMap<String, Vec<u64>>>,
    owned: BTreeMap<u32, BTreeSet<u64>>,
    /// Storage, then the name of the base.
    clones: BTreeMap<String, BTreeMap<String, BTreeSet<u64>>>,
    /// Storage, then node (empty for shared ones).
    sums: BTreeMap<String, BTreeMap<String, Sum>>,
    /// Where their bytes are; they come and go with them.
    contents: Contents,
}

impl From<Vec<Volume>> for Volumes {
    fn from(list: Vec<Volume>) -> Self {
        let mut volumes = Self::default();
        for volume in list {
            volumes.insert(volume);
        }
        volumes
    }
}

impl From<Volumes> for Vec<Volume> {
    fn from(volumes: Volumes) -> Self {
        volumes.all.into_values().collect()
    }
}

fn seen_from(volume: &Volume, node: &str) -> bool {
    volume.node.as_deref().is_none_or(|n| n == node)
}

impl Volumes {
    /// From now on bytes are kept there.
    pub(crate) fn keep_in(&mut self, contents: Contents) {
        self.contents = contents;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Volume> {
        self.all.values()
    }

    /// What a node sees on a storage, in order of the names.
    pub(crate) fn on<'a>(&'a self, storage: &str, node: &'a str) -> impl Iterator<Item = &'a Volume> {
        let ids = self.named.get(storage).into_iter().flat_map(BTreeMap::values).flatten();
        ids.filter_map(|id| self.all.get(id)).filter(move |v| seen_from(v, node))
    }

    /// The volumes of a guest, on all storages and nodes.
    pub(crate) fn of(&self, vmid: u32) -> impl Iterator<Item = &Volume> {
        self.owned.get(&vmid).into_iter().flatten().filter_map(|id| self.all.get(id))
    }

    fn id(&self, volid: &str, node: &str) -> Option<u64> {
        let (storage, name) = volid.split_once(':')?;
        let ids = self.named.get(storage)?.get(name)?;
        ids.iter().copied().find(|id| self.all.get(id).is_some_and(|v| seen_from(v, node)))
    }

    pub(crate) fn find(&self, volid: &str, node: &str) -> Option<&Volume> {
        self.all.get(&self.id(volid, node)?)
    }

    /// A volume to be changed, its name too; it is found under what it then is.
    pub(crate) fn find_mut(&mut self, volid: &str, node: &str) -> Option<Changing<'_>> {
        let id = self.id(volid, node)?;
        let volume = self.take(id)?;
        Some(Changing { volumes: self, id, before: volume.clone(), volume })
    }

    /// Puts a volume in place of one of the same name.
    pub(crate) fn insert(&mut self, volume: Volume) {
        let twin = self
            .named
            .get(&volume.storage)
            .and_then(|names| names.get(&volume.name))
            .and_then(|ids| ids.iter().copied().find(|id| self.all.get(id).is_some_and(|v| v.node == volume.node)));
        if let Some(twin) = twin {
            self.take(twin);
        }
        let id = self.next;
        self.next += 1;
        self.contents.made(&volume);
        self.put(id, volume);
    }

    pub(crate) fn remove(&mut self, volid: &str, node: &str) -> Option<Volume> {
        let id = self.id(volid, node)?;
        let gone = self.take(id)?;
        self.contents.remove(&gone);
        Some(gone)
    }

    fn put(&mut self, id: u64, volume: Volume) {
        self.named.entry(volume.storage.clone()).or_default().entry(volume.name.clone()).or_default().push(id);
        if let Some(vmid) = volume.vmid {
            self.owned.entry(vmid).or_default().insert(id);
        }
        if let Some(parent) = &volume.parent {
            let bases = self.clones.entry(volume.storage.clone()).or_default();
            bases.entry(parent.clone()).or_default().insert(id);
        }
        let sum = self.sum_mut(&volume);
        sum.written = sum.written.saturating_add(volume.used());
        sum.extents = sum.extents.saturating_add(volume.extents());
        self.all.insert(id, volume);
    }

    fn take(&mut self, id: u64) -> Option<Volume> {
        let volume = self.all.remove(&id)?;
        if let Some(names) = self.named.get_mut(&volume.storage)
            && let Some(ids) = names.get_mut(&volume.name)
        {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                names.remove(&volume.name);
            }
        }
        if let Some(vmid) = volume.vmid
            && let Some(ids) = self.owned.get_mut(&vmid)
        {
            ids.remove(&id);
            if ids.is_empty() {
                self.owned.remove(&vmid);
            }
        }
        if let Some(parent) = &volume.parent
            && let Some(bases) = self.clones.get_mut(&volume.storage)
            && let Some(ids) = bases.get_mut(parent)
        {
            ids.remove(&id);
            if ids.is_empty() {
                bases.remove(parent);
            }
        }
        let sum = self.sum_mut(&volume);
        sum.written = sum.written.saturating_sub(volume.used());
        sum.extents = sum.extents.saturating_sub(volume.extents());
        Some(volume)
    }

    fn sum_mut(&mut self, volume: &Volume) -> &mut Sum {
        let node = volume.node.clone().unwrap_or_default();
        self.sums.entry(volume.storage.clone()).or_default().entry(node).or_default()
    }

    /// What is taken on a storage as a node sees it.
    pub(crate) fn sum(&self, storage: &str, node: &str) -> Sum {
        let Some(nodes) = self.sums.get(storage) else { return Sum::default() };
        let of = |node: &str| nodes.get(node).copied().unwrap_or_default();
        let (here, shared) = (of(node), of(""));
        Sum { written: here.written + shared.written, extents: here.extents + shared.extents }
    }

    /// Whether a linked clone hangs on this base.
    pub(crate) fn is_base_in_use(&self, volume: &Volume) -> bool {
        let ids = self.clones.get(&volume.storage).and_then(|bases| bases.get(&volume.name));
        ids.into_iter().flatten().filter_map(|id| self.all.get(id)).any(|v| v.node == volume.node)
    }
}

/// A volume that is being changed; it goes back when this is dropped.
#[derive(Debug)]
pub(crate) struct Changing<'a> {
    volumes: &'a mut Volumes,
    id: u64,
    before: Volume,
    volume: Volume,
}

impl Deref for Changing<'_> {
    type Target = Volume;

    fn deref(&self) -> &Volume {
        &self.volume
    }
}

impl DerefMut for Changing<'_> {
    fn deref_mut(&mut self) -> &mut Volume {
        &mut self.volume
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        let volume = std::mem::take(&mut self.volume);
        self.volumes.contents.changed(&self.before, &volume);
        self.volumes.put(self.id, volume);
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn disk(storage: &str, node: Option<&str>, name: &str, vmid: u32) -> Volume {
        Volume {
            storage: storage.to_owned(),
            node: node.map(str::to_owned),
            name: name.to_owned(),
            content: "images".to_owned(),
            format: "raw".to_owned(),
            size: 1 << 30,
            vmid: Some(vmid),
            ..Volume::default()
        }
    }

    #[test]
    fn a_renamed_volume_is_found_under_its_new_name_and_by_its_new_owner() {
        let mut volumes = Volumes::default();
        volumes.insert(disk("tank", Some("pve1"), "vm-300-disk-0", 300));
        let mut volume = volumes.find_mut("tank:vm-300-disk-0", "pve1").unwrap();
        volume.name = "vm-301-disk-0".to_owned();
        volume.vmid = Some(301);
        volume.size = 2 << 30;
        drop(volume);
        assert!(volumes.find("tank:vm-300-disk-0", "pve1").is_none());
        assert_eq!(volumes.of(300).count(), 0);
        assert_eq!(volumes.of(301).next().unwrap().name, "vm-301-disk-0");
        assert_eq!(volumes.sum("tank", "pve1").extents, 2 << 30);
        assert_eq!(volumes.sum("tank", "pve2").extents, 0);
    }

    #[test]
    fn local_storages_have_the_same_name_once_a_node() {
        let mut volumes = Volumes::default();
        volumes.insert(disk("local", Some("pve1"), "300/vm-300-disk-0.raw", 300));
        volumes.insert(disk("local", Some("pve2"), "300/vm-300-disk-0.raw", 300));
        volumes.insert(disk("local", Some("pve2"), "300/vm-300-disk-0.raw", 300));
        assert_eq!(volumes.iter().count(), 2);
        assert!(volumes.remove("local:300/vm-300-disk-0.raw", "pve3").is_none());
        volumes.remove("local:300/vm-300-disk-0.raw", "pve1");
        assert!(volumes.find("local:300/vm-300-disk-0.raw", "pve2").is_some());
        assert_eq!(volumes.on("local", "pve1").count(), 0);
    }

    #[test]
    fn a_base_is_in_use_as_long_as_a_clone_hangs_on_it() {
        let mut volumes = Volumes::default();
        let base = disk("ceph", None, "base-900-disk-0", 900);
        volumes.insert(base.clone());
        let mut clone = disk("ceph", None, "base-900-disk-0/vm-901-disk-0", 901);
        clone.parent = Some(base.name.clone());
        volumes.insert(clone.clone());
        assert!(volumes.is_base_in_use(&base));
        volumes.remove(&clone.volid(), "pve2");
        assert!(!volumes.is_base_in_use(&base));
    }

    #[test]
    fn they_are_written_and_read_as_a_list_in_the_order_in_which_they_were_made() {
        let mut volumes = Volumes::default();
        volumes.insert(disk("tank", None, "vm-302-disk-0", 302));
        volumes.insert(disk("tank", None, "vm-301-disk-0", 301));
        let text = serde_json::to_string(&volumes).unwrap();
        let again: Volumes = serde_json::from_str(&text).unwrap();
        assert_eq!(again.iter().map(|v| v.vmid).collect::<Vec<_>>(), [Some(302), Some(301)]);
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
    }
}

//! How full storages are.

use super::kind::{Layout, Space};
use super::{Storage, Volumes};
use crate::state::World;

/// The state of a storage as a node sees it, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fill {
    pub(crate) total: u64,
    pub(crate) used: u64,
    pub(crate) avail: u64,
}

impl Storage {
    /// Bytes that others than its volumes take.
    pub(crate) fn foreign(&self) -> u64 {
        self.foreign.unwrap_or(if self.kind().files() { 2 << 30 } else { 0 })
    }

    pub(crate) fn fill(&self, volumes: &Volumes, node: &str) -> Fill {
        let sum = volumes.sum(&self.id, node);
        let volumes = match self.kind().space {
            Space::Thin => sum.written,
            Space::Reserved if self.option("sparse") == "1" => sum.written,
            Space::Thick | Space::Reserved => sum.extents,
            Space::Foreign => 0,
        };
        if matches!(self.kind().layout, Layout::Iscsi | Layout::IscsiDirect) {
            return Fill::default();
        }
        let used = self.foreign().saturating_add(volumes).min(self.total);
        Fill { total: self.total, used, avail: self.total - used }
    }
}

impl World {
    /// Bytes used on a storage.
    pub(crate) fn used(&self, storage: &Storage, node: &str) -> u64 {
        storage.fill(&self.volumes, node).used
    }
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::state::storage::Volume;
    use crate::{Options, state::default_world};

    fn with_disk(kind: &str, options: &[(&str, &str)], size: u64) -> Fill {
        let storage = Storage {
            id: "s1".to_owned(),
            kind: kind.to_owned(),
            total: 100 << 30,
            more: options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            foreign: Some(0),
            ..Storage::default()
        };
        let mut volumes = Volumes::default();
        let content = "images".to_owned();
        volumes.insert(Volume { storage: "s1".to_owned(), content, size, ..Volume::default() });
        storage.fill(&volumes, "pve1")
    }

    #[test]
    fn thick_volumes_take_whole_extents_and_thin_ones_what_was_written() {
        assert_eq!(with_disk("lvm", &[], (10 << 30) + 1).used, (10 << 30) + (4 << 20));
        assert!(with_disk("lvmthin", &[], 10 << 30).used < 1 << 20);
        assert_eq!(with_disk("zfspool", &[], 10 << 30).used, 10 << 30);
        assert!(with_disk("zfspool", &[("sparse", "1")], 10 << 30).used < 1 << 20);
    }

    #[test]
    fn a_storage_that_is_made_full_keeps_its_size() {
        let mut world = default_world::build(&Options::default(), 0.0, "AA");
        let fill = |world: &World| world.storages["shared"].fill(&world.volumes, "pve1");
        let before = fill(&world);
        assert!(world.storage_full("shared") && world.storage_full("shared"));
        assert_eq!(fill(&world), Fill { used: before.total, avail: 0, ..before });
        assert!(world.storage_freed("shared") && !world.storage_freed("shared"));
        assert_eq!(fill(&world), before);
    }

    #[test]
    fn thin_storages_may_be_promised_more_than_once() {
        let fill = with_disk("rbd", &[], 900 << 30);
        assert_eq!(fill.total, fill.used + fill.avail);
        assert!(fill.avail > 99 << 30);
    }
}

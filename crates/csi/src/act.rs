//! Steps become calls: an arm a step, and no condition on the world.
//!
//! Whatever is written, what was read of the VM before counts for nothing afterwards, whether an answer came or not.

use std::collections::BTreeMap;

use plan::volume::{Detach, MakeHolder, Slot, Step};
use pve::{Allocation, ConfigUpdate, Error, Freed};
use pve_types::{DiskSpec, Upid, VolumeId};

use crate::region::Region;

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Acted {
    /// It is done.
    Done,
    /// A volume was made.
    Allocated(VolumeId),
    /// A task was started, and has to be waited for.
    Task(Upid),
}

/// What we are about to do, in words.
pub(crate) fn words(step: &Step) -> String {
    match step {
        Step::Allocate { holder, storage, file, size, .. } => {
            format!("allocate `{file}` of {size} on `{storage}` for {}", holder.at())
        }
        Step::Attach { vm, slot, disk, .. } => format!("attach `{}` to {vm} as {slot}", disk.file),
        Step::Detach { vm, key, volume, .. } => format!("detach `{volume}` ({key}) from {vm}"),
        Step::Revert { vm, key, .. } => format!("take back the change of {key} that waits on {vm}"),
        Step::Offer { holder, volume, .. } => format!("write `{volume}` into its holder, {}", holder.at()),
        Step::Free { holder, volume, .. } => format!("free `{volume}` through its holder, {}", holder.at()),
        Step::Hold { holder, slot, volume, .. } => {
            format!("plug `{volume}` into its holder, {}, as {slot}", holder.at())
        }
        Step::Grow { vm, key, volume, size, .. } => format!("grow `{volume}` ({key} of {vm}) to {size}"),
        Step::Copy { holder, slot, of, .. } => format!("copy `{}` into {slot} of {}", of.source, holder.at()),
    }
}

fn one(key: impl Into<String>, value: &impl ToString) -> BTreeMap<String, String> {
    BTreeMap::from([(key.into(), value.to_string())])
}

fn flag(set: &mut BTreeMap<String, String>, protection: &str) {
    set.insert("protection".to_owned(), protection.to_owned());
}

fn kept(volume: &VolumeId) -> DiskSpec {
    let mut disk = DiskSpec::of(volume.clone());
    // Backups of the holder leave it alone: a worker may be writing to it.
    disk.options.insert("backup".to_owned(), "0".to_owned());
    disk
}

impl Region {
    /// Carries out a step. A digest that no longer fits is the error [`pve::Refusal::DigestConflict`].
    pub(crate) async fn act(&self, step: &Step) -> Result<Acted, Error> {
        tracing::info!(region = self.name, "{}", words(step));
        match step {
            Step::Allocate { holder, storage, file, size, format } => {
                let format = Some(format.as_str().to_owned());
                let order = Allocation { vmid: holder.vmid(), filename: file.clone(), size: *size, format };
                self.client.allocate(&holder.at().node, storage, &order).await.map(Acted::Allocated)
            }
            Step::Attach { vm, slot, disk, digest } => {
                let set = one(slot.to_string(), disk);
                let update = ConfigUpdate { set, digest: Some(digest.clone()), ..ConfigUpdate::default() };
                self.change(vm, disk.volume(), update).await
            }
            Step::Detach { vm, key, volume, digest, why } => {
                match (why, key.parse::<Slot>()) {
                    (Detach::Spoiled, Ok(slot)) => self.spoil(vm.vm, slot),
                    (Detach::Spoiled | Detach::Wanted, _) => {}
                }
                let delete = vec![key.clone()];
                let update = ConfigUpdate { delete, digest: Some(digest.clone()), ..ConfigUpdate::default() };
                self.change(vm, Some(volume), update).await
            }
            Step::Revert { vm, key, volume, digest } => {
                let revert = vec![key.clone()];
                let update = ConfigUpdate { revert, digest: Some(digest.clone()), ..ConfigUpdate::default() };
                self.change(vm, Some(volume), update).await
            }
            Step::Offer { holder, unused, volume, digest } => {
                let mut set: BTreeMap<String, String> =
                    unused.iter().map(|key| (key.clone(), volume.to_string())).collect();
                flag(&mut set, "0");
                let update = ConfigUpdate { set, digest: Some(digest.clone()), ..ConfigUpdate::default() };
                self.change(holder.at(), Some(volume), update).await
            }
            Step::Free { holder, keys, volume, notes, digest } => {
                let mut set: BTreeMap<String, String> =
                    notes.iter().map(|notes| ("description".to_owned(), notes.clone())).collect();
                flag(&mut set, "1");
                let update = ConfigUpdate {
                    set,
                    delete: keys.clone(),
                    digest: Some(digest.clone()),
                    freed: Freed::Yes,
                    ..ConfigUpdate::default()
                };
                self.change(holder.at(), Some(volume), update).await
            }
            Step::Hold { holder, slot, volume, digest } => {
                let set = one(slot.to_string(), &kept(volume));
                let update = ConfigUpdate { set, digest: Some(digest.clone()), ..ConfigUpdate::default() };
                self.change(holder.at(), Some(volume), update).await
            }
            Step::Grow { vm, key, volume, size, digest } => {
                self.written(vm.vm, volume);
                self.client.resize_if(&vm.node, vm.vm, key, *size, Some(digest)).await.map(Acted::Task)
            }
            Step::Copy { holder, slot, of, storage, format, notes, digest } => {
                let format = format.map(|format| format!(",format={}", format.as_str())).unwrap_or_default();
                let disk = format!("{storage}:0,import-from={}{format},serial={},backup=0", of.source, of.serial());
                let mut set = one(slot.to_string(), &disk);
                set.insert("description".to_owned(), notes.clone());
                let update = ConfigUpdate { set, digest: Some(digest.clone()), ..ConfigUpdate::default() };
                let at = holder.at();
                self.written(at.vm, &of.source);
                let task = self.client.update_config_task(&at.node, at.vm, &update).await?;
                Ok(task.map_or(Acted::Done, Acted::Task))
            }
        }
    }

    async fn change(
        &self,
        at: &plan::volume::At,
        volume: Option<&VolumeId>,
        update: ConfigUpdate,
    ) -> Result<Acted, Error> {
        let written = || volume.into_iter().for_each(|volume| self.written(at.vm, volume));
        written();
        let done = self.client.update_config(&at.node, at.vm, &update).await;
        // Somebody may have read it while it was written.
        written();
        done.map(|()| Acted::Done)
    }

    /// Makes a holder: stopped, protected, without disks. What else a VM has needs more rights and is not needed.
    pub(crate) async fn make_holder(&self, order: &MakeHolder) -> Result<Upid, Error> {
        let MakeHolder { vmid, node, name, notes } = order;
        tracing::info!(region = self.name, %vmid, %node, name, "make a holder");
        let mut keys: BTreeMap<String, String> = [("name", name.as_str()), ("description", notes), ("protection", "1")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        if let Some(pool) = &self.pool {
            keys.insert("pool".to_owned(), pool.to_string());
        }
        self.client.create_guest(node, *vmid, &keys).await
    }
}

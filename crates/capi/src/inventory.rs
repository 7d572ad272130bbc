//! The poller's reading in the words of `plan`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use plan::Seen;
use plan::inventory::{GuestRow, Inventory, NodeRow, StorageRow};
use pve::{GuestKind, GuestStatus, Resources, Snapshot};

/// Conversions of the last readings: one for each, whoever asks.
#[derive(Default)]
pub(crate) struct Inventories(Mutex<HashMap<usize, (u64, Arc<Inventory>)>>);

impl Inventories {
    /// What a reading holds. `of` tells connections apart.
    pub(crate) fn read(&self, of: &Arc<crate::connection::Connection>, snapshot: &Snapshot) -> Seen<Arc<Inventory>> {
        let resources = match &snapshot.resources {
            Ok(resources) => resources,
            Err(_) if snapshot.sequence == 0 => return Seen::Unasked,
            Err(why) => {
                let hint = why.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
                return Seen::Unread(format!("{}{hint}", daemon::chain(&**why)));
            }
        };
        let key = Arc::as_ptr(of) as usize;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(&key) {
            Some((sequence, inventory)) if *sequence == snapshot.sequence => Seen::Known(inventory.clone()),
            _ => {
                let inventory = Arc::new(convert(resources, snapshot.sequence));
                known.insert(key, (snapshot.sequence, inventory.clone()));
                Seen::Known(inventory)
            }
        }
    }
}

fn convert(resources: &Resources, sequence: u64) -> Inventory {
    let guests = resources.guests.values().map(|row| GuestRow {
        vmid: row.vmid,
        node: row.node.clone(),
        name: row.name.clone(),
        running: match (&row.kind, &row.status) {
            (GuestKind::Lxc, _) | (_, None | Some(GuestStatus::Unknown)) => None,
            (GuestKind::Qemu, Some(status)) => Some(*status != GuestStatus::Stopped),
        },
        template: row.template,
        tags: row.tags.clone(),
        lock: row.lock.clone(),
        maxmem: row.maxmem.unwrap_or(0),
    });
    let nodes =
        resources.nodes.values().map(|row| NodeRow { node: row.node.clone(), online: row.online, maxmem: row.maxmem });
    let storages = resources.storages.iter().map(|row| StorageRow {
        storage: row.storage.clone(),
        node: row.node.clone(),
        shared: row.shared,
        content: row.content.clone(),
        available: row.available,
    });
    Inventory { guests: guests.collect(), nodes: nodes.collect(), storages: storages.collect(), sequence }
}

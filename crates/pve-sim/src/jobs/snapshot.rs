//! Snapshots of configurations; the simulated disks have no content to keep.

use serde::{Deserialize, Serialize};

use crate::state::World;
use crate::state::drive::{file_of, is_unused_key};
use crate::state::guest;
use crate::state::storage::alloc::Keeping;

/// Work on a snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Snapshot {
    Create { vmid: u32, name: String, description: String, vmstate: bool },
    Delete { vmid: u32, name: String },
    Rollback { vmid: u32, name: String, start: bool },
}

impl Snapshot {
    pub(crate) fn vmid(&self) -> u32 {
        match self {
            Self::Create { vmid, .. } | Self::Delete { vmid, .. } | Self::Rollback { vmid, .. } => *vmid,
        }
    }
}

pub(crate) fn step(world: &mut World, snapshot: &Snapshot) -> Result<(), String> {
    let snaptime = world.seconds();
    match snapshot {
        Snapshot::Create { vmid, name, description, vmstate } => {
            let guest = world.guests.get_mut(vmid).ok_or_else(|| format!("VM {vmid} vanished"))?;
            unlocked(guest)?;
            if guest.snapshots.contains_key(name) {
                return Err(format!("snapshot name '{name}' already used"));
            }
            if guest.is_template() {
                return Err("you can't take a snapshot if it's a template".to_owned());
            }
            if let Some(why) = world.cannot_keep(*vmid, name) {
                return Err(why);
            }
            let Some(guest) = world.guests.get_mut(vmid) else { return Ok(()) };
            let kept = guest::Snapshot {
                config: without_unused(&guest.config),
                snaptime,
                description: description.clone(),
                vmstate: *vmstate,
                parent: guest.parent.clone(),
            };
            guest.snapshots.insert(name.clone(), kept);
            guest.parent = Some(name.clone());
            world.snapshot_contents(*vmid, name, Keeping::Keep);
            world.snapshots_changed(*vmid);
        }
        Snapshot::Delete { vmid, name } => {
            let why = world.cannot_forget(*vmid, name);
            let guest = world.guests.get_mut(vmid).ok_or_else(|| format!("VM {vmid} vanished"))?;
            unlocked(guest)?;
            if let Some(why) = why {
                guest.config.insert("lock".to_owned(), "snapshot-delete".to_owned());
                return Err(why);
            }
            let Some(gone) = guest.snapshots.remove(name) else {
                return Err(format!("snapshot '{name}' does not exist"));
            };
            for other in guest.snapshots.values_mut().filter(|s| s.parent.as_deref() == Some(name)) {
                other.parent.clone_from(&gone.parent);
            }
            if guest.parent.as_deref() == Some(name) {
                guest.parent = gone.parent;
            }
            world.snapshot_contents(*vmid, name, Keeping::Forget);
            world.snapshots_changed(*vmid);
        }
        Snapshot::Rollback { vmid, name, start } => {
            let guest = world.guests.get(vmid).ok_or_else(|| format!("VM {vmid} vanished"))?;
            unlocked(guest)?;
            let Some(kept) = guest.snapshots.get(name).cloned() else {
                return Err(format!("snapshot '{name}' does not exist"));
            };
            if guest.running() {
                world.powered_off(*vmid);
            }
            if let Some(guest) = world.guests.get_mut(vmid) {
                let unused: Vec<(String, String)> = guest
                    .config
                    .iter()
                    .filter(|(k, v)| is_unused_key(k) && !kept.config.values().any(|text| file_of(text) == *v))
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .collect();
                guest.config = without_unused(&kept.config);
                guest.config.extend(unused);
                guest.pending.clear();
                guest.parent = Some(name.clone());
            }
            world.snapshot_contents(*vmid, name, Keeping::BringBack);
            world.snapshots_changed(*vmid);
            if *start || kept.vmstate {
                world.power_on(*vmid);
            }
        }
    }
    Ok(())
}

/// What no drive has is not of the snapshot's, and stays when it comes back.
fn without_unused(config: &guest::Config) -> guest::Config {
    config.iter().filter(|(k, _)| !is_unused_key(k)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn unlocked(guest: &guest::Guest) -> Result<(), String> {
    guest.get("lock").map_or(Ok(()), |lock| Err(format!("VM is locked ({lock})")))
}

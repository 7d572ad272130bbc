//! The lock files of guests: who holds one, and until when.
//!
//! A task holds a lock for as long as it lasts; [`super::guest::Guest::locked_until`] is for holders that are no task.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::World;
use crate::http::fail::Fail;

/// How a lock file is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Hold {
    /// Others may hold it shared too.
    Shared,
    Exclusive,
}

/// The tasks that hold a guest's lock file.
pub(crate) type Holders = BTreeMap<String, Hold>;

impl World {
    /// Whether somebody else keeps a lock file from being taken in this way.
    pub(crate) fn is_flocked(&self, vmid: u32, by: Option<&str>, hold: Hold) -> bool {
        let Some(guest) = self.guests.get(&vmid) else { return false };
        guest.locked_until > self.now
            || guest.holders.iter().any(|(upid, theirs)| {
                Some(upid.as_str()) != by
                    && self.active.contains(upid)
                    && (hold == Hold::Exclusive || *theirs == Hold::Exclusive)
            })
    }

    /// A task takes a lock file, which it holds until it ends.
    pub(crate) fn hold(&mut self, vmid: u32, upid: &str, hold: Hold) {
        let Self { guests, active, .. } = self;
        if let Some(guest) = guests.get_mut(&vmid) {
            guest.holders.retain(|holder, _| active.contains(holder));
            guest.holders.insert(upid.to_owned(), hold);
        }
    }

    /// What is said when a lock file can't be had in time.
    pub(crate) fn lock_timeout(&self, vmid: u32) -> String {
        let folder = self.guests.get(&vmid).map_or("qemu-server", |g| g.kind.lock_folder());
        let file = if folder == "lxc" { format!("pve-config-{vmid}.lock") } else { format!("lock-{vmid}.conf") };
        let root = if folder == "lxc" { "/run/lock" } else { "/var/lock" };
        format!("can't lock file '{root}/{folder}/{file}' - got timeout")
    }

    /// The same as a failure of a call.
    pub(crate) fn lock_failure(&self, vmid: u32) -> Fail {
        Fail::die(self.lock_timeout(vmid))
    }
}

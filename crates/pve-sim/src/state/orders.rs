//! What a fault ordered for one call, and for the task that it starts.

use serde::{Deserialize, Serialize};

use crate::faults::Then;

/// Orders; none by default. While a handler or the step of a task runs they are in [`super::World::orders`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Orders {
    /// The task that is started fails with this text.
    pub(crate) task_fails: Option<String>,
    /// Plugging something into a running guest fails with this text.
    pub(crate) plug_fails: Option<String>,
    /// A running guest doesn't let go of what is unplugged.
    pub(crate) unplug_refused: bool,
    /// Somebody else takes the number that the call asks for.
    pub(crate) vmid_taken: bool,
}

impl Orders {
    /// What these faults order for a call; `{vmid}` in a text is the guest's number.
    pub(crate) fn of(faults: &[Then], verb: &str, path: &str) -> Self {
        let mut orders = Self::default();
        for fault in faults {
            match fault {
                Then::TaskFails(text) => orders.task_fails = Some(numbered(text, path)),
                Then::PlugFails(text) => orders.plug_fails = Some(numbered(text, path)),
                Then::UnplugRefused => orders.unplug_refused = true,
                Then::VmidTaken => orders.vmid_taken = true,
                Then::LockHeld if !locks_itself(verb, path) => orders.task_fails = Some(no_lock(path)),
                _ => {}
            }
        }
        orders
    }

    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether the call takes its lock before it answers; else the worker does that it starts.
pub(crate) fn locks_itself(verb: &str, path: &str) -> bool {
    verb == "PUT" || path.ends_with("/config")
}

/// What somebody says who did not get the lock.
pub(crate) fn no_lock(path: &str) -> String {
    format!("can't lock file '{}' - got timeout", lock_file(path))
}

/// The word after this one in the path.
fn after<'a>(path: &'a str, word: &str) -> Option<&'a str> {
    let mut words = path.split('/');
    words.by_ref().find(|w| *w == word).and_then(|_| words.next())
}

/// A text that may name the guest in the path.
fn numbered(text: &str, path: &str) -> String {
    let vmid = after(path, "qemu").or_else(|| after(path, "lxc")).unwrap_or_default();
    text.replace("{vmid}", vmid)
}

/// The file that calls for this path lock.
fn lock_file(path: &str) -> String {
    let after = |word: &str| after(path, word);
    if let Some(vmid) = after("qemu") {
        return format!("/var/lock/qemu-server/lock-{vmid}.conf");
    }
    if let Some(vmid) = after("lxc") {
        return format!("/run/lock/lxc/pve-config-{vmid}.lock");
    }
    match after("storage") {
        Some(storage) => format!("/var/lock/pve-manager/pve-storage-{storage}"),
        None => "/var/lock/pve-manager/pve-cluster".to_owned(),
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_text_names_the_guest_of_the_call() {
        let faults = [Then::TaskFails("VM {vmid} is gone".to_owned())];
        let orders = Orders::of(&faults, "DELETE", "/nodes/n/qemu/104");
        assert_eq!(orders.task_fails.as_deref(), Some("VM 104 is gone"));
    }

    #[test]
    fn a_lock_file_is_that_of_the_guest_or_the_storage_in_the_path() {
        assert_eq!(lock_file("/nodes/n/qemu/104/config"), "/var/lock/qemu-server/lock-104.conf");
        assert_eq!(lock_file("/nodes/n/lxc/7/config"), "/run/lock/lxc/pve-config-7.lock");
        assert_eq!(lock_file("/nodes/n/storage/big/content"), "/var/lock/pve-manager/pve-storage-big");
    }
}

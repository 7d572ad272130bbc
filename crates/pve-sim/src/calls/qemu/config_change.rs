//! Changing a VM's configuration.
//!
//! ```text
//! rights of the keys ──► lock file ──► digest, lock ──► each key is written as pending
//!     ──► stopped: all that is pending is applied      ([`apply_pending`])
//!     ──► running: what can be plugged is, the rest waits ([`super::hotplug`])
//! ```
//!
//! As in Proxmox VE a change that fails half way leaves pending what it had written before.

use super::rights::{self, Wish};
use super::{drives, hotplug, values};
use crate::http::fail::Fail;
use crate::perm::Who;
use crate::schema::Schema;
use crate::state::World;
use crate::state::drive::{file_of, is_cdrom, is_drive_key, is_net_key, is_unused_key, option_of};
use crate::state::guest::{Config, Guest, Pending};
use crate::state::storage::owner;

/// Parameters of a change that are not configuration.
const META: &[&str] = &[
    "node",
    "vmid",
    "delete",
    "revert",
    "force",
    "digest",
    "skiplock",
    "background_delay",
    "pool",
    "storage",
    "start",
    "archive",
    "unique",
    "bwlimit",
    "live-restore",
    "ha-managed",
    "import-working-storage",
];

/// The configuration of a change: its parameters without those that steer it.
pub(crate) fn configuration(params: &Config) -> Config {
    params.iter().filter(|(k, _)| !META.contains(&k.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// The words of a list parameter.
pub(super) fn list(params: &Config, name: &str) -> Vec<String> {
    let text = params.get(name).map_or("", String::as_str);
    text.split([',', ';', ' ']).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

/// What is wrong with a change before anybody's rights are looked at.
pub(crate) fn shape(schema: &Schema, who: &Who, params: &Config) -> Result<(), Fail> {
    if params.get("skiplock").is_some_and(|s| s == "1") && !who.is_root() {
        return Err(Fail::param("skiplock", "Only root may use this option."));
    }
    let (delete, revert) = (list(params, "delete"), list(params, "revert"));
    let set = configuration(params);
    if set.is_empty() && delete.is_empty() && revert.is_empty() {
        return Err(Fail::die("no options specified"));
    }
    for key in &revert {
        if !rights::is_known(key) {
            return Err(Fail::param("revert", format!("unknown option '{key}'")));
        }
        if set.contains_key(key) {
            return Err(Fail::param("delete", format!("you can't use '-{key}' and -revert {key}' at the same time")));
        }
    }
    for key in &delete {
        if set.contains_key(key) {
            return Err(Fail::param("delete", format!("you can't use '-{key}' and -delete {key}' at the same time")));
        }
        if revert.contains(key) {
            let text = format!("you can't use '-delete {key}' and -revert {key}' at the same time");
            return Err(Fail::param("revert", text));
        }
        if !rights::is_known(key) {
            return Err(Fail::param("delete", format!("unknown option '{key}'")));
        }
    }
    set.iter().filter(|(k, _)| is_drive_key(k)).try_for_each(|(key, text)| drives::check_shape(schema, key, text))
}

/// What is refused when the configuration is read.
pub(crate) fn early(world: &World, node: &str, vmid: u32, params: &Config) -> Result<(), Fail> {
    let guest = world.guest(node, vmid)?;
    if let Some(digest) = params.get("digest")
        && *digest != guest.digest()
    {
        return Err(Fail::die("checksum mismatch (file change by other user?)"));
    }
    let wakes = guest.get("lock") == Some("suspended") && list(params, "delete").iter().any(|k| k == "vmstate");
    if params.get("skiplock").is_none_or(|s| s != "1")
        && let Some(lock) = guest.get("lock").filter(|_| !wakes)
    {
        return Err(Fail::die(format!("VM is locked ({lock})")));
    }
    let number = |text: &str| text.strip_prefix("current=").unwrap_or(text).parse::<u64>().ok();
    let future = guest.future();
    let value = |key: &str| params.get(key).or_else(|| future.get(key)).and_then(|v| number(v));
    if (params.contains_key("memory") || params.contains_key("balloon"))
        && value("balloon").is_some_and(|b| b > value("memory").unwrap_or(512))
    {
        return Err(Fail::die("balloon value too large (must be smaller than assigned memory)"));
    }
    Ok(())
}

/// Applies a change, as a task does it.
pub(crate) fn in_task(world: &mut World, upid: &str, node: &str, vmid: u32, params: &Config) -> Result<(), String> {
    let who = world.tasks.get(upid).map_or_else(|| Who("root@pam".to_owned()), |t| t.who.clone());
    let wish = Wish { who: &who, node, vmid, params, pool: None };
    apply(world, Schema::get(), wish, Some(upid)).map_err(|fail| fail.line())
}

/// Applies a change; a task's log is told of it.
pub(crate) fn apply(world: &mut World, schema: &Schema, wish: Wish<'_>, upid: Option<&str>) -> Result<(), Fail> {
    let changed = write(world, schema, wish, upid)?;
    settle_all(world, wish.vmid, &changed)
}

/// Writes a change as pending; its keys.
pub(super) fn write(
    world: &mut World,
    schema: &Schema,
    wish: Wish<'_>,
    upid: Option<&str>,
) -> Result<Vec<String>, Fail> {
    let Wish { node, vmid, params, .. } = wish;
    early(world, node, vmid, params)?;
    let mut changed = Vec::new();
    for key in list(params, "revert") {
        world.guest_mut(node, vmid)?.pending.remove(&key);
    }
    let mut delete = list(params, "delete");
    if delete.iter().any(|k| k == "vmstate") {
        delete.extend(["lock", "runningmachine", "runningcpu"].map(str::to_owned));
    }
    for key in &delete {
        pend_delete(world, wish, key, &mut changed, upid)?;
    }
    for (key, value) in configuration(params) {
        pend_set(world, schema, wish, &key, &value, &mut changed, upid)?;
    }
    let guest = world.guest_mut(node, vmid)?;
    let config = guest.config.clone();
    guest.pending.retain(|key, change| match change {
        Pending::Set(value) => config.get(key) != Some(value),
        Pending::Delete { .. } => config.contains_key(key),
    });
    Ok(changed)
}

/// Does of what is pending what can be done now: all of it, or of these keys what can be plugged.
pub(super) fn settle_all(world: &mut World, vmid: u32, changed: &[String]) -> Result<(), Fail> {
    if world.guests.get(&vmid).is_some_and(Guest::running) {
        return hotplug::plug(world, vmid, changed);
    }
    apply_pending(world, vmid);
    Ok(())
}

/// The devices of the boot order, as it will be.
fn boot_order(guest: &Guest) -> Option<Vec<String>> {
    let future = guest.future();
    let order = option_of(future.get("boot")?, "order")?;
    Some(order.split(';').filter(|d| !d.is_empty()).map(str::to_owned).collect())
}

fn print_order(order: &[String]) -> String {
    if order.is_empty() { " ".to_owned() } else { format!("order={}", order.join(";")) }
}

fn pend_set(
    world: &mut World,
    schema: &Schema,
    wish: Wish<'_>,
    key: &str,
    value: &str,
    changed: &mut Vec<String>,
    upid: Option<&str>,
) -> Result<(), Fail> {
    let Wish { node, vmid, params, .. } = wish;
    let guest = world.guest(node, vmid)?;
    let old = guest.get(key).map(str::to_owned);
    let waiting = match guest.pending.get(key) {
        Some(Pending::Set(text)) => Some(text.clone()),
        _ => None,
    };
    changed.push(key.to_owned());
    if waiting.as_deref() == Some(value) {
        return Ok(());
    }
    rights::check_late(world, wish, key, old.as_deref(), Some(value))?;
    let stored = if is_drive_key(key) {
        // What waited for this slot has no use any longer.
        if let Some(text) = waiting {
            world.guest_mut(node, vmid)?.pending.remove(key);
            register_unused(world, vmid, &text)?;
        }
        let drive = drives::parse(schema, key, value);
        let storage = params.get("storage").cloned();
        drives::check_cloudinit(world, node, vmid, key, &drive)?;
        let real = drives::realise(world, vmid, node, key, drive, storage.as_deref())?;
        if let Some(upid) = upid {
            real.log.into_iter().for_each(|line| world.log(upid, line));
        }
        real.text
    } else if is_unused_key(key) {
        file_of(value).to_owned()
    } else if is_net_key(key) {
        values::net(world, schema, value)
    } else {
        values::plain(world, schema, key, value)
    };
    if key == "boot" {
        check_boot(world, wish, &stored)?;
    }
    let guest = world.guest_mut(node, vmid)?;
    if is_drive_key(key)
        && is_cdrom(&stored)
        && let Some(mut order) = boot_order(guest)
        && !order.iter().any(|d| d == key)
    {
        // A new CD drive goes to the end of the boot order, if there is one.
        order.push(key.to_owned());
        guest.pending.insert("boot".to_owned(), Pending::Set(print_order(&order)));
        changed.push("boot".to_owned());
    }
    guest.pending.insert(key.to_owned(), Pending::Set(stored));
    Ok(())
}

fn check_boot(world: &World, wish: Wish<'_>, text: &str) -> Result<(), Fail> {
    let Some(order) = option_of(text, "order") else { return Ok(()) };
    let delete = list(wish.params, "delete");
    let guest = world.guest(wish.node, wish.vmid)?;
    let there = |device: &str| {
        let pending = matches!(guest.pending.get(device), Some(Pending::Set(_)));
        (guest.config.contains_key(device) || pending || wish.params.contains_key(device))
            && !delete.iter().any(|d| d == device)
    };
    match order.split(';').find(|d| !d.is_empty() && !there(d)) {
        Some(missing) => Err(Fail::die(format!("invalid bootorder: device '{missing}' does not exist'"))),
        None => Ok(()),
    }
}

fn pend_delete(
    world: &mut World,
    wish: Wish<'_>,
    key: &str,
    changed: &mut Vec<String>,
    upid: Option<&str>,
) -> Result<(), Fail> {
    let Wish { node, vmid, params, .. } = wish;
    let force = params.get("force").is_some_and(|f| f == "1");
    let guest = world.guest(node, vmid)?;
    let waiting = match guest.pending.get(key) {
        Some(Pending::Set(text)) => Some(text.clone()),
        _ => None,
    };
    let Some(old) = guest.config.get(key).cloned().or_else(|| waiting.clone()) else {
        if let Some(upid) = upid {
            world.log(upid, format!("cannot delete '{key}' - not set in current configuration!"));
        }
        return Ok(());
    };
    changed.push(key.to_owned());
    let guest = world.guest_mut(node, vmid)?;
    guest.pending.remove(key);
    if waiting.is_none()
        && let Some(mut order) = boot_order(guest)
        && order.iter().any(|d| d == key)
    {
        order.retain(|d| d != key);
        guest.pending.insert("boot".to_owned(), Pending::Set(print_order(&order)));
        changed.push("boot".to_owned());
    }
    let protected = guest.get("protection") == Some("1");
    if protected && is_unused_key(key) {
        return Err(Fail::die(format!("can't remove unused disk '{}' - protection mode enabled", file_of(&old))));
    }
    if protected && is_drive_key(key) {
        return Err(Fail::die(format!("can't remove drive '{key}' - protection mode enabled")));
    }
    rights::check_late(world, wish, key, Some(&old), None)?;
    if is_unused_key(key) || key == "vmstate" {
        deallocate(world, wish, key, file_of(&old))?;
        world.guest_mut(node, vmid)?.config.remove(key);
        return Ok(());
    }
    if is_drive_key(key) && waiting.is_some() {
        register_unused(world, vmid, &old)?;
    }
    let guest = world.guest_mut(node, vmid)?;
    if key == "tags" {
        guest.config.remove(key);
    } else {
        guest.pending.insert(key.to_owned(), Pending::Delete { force });
    }
    Ok(())
}

/// Frees a volume that the VM owns; one that it doesn't own is let alone.
fn deallocate(world: &mut World, wish: Wish<'_>, key: &str, volid: &str) -> Result<(), Fail> {
    let (storage, name) = volid.split_once(':').unwrap_or_default();
    if owner(name) != Some(wish.vmid) {
        return Ok(());
    }
    world.need(wish.who, &format!("/storage/{storage}"), &["Datastore.AllocateSpace"])?;
    let guest = world.guest(wish.node, wish.vmid)?;
    if is_in_use(guest, key, volid) {
        return Err(Fail::die(format!("unable to delete '{volid}' - volume is still in use (snapshot?)")));
    }
    if world.volumes.find(volid, wish.node).is_some_and(|v| world.volumes.is_base_in_use(v)) {
        return Err(Fail::die(format!("base volume '{name}' is still in use by linked clones")));
    }
    world.drop_volume(volid, wish.node);
    Ok(())
}

/// Whether another drive or a snapshot has the volume.
fn is_in_use(guest: &Guest, key: &str, volid: &str) -> bool {
    let uses = |config: &Config, but: &str| {
        config.iter().any(|(k, v)| k != but && is_drive_key(k) && !is_cdrom(v) && file_of(v) == volid)
    };
    uses(&guest.config, key) || guest.snapshots.values().any(|s| uses(&s.config, ""))
}

/// A disk that goes becomes `unusedN`, if the VM owns it; a cloud-init drive is freed.
pub(super) fn register_unused(world: &mut World, vmid: u32, text: &str) -> Result<(), Fail> {
    let volid = file_of(text).to_owned();
    let Some(guest) = world.guests.get_mut(&vmid) else { return Ok(()) };
    let node = guest.node.clone();
    if volid.contains("-cloudinit") {
        world.drop_volume(&volid, &node);
        return Ok(());
    }
    let name = volid.split_once(':').map_or("", |(_, name)| name);
    if is_cdrom(text) || owner(name) != Some(vmid) {
        return Ok(());
    }
    if guest.config.iter().any(|(k, v)| is_unused_key(k) && file_of(v) == volid) {
        return Ok(());
    }
    let free = (0..256).map(|n| format!("unused{n}")).find(|k| !guest.config.contains_key(k));
    let free = free.ok_or_else(|| Fail::die("Too many unused volumes - please delete them first."))?;
    guest.config.insert(free, volid);
    Ok(())
}

/// Applies everything that is pending, as a VM that doesn't run does.
pub(crate) fn apply_pending(world: &mut World, vmid: u32) {
    let Some(guest) = world.guests.get_mut(&vmid) else { return };
    let pending = std::mem::take(&mut guest.pending);
    let (deletes, sets): (Vec<_>, Vec<_>) = pending.into_iter().partition(|(_, p)| matches!(p, Pending::Delete { .. }));
    for (key, change) in deletes.into_iter().chain(sets) {
        settle(world, vmid, &key, change);
    }
}

/// Makes one change real, and looks after the disk that goes.
pub(super) fn settle(world: &mut World, vmid: u32, key: &str, change: Pending) {
    let Some(guest) = world.guests.get_mut(&vmid) else { return };
    let node = guest.node.clone();
    let old = guest.config.remove(key);
    let mut force = false;
    match change {
        Pending::Set(value) => {
            // An unused disk that is attached again is not unused any longer.
            let volid = file_of(&value).to_owned();
            if is_drive_key(key) {
                guest.config.retain(|k, v| !(is_unused_key(k) && file_of(v) == volid));
            }
            guest.config.insert(key.to_owned(), value);
        }
        Pending::Delete { force: f } => force = f,
    }
    let Some(old) = old.filter(|_| is_drive_key(key)) else { return };
    let volid = file_of(&old).to_owned();
    if guest.has_volume(&volid) {
        return;
    }
    let name = volid.split_once(':').map_or("", |(_, name)| name);
    if force && !is_cdrom(&old) && owner(name) == Some(vmid) && !is_in_use(guest, key, &volid) {
        world.drop_volume(&volid, &node);
        return;
    }
    // There is room for every disk that a VM can have.
    let _ = register_unused(world, vmid, &old);
}

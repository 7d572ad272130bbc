//! Changing a container's configuration: checks, what waits, what is applied.
//!
//! A change is written as pending; a stopped container takes all of it, a running one what can be changed in
//! flight. Promises that what can't be applied stays pending and is named in the complaints.

use super::mountpoint::{self, Kind, is_mountpoint_key};
use super::unprotected;
use crate::calls::qemu::values::tags;
use crate::http::fail::Fail;
use crate::jobs::lxc::disk;
use crate::schema::{Errors, Parsed, Schema, parse_property_string};
use crate::state::World;
use crate::state::drive::{is_net_key, is_unused_key, print_size};
use crate::state::guest::{Config, Guest, GuestKind, Pending};
use crate::state::storage::owner;

/// Options that a running container takes without more ado.
const FAST: &[&str] =
    &["description", "onboot", "startup", "protection", "hostname", "hookscript", "cores", "tags", "lock"];
/// Options that a running container takes by way of its control group.
const IN_FLIGHT: &[&str] = &["memory", "swap", "cpulimit", "cpuunits"];

/// A change of a configuration.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) set: Config,
    pub(crate) delete: Vec<String>,
    pub(crate) revert: Vec<String>,
}

/// Whether a container can have an option of this name.
pub(crate) fn is_option(schema: &Schema, key: &str) -> bool {
    let steering = ["node", "vmid", "digest", "delete", "revert"];
    let of = |name: &str| {
        let segments: Vec<&str> = vec!["nodes", "n", "lxc", "100", "config"];
        schema.find("PUT", &segments).is_some_and(|f| f.method.params.contains_key(name))
    };
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    !steering.contains(&key) && ((of(key) && !key.ends_with("[n]")) || (stem != key && of(&format!("{stem}[n]"))))
}

/// A network card as it is stored: with a hardware address and its type.
pub(crate) fn net(world: &mut World, schema: &Schema, text: &str) -> String {
    let keys = schema.formats.get("lxc-netn").map(Vec::as_slice).unwrap_or_default();
    let mut parsed: Parsed = parse_property_string(text, keys).unwrap_or_default();
    parsed.entry("type".to_owned()).or_insert_with(|| "veth".to_owned());
    if !parsed.contains_key("hwaddr") {
        parsed.insert("hwaddr".to_owned(), world.mac());
    }
    mountpoint::required_first(&parsed, None, "name")
}

/// One value as it is stored.
fn stored(world: &mut World, schema: &Schema, key: &str, value: &str) -> Result<String, Fail> {
    Ok(match key {
        "tags" => tags(world, value),
        "description" => value.trim_end().to_owned(),
        "nameserver" | "searchdomain" => {
            value.split([',', ';', ' ']).filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ")
        }
        "hookscript" if !value.contains(":snippets/") => {
            return Err(Fail::die(format!("volume '{value}' is not in the snippets directory")));
        }
        _ if is_net_key(key) => net(world, schema, value),
        _ => value.to_owned(),
    })
}

/// The options of a new container that aren't mount points, as they are stored.
pub(crate) fn plain(world: &mut World, schema: &Schema, set: &Config) -> Result<Config, Fail> {
    let mut config = Config::new();
    for (key, value) in set {
        config.insert(key.clone(), stored(world, schema, key, value)?);
    }
    Ok(config)
}

/// Refuses what can't be asked for at all.
fn check(world: &World, guest: &Guest, change: &Change) -> Result<(), Fail> {
    let vmid = guest.vmid;
    let future = guest.future();
    for key in change.delete.iter().filter(|k| guest.config.contains_key(*k) || future.contains_key(*k)) {
        match key.as_str() {
            "memory" | "rootfs" | "ostype" => {
                return Err(Fail::die(format!("unable to delete required option '{key}'")));
            }
            "unprivileged" => return Err(Fail::die(format!("unable to delete read-only option: '{key}'"))),
            _ if is_unused_key(key) || is_mountpoint_key(key) => {
                unprotected(guest, &format!("can't remove CT {vmid} drive '{key}'"))?;
            }
            _ => {}
        }
    }
    for (key, value) in &change.set {
        if is_mountpoint_key(key) {
            unprotected(guest, &format!("can't update CT {vmid} drive '{key}'"))?;
            let volume = mountpoint::volume(value);
            if mountpoint::kind(volume) == Kind::Volume {
                let id = mountpoint::storage(volume)?;
                if !world.storage(id)?.content.contains("rootdir") {
                    let text = format!("storage '{id}' does not allow content type 'rootdir' (Container)");
                    return Err(Fail::die(text));
                }
            }
        }
        if key == "unprivileged" {
            return Err(Fail::die(format!("unable to modify read-only option: '{key}'")));
        }
    }
    Ok(())
}

/// Applies a change; the complaints name what could not be applied.
pub(crate) fn apply(
    world: &mut World,
    schema: &Schema,
    node: &str,
    vmid: u32,
    change: &Change,
) -> Result<Errors, Fail> {
    check(world, world.guest_of(GuestKind::Lxc, node, vmid)?, change)?;
    let mut texts = Config::new();
    for (key, value) in &change.set {
        texts.insert(key.clone(), stored(world, schema, key, value)?);
    }
    let guest = world.guest_of_mut(GuestKind::Lxc, node, vmid)?;
    for key in &change.revert {
        guest.pending.remove(key);
    }
    for key in &change.delete {
        if guest.config.contains_key(key) {
            guest.pending.insert(key.clone(), Pending::Delete { force: false });
        } else {
            guest.pending.remove(key);
        }
    }
    for (key, text) in texts {
        if guest.config.get(&key) == Some(&text) {
            guest.pending.remove(&key);
        } else {
            guest.pending.insert(key, Pending::Set(text));
        }
    }
    let chosen: Vec<&String> = change.set.keys().chain(&change.delete).collect();
    Ok(settle(world, vmid, Some(&chosen)))
}

/// Applies everything that is pending, as a start or a stop does.
pub(crate) fn apply_pending(world: &mut World, vmid: u32) {
    settle(world, vmid, None);
}

fn settle(world: &mut World, vmid: u32, chosen: Option<&[&String]>) -> Errors {
    let mut errors = Errors::new();
    let Some(guest) = world.guests.get_mut(&vmid) else { return errors };
    let running = guest.running();
    let (node, pending) = (guest.node.clone(), std::mem::take(&mut guest.pending));
    let (deletes, sets): (Vec<_>, Vec<_>) = pending.into_iter().partition(|(_, p)| matches!(p, Pending::Delete { .. }));
    for (key, change) in deletes.into_iter().chain(sets) {
        let asked = chosen.is_none_or(|c| c.contains(&&key));
        let able = !running || in_flight(world, vmid, &key, &change);
        let outcome = if asked && able { settle_one(world, &node, vmid, &key, &change) } else { Err(None) };
        if let Err(why) = outcome {
            if let Some(why) = why {
                let what = if running { "hotplug" } else { "apply pending change" };
                errors.insert(key.clone(), format!("unable to {what} {key}: {why}\n"));
            }
            if let Some(guest) = world.guests.get_mut(&vmid) {
                guest.pending.insert(key, change);
            }
        }
    }
    errors
}

/// Whether a running container can take a change.
fn in_flight(world: &World, vmid: u32, key: &str, change: &Pending) -> bool {
    if FAST.contains(&key) || is_net_key(key) {
        return true;
    }
    match change {
        Pending::Set(_) => {
            let there = world.guests.get(&vmid).is_some_and(|g| g.config.contains_key(key));
            IN_FLIGHT.contains(&key) || (is_mountpoint_key(key) && key != "rootfs" && !there)
        }
        Pending::Delete { .. } => ["swap", "cpulimit", "cpuunits"].contains(&key) || is_unused_key(key),
    }
}

/// Makes one change real, and looks after the volume that goes.
fn settle_one(world: &mut World, node: &str, vmid: u32, key: &str, change: &Pending) -> Result<(), Option<String>> {
    let schema = Schema::get();
    let text = match change {
        Pending::Set(text) if is_mountpoint_key(key) => {
            Some(real(world, schema, node, vmid, key, text).map_err(|f| Some(f.line()))?)
        }
        Pending::Set(text) => Some(text.clone()),
        Pending::Delete { .. } => None,
    };
    let Some(guest) = world.guests.get_mut(&vmid) else { return Ok(()) };
    let old = guest.config.remove(key);
    if let Some(text) = text {
        let volume = mountpoint::volume(&text).to_owned();
        if is_mountpoint_key(key) {
            guest.config.retain(|k, v| !(is_unused_key(k) && mountpoint::volume(v) == volume));
        }
        guest.config.insert(key.to_owned(), text);
    }
    let Some(old) = old.map(|o| mountpoint::volume(&o).to_owned()) else { return Ok(()) };
    if is_mountpoint_key(key) && mountpoint::kind(&old) == Kind::Volume {
        remember(guest, &old);
    } else if is_unused_key(key)
        && !in_use(guest, &old)
        && owner(old.split_once(':').map_or("", |(_, n)| n)) == Some(vmid)
    {
        world.volumes.remove(&old, node);
    }
    Ok(())
}

/// Whether a mount point, of now or of a snapshot, has this volume.
pub(crate) fn in_use(guest: &Guest, volid: &str) -> bool {
    let all = guest.config.iter().chain(guest.snapshots.values().flat_map(|s| s.config.iter()));
    all.filter(|(k, _)| is_mountpoint_key(k)).any(|(_, v)| mountpoint::volume(v) == volid)
}

/// Keeps a volume that nothing has any more as `unusedN`.
pub(crate) fn remember(guest: &mut Guest, volid: &str) {
    let known =
        guest.config.iter().any(|(k, v)| (is_unused_key(k) || is_mountpoint_key(k)) && mountpoint::volume(v) == volid);
    if known {
        return;
    }
    if let Some(key) = (0..256).map(|n| format!("unused{n}")).find(|k| !guest.config.contains_key(k)) {
        guest.config.insert(key, volid.to_owned());
    }
}

/// Makes a mount point real: allocates, or looks its size up. The text to store.
pub(crate) fn real(
    world: &mut World,
    schema: &Schema,
    node: &str,
    vmid: u32,
    key: &str,
    text: &str,
) -> Result<String, Fail> {
    let mut parsed = mountpoint::parse(schema, key, text);
    let volume = parsed.get("volume").cloned().unwrap_or_default();
    if mountpoint::kind(&volume) == Kind::Volume {
        if let Some((storage, bytes)) = mountpoint::fresh(&volume) {
            let made = disk::allocate(world, storage, node, vmid, bytes)?;
            parsed.insert("volume".to_owned(), made.volid());
            parsed.insert("size".to_owned(), print_size(made.size));
        } else {
            let found = world.volumes.find(&volume, node);
            let found = found.ok_or_else(|| Fail::die(format!("volume '{volume}' does not exist")))?;
            parsed.insert("size".to_owned(), print_size(found.size));
        }
    }
    Ok(mountpoint::print(&parsed))
}

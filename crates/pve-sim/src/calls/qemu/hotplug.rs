//! Changing a VM that runs: what QEMU can be given and made to give back.
//!
//! Promises that what QEMU has ([`crate::state::guest::Run::devices`]) is kept apart from what the configuration says: a disk that is plugged
//! may not arrive (`serial` of more than 36 characters), one that is unplugged may stay, and then the change waits.

use super::config_change::{register_unused, settle, settle_all};
use crate::http::fail::Fail;
use crate::schema::Errors;
use crate::state::World;
use crate::state::drive::{file_of, is_cdrom, is_drive_key, is_net_key, option_of};
use crate::state::guest::{Guest, Pending, System};

/// Keys that change at once whether the VM runs or not.
const FAST: &[&str] = &[
    "name",
    "description",
    "onboot",
    "protection",
    "tags",
    "shares",
    "startup",
    "lock",
    "hookscript",
    "vmstatestorage",
    "migrate_downtime",
    "migrate_speed",
    "cicustom",
    "cipassword",
    "ciuser",
    "citype",
    "ciupgrade",
    "nameserver",
    "searchdomain",
    "sshkeys",
];

/// Options of a drive that a running VM keeps until it starts anew.
const FIXED: &[&str] = &["aio", "discard", "iothread", "queues", "product", "cache", "ssd", "vendor", "ro"];

/// The longest serial number that QEMU takes.
const SERIAL: usize = 36;

/// How one change went.
enum Plugged {
    Done,
    /// Not while it runs.
    Waits,
    Failed(String),
}

fn stem(key: &str) -> &str {
    key.trim_end_matches(|c: char| c.is_ascii_digit())
}

/// Whether the VM allows a kind of change while it runs.
fn allows(guest: &Guest, feature: &str) -> bool {
    match guest.get("hotplug") {
        None | Some("1") => ["network", "disk", "usb"].contains(&feature),
        Some(list) => list.split([',', ';']).any(|f| f == feature),
    }
}

/// Does what can be done of these changes; the rest stays pending.
pub(super) fn plug(world: &mut World, vmid: u32, changed: &[String]) -> Result<(), Fail> {
    let mut complaints = Errors::new();
    let Some(guest) = world.guests.get(&vmid) else { return Ok(()) };
    let pending = guest.pending.clone();
    let is_delete = |change: &Pending| matches!(change, Pending::Delete { .. });
    for (key, change) in pending.iter().filter(|(k, c)| is_fast(k) && !is_delete(c)) {
        take(world, vmid, key, change.clone());
    }
    let (deletes, sets): (Vec<_>, Vec<_>) = pending
        .into_iter()
        .filter(|(key, change)| changed.contains(key) && (is_delete(change) || !is_fast(key)))
        .partition(|(_, change)| is_delete(change));
    for (key, change) in deletes.into_iter().chain(sets) {
        let plugged = match &change {
            Pending::Delete { .. } => remove(world, vmid, &key),
            Pending::Set(text) => set(world, vmid, &key, text),
        };
        match plugged {
            Plugged::Done => take(world, vmid, &key, change),
            Plugged::Waits => {}
            Plugged::Failed(text) => {
                complaints.insert(key, format!("hotplug problem - {text}\n"));
            }
        }
    }
    if complaints.is_empty() { Ok(()) } else { Err(Fail::params(complaints)) }
}

/// The time that QEMU takes for these changes begins; none if it takes none. Whoever asked comes back for [`go_on`].
pub(super) fn begin(world: &mut World, vmid: u32, changed: &[String]) -> Option<f64> {
    let seconds = seconds(world, vmid, changed);
    if seconds <= 0.0 {
        return None;
    }
    let until = world.now + seconds;
    let guest = world.guests.get_mut(&vmid)?;
    guest.plugging = changed.to_vec();
    guest.locked_until = guest.locked_until.max(until);
    Some(seconds)
}

/// QEMU has had its time.
pub(super) fn go_on(world: &mut World, node: &str, vmid: u32) -> Result<(), Fail> {
    let now = world.now;
    let guest = world.guest_mut(node, vmid)?;
    let changed = std::mem::take(&mut guest.plugging);
    guest.locked_until = guest.locked_until.min(now);
    settle_all(world, vmid, &changed)
}

/// How long QEMU takes for these changes: devices come and go one after the other.
fn seconds(world: &World, vmid: u32, changed: &[String]) -> f64 {
    let Some((guest, run)) = world.guests.get(&vmid).and_then(|g| Some((g, g.run.as_ref()?))) else { return 0.0 };
    let hardware = guest.hardware();
    let devices = run.devices.as_ref().unwrap_or(&hardware);
    let keeps = world.orders.unplug_refused
        || (guest.system == System::Empty && !world.hook.attached())
        || (world.hook.attached() && changed.iter().any(|key| run.held.contains(key)));
    let unplug = world.pace.of(if keeps { "unplug-refused" } else { "unplug" });
    let boots = guest.boot_disks();
    let pluggable = |key: &str| match stem(key) {
        "net" => allows(guest, "network"),
        "scsi" | "virtio" => allows(guest, "disk"),
        _ => false,
    };
    let one = |(key, change): (&String, &Pending)| {
        let old = devices.get(key).filter(|_| !boots.contains(&key.as_str()));
        match change {
            Pending::Delete { .. } => old.map_or(0.0, |_| unplug),
            Pending::Set(text) if is_drive_key(key) && is_cdrom(text) => 0.0,
            Pending::Set(text) => match old {
                // The same disk with other options, or the same card with its cable elsewhere.
                Some(old) if file_of(old) == file_of(text) => 0.0,
                Some(_) => unplug + world.pace.of("plug"),
                None => world.pace.of("plug"),
            },
        }
    };
    let waiting = guest.pending.iter().filter(|(key, _)| changed.contains(key) && pluggable(key));
    waiting.map(one).sum()
}

fn is_fast(key: &str) -> bool {
    FAST.contains(&key) || stem(key) == "ipconfig" || stem(key) == "unused"
}

/// A change that QEMU has made becomes the configuration.
fn take(world: &mut World, vmid: u32, key: &str, change: Pending) {
    if let Some(guest) = world.guests.get_mut(&vmid) {
        guest.pending.remove(key);
    }
    settle(world, vmid, key, change);
}

fn remove(world: &mut World, vmid: u32, key: &str) -> Plugged {
    let Some(guest) = world.guests.get(&vmid) else { return Plugged::Waits };
    let allowed = match stem(key) {
        _ if is_fast(key) => true,
        "hotplug" => !guest.get("hotplug").is_some_and(|h| h.contains("cpu") || h.contains("memory")),
        "tablet" | "usb" => allows(guest, "usb"),
        "vcpus" => allows(guest, "cpu"),
        "memory" => allows(guest, "memory"),
        "balloon" => guest.get("balloon") != Some("0"),
        "cpuunits" | "cpulimit" => true,
        "net" => allows(guest, "network"),
        "scsi" | "virtio" => allows(guest, "disk"),
        _ => false,
    };
    match stem(key) {
        _ if !allowed => Plugged::Waits,
        "net" | "scsi" | "virtio" => match unplug(world, vmid, key) {
            Ok(()) => Plugged::Done,
            Err(text) => Plugged::Failed(text),
        },
        _ => Plugged::Done,
    }
}

fn set(world: &mut World, vmid: u32, key: &str, text: &str) -> Plugged {
    let Some(guest) = world.guests.get(&vmid) else { return Plugged::Waits };
    let old = guest.get(key).map(str::to_owned);
    let may = |feature: &str| if allows(guest, feature) { Plugged::Done } else { Plugged::Waits };
    match stem(key) {
        "hotplug" => {
            let both = format!("{text} {}", guest.get("hotplug").unwrap_or_default());
            if both.contains("memory") || both.contains("cpu") { Plugged::Waits } else { Plugged::Done }
        }
        "tablet" | "usb" => may("usb"),
        "vcpus" => may("cpu"),
        "memory" => may("memory"),
        "balloon" => {
            let was_on = guest.get("balloon") != Some("0");
            if was_on == (text != "0") { Plugged::Done } else { Plugged::Waits }
        }
        "cpuunits" | "cpulimit" => Plugged::Done,
        "agent" => old.map_or(Plugged::Waits, |old| same_agent(&old, text)),
        _ if is_net_key(key) => net(world, vmid, key, old.as_deref(), text),
        "efidisk" | "tpmstate" => Plugged::Waits,
        _ if is_drive_key(key) => drive(world, vmid, key, old.as_deref(), text),
        _ => Plugged::Waits,
    }
}

/// Only the trimming of clones can be changed while the agent's port is there.
fn same_agent(old: &str, new: &str) -> Plugged {
    let rest = |text: &str| -> Vec<String> {
        let parts = text.split(',').filter(|p| !p.starts_with("fstrim_cloned_disks="));
        let mut parts: Vec<String> = parts.map(|p| p.strip_prefix("enabled=").unwrap_or(p).to_owned()).collect();
        parts.sort();
        parts
    };
    if rest(old) == rest(new) { Plugged::Done } else { Plugged::Waits }
}

fn net(world: &mut World, vmid: u32, key: &str, old: Option<&str>, text: &str) -> Plugged {
    let Some(guest) = world.guests.get(&vmid) else { return Plugged::Waits };
    let allowed = allows(guest, "network");
    if let Some(old) = old {
        let card = |text: &str| text.split(',').next().unwrap_or_default().to_owned();
        let differs = |name: &str| option_of(old, name) != option_of(text, name);
        let bridged = option_of(old, "bridge").is_some() && option_of(text, "bridge").is_some();
        if card(old) == card(text) && !differs("queues") && !differs("mtu") && bridged {
            // The cable is put into another socket.
            remember(world, vmid, key, Some(text));
            return Plugged::Done;
        }
        if !allowed {
            return Plugged::Waits;
        }
        if let Err(text) = unplug(world, vmid, key) {
            return Plugged::Failed(text);
        }
    }
    if !allowed {
        return Plugged::Waits;
    }
    match plug_in(world, vmid, key, text) {
        Ok(()) => Plugged::Done,
        Err(text) => Plugged::Failed(text),
    }
}

fn drive(world: &mut World, vmid: u32, key: &str, old: Option<&str>, text: &str) -> Plugged {
    let Some(guest) = world.guests.get(&vmid) else { return Plugged::Waits };
    let allowed = allows(guest, "disk");
    if let Some(old) = old {
        if is_cdrom(old) != is_cdrom(text) {
            return Plugged::Failed("unable to change media type".to_owned());
        }
        if is_cdrom(old) {
            remember(world, vmid, key, Some(text));
            return Plugged::Done;
        }
        if file_of(old) == file_of(text) {
            if FIXED.iter().any(|name| option_of(old, name) != option_of(text, name)) {
                return Plugged::Waits;
            }
            remember(world, vmid, key, Some(text));
            return Plugged::Done;
        }
        if !allowed {
            return Plugged::Waits;
        }
        if let Err(text) = unplug(world, vmid, key) {
            return Plugged::Failed(text);
        }
        if let Some(guest) = world.guests.get_mut(&vmid) {
            guest.config.remove(key);
        }
        let _ = register_unused(world, vmid, old);
    }
    if !allowed || ["ide", "sata"].contains(&stem(key)) {
        return Plugged::Waits;
    }
    match plug_in(world, vmid, key, text) {
        Ok(()) => Plugged::Done,
        Err(text) => Plugged::Failed(text),
    }
}

/// QEMU gets a device. Not every one that it takes is there for the guest.
fn plug_in(world: &mut World, vmid: u32, key: &str, text: &str) -> Result<(), String> {
    if let Some(text) = world.orders.plug_fails.clone() {
        return Err(text);
    }
    if is_net_key(key)
        && let (Some(bridge), Some(guest)) = (option_of(text, "bridge"), world.guests.get(&vmid))
        && world.node(&guest.node).is_some_and(|n| !n.bridges.iter().any(|b| b == bridge))
    {
        return Err(format!("bridge '{bridge}' does not exist"));
    }
    let Some(run) = world.guests.get_mut(&vmid).and_then(|g| g.run.as_mut()) else { return Ok(()) };
    if run.poisoned.contains(key) {
        return Err(format!(
            "VM {vmid} qmp command 'object-add' failed - attempt to add duplicate property 'throttle-drive-{key}' to \
             object (type 'container')"
        ));
    }
    if option_of(text, "serial").is_some_and(|serial| serial.len() > SERIAL) {
        // The device is refused, what was made for it before stays.
        run.poisoned.insert(key.to_owned());
        return Ok(());
    }
    remember(world, vmid, key, Some(text));
    Ok(())
}

/// QEMU gives a device back, if the guest lets go of it. One that it doesn't have is no trouble.
fn unplug(world: &mut World, vmid: u32, key: &str) -> Result<(), String> {
    let refused = world.orders.unplug_refused;
    let Some(guest) = world.guests.get_mut(&vmid) else { return Ok(()) };
    let empty = guest.system == System::Empty && !world.hook.attached();
    let single = guest.get("scsihw") == Some("virtio-scsi-single") && stem(key) == "scsi";
    let boots = guest.boot_disks().contains(&key);
    let held = world.hook.attached() && guest.run.as_ref().is_some_and(|r| r.held.contains(key));
    let Some(devices) = guest.devices_mut() else { return Ok(()) };
    if !devices.contains_key(key) {
        return Ok(());
    }
    if boots {
        return Err(format!("can't unplug bootdisk '{key}'"));
    }
    if refused || empty || held {
        if held {
            crate::hook::kept(world, vmid, key);
        }
        // A disk of its own controller goes at once, but its controller is still there.
        let device = if single { format!("virtioscsi{}", &key[4..]) } else { key.to_owned() };
        return Err(format!("error on hot-unplugging device '{device}' - still busy in guest?"));
    }
    let volid = devices.get(key).map(|text| file_of(text).to_owned()).unwrap_or_default();
    if world.dies_without(vmid, &volid) {
        world.powered_off(vmid);
        return Err(format!("VM {vmid} qmp command 'query-block' failed - client closed connection"));
    }
    remember(world, vmid, key, None);
    Ok(())
}

/// Writes down what QEMU has now, and tells the guest.
fn remember(world: &mut World, vmid: u32, key: &str, text: Option<&str>) {
    let Some(devices) = world.guests.get_mut(&vmid).and_then(Guest::devices_mut) else { return };
    match text {
        Some(text) => {
            devices.insert(key.to_owned(), text.to_owned());
        }
        None => {
            devices.remove(key);
        }
    }
    crate::hook::changed(world, vmid, key);
}

//! Changing a VM's configuration: who may change what, and how a change is applied.
//!
//! A change is first written as pending; then, if the VM is stopped, everything pending is applied, and if it
//! runs, what can be changed in flight. Promises that a change that fails leaves nothing behind but, as in
//! Proxmox VE, what a refused unplug leaves pending.

use std::collections::BTreeSet;

use crate::calls::qemu::drives;
use crate::http::fail::Fail;
use crate::perm::Who;
use crate::schema::{Parsed, Schema, lookup_format, parse_property_string, print_property_string};
use crate::state::World;
use crate::state::drive::{file_of, is_cdrom, is_drive_key, is_net_key, is_unused_key, option_of};
use crate::state::guest::{Config, Pending};
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

fn list(params: &Config, name: &str) -> Vec<String> {
    let text = params.get(name).map_or("", String::as_str);
    text.split([',', ';', ' ']).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

/// Which privilege a key needs; none where only root may.
fn privilege(key: &str) -> Option<&'static [&'static str]> {
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    Some(match stem {
        "cores" | "cpu" | "cpulimit" | "cpuunits" | "numa" | "smp" | "sockets" | "vcpus" => &["VM.Config.CPU"],
        "memory" | "balloon" | "shares" | "allow-ksm" => &["VM.Config.Memory"],
        "acpi" | "hotplug" | "kvm" | "machine" | "scsihw" | "smbios" | "tablet" | "vga" | "watchdog" | "audio"
        | "rng" | "serial" => &["VM.Config.HWType"],
        "agent" | "autostart" | "bios" | "description" | "keyboard" | "localtime" | "name" | "onboot" | "ostype"
        | "protection" | "reboot" | "startdate" | "startup" | "tdf" | "template" | "migrate_downtime"
        | "migrate_speed" | "tags" => &["VM.Config.Options"],
        "boot" | "bootdisk" | "vmstatestorage" | "unused" => &["VM.Config.Disk"],
        "net" => &["VM.Config.Network"],
        "ciuser" | "cipassword" | "citype" | "cicustom" | "ciupgrade" | "ipconfig" | "nameserver" | "searchdomain"
        | "sshkeys" => &["VM.Config.Cloudinit", "VM.Config.Network"],
        "freeze" => &["VM.PowerMgmt"],
        _ => return None,
    })
}

/// A privilege on a VM, which a pool may give where the VM is being made.
fn need_on_vm(world: &World, who: &Who, vmid: u32, pool: Option<&str>, any: &[&str]) -> Result<(), Fail> {
    if let Some(pool) = pool
        && any.iter().any(|p| world.may(who, &format!("/pool/{pool}"), p))
    {
        return Ok(());
    }
    match any {
        [one] => world.need(who, &format!("/vms/{vmid}"), &[one]),
        more => world.need_any(who, &format!("/vms/{vmid}"), more),
    }
}

/// Whether `who` may make this change: keys, storages, bridges.
pub(crate) fn check(
    world: &World,
    schema: &Schema,
    who: &Who,
    node: &str,
    vmid: u32,
    params: &Config,
    pool: Option<&str>,
) -> Result<(), Fail> {
    let set = configuration(params);
    let delete = list(params, "delete");
    let guest = world.guests.get(&vmid);
    if params.contains_key("skiplock") && !who.is_root() {
        return Err(Fail::param("skiplock", "Only root may use this option."));
    }
    for key in set.keys().chain(&delete).filter(|k| !is_drive_key(k)) {
        if who.is_root() || (pool.is_some() && key == "tags") {
            continue;
        }
        if key.starts_with("serial") && set.get(key).is_some_and(|v| v.starts_with("/dev/")) {
            return Err(Fail::die(format!("only root can modify '{key}' config for real devices")));
        }
        if key.starts_with("hostpci") {
            return Err(Fail::die(format!("only root can set '{key}' config for non-mapped devices")));
        }
        if key.starts_with("usb") {
            return Err(Fail::die(format!("only root can set '{key}' config for real devices")));
        }
        match privilege(key) {
            Some(any) => need_on_vm(world, who, vmid, pool, any)?,
            None => return Err(Fail::die(format!("only root can set '{key}' config"))),
        }
    }
    let default_storage = params.get("storage").map(String::as_str);
    for (key, text) in set.iter().filter(|(k, _)| is_drive_key(k)) {
        let drive = drives::parse(schema, key, text);
        drives::check_access(world, who, vmid, node, key, &drive, default_storage)?;
        let any: &[&str] =
            if drive.get("media").is_some_and(|m| m == "cdrom") { &["VM.Config.CDROM"] } else { &["VM.Config.Disk"] };
        need_on_vm(world, who, vmid, pool, any)?;
    }
    for key in delete.iter().filter(|k| is_drive_key(k)) {
        let cdrom = guest.and_then(|g| g.get(key)).is_none_or(is_cdrom);
        let any: &[&str] = if cdrom { &["VM.Config.CDROM"] } else { &["VM.Config.Disk"] };
        need_on_vm(world, who, vmid, pool, any)?;
    }
    for (key, text) in set.iter().filter(|(k, _)| is_net_key(k)) {
        check_bridge(world, who, text).map_err(|fail| Fail { ..fail })?;
        let _ = key;
    }
    for key in delete.iter().filter(|k| is_net_key(k)) {
        if let Some(text) = guest.and_then(|g| g.get(key)) {
            check_bridge(world, who, text)?;
        }
    }
    Ok(())
}

/// The right to use the bridge of a network card.
pub(crate) fn check_bridge(world: &World, who: &Who, text: &str) -> Result<(), Fail> {
    let Some(bridge) = option_of(text, "bridge") else { return Ok(()) };
    let path = format!("/sdn/zones/{}/{bridge}", world.sdn.zone_of_bridge(bridge));
    match option_of(text, "tag") {
        Some(tag) => world.need(who, &format!("{path}/{tag}"), &["SDN.Use"]),
        None => world.need(who, &path, &["SDN.Use"]),
    }
}

/// Tags as they are stored: small letters, each once, in order; a space for none.
pub(crate) fn tags(text: &str) -> String {
    let tags: BTreeSet<String> = text.split([',', ';', ' ']).filter(|t| !t.is_empty()).map(str::to_lowercase).collect();
    if tags.is_empty() { " ".to_owned() } else { tags.into_iter().collect::<Vec<_>>().join(";") }
}

/// A network card as it is stored: with a hardware address.
pub(crate) fn net(world: &mut World, schema: &Schema, text: &str) -> String {
    let keys = schema.formats.get("netn").map(Vec::as_slice).unwrap_or_default();
    let mut parsed: Parsed = parse_property_string(text, keys).unwrap_or_default();
    let model = parsed.remove("model").unwrap_or_else(|| "virtio".to_owned());
    let mac = parsed.remove("macaddr").map_or_else(|| world.mac(), |m| m.to_uppercase());
    let rest = print_property_string(&parsed, "");
    if rest.is_empty() { format!("{model}={mac}") } else { format!("{model}={mac},{rest}") }
}

/// Every other value as it is stored.
fn plain(schema: &Schema, key: &str, value: &str) -> String {
    match key {
        "tags" => tags(value),
        "description" => value.trim_end().to_owned(),
        "boot" if value.is_empty() => " ".to_owned(),
        _ => match lookup_format(schema, key) {
            // Booleans in words become digits; the rest of the text stays as it was written.
            Some(keys) if key == "agent" => parse_property_string(value, keys).map_or_else(
                |_| value.to_owned(),
                |_| value.split(',').map(boolean_word).collect::<Vec<_>>().join(","),
            ),
            _ => value.to_owned(),
        },
    }
}

fn boolean_word(part: &str) -> String {
    let (key, value) = part.split_once('=').map_or((None, part), |(k, v)| (Some(k), v));
    let value = match value {
        "on" | "yes" | "true" => "1",
        "off" | "no" | "false" => "0",
        other => other,
    };
    key.map_or_else(|| value.to_owned(), |k| format!("{k}={value}"))
}

/// The parts of a change that fail at once, before any task.
pub(crate) fn early(world: &World, node: &str, vmid: u32, params: &Config) -> Result<(), Fail> {
    let delete = list(params, "delete");
    let revert = list(params, "revert");
    let set = configuration(params);
    if set.is_empty() && delete.is_empty() && revert.is_empty() {
        return Err(Fail::die("no options specified"));
    }
    for key in &delete {
        if set.contains_key(key) {
            return Err(Fail::param("delete", format!("you can't use '-{key}' and -delete {key}' at the same time")));
        }
        if !known_key(key) {
            return Err(Fail::param("delete", format!("unknown option '{key}'")));
        }
    }
    let guest = world.guest(node, vmid)?;
    if let Some(digest) = params.get("digest")
        && *digest != guest.digest()
    {
        return Err(Fail::die("checksum mismatch (file change by other user?)"));
    }
    if !params.contains_key("skiplock")
        && let Some(lock) = guest.get("lock")
    {
        return Err(Fail::die(format!("VM is locked ({lock})")));
    }
    if let Some(order) = set.get("boot").and_then(|b| option_of(b, "order")) {
        let mut future = guest.future();
        future.extend(set.clone());
        let missing = order.split(';').find(|d| !d.is_empty() && !future.contains_key(*d));
        if let Some(missing) = missing {
            return Err(Fail::die(format!("invalid bootorder: device '{missing}' does not exist'")));
        }
    }
    Ok(())
}

fn known_key(key: &str) -> bool {
    is_drive_key(key) || is_net_key(key) || is_unused_key(key) || privilege(key).is_some() || {
        let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
        [
            "args",
            "hookscript",
            "lock",
            "affinity",
            "hugepages",
            "keephugepages",
            "arch",
            "vmgenid",
            "ivshmem",
            "spice_enhancements",
            "parallel",
            "hostpci",
            "usb",
            "virtiofs",
            "amd-sev",
            "intel-tdx",
            "meta",
        ]
        .contains(&stem)
    }
}

/// Applies a change, as a task does it.
pub(crate) fn in_task(world: &mut World, node: &str, vmid: u32, params: &Config) -> Result<(), String> {
    apply(world, Schema::get(), node, vmid, params).map_err(|fail| fail.line())
}

/// Applies a change.
pub(crate) fn apply(world: &mut World, schema: &Schema, node: &str, vmid: u32, params: &Config) -> Result<(), Fail> {
    early(world, node, vmid, params)?;
    let delete = list(params, "delete");
    let force = params.get("force").is_some_and(|f| f == "1");
    let default_storage = params.get("storage").cloned();
    for key in list(params, "revert") {
        world.guest_mut(node, vmid)?.pending.remove(&key);
    }
    for key in &delete {
        pend_delete(world, node, vmid, key, force)?;
    }
    for (key, value) in configuration(params) {
        let stored = if is_drive_key(&key) {
            let drive = drives::parse(schema, &key, &value);
            drives::realise(world, vmid, node, &key, drive, default_storage.as_deref())?.0
        } else if is_net_key(&key) {
            net(world, schema, &value)
        } else {
            plain(schema, &key, &value)
        };
        let guest = world.guest_mut(node, vmid)?;
        if is_drive_key(&key) && is_cdrom(&stored) && !guest.config.contains_key(&key) {
            append_to_boot(guest, &key);
        }
        if guest.config.get(&key) == Some(&stored) {
            guest.pending.remove(&key);
        } else {
            guest.pending.insert(key, Pending::Set(stored));
        }
    }
    if world.guest(node, vmid)?.running() {
        hotplug(world, vmid)
    } else {
        apply_pending(world, vmid);
        Ok(())
    }
}

/// A new CD drive goes to the end of the boot order, if there is one.
fn append_to_boot(guest: &mut crate::state::guest::Guest, key: &str) {
    let future = guest.future();
    if let Some(order) = future.get("boot").and_then(|b| option_of(b, "order"))
        && !order.split(';').any(|d| d == key)
    {
        guest.pending.insert("boot".to_owned(), Pending::Set(format!("order={order};{key}")));
    }
}

fn pend_delete(world: &mut World, node: &str, vmid: u32, key: &str, force: bool) -> Result<(), Fail> {
    let guest = world.guest_mut(node, vmid)?;
    let Some(old) = guest.config.get(key).cloned() else {
        guest.pending.remove(key);
        return Ok(());
    };
    let protected = guest.get("protection") == Some("1");
    if is_unused_key(key) {
        if protected {
            return Err(Fail::die(format!("can't remove unused disk '{old}' - protection mode enabled")));
        }
        guest.config.remove(key);
        let volid = file_of(&old).to_owned();
        if owner(&volid) == Some(vmid) {
            world.volumes.remove(&volid, node);
        }
        return Ok(());
    }
    if is_drive_key(key) && protected && !is_cdrom(&old) {
        return Err(Fail::die(format!("can't remove drive '{key}' - protection mode enabled")));
    }
    guest.pending.insert(key.to_owned(), Pending::Delete { force });
    let future = guest.future();
    if let Some(order) = future.get("boot").and_then(|b| option_of(b, "order")).map(str::to_owned)
        && order.split(';').any(|d| d == key)
    {
        let rest: Vec<&str> = order.split(';').filter(|d| *d != key).collect();
        let boot = if rest.is_empty() { " ".to_owned() } else { format!("order={}", rest.join(";")) };
        guest.pending.insert("boot".to_owned(), Pending::Set(boot));
    }
    Ok(())
}

/// Applies everything that is pending.
pub(crate) fn apply_pending(world: &mut World, vmid: u32) {
    let Some(guest) = world.guests.get_mut(&vmid) else { return };
    let pending = std::mem::take(&mut guest.pending);
    let (deletes, sets): (Vec<_>, Vec<_>) = pending.into_iter().partition(|(_, p)| matches!(p, Pending::Delete { .. }));
    for (key, change) in deletes.into_iter().chain(sets) {
        settle(world, vmid, &key, change);
    }
}

/// Makes one change real, and looks after the disk that goes.
fn settle(world: &mut World, vmid: u32, key: &str, change: Pending) {
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
    if guest.has_volume(&volid) || owner(&volid) != Some(vmid) || volid.contains("-cloudinit") {
        if volid.contains("-cloudinit") && !guest.has_volume(&volid) {
            world.volumes.remove(&volid, &node);
        }
        return;
    }
    if force {
        world.volumes.remove(&volid, &node);
        return;
    }
    let free = (0..256).map(|n| format!("unused{n}")).find(|k| !guest.config.contains_key(k));
    if let Some(free) = free {
        guest.config.insert(free, volid);
    }
}

/// Keys that change at once even while the VM runs.
const LIVE: &[&str] = &[
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

/// What can be changed in flight is; the rest stays pending.
fn hotplug(world: &mut World, vmid: u32) -> Result<(), Fail> {
    let Some(guest) = world.guests.get(&vmid) else { return Ok(()) };
    let boot = guest.boot_disk().map(str::to_owned);
    let mut complaints = crate::schema::Errors::new();
    for (key, change) in guest.pending.clone() {
        let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
        let old = world.guests.get(&vmid).and_then(|g| g.get(&key)).map(str::to_owned);
        let live = match stem {
            "scsi" | "virtio" => match (&change, &old) {
                (Pending::Delete { .. }, Some(_)) if boot.as_deref() == Some(&*key) => {
                    complaints.insert(key.clone(), format!("hotplug problem - can't unplug bootdisk '{key}'\n"));
                    false
                }
                (Pending::Delete { .. }, _) | (Pending::Set(_), None) => true,
                // The same disk with other options waits; another disk is swapped in.
                (Pending::Set(new), Some(old)) => file_of(new) != file_of(old) || is_cdrom(new),
            },
            // Media may be changed, drives may not come and go.
            "ide" | "sata" => match (&change, &old) {
                (Pending::Set(new), Some(old)) => is_cdrom(new) && is_cdrom(old),
                _ => false,
            },
            "net" | "ipconfig" | "unused" => true,
            _ => LIVE.contains(&key.as_str()),
        };
        if live && let Some(change) = world.guests.get_mut(&vmid).and_then(|g| g.pending.remove(&key)) {
            settle(world, vmid, &key, change);
        }
    }
    if complaints.is_empty() { Ok(()) } else { Err(Fail::params(complaints)) }
}

//! Who may change what of a VM.
//!
//! Some rights are looked at before anything happens, those on drives, serial ports, USB and PCI devices and tags only
//! when the change is made: a task that lacks them fails.

use std::collections::BTreeSet;

use super::config_change::{configuration, list};
use super::drives;
use crate::http::fail::Fail;
use crate::perm::Who;
use crate::schema::Schema;
use crate::state::World;
use crate::state::drive::{is_cdrom, is_drive_key, is_net_key, is_unused_key, option_of};
use crate::state::guest::Config;

/// Which privileges a key needs, one of them; none where only root may.
fn privilege(key: &str) -> Option<&'static [&'static str]> {
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    Some(match stem {
        "cores" | "cpu" | "cpulimit" | "cpuunits" | "numa" | "smp" | "sockets" | "vcpus" => &["VM.Config.CPU"],
        "memory" | "balloon" | "shares" | "allow-ksm" => &["VM.Config.Memory"],
        "acpi" | "hotplug" | "kvm" | "machine" | "scsihw" | "smbios" | "tablet" | "vga" | "watchdog" | "audio"
        | "rng" => &["VM.Config.HWType"],
        "agent" | "autostart" | "bios" | "description" | "keyboard" | "localtime" | "name" | "onboot" | "ostype"
        | "protection" | "reboot" | "startdate" | "startup" | "tdf" | "template" | "migrate_downtime"
        | "migrate_speed" => &["VM.Config.Options"],
        "boot" | "bootdisk" | "vmstatestorage" | "vmstate" => &["VM.Config.Disk"],
        "net" => &["VM.Config.Network"],
        "ciuser" | "cipassword" | "citype" | "cicustom" | "ciupgrade" | "ipconfig" | "nameserver" | "searchdomain"
        | "sshkeys" => &["VM.Config.Cloudinit", "VM.Config.Network"],
        "freeze" => &["VM.PowerMgmt"],
        _ => return None,
    })
}

/// Keys that are looked at when the change is made.
fn is_late(key: &str) -> bool {
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    is_drive_key(key) || is_unused_key(key) || key == "tags" || ["serial", "usb", "hostpci"].contains(&stem)
}

/// Whether a VM has such a key at all.
pub(super) fn is_known(key: &str) -> bool {
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    let root_only = [
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
        "virtiofs",
        "amd-sev",
        "intel-tdx",
        "meta",
        "cdrom",
        "runningmachine",
        "runningcpu",
        "running-nets-host-mtu",
        "parent",
        "snaptime",
    ];
    is_late(key) || privilege(key).is_some() || root_only.contains(&stem)
}

/// A privilege on a VM, which a pool may give where the VM is being made.
pub(super) fn need_on_vm(world: &World, who: &Who, vmid: u32, pool: Option<&str>, any: &[&str]) -> Result<(), Fail> {
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

/// A change, as its rights are looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'a> {
    pub(crate) who: &'a Who,
    pub(crate) node: &'a str,
    pub(crate) vmid: u32,
    pub(crate) params: &'a Config,
    /// The pool that a new VM is made in.
    pub(crate) pool: Option<&'a str>,
}

/// Whether somebody may make this change: keys, storages, bridges.
pub(crate) fn check(world: &World, schema: &Schema, wish: Wish<'_>) -> Result<(), Fail> {
    let Wish { who, node, vmid, params, pool } = wish;
    let set = configuration(params);
    let delete = list(params, "delete");
    for key in delete.iter().chain(set.keys()).filter(|k| !is_late(k)) {
        if who.is_root() {
            continue;
        }
        match privilege(key) {
            Some(any) => need_on_vm(world, who, vmid, pool, any)?,
            None => return Err(Fail::die(format!("only root can set '{key}' config"))),
        }
        if key == "startup" {
            world.need(who, "/", &["Sys.Modify"])?;
        }
    }
    let default_storage = params.get("storage").map(String::as_str);
    for (key, text) in set.iter().filter(|(k, _)| is_drive_key(k) || is_unused_key(k)) {
        let drive = drives::parse(schema, key, text);
        drives::check_access(world, who, vmid, node, key, &drive, default_storage)?;
    }
    for (_, text) in set.iter().filter(|(k, _)| is_net_key(k)) {
        check_bridge(world, who, text)?;
    }
    Ok(())
}

/// The right to one key of a change that is being made.
pub(crate) fn check_late(
    world: &World,
    wish: Wish<'_>,
    key: &str,
    old: Option<&str>,
    new: Option<&str>,
) -> Result<(), Fail> {
    let Wish { who, vmid, pool, .. } = wish;
    let on_vm = |any: &[&str]| need_on_vm(world, who, vmid, pool, any);
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    if is_drive_key(key) {
        return drive(world, wish, old, new);
    }
    if is_unused_key(key) {
        return if new.is_none() { on_vm(&["VM.Config.Disk"]) } else { Ok(()) };
    }
    if is_net_key(key) {
        return old.map_or(Ok(()), |text| check_bridge(world, who, text));
    }
    if who.is_root() {
        return Ok(());
    }
    match stem {
        "serial" => {
            if [old, new].into_iter().flatten().all(|text| text == "socket") {
                return on_vm(&["VM.Config.HWType"]);
            }
            let what = if new.is_some() { "modify" } else { "delete" };
            Err(Fail::die(format!("only root can {what} '{key}' config for real devices")))
        }
        "usb" | "hostpci" => {
            for text in [old, new].into_iter().flatten() {
                if let Some(mapping) = option_of(text, "mapping") {
                    let kind = if stem == "usb" { "usb" } else { "pci" };
                    world.need(who, &format!("/mapping/{kind}/{mapping}"), &["Mapping.Use"])?;
                } else if !(stem == "usb" && text.split(',').any(|p| p == "spice" || p == "host=spice")) {
                    let devices = if stem == "usb" { "real devices" } else { "non-mapped devices" };
                    return Err(Fail::die(format!("only root can set '{key}' config for {devices}")));
                }
            }
            on_vm(&["VM.Config.HWType"])
        }
        "tags" => tags(world, who, vmid, old.unwrap_or_default(), new.unwrap_or_default()),
        _ => Ok(()),
    }
}

fn drive(world: &World, wish: Wish<'_>, old: Option<&str>, new: Option<&str>) -> Result<(), Fail> {
    let need = |any: &[&str]| need_on_vm(world, wish.who, wish.vmid, wish.pool, any);
    let Some(text) = new.or(old) else { return Ok(()) };
    let file = crate::state::drive::file_of(text);
    if file.ends_with(":cloudinit") || file.contains("-cloudinit") {
        need(&["VM.Config.Cloudinit"])?;
        return need(&["VM.Config.CDROM"]);
    }
    if is_cdrom(text) || file == "none" || file == "cdrom" {
        need(&["VM.Config.CDROM"])
    } else {
        need(&["VM.Config.Disk"])
    }
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

fn words(text: &str) -> BTreeSet<String> {
    text.split([',', ';', ' ']).filter(|t| !t.is_empty()).map(str::to_lowercase).collect()
}

/// The right to add and remove these tags: registered ones are the administrator's, and so may be all others.
fn tags(world: &World, who: &Who, vmid: u32, old: &str, new: &str) -> Result<(), Fail> {
    if world.may(who, "/", "Sys.Modify") {
        return Ok(());
    }
    let options = &world.cluster.options;
    let registered = words(options.get("registered-tags").map_or("", String::as_str));
    let access = options.get("user-tag-access").map_or("", String::as_str);
    let mode = option_of(access, "user-allow").unwrap_or("free");
    let listed = words(option_of(access, "user-allow-list").unwrap_or_default());
    let existing = || world.guests.values().filter_map(|g| g.get("tags")).any(|t| !t.is_empty());
    let allowed = |tag: &str| match mode {
        "free" => true,
        "existing" => {
            listed.contains(tag)
                || (existing() && world.guests.values().filter_map(|g| g.get("tags")).any(|t| words(t).contains(tag)))
        }
        "list" => listed.contains(tag),
        _ => false,
    };
    for tag in words(old).symmetric_difference(&words(new)) {
        world.need(who, &format!("/vms/{vmid}"), &["VM.Config.Options"])?;
        if registered.contains(tag) || !allowed(tag) {
            return Err(Fail::forbidden(&format!("/, Sys.Modify for modifying tag '{tag}'")));
        }
    }
    Ok(())
}

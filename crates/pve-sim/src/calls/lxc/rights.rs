//! Who may set which option of a container.

use super::mountpoint::{self, Kind, is_mountpoint_key};
use crate::calls::qemu::rights::check_bridge;
use crate::http::fail::Fail;
use crate::perm::Who;
use crate::schema::{Schema, parse_property_string};
use crate::state::World;
use crate::state::drive::is_net_key;
use crate::state::guest::Config;
use crate::state::storage::owner;

/// What kind of content a volume must be for what it is used.
pub(crate) fn volume_access(
    world: &World,
    who: &Who,
    vmid: Option<u32>,
    volid: &str,
    wanted: &str,
) -> Result<(), Fail> {
    let Some((storage, name)) = volid.split_once(':').filter(|(s, n)| !s.is_empty() && !n.is_empty()) else {
        if who.is_root() {
            return Ok(());
        }
        return Err(Fail::die("Only root can pass arbitrary filesystem paths."));
    };
    world.storage(storage)?;
    let content = match name.split_once('/') {
        Some((content @ ("iso" | "vztmpl" | "backup" | "snippets" | "import"), _)) => content,
        _ if owner(name).is_some() => "images",
        _ => return Err(Fail::die(format!("unable to parse directory volume name '{name}'"))),
    };
    if content != wanted && !(wanted == "rootdir" && content == "images") {
        let text = format!("unable to use volume {volid} - content type needs to be '{wanted}'");
        return Err(Fail::die(text));
    }
    let path = format!("/storage/{storage}");
    if world.may(who, &path, "Datastore.Allocate") {
        return Ok(());
    }
    let owner = if content == "backup" { backup_owner(name) } else { owner(name) };
    match (content, owner) {
        ("iso" | "vztmpl" | "import", _) => world.need_any(who, &path, &["Datastore.AllocateSpace", "Datastore.Audit"]),
        (_, Some(owner)) if Some(owner) == vmid => Ok(()),
        ("backup", Some(owner)) => {
            world.need(who, &path, &["Datastore.AllocateSpace"])?;
            world.need(who, &format!("/vms/{owner}"), &["VM.Backup"])
        }
        ("images", Some(owner)) => {
            world.need(who, &path, &["Datastore.Audit"])?;
            world.need(who, &format!("/vms/{owner}"), &["VM.Config.Disk"])
        }
        _ => Err(Fail::die(format!("missing privileges to access {volid}"))),
    }
}

/// The guest whose backup this is, by its name.
pub(crate) fn backup_owner(name: &str) -> Option<u32> {
    name.strip_prefix("backup/vzdump-")?.split('-').nth(1)?.parse().ok()
}

/// A privilege on a container, which a pool may give where it is being made.
fn need_on(world: &World, who: &Who, vmid: u32, pool: Option<&str>, privilege: &str) -> Result<(), Fail> {
    if let Some(pool) = pool
        && world.may(who, &format!("/pool/{pool}"), privilege)
    {
        return Ok(());
    }
    world.need(who, &format!("/vms/{vmid}"), &[privilege])
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) vmid: u32,
    pub(crate) pool: Option<&'a str>,
    pub(crate) old: Option<&'a Config>,
    pub(crate) set: &'a Config,
    pub(crate) delete: &'a [String],
    pub(crate) unprivileged: bool,
}

/// Whether `who` may make this change.
pub(crate) fn check(world: &World, schema: &Schema, who: &Who, asked: Asked<'_>) -> Result<(), Fail> {
    if who.is_root() {
        return Ok(());
    }
    for (key, value) in asked.set {
        check_key(world, schema, who, asked, key, Some(value))?;
    }
    for key in asked.delete {
        check_key(world, schema, who, asked, key, None)?;
    }
    Ok(())
}

fn check_key(
    world: &World,
    schema: &Schema,
    who: &Who,
    asked: Asked<'_>,
    key: &str,
    value: Option<&str>,
) -> Result<(), Fail> {
    let need = |privilege: &str| need_on(world, who, asked.vmid, asked.pool, privilege);
    let old = asked.old.and_then(|o| o.get(key)).map(String::as_str);
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    match stem {
        "cores" | "cpuunits" | "cpulimit" => need("VM.Config.CPU"),
        "memory" | "swap" => need("VM.Config.Memory"),
        "nameserver" | "searchdomain" | "hostname" => need("VM.Config.Network"),
        _ if is_mountpoint_key(key) => {
            need("VM.Config.Disk")?;
            value.map_or(Ok(()), |text| check_mountpoint(world, who, asked.vmid, text))
        }
        _ if is_net_key(key) => {
            need("VM.Config.Network")?;
            old.into_iter().chain(value).try_for_each(|text| check_bridge(world, who, text))
        }
        "dev" if stem != key => Err(Fail::forbidden("configuring device passthrough is only allowed for root@pam")),
        "features" => check_features(world, schema, who, asked, old, value),
        "hookscript" => Err(Fail::forbidden("changing the hookscript is only allowed for root@pam")),
        _ => need("VM.Config.Options"),
    }
}

fn check_mountpoint(world: &World, who: &Who, vmid: u32, text: &str) -> Result<(), Fail> {
    let volume = mountpoint::volume(text);
    let kind = mountpoint::kind(volume);
    if kind != Kind::Volume {
        let text = format!("mount point type {} is only allowed for root@pam", kind.word());
        return Err(Fail::forbidden(&text));
    }
    match mountpoint::fresh(volume) {
        Some((storage, _)) => world.need(who, &format!("/storage/{storage}"), &["Datastore.AllocateSpace"]),
        None => volume_access(world, who, Some(vmid), volume, "rootdir"),
    }
}

fn check_features(
    world: &World,
    schema: &Schema,
    who: &Who,
    asked: Asked<'_>,
    old: Option<&str>,
    new: Option<&str>,
) -> Result<(), Fail> {
    if !asked.unprivileged {
        let text = "changing feature flags for privileged container is only allowed for root@pam";
        return Err(Fail::forbidden(text));
    }
    let keys = schema.formats.get("features").map(Vec::as_slice).unwrap_or_default();
    let read = |text: Option<&str>| text.and_then(|t| parse_property_string(t, keys).ok()).unwrap_or_default();
    let (old, new) = (read(old), read(new));
    let changed: Vec<&String> = old.keys().chain(new.keys()).filter(|k| old.get(*k) != new.get(*k)).collect();
    if changed.iter().any(|k| *k != "nesting") {
        let text = "changing feature flags (except nesting) is only allowed for root@pam";
        return Err(Fail::forbidden(text));
    }
    if changed.is_empty() { Ok(()) } else { need_on(world, who, asked.vmid, asked.pool, "VM.Allocate") }
}

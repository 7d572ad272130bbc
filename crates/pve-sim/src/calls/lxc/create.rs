//! Making a container: from a template, or from a backup of one.

use serde_json::json;

use super::mountpoint::{self, Kind, is_mountpoint_key};
use super::{change, rights, unlocked, unprotected};
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::jobs::{self, Job};
use crate::state::World;
use crate::state::drive::is_unused_key;
use crate::state::guest::{Config, Guest, GuestKind};

/// Parameters that are not configuration.
const META: &[&str] = &[
    "node",
    "vmid",
    "ostemplate",
    "storage",
    "pool",
    "password",
    "ssh-public-keys",
    "restore",
    "unique",
    "force",
    "start",
    "bwlimit",
    "ignore-unpack-errors",
    "ha-managed",
];

/// Refuses a number that is taken.
pub(crate) fn unused(world: &World, vmid: u32) -> Result<(), Fail> {
    match world.guests.get(&vmid) {
        Some(guest) => {
            let text = format!("{} {vmid} already exists on node '{}'", guest.kind.label(), guest.node);
            Err(Fail::die(text))
        }
        None => Ok(()),
    }
}

/// Who may make a container under this number.
fn may_allocate(world: &World, call: &Call<'_>, over: bool) -> Result<(), Fail> {
    let vm = format!("/vms/{}", call.vmid());
    let pool = call.get("pool").map(|p| format!("/pool/{p}"));
    let allowed = world.may(call.who, &vm, "VM.Allocate")
        || pool.is_some_and(|p| world.may(call.who, &p, "VM.Allocate"))
        || (over && world.may(call.who, &vm, "VM.Backup"));
    if allowed { Ok(()) } else { Err(Fail::forbidden("")) }
}

/// Whether containers may lie on a storage, and whether the caller may put one there.
fn container_storage(world: &World, call: &Call<'_>, storage: &str) -> Result<(), Fail> {
    let found = world.storage_on(storage, call.node())?;
    if !found.content.contains("rootdir") {
        return Err(Fail::param("storage", format!("storage '{storage}' does not support container directories")));
    }
    world.need(call.who, &format!("/storage/{storage}"), &["Datastore.AllocateSpace"])
}

fn check_ssh_keys(call: &Call<'_>) -> Result<(), Fail> {
    let kinds = ["ssh-rsa", "ssh-dss", "ssh-ed25519", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"];
    let ok = call.str("ssh-public-keys").lines().map(str::trim).all(|line| {
        line.is_empty() || line.starts_with('#') || kinds.iter().any(|k| line.split(' ').any(|w| w.starts_with(k)))
    });
    if ok { Ok(()) } else { Err(Fail::die("SSH public key validation error")) }
}

pub(crate) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, vmid) = (call.node(), call.vmid());
    let restore = call.flag("restore");
    let there = world.guests.get(&vmid).filter(|g| g.is(GuestKind::Lxc) && g.node == node);
    let over = restore && call.flag("force") && there.is_some();
    if over {
        if let Some(old) = there {
            if old.running() {
                return Err(Fail::die("can't overwrite running container").into());
            }
            unprotected(old, &format!("unable to restore CT {vmid}"))?;
        }
    } else {
        unused(world, vmid)?;
    }
    check_ssh_keys(call)?;
    if let Some(pool) = call.get("pool")
        && !world.pools.contains_key(pool)
    {
        return Err(Fail::forbidden(&format!("pool '{pool}' does not exist")).into());
    }
    may_allocate(world, call, over)?;
    let unprivileged = call.get("unprivileged").map_or(!restore && world.at_least(9, 0), |u| u == "1");
    let set: Config =
        call.params.iter().filter(|(k, _)| !META.contains(&k.as_str())).map(|(k, v)| (k.clone(), v.clone())).collect();
    let asked = rights::Asked { vmid, pool: call.get("pool"), old: None, set: &set, delete: &[], unprivileged };
    rights::check(world, call.schema, call.who, asked)?;
    if !unprivileged && !restore {
        world.need(call.who, "/", &["Sys.Modify"])?;
    }
    let archive = call.str("ostemplate");
    if archive == "-" {
        return Err(Fail::die("pipe requires cli environment").into());
    }
    let content = if restore { "backup" } else { "vztmpl" };
    rights::volume_access(world, call.who, Some(vmid), archive, content)?;
    let default = call.get("storage").unwrap_or("local");
    let (disks, plain) = split(set, default);
    if !disks.is_empty() && !disks.contains_key("rootfs") {
        return Err(Fail::die("mount points configured, but 'rootfs' not set - aborting").into());
    }
    for text in disks.values() {
        let volume = mountpoint::volume(text);
        if mountpoint::kind(volume) != Kind::Volume {
            if call.who.is_root() {
                continue;
            }
            return Err(Fail::die("Only root can pass arbitrary filesystem paths.").into());
        }
        container_storage(world, call, mountpoint::storage(volume)?)?;
    }
    if disks.is_empty() {
        container_storage(world, call, default)?;
    }
    if call.flag("start") {
        let pool = call.get("pool").map(|p| format!("/pool/{p}"));
        if !pool.is_some_and(|p| world.may(call.who, &p, "VM.PowerMgmt")) {
            world.need(call.who, &format!("/vms/{vmid}"), &["VM.PowerMgmt"])?;
        }
    }
    let mut config = change::plain(world, call.schema, &plain)?;
    config.remove("unprivileged");
    if unprivileged && !restore {
        config.insert("unprivileged".to_owned(), "1".to_owned());
    }
    let before = if over {
        let old = world.guests.get(&vmid).cloned();
        if let Some(old) = &old {
            unlocked(old).map_err(|f| Fail::die(format!("unable to restore CT {vmid} - {}", f.line())))?;
        }
        old
    } else {
        None
    };
    let mut guest = Guest::new(vmid, node, Config::from([("lock".to_owned(), "create".to_owned())]));
    guest.kind = GuestKind::Lxc;
    if before.is_none() {
        world.guests.insert(vmid, guest);
    } else if let Some(old) = world.guests.get_mut(&vmid) {
        old.config.insert("lock".to_owned(), "create".to_owned());
    }
    let job = jobs::lxc::create::Create {
        vmid,
        node: node.to_owned(),
        config,
        disks,
        storage: default.to_owned(),
        archive: archive.to_owned(),
        pool: call.get("pool").map(str::to_owned),
        start: call.flag("start"),
        restore,
        unique: call.flag("unique"),
        unprivileged: call.get("unprivileged").map(|u| u == "1"),
        before: before.map(Box::new),
    };
    let after = world.pace.of("create");
    let kind = if restore { "vzrestore" } else { "vzcreate" };
    let job = Job::Lxc(Box::new(jobs::lxc::Lxc::Create(job)));
    now(json!(world.spawn(node, kind, &vmid.to_string(), call.who, job, after)))
}

/// Mount points, with the default storage where only a size is said, and the rest.
fn split(set: Config, default: &str) -> (Config, Config) {
    let (mut disks, mut plain) = (Config::new(), Config::new());
    for (key, value) in set {
        if is_mountpoint_key(&key) {
            let bare = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            disks.insert(key, if bare { format!("{default}:{value}") } else { value });
        } else if !is_unused_key(&key) {
            plain.insert(key, value);
        }
    }
    (disks, plain)
}

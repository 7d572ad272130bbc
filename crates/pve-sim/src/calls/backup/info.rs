//! What backup jobs take and leave out.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::selection;
use crate::calls::lxc::mountpoint::{self, Kind, is_mountpoint_key};
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::drive::{file_of, is_cdrom, is_drive_key, option_of};
use crate::state::guest::{Guest, GuestKind};

fn volume(key: &str, name: &str, included: bool, reason: &str) -> Value {
    json!({"id": key, "name": name, "included": included, "reason": reason})
}

fn volumes(guest: &Guest) -> Vec<Value> {
    let mut rows = Vec::new();
    for (key, text) in &guest.config {
        let disabled = option_of(text, "backup") == Some("0");
        if guest.is(GuestKind::Qemu) && is_drive_key(key) && !is_cdrom(text) {
            let reason = if disabled { "disabled" } else { "enabled" };
            rows.push(volume(key, file_of(text), !disabled, reason));
        } else if guest.is(GuestKind::Lxc) && is_mountpoint_key(key) {
            let name = mountpoint::volume(text);
            let row = match mountpoint::kind(name) {
                Kind::Volume if key == "rootfs" => volume(key, name, true, "rootfs"),
                Kind::Volume if option_of(text, "backup") == Some("1") => volume(key, name, true, "enabled"),
                Kind::Volume => volume(key, name, false, "disabled"),
                Kind::Bind | Kind::Device => volume(key, name, false, "not a volume"),
            };
            rows.push(row);
        }
    }
    rows
}

pub(crate) fn included(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("id");
    let job = world.backup.jobs.get(id).ok_or_else(|| Fail::param("id", format!("No such job '{id}'")))?;
    let mut children = Vec::new();
    for vmid in selection::guests(world, job)? {
        let Some(guest) = world.guests.get(&vmid) else {
            children.push(json!({"id": vmid, "type": "unknown"}));
            continue;
        };
        if job.get("node").is_some_and(|n| *n != guest.node)
            || !world.may(call.who, &format!("/vms/{vmid}"), "VM.Audit")
        {
            continue;
        }
        children.push(json!({
            "id": vmid, "type": guest.kind.word(), "name": guest.name(), "children": volumes(guest),
        }));
    }
    now(json!({"children": children}))
}

pub(crate) fn not_backed_up(world: &mut World, call: &Call<'_>) -> Outcome {
    let mut covered = BTreeSet::new();
    for job in world.backup.jobs.values() {
        covered.extend(selection::guests(world, job).unwrap_or_default());
    }
    let rows = world
        .guests
        .values()
        .filter(|g| !covered.contains(&g.vmid) && world.may(call.who, &format!("/vms/{}", g.vmid), "VM.Audit"))
        .map(|g| {
            let mut row = json!({"vmid": g.vmid, "type": g.kind.word()});
            let key = if g.is(GuestKind::Qemu) { "name" } else { "hostname" };
            if let Some(name) = g.get(key) {
                row["name"] = json!(name);
            }
            row
        });
    now(rows.collect::<Value>())
}

//! `/nodes/{node}/storage/{storage}/prunebackups`: which backups the rules would remove, and removing them.

use serde_json::{Value, json};

use super::selection::check_keep;
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::jobs::Job;
use crate::jobs::backup::{Backup, prune};
use crate::state::World;
use crate::state::guest::Config;

/// The rules of the call, or of the storage.
fn keep(world: &World, call: &Call<'_>) -> Result<Config, Fail> {
    let id = call.str("storage");
    let storage = world.storage_on(id, call.node())?;
    if !storage.content.contains("backup") {
        return Err(Fail::die(format!("storage '{id}' does not support backups")));
    }
    let text = match call.get("prune-backups") {
        Some(text) => {
            check_keep(text)?;
            text
        }
        None => match storage.more.get("prune-backups") {
            Some(text) => text,
            None => return Err(Fail::die(format!("no prune-backups options configured for storage '{id}'"))),
        },
    };
    let pairs = text.split(',').filter_map(|p| p.trim().split_once('='));
    Ok(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
}

fn vmid(call: &Call<'_>) -> Option<u32> {
    call.get("vmid").and_then(|v| v.parse().ok())
}

pub(crate) fn look(world: &mut World, call: &Call<'_>) -> Outcome {
    let keep = keep(world, call)?;
    let mut all = prune::entries(world, call.str("storage"), call.node(), vmid(call), call.get("type"));
    prune::mark(&mut all, &keep);
    let rows = all.iter().map(|e| {
        let mut row = json!({
            "volid": e.volid, "ctime": e.ctime, "type": e.kind, "mark": e.mark.map_or("keep", prune::Mark::word),
        });
        if let Some(vmid) = e.vmid {
            row["vmid"] = json!(vmid);
        }
        row
    });
    now(rows.collect::<Value>())
}

pub(crate) fn remove(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("storage");
    let path = format!("/storage/{id}");
    match vmid(call).filter(|_| !world.may(call.who, &path, "Datastore.Allocate")) {
        Some(vmid) => {
            world.need(call.who, &path, &["Datastore.AllocateSpace"])?;
            world.need(call.who, &format!("/vms/{vmid}"), &["VM.Backup"])?;
        }
        None => world.need(call.who, &path, &["Datastore.Allocate"])?,
    }
    let keep = keep(world, call)?;
    let work = prune::Prune {
        storage: id.to_owned(),
        node: call.node().to_owned(),
        vmid: vmid(call),
        kind: call.get("type").map(str::to_owned),
        keep,
    };
    let name = vmid(call).map_or_else(|| id.to_owned(), |v| format!("{v}@{id}"));
    let after = world.pace.of("delete-volume");
    now(json!(world.spawn(
        call.node(),
        "prunebackups",
        &name,
        call.who,
        Job::Backup(Box::new(Backup::Prune(work))),
        after
    )))
}

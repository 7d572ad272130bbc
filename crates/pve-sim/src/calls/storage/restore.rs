//! Looking into backups for single files.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::access::{self, volid};
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::storage::Layout;

/// The backup that is meant, if one can look into it.
fn backup(world: &World, call: &Call<'_>) -> Result<String, Fail> {
    let volid = volid(call, "volume")?;
    access::check(world, call.who, &volid)?;
    let read = access::read(world, &volid)?;
    if read.content != "backup" {
        return Err(Fail::die(format!("unable to use volume {volid} - content type needs to be 'backup'")));
    }
    let storage = world.storage(volid.split(':').next().unwrap_or_default())?;
    if storage.kind().layout != Layout::BackupServer {
        return Err(Fail::param("storage", "Only PBS storages supported for file-restore."));
    }
    Ok(volid)
}

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let volid = backup(world, call)?;
    if world.volumes.find(&volid, call.node()).is_none() {
        return Err(
            Fail::die(format!("snapshot '{}' does not exist", volid.split_once(':').map_or("", |(_, n)| n))).into()
        );
    }
    let given = call.str("filepath");
    let folder = match STANDARD.decode(given).ok().and_then(|b| String::from_utf8(b).ok()) {
        Some(path) if path.starts_with('/') => path,
        _ => "/".to_owned(),
    };
    let folder = format!("{}/", folder.trim_end_matches('/'));
    let files = world.fixtures.files.get(&volid);
    let mut rows = Vec::new();
    for (path, size) in files.into_iter().flatten() {
        let Some(rest) = path.strip_prefix(&folder).filter(|r| !r.is_empty()) else { continue };
        let directory = rest.ends_with('/');
        let name = rest.trim_end_matches('/');
        if name.contains('/') {
            continue;
        }
        let mut row = json!({
            "filepath": STANDARD.encode(path.trim_end_matches('/')), "text": name, "type": if directory { "d" } else { "f" },
            "leaf": i32::from(!directory),
        });
        if !directory {
            row["size"] = json!(size);
        }
        rows.push(row);
    }
    now(Value::Array(rows))
}

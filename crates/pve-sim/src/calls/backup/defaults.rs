//! `GET /nodes/{node}/vzdump/defaults`.

use serde_json::json;

use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::state::World;

pub(crate) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.get("storage").unwrap_or("local");
    if call.get("storage").is_some() {
        let path = format!("/storage/{id}");
        world.need_any(call.who, &path, &["Datastore.Audit", "Datastore.AllocateSpace"])?;
        let storage = world.storage_on(id, call.node())?;
        if !storage.content.contains("backup") {
            let text = format!("can't use storage '{id}' for backups - wrong content type");
            return Err(Fail::die(text).into());
        }
    }
    let keep = world.storages.get(id).and_then(|s| s.more.get("prune-backups")).map_or("keep-all=1", String::as_str);
    let mut data = json!({
        "all": 0, "bwlimit": 0, "compress": "0", "fleecing": {"enabled": 0}, "ionice": 7, "lockwait": 180,
        "mailnotification": "always", "mode": "snapshot", "notification-mode": "auto",
        "performance": {"max-workers": 16, "pbs-entries-max": 1_048_576}, "pigz": 0, "prune-backups": keep,
        "quiet": 0, "remove": 1, "stdexcludes": 1, "stop": 0, "stopwait": 10, "storage": id, "zstd": 1,
    });
    if call.who.is_root() || world.may(call.who, &format!("/nodes/{}", call.node()), "Sys.Audit") {
        let folder = world.storages.get(id).map(|s| s.file("backup/"));
        data["dumpdir"] = json!(folder.map_or_else(String::new, |f| f.trim_end_matches('/').to_owned()));
    }
    now(data)
}

//! The cluster's log.

use serde_json::{Value, json};

use crate::calls::{Call, Outcome, now};
use crate::state::World;
use crate::state::cluster::Entry;

fn row(entry: &Entry) -> Value {
    json!({
        "id": format!("{}:{}", entry.uid, entry.node), "uid": entry.uid.to_string(), "node": entry.node,
        "time": entry.time, "pid": entry.pid, "pri": 6, "tag": entry.tag, "user": entry.user, "msg": entry.msg,
    })
}

/// The newest first; those without Sys.Syslog see what they did themselves.
pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let all = world.may(call.who, "/", "Sys.Syslog");
    let max = usize::try_from(call.number("max").unwrap_or(0)).unwrap_or(0);
    let max = if max == 0 { 50 } else { max };
    let seen = world.cluster.log.iter().rev().filter(|e| all || e.user == call.who.0);
    now(seen.take(max).map(row).collect())
}

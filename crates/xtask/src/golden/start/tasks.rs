//! Tasks that had ended before the transcript began, as its lists show them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Plan;
use super::seen::Seen;
use super::server::NODE;

/// Puts them into the state, in the order in which they started.
pub(super) fn add(plan: &mut Plan, seen: &[Seen]) {
    let started: BTreeSet<&str> = seen.iter().filter(|s| !s.is("GET")).filter_map(|s| s.data.as_str()).collect();
    let lists = seen.iter().filter(|s| s.is("GET") && s.ok() && s.path.last().is_some_and(|p| p == "tasks"));
    let mut rows: Vec<&Value> = lists.flat_map(|s| s.data.as_array().into_iter().flatten()).collect();
    rows.retain(|r| r["upid"].as_str().is_some_and(|u| !started.contains(u)) && r["endtime"].is_number());
    rows.sort_by_key(|r| (r["starttime"].as_i64(), r["upid"].as_str()));
    rows.dedup_by_key(|r| r["upid"].clone());
    for (order, row) in rows.into_iter().enumerate() {
        let upid = row["upid"].as_str().unwrap_or_default();
        let part = |at: usize| upid.split(':').nth(at).unwrap_or_default();
        let number = |at: usize| u64::from_str_radix(part(at), 16).unwrap_or(0);
        let exit = row["status"].as_str().unwrap_or("OK");
        let last = if exit == "OK" { "TASK OK".to_owned() } else { format!("TASK ERROR: {exit}") };
        plan.state["tasks"][upid] = json!({
            "upid": upid, "node": NODE, "pid": number(2), "pstart": number(3), "starttime": row["starttime"],
            "kind": part(5), "id": part(6), "who": part(7), "log": [last], "endtime": row["endtime"], "exit": exit,
            "job": null, "due": 0.0, "fails": null, "order": order + 1,
        });
        plan.state["task_count"] = json!(order + 1);
    }
}

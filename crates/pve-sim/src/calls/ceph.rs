//! Ceph, on nodes that don't have it: every call says which program is missing.

use serde_json::json;

use super::{Call, Done, Handler, Outcome, names, now};
use crate::http::fail::Fail;
use crate::state::World;

/// Whether a path is of this family.
pub(super) fn is_of(path: &str) -> bool {
    path.starts_with("/cluster/ceph") || path.starts_with("/nodes/{node}/ceph")
}

/// The handler of a method.
pub(super) fn handler(verb: &str, path: &str) -> Option<Handler> {
    let rest = path.strip_prefix("/nodes/{node}/ceph").or_else(|| path.strip_prefix("/cluster/ceph"))?;
    Some(match (verb, rest) {
        ("GET", "") if path.starts_with("/cluster") => |_, _| now(names("name", &["metadata", "status", "flags"])),
        ("GET", "") => node_index,
        ("GET", "/cfg") => |_, _| now(names("name", &["raw", "db", "value"])),
        ("GET", "/pool/{name}") => |_, _| now(names("name", &["status"])),
        ("GET", "/osd/{osdid}") => |_, _| now(names("name", &["metadata", "lv-info"])),
        ("GET", "/log") => log,
        ("POST", "/init") => |_, _| missing("/usr/bin/ceph"),
        ("POST", "/osd") => |_, _| missing("/usr/bin/ceph-osd"),
        ("POST", "/mgr/{id}") => |_, _| missing("/usr/bin/ceph-mgr"),
        ("POST", "/mds/{name}") => |_, _| missing("/usr/bin/ceph-mds"),
        _ => |_, _| missing("/usr/bin/ceph-mon"),
    })
}

fn missing(program: &str) -> Outcome {
    Err(Fail::die(format!("binary not installed: {program}")).into())
}

fn node_index(_: &mut World, _: &Call<'_>) -> Outcome {
    let of = [
        "cfg",
        "cmd-safety",
        "crush",
        "fs",
        "init",
        "log",
        "mds",
        "mgr",
        "mon",
        "osd",
        "pool",
        "restart",
        "rules",
        "start",
        "status",
        "stop",
    ];
    now(names("name", &of))
}

#[expect(clippy::unnecessary_wraps, reason = "what handlers return")]
fn log(_: &mut World, _: &Call<'_>) -> Outcome {
    Ok(Done::Total(json!([{"n": 1, "t": "unable to open file - No such file or directory"}]), 1))
}

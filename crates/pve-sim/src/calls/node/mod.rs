//! Nodes and their tasks: `/nodes`, `/version`.

pub(crate) mod nodes;
pub(crate) mod tasks;

use super::{Handler, names, now};

/// The handler of a method.
pub(super) fn handler(verb: &str, path: &str) -> Option<Handler> {
    Some(match (verb, path) {
        ("GET", "/nodes") => nodes::list,
        ("GET", "/nodes/{node}") => nodes::index,
        ("GET", "/nodes/{node}/status") => nodes::status,
        ("GET", "/version" | "/nodes/{node}/version") => nodes::version,
        ("GET", "/nodes/{node}/time") => nodes::time,
        ("GET", "/nodes/{node}/lxc") => |_, _| now(serde_json::json!([])),
        ("GET", "/nodes/{node}/tasks") => tasks::list,
        ("GET", "/nodes/{node}/tasks/{upid}") => |_, _| now(names("name", &["log", "status"])),
        ("DELETE", "/nodes/{node}/tasks/{upid}") => tasks::stop,
        ("GET", "/nodes/{node}/tasks/{upid}/status") => tasks::status,
        ("GET", "/nodes/{node}/tasks/{upid}/log") => tasks::log,
        _ => return None,
    })
}

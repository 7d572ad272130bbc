//! `/cluster/ha`: resources, groups (8), rules (9), status.

pub(crate) mod groups;
pub(crate) mod resources;
pub(crate) mod rules;
pub(crate) mod status;

use serde_json::Value;

use crate::calls::{Call, Handler, Outcome, names, now};
use crate::state::World;

fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("id", &["status", "resources", "groups", "rules"]))
}

/// The handler of a method.
pub(super) fn handler(verb: &str, path: &str) -> Option<Handler> {
    Some(match (verb, path) {
        ("GET", "/cluster/ha") => index,
        ("GET", "/cluster/ha/resources") => resources::list,
        ("POST", "/cluster/ha/resources") => resources::create,
        ("GET", "/cluster/ha/resources/{sid}") => resources::get,
        ("PUT", "/cluster/ha/resources/{sid}") => resources::update,
        ("DELETE", "/cluster/ha/resources/{sid}") => resources::delete,
        ("POST", "/cluster/ha/resources/{sid}/migrate") => |w, c| resources::motion(w, c, "migrate"),
        ("POST", "/cluster/ha/resources/{sid}/relocate") => |w, c| resources::motion(w, c, "relocate"),
        ("GET", "/cluster/ha/groups") => groups::list,
        ("POST", "/cluster/ha/groups") => groups::create,
        ("GET", "/cluster/ha/groups/{group}") => groups::get,
        ("PUT", "/cluster/ha/groups/{group}") => groups::update,
        ("DELETE", "/cluster/ha/groups/{group}") => groups::delete,
        ("GET", "/cluster/ha/rules") => rules::list,
        ("POST", "/cluster/ha/rules") => rules::create,
        ("GET", "/cluster/ha/rules/{rule}") => rules::get,
        ("PUT", "/cluster/ha/rules/{rule}") => rules::update,
        ("DELETE", "/cluster/ha/rules/{rule}") => rules::delete,
        ("GET", "/cluster/ha/status") => |_, _| now(names("name", &["current", "manager_status"])),
        ("GET", "/cluster/ha/status/current") => status::current,
        ("GET", "/cluster/ha/status/manager_status") => status::manager,
        ("POST", "/cluster/ha/status/arm-ha") => |world, _| {
            world.cluster.manager.disarmed = None;
            now(Value::Null)
        },
        ("POST", "/cluster/ha/status/disarm-ha") => |world, call| {
            world.cluster.manager.disarmed = Some(call.str("resource-mode").to_owned());
            now(Value::Null)
        },
        _ => return None,
    })
}

//! What belongs to the cluster as a whole: `/cluster`.

pub(crate) mod general;
pub(crate) mod ha;
pub(crate) mod resources;

use super::Handler;

/// The handler of a method.
pub(super) fn handler(verb: &str, path: &str) -> Option<Handler> {
    Some(match (verb, path) {
        ("GET", "/cluster") => general::index,
        ("GET", "/cluster/resources") => resources::list,
        ("GET", "/cluster/status") => general::status,
        ("GET", "/cluster/nextid") => general::nextid,
        ("GET", "/cluster/tasks") => crate::calls::node::tasks::cluster,
        ("GET", "/cluster/options") => general::options,
        ("PUT", "/cluster/options") => general::update_options,
        ("GET", "/cluster/ha/resources") => ha::list,
        ("POST", "/cluster/ha/resources") => ha::create,
        ("GET", "/cluster/ha/resources/{sid}") => ha::get,
        ("PUT", "/cluster/ha/resources/{sid}") => ha::update,
        ("DELETE", "/cluster/ha/resources/{sid}") => ha::delete,
        ("GET", "/cluster/ha/status/current") => ha::status,
        _ => return None,
    })
}

//! What belongs to the cluster as a whole: `/cluster`.

mod acme;
mod config;
pub(crate) mod general;
pub(crate) mod ha;
mod jobs;
mod log;
mod mapping;
mod metrics;
mod notifications;
mod options;
pub(crate) mod resources;
pub(crate) mod sections;

use super::{Handler, names, now};
use crate::calls::node::bulk;

/// The handler of a method.
pub(super) fn handler(verb: &str, path: &str) -> Option<Handler> {
    match path.split('/').nth(2) {
        Some("ha") => return ha::handler(verb, path),
        Some("mapping" | "metrics" | "jobs") => return kept(verb, path),
        Some("acme" | "notifications") => return outside(verb, path),
        _ => {}
    }
    Some(match (verb, path) {
        ("GET", "/cluster") => general::index,
        ("GET", "/cluster/resources") => resources::list,
        ("GET", "/cluster/status") => general::status,
        ("GET", "/cluster/nextid") => general::nextid,
        ("GET", "/cluster/tasks") => crate::calls::node::tasks::cluster,
        ("GET", "/cluster/log") => log::list,
        ("GET", "/cluster/options") => options::get,
        ("PUT", "/cluster/options") => options::set,
        ("GET", "/cluster/config") => config::index,
        ("POST", "/cluster/config" | "/cluster/config/join" | "/cluster/config/nodes/{node}") => config::create,
        ("GET", "/cluster/config/nodes") => config::nodes,
        ("DELETE", "/cluster/config/nodes/{node}") => config::remove_node,
        ("GET", "/cluster/config/totem") => config::totem_section,
        ("GET", "/cluster/config/join") => config::join_info,
        ("GET", "/cluster/config/qdevice") => config::qdevice,
        ("GET", "/cluster/config/apiversion") => config::api_version,
        ("GET", "/cluster/bulk-action") => |_, _| now(names("name", &["guest"])),
        ("GET", "/cluster/bulk-action/guest") => {
            |_, _| now(names("name", &["start", "shutdown", "migrate", "suspend"]))
        }
        ("POST", "/cluster/bulk-action/guest/start") => |w, c| bulk::cluster(w, c, "start"),
        ("POST", "/cluster/bulk-action/guest/shutdown") => |w, c| bulk::cluster(w, c, "shutdown"),
        ("POST", "/cluster/bulk-action/guest/suspend") => |w, c| bulk::cluster(w, c, "suspend"),
        ("POST", "/cluster/bulk-action/guest/migrate") => |w, c| bulk::cluster(w, c, "migrate"),
        _ => return None,
    })
}

/// What lies in section files.
fn kept(verb: &str, path: &str) -> Option<Handler> {
    let path = path.strip_prefix("/cluster/")?;
    Some(match (verb, path) {
        ("GET", "mapping") => mapping::index,
        ("GET", "mapping/pci" | "mapping/usb" | "mapping/dir") => mapping::list,
        ("POST", "mapping/pci" | "mapping/usb" | "mapping/dir") => mapping::create,
        ("GET", "mapping/pci/{id}" | "mapping/usb/{id}" | "mapping/dir/{id}") => mapping::get,
        ("PUT", "mapping/pci/{id}" | "mapping/usb/{id}" | "mapping/dir/{id}") => mapping::update,
        ("DELETE", "mapping/pci/{id}" | "mapping/usb/{id}" | "mapping/dir/{id}") => mapping::delete,
        ("GET", "metrics") => metrics::index,
        ("GET", "metrics/export") => metrics::export,
        ("GET", "metrics/server") => metrics::list,
        ("GET", "metrics/server/{id}") => metrics::get,
        ("POST", "metrics/server/{id}") => metrics::create,
        ("PUT", "metrics/server/{id}") => metrics::update,
        ("DELETE", "metrics/server/{id}") => metrics::delete,
        ("GET", "jobs") => jobs::index,
        ("GET", "jobs/schedule-analyze") => jobs::analyze,
        ("GET", "jobs/realm-sync") => jobs::list,
        ("GET", "jobs/realm-sync/{id}") => jobs::get,
        ("POST", "jobs/realm-sync/{id}") => jobs::create,
        ("PUT", "jobs/realm-sync/{id}") => jobs::update,
        ("DELETE", "jobs/realm-sync/{id}") => jobs::delete,
        _ => return None,
    })
}

/// What in a real cluster talks to the outside.
fn outside(verb: &str, path: &str) -> Option<Handler> {
    let path = path.strip_prefix("/cluster/")?;
    let entry = |p: &str| p.starts_with("notifications/endpoints/") || p.starts_with("notifications/matchers");
    Some(match (verb, path) {
        ("GET", "acme") => acme::index,
        ("GET", "acme/account") => acme::accounts,
        ("POST", "acme/account") => acme::register,
        ("GET", "acme/account/{name}") => acme::account,
        ("PUT", "acme/account/{name}") => acme::update_account,
        ("DELETE", "acme/account/{name}") => acme::deactivate,
        ("GET", "acme/challenge-schema") => acme::schemas,
        ("GET", "acme/directories") => acme::directories,
        ("GET", "acme/meta") => acme::meta,
        ("GET", "acme/tos") => acme::tos,
        ("GET", "acme/plugins") => acme::plugins,
        ("POST", "acme/plugins") => acme::create_plugin,
        ("GET", "acme/plugins/{id}") => acme::plugin,
        ("PUT", "acme/plugins/{id}") => acme::update_plugin,
        ("DELETE", "acme/plugins/{id}") => acme::delete_plugin,
        ("GET", "notifications") => notifications::index,
        ("GET", "notifications/endpoints") => notifications::endpoints,
        ("GET", "notifications/targets") => notifications::targets,
        ("POST", "notifications/targets/{name}/test") => notifications::test,
        ("GET", "notifications/matcher-fields") => notifications::fields,
        ("GET", "notifications/matcher-field-values") => notifications::field_values,
        ("GET", p) if entry(p) && p.ends_with("/{name}") => notifications::get,
        ("GET", p) if entry(p) => notifications::list,
        ("POST", p) if entry(p) => notifications::create,
        ("PUT", p) if entry(p) => notifications::update,
        ("DELETE", p) if entry(p) => notifications::delete,
        _ => return None,
    })
}

#[cfg(test)]
mod test;

//! Networks: a node's interfaces, firewalls, software-defined networks.

mod firewall;
mod interfaces;
pub(crate) use interfaces::reload;
mod sdn;

use super::Handler;

/// Whether a path is of this family.
pub(super) fn is_of(path: &str) -> bool {
    path.contains("/firewall") || path.starts_with("/nodes/{node}/network") || path.contains("/sdn")
}

/// The handler of a method.
pub(super) fn handler(verb: &str, path: &str) -> Option<Handler> {
    if path.contains("/firewall") {
        return firewall::handler(verb, path);
    }
    if path.contains("/sdn") {
        return sdn::handler(verb, path);
    }
    Some(match (verb, path) {
        ("GET", "/nodes/{node}/network") => interfaces::list,
        ("POST", "/nodes/{node}/network") => interfaces::create,
        ("PUT", "/nodes/{node}/network") => interfaces::apply,
        ("DELETE", "/nodes/{node}/network") => interfaces::revert,
        ("GET", "/nodes/{node}/network/{iface}") => interfaces::get,
        ("PUT", "/nodes/{node}/network/{iface}") => interfaces::update,
        ("DELETE", "/nodes/{node}/network/{iface}") => interfaces::delete,
        _ => return None,
    })
}

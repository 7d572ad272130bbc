//! Nodes and their tasks: `/nodes`, `/version`.

mod apt;
pub(crate) mod bulk;
mod execute;
mod hardware;
mod host;
pub(crate) mod load;
pub(crate) mod nodes;
mod rrd;
mod services;
mod subscription;
pub(crate) mod tasks;

use super::{Handler, names, now};

/// The handler of a method.
pub(super) fn handler(verb: &str, path: &str) -> Option<Handler> {
    let own: fn(&str, &str) -> Option<Handler> = match path.split('/').nth(3) {
        Some("apt" | "services" | "subscription") => packages,
        Some("hardware" | "disks" | "certificates") => devices,
        _ => node,
    };
    own(verb, path)
}

fn node(verb: &str, path: &str) -> Option<Handler> {
    Some(match (verb, path) {
        ("GET", "/nodes") => nodes::list,
        ("GET", "/nodes/{node}") => nodes::index,
        ("GET", "/nodes/{node}/status") => nodes::status,
        ("POST", "/nodes/{node}/status") => bulk::power,
        ("GET", "/version" | "/nodes/{node}/version") => nodes::version,
        ("GET", "/nodes/{node}/time") => host::time,
        ("PUT", "/nodes/{node}/time") => host::set_time,
        ("GET", "/nodes/{node}/dns") => host::dns,
        ("PUT", "/nodes/{node}/dns") => host::set_dns,
        ("GET", "/nodes/{node}/hosts") => host::hosts,
        ("POST", "/nodes/{node}/hosts") => host::set_hosts,
        ("GET", "/nodes/{node}/config") => host::config,
        ("PUT", "/nodes/{node}/config") => host::set_config,
        ("GET", "/nodes/{node}/syslog") => host::syslog,
        ("GET", "/nodes/{node}/journal") => host::journal,
        ("GET", "/nodes/{node}/netstat") => host::netstat,
        ("GET", "/nodes/{node}/report") => host::report,
        ("GET", "/nodes/{node}/rrddata") => rrd::data,
        ("GET", "/nodes/{node}/rrd") => rrd::picture,
        ("POST", "/nodes/{node}/startall") => bulk::start_all,
        ("POST", "/nodes/{node}/stopall") => bulk::stop_all,
        ("POST", "/nodes/{node}/suspendall") => bulk::suspend_all,
        ("POST", "/nodes/{node}/migrateall") => bulk::migrate_all,
        ("POST", "/nodes/{node}/wakeonlan") => bulk::wake,
        ("POST", "/nodes/{node}/execute") => execute::run,
        ("GET", "/nodes/{node}/tasks") => tasks::list,
        ("GET", "/nodes/{node}/tasks/{upid}") => |_, _| now(names("name", &["log", "status"])),
        ("DELETE", "/nodes/{node}/tasks/{upid}") => tasks::stop,
        ("GET", "/nodes/{node}/tasks/{upid}/status") => tasks::status,
        ("GET", "/nodes/{node}/tasks/{upid}/log") => tasks::log,
        _ => return None,
    })
}

fn packages(verb: &str, path: &str) -> Option<Handler> {
    Some(match (verb, path) {
        ("GET", "/nodes/{node}/services") => services::list,
        ("GET", "/nodes/{node}/services/{service}") => services::index,
        ("GET", "/nodes/{node}/services/{service}/state") => services::state,
        ("POST", path) if path.starts_with("/nodes/{node}/services/{service}/") => services::order,
        ("GET", "/nodes/{node}/subscription") => subscription::get,
        ("PUT", "/nodes/{node}/subscription") => subscription::set,
        ("POST", "/nodes/{node}/subscription") => subscription::check,
        ("DELETE", "/nodes/{node}/subscription") => subscription::remove,
        ("GET", "/nodes/{node}/apt") => apt::index,
        ("GET", "/nodes/{node}/apt/versions") => apt::versions,
        ("GET", "/nodes/{node}/apt/update") => apt::updates,
        ("POST", "/nodes/{node}/apt/update") => apt::update,
        ("GET", "/nodes/{node}/apt/changelog") => apt::changelog,
        ("GET", "/nodes/{node}/apt/repositories") => apt::repositories,
        ("PUT", "/nodes/{node}/apt/repositories") => apt::add_repository,
        ("POST", "/nodes/{node}/apt/repositories") => apt::change_repository,
        _ => return None,
    })
}

fn devices(verb: &str, path: &str) -> Option<Handler> {
    Some(match (verb, path) {
        ("GET", "/nodes/{node}/hardware") => hardware::index,
        ("GET", "/nodes/{node}/hardware/pci") => hardware::pci,
        ("GET", "/nodes/{node}/hardware/pci/{pci-id-or-mapping}") => hardware::pci_index,
        ("GET", "/nodes/{node}/hardware/pci/{pci-id-or-mapping}/mdev") => hardware::mdev,
        ("GET", "/nodes/{node}/hardware/usb") => hardware::usb,
        ("GET", "/nodes/{node}/disks") => hardware::disks_index,
        ("GET", "/nodes/{node}/disks/list") => hardware::disks,
        ("GET", "/nodes/{node}/disks/smart") => hardware::smart,
        ("GET", "/nodes/{node}/disks/lvm") => hardware::lvm,
        ("GET", "/nodes/{node}/disks/lvmthin" | "/nodes/{node}/disks/zfs" | "/nodes/{node}/disks/directory") => {
            hardware::none
        }
        ("GET", "/nodes/{node}/disks/zfs/{name}") => hardware::zpool,
        ("GET", "/nodes/{node}/certificates") => hardware::certificates_index,
        ("GET", "/nodes/{node}/certificates/info") => hardware::certificates,
        _ => return None,
    })
}

//! Virtual machines: `/nodes/{node}/qemu`.

pub(crate) mod agent;
mod capabilities;
mod clone;
mod cloudinit;
pub(crate) mod config;
pub(crate) mod config_change;
mod console;
mod disks;
pub(crate) mod drives;
pub(crate) mod feature;
mod hotplug;
mod migrate;
pub(crate) mod power;
pub(crate) mod rights;
pub(crate) mod rrd;
pub(crate) mod status;
#[cfg(test)]
mod test;
pub(crate) mod values;
pub(crate) mod vms;

use super::{Handler, snapshots, status as guests};

/// The handler of a method.
pub(super) fn handler(verb: &str, path: &str) -> Option<Handler> {
    let Some(rest) = path.strip_prefix("/nodes/{node}/qemu/{vmid}") else {
        return Some(match (verb, path) {
            ("GET", "/nodes/{node}/qemu") => guests::list,
            ("POST", "/nodes/{node}/qemu") => vms::create,
            ("GET", "/nodes/{node}/capabilities") => capabilities::index,
            ("GET", "/nodes/{node}/capabilities/qemu") => capabilities::qemu,
            ("GET", "/nodes/{node}/capabilities/qemu/cpu") => capabilities::models,
            ("GET", "/nodes/{node}/capabilities/qemu/cpu-flags") => capabilities::flags,
            ("GET", "/nodes/{node}/capabilities/qemu/machines") => capabilities::machines,
            ("GET", "/nodes/{node}/capabilities/qemu/migration") => capabilities::migration,
            _ => return None,
        });
    };
    Some(match (verb, rest) {
        ("GET", "") => vms::index,
        ("DELETE", "") => vms::destroy,
        ("GET", "/config") => config::get,
        ("PUT", "/config") => config::put,
        ("POST", "/config") => config::post,
        ("GET", "/pending") => config::pending,
        ("PUT", "/unlink") => config::unlink,
        ("POST", "/clone") => clone::clone,
        ("POST", "/template") => disks::template,
        ("PUT", "/resize") => disks::resize,
        ("GET", "/status") => status::index,
        ("GET", "/status/current") => guests::current,
        ("POST", "/status/start") => power::start,
        ("POST", "/status/stop") => power::stop,
        ("POST", "/status/shutdown") => power::shutdown,
        ("POST", "/status/reboot") => power::reboot,
        ("POST", "/status/reset") => power::reset,
        ("POST", "/status/suspend") => power::suspend,
        ("POST", "/status/resume") => power::resume,
        ("GET", "/agent") => agent::index,
        ("POST", "/agent") => agent::legacy,
        ("POST", "/agent/exec") => agent::exec,
        ("GET", "/agent/exec-status") => agent::exec_status,
        ("GET", "/agent/file-read") => agent::file_read,
        ("POST", "/agent/file-write") => agent::file_write,
        ("POST", "/agent/set-user-password") => agent::set_user_password,
        ("GET", "/cloudinit") => cloudinit::list,
        ("PUT", "/cloudinit") => cloudinit::regenerate,
        ("GET", "/cloudinit/dump") => cloudinit::dump,
        ("GET", "/feature") => feature::get,
        ("GET", "/rrddata") => rrd::data,
        ("GET", "/rrd") => rrd::picture,
        ("POST", "/vncproxy") => console::vnc,
        ("GET", "/vncwebsocket") => console::websocket,
        ("POST", "/termproxy") => console::terminal,
        ("POST", "/spiceproxy") => console::spice,
        ("PUT", "/sendkey") => console::send_key,
        ("POST", "/monitor") => console::monitor,
        (_, rest) if rest.starts_with("/agent/") => agent::simple,
        ("GET", "/snapshot") => snapshots::list,
        ("POST", "/snapshot") => snapshots::create,
        ("GET", "/snapshot/{snapname}") => snapshots::index,
        ("DELETE", "/snapshot/{snapname}") => snapshots::delete,
        ("GET", "/snapshot/{snapname}/config") => snapshots::config,
        ("PUT", "/snapshot/{snapname}/config") => snapshots::update,
        ("POST", "/snapshot/{snapname}/rollback") => snapshots::rollback,
        ("GET", "/migrate") => migrate::precondition,
        ("POST", "/migrate") => migrate::migrate,
        ("POST", "/move_disk") => disks::relocate,
        ("POST", "/remote_migrate") => migrate::remote,
        ("POST", "/dbus-vmstate") => migrate::dbus,
        _ => return None,
    })
}

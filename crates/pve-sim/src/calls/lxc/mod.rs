//! Containers: `/nodes/{node}/lxc`.

pub(crate) mod change;
pub(crate) mod clone;
pub(crate) mod config;
pub(crate) mod console;
pub(crate) mod create;
pub(crate) mod destroy;
pub(crate) mod migrate;
pub(crate) mod mountpoint;
pub(crate) mod power;
pub(crate) mod rights;
pub(crate) mod status;
pub(crate) mod volumes;

use super::{Call, Handler, snapshots, status as guests};
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::guest::{Guest, GuestKind};

/// The handler of a method.
pub(super) fn handler(verb: &str, path: &str) -> Option<Handler> {
    let Some(rest) = path.strip_prefix("/nodes/{node}/lxc/{vmid}") else {
        return Some(match (verb, path) {
            ("GET", "/nodes/{node}/lxc") => guests::list,
            ("POST", "/nodes/{node}/lxc") => create::create,
            _ => return None,
        });
    };
    Some(match (verb, rest) {
        ("GET", "") => status::directory,
        ("DELETE", "") => destroy::destroy,
        ("GET", "/config") => config::get,
        ("PUT", "/config") => config::put,
        ("GET", "/pending") => config::pending,
        ("POST", "/clone") => clone::clone,
        ("POST", "/template") => clone::template,
        ("PUT", "/resize") => volumes::resize,
        ("POST", "/move_volume") => volumes::move_volume,
        ("GET", "/status") => status::index,
        ("GET", "/status/current") => guests::current,
        ("POST", "/status/start") => power::start,
        ("POST", "/status/stop") => power::stop,
        ("POST", "/status/shutdown") => power::shutdown,
        ("POST", "/status/reboot") => power::reboot,
        ("POST", "/status/suspend") => power::suspend,
        ("POST", "/status/resume") => power::resume,
        ("GET", "/interfaces") => status::interfaces,
        ("GET", "/feature") => status::feature,
        ("GET", "/rrddata") => status::rrddata,
        ("GET", "/rrd") => status::picture,
        ("GET", "/snapshot") => snapshots::list,
        ("POST", "/snapshot") => snapshots::create,
        ("GET", "/snapshot/{snapname}") => snapshots::index,
        ("DELETE", "/snapshot/{snapname}") => snapshots::delete,
        ("GET", "/snapshot/{snapname}/config") => snapshots::config,
        ("PUT", "/snapshot/{snapname}/config") => snapshots::update,
        ("POST", "/snapshot/{snapname}/rollback") => snapshots::rollback,
        ("GET", "/migrate") => migrate::check,
        ("POST", "/migrate") => migrate::migrate,
        ("POST", "/termproxy") => console::termproxy,
        ("POST", "/vncproxy") => console::vncproxy,
        ("POST", "/spiceproxy") => console::spiceproxy,
        _ => return None,
    })
}

/// The container that a call is about.
pub(crate) fn the<'a>(world: &'a World, call: &Call<'_>) -> Result<&'a Guest, Fail> {
    world.guest_of(GuestKind::Lxc, call.node(), call.vmid())
}

/// Refuses what a lock forbids.
pub(crate) fn unlocked(guest: &Guest) -> Result<(), Fail> {
    guest.get("lock").map_or(Ok(()), |lock| Err(Fail::die(format!("CT is locked ({lock})"))))
}

/// Refuses what the option `protection` forbids.
pub(crate) fn unprotected(guest: &Guest, what: &str) -> Result<(), Fail> {
    if guest.get("protection") == Some("1") {
        return Err(Fail::die(format!("{what} - protection mode enabled")));
    }
    Ok(())
}

/// Refuses a digest that isn't that of the configuration.
pub(crate) fn unmodified(guest: &Guest, digest: Option<&str>) -> Result<(), Fail> {
    if digest.is_some_and(|d| d != guest.digest()) {
        return Err(Fail::die("detected modified configuration - file changed by other user? Try again."));
    }
    Ok(())
}

//! Backups, backup jobs, replication: `/nodes/{node}/vzdump`, `/cluster/backup`, `/cluster/replication` and kin.

pub(crate) mod defaults;
pub(crate) mod info;
pub(crate) mod jobs;
pub(crate) mod prune;
pub(crate) mod replication;
pub(crate) mod restore;
pub(crate) mod selection;
pub(crate) mod vzdump;

use super::{Handler, names, now};

/// The handler of a method; none also for what belongs to other families.
pub(super) fn handler(verb: &str, path: &str) -> Option<Handler> {
    Some(match (verb, path) {
        ("POST", "/nodes/{node}/vzdump") => vzdump::run,
        ("GET", "/nodes/{node}/vzdump/defaults") => defaults::get,
        ("GET", "/nodes/{node}/vzdump/extractconfig") => restore::extract,
        ("GET", "/nodes/{node}/storage/{storage}/prunebackups") => prune::look,
        ("DELETE", "/nodes/{node}/storage/{storage}/prunebackups") => prune::remove,
        ("GET", "/cluster/backup") => jobs::list,
        ("POST", "/cluster/backup") => jobs::create,
        ("GET", "/cluster/backup/{id}") => jobs::get,
        ("PUT", "/cluster/backup/{id}") => jobs::update,
        ("DELETE", "/cluster/backup/{id}") => jobs::delete,
        ("GET", "/cluster/backup/{id}/included_volumes") => info::included,
        ("GET", "/cluster/backup-info") => |_, _| now(names("subdir", &["not-backed-up"])),
        ("GET", "/cluster/backup-info/not-backed-up") => info::not_backed_up,
        ("GET", "/cluster/replication") => replication::list,
        ("POST", "/cluster/replication") => replication::create,
        ("GET", "/cluster/replication/{id}") => replication::get,
        ("PUT", "/cluster/replication/{id}") => replication::update,
        ("DELETE", "/cluster/replication/{id}") => replication::delete,
        ("GET", "/nodes/{node}/replication") => replication::states,
        ("GET", "/nodes/{node}/replication/{id}") => |_, _| now(names("name", &["schedule_now", "log", "status"])),
        ("GET", "/nodes/{node}/replication/{id}/status") => replication::status,
        ("GET", "/nodes/{node}/replication/{id}/log") => replication::log,
        ("POST", "/nodes/{node}/replication/{id}/schedule_now") => replication::schedule_now,
        _ => return None,
    })
}

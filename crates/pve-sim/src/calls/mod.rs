//! The methods: one file an endpoint family.
//!
//! A handler is a function of the world and a call; it never waits. Where Proxmox VE waits, the handler
//! says so ([`Done::After`], [`Done::Agent`], [`Retry`]) and the edge does the waiting.

pub(crate) mod access;
pub(crate) mod access_acl;
pub(crate) mod agent;
pub(crate) mod cluster;
pub(crate) mod config;
pub(crate) mod config_change;
pub(crate) mod content;
pub(crate) mod drives;
pub(crate) mod ha;
pub(crate) mod needs;
pub(crate) mod nodes;
pub(crate) mod pools;
pub(crate) mod power;
pub(crate) mod qemu;
pub(crate) mod resources;
pub(crate) mod snapshots;
pub(crate) mod status;
pub(crate) mod storage;
pub(crate) mod tasks;
pub(crate) mod ticket;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::http::fail::Fail;
use crate::perm::Who;
use crate::schema::{Method, Schema};
use crate::state::World;

/// A verified call.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) method: &'a Method,
    pub(crate) who: &'a Who,
    pub(crate) params: BTreeMap<String, String>,
    /// The file of an upload.
    pub(crate) file: Option<Bytes>,
}

impl Call<'_> {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str)
    }

    /// A parameter that verification has made sure of.
    pub(crate) fn str(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.get(name) == Some("1")
    }

    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(|v| v.parse().ok())
    }

    pub(crate) fn node(&self) -> &str {
        self.str("node")
    }

    pub(crate) fn vmid(&self) -> u32 {
        self.str("vmid").parse().unwrap_or_default()
    }
}

/// How a call goes well.
#[derive(Debug)]
pub(crate) enum Done {
    Now(Value),
    /// With `total` beside the data.
    Total(Value, usize),
    /// The outcome is known; it is said after so many seconds.
    After(f64, Box<Result<Value, Fail>>),
    /// A guest agent answers, or does not.
    Agent(oneshot::Receiver<Value>, AgentCall),
}

/// What was asked of an agent, to shape its answer.
#[derive(Debug, Clone)]
pub(crate) struct AgentCall {
    pub(crate) vmid: u32,
    pub(crate) command: String,
    pub(crate) shape: agent::Shape,
}

/// The outcome of a handler.
pub(crate) type Outcome = Result<Done, Stop>;

/// Why a handler stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    Fail(Fail),
    /// Try again until so many seconds have passed, then fail so: a lock is held.
    Retry(f64, Fail),
}

impl From<Fail> for Stop {
    fn from(fail: Fail) -> Self {
        Self::Fail(fail)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what handlers return")]
pub(crate) fn now(value: Value) -> Outcome {
    Ok(Done::Now(value))
}

type Handler = fn(&mut World, &Call<'_>) -> Outcome;

/// The handler of a method.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(crate) fn handler(verb: &str, path: &str) -> Option<Handler> {
    let q = path.strip_prefix("/nodes/{node}/qemu/{vmid}");
    if let Some(rest) = q {
        return Some(match (verb, rest) {
            ("GET", "") => qemu::index,
            ("DELETE", "") => qemu::destroy,
            ("GET", "/config") => config::get,
            ("PUT", "/config") => config::put,
            ("POST", "/config") => config::post,
            ("GET", "/pending") => config::pending,
            ("PUT", "/unlink") => config::unlink,
            ("POST", "/clone") => qemu::clone,
            ("POST", "/template") => qemu::template,
            ("PUT", "/resize") => qemu::resize,
            ("GET", "/status") => status::index,
            ("GET", "/status/current") => status::current,
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
            ("GET", "/cloudinit") => config::cloudinit,
            ("PUT", "/cloudinit") => config::regenerate_cloudinit,
            (_, rest) if rest.starts_with("/agent/") => agent::simple,
            ("GET", "/snapshot") => snapshots::list,
            ("POST", "/snapshot") => snapshots::create,
            ("GET", "/snapshot/{snapname}") => snapshots::index,
            ("DELETE", "/snapshot/{snapname}") => snapshots::delete,
            ("GET", "/snapshot/{snapname}/config") => snapshots::config,
            ("POST", "/snapshot/{snapname}/rollback") => snapshots::rollback,
            ("GET", "/migrate") => qemu::migrate_check,
            ("POST", "/migrate") => qemu::migrate,
            _ => return None,
        });
    }
    Some(match (verb, path) {
        ("GET", "/access") => |_, _| {
            now(names(
                "subdir",
                &["users", "groups", "roles", "acl", "domains", "openid", "tfa", "ticket", "password", "permissions"],
            ))
        },
        ("GET", "/access/domains") => access::domains,
        ("GET", "/access/domains/{realm}") => access::domain,
        ("GET", "/access/ticket") => |_, _| now(Value::Null),
        ("POST", "/access/ticket") => ticket::create,
        ("GET", "/access/permissions") => access::permissions,
        ("PUT", "/access/password") => access::password,
        ("GET", "/access/users") => access::users,
        ("POST", "/access/users") => access::create_user,
        ("GET", "/access/users/{userid}") => access::user,
        ("PUT", "/access/users/{userid}") => access::update_user,
        ("DELETE", "/access/users/{userid}") => access::delete_user,
        ("GET", "/access/users/{userid}/token") => access::tokens,
        ("GET", "/access/users/{userid}/token/{tokenid}") => access::token,
        ("POST", "/access/users/{userid}/token/{tokenid}") => access::create_token,
        ("PUT", "/access/users/{userid}/token/{tokenid}") => access::update_token,
        ("DELETE", "/access/users/{userid}/token/{tokenid}") => access::delete_token,
        ("GET", "/access/groups") => access_acl::groups,
        ("POST", "/access/groups") => access_acl::create_group,
        ("GET", "/access/groups/{groupid}") => access_acl::group,
        ("PUT", "/access/groups/{groupid}") => access_acl::update_group,
        ("DELETE", "/access/groups/{groupid}") => access_acl::delete_group,
        ("GET", "/access/roles") => access_acl::roles,
        ("POST", "/access/roles") => access_acl::create_role,
        ("GET", "/access/roles/{roleid}") => access_acl::role,
        ("PUT", "/access/roles/{roleid}") => access_acl::update_role,
        ("DELETE", "/access/roles/{roleid}") => access_acl::delete_role,
        ("GET", "/access/acl") => access_acl::acl,
        ("PUT", "/access/acl") => access_acl::update_acl,
        ("GET", "/cluster") => cluster::index,
        ("GET", "/cluster/resources") => resources::list,
        ("GET", "/cluster/status") => cluster::status,
        ("GET", "/cluster/nextid") => cluster::nextid,
        ("GET", "/cluster/tasks") => tasks::cluster,
        ("GET", "/cluster/options") => cluster::options,
        ("PUT", "/cluster/options") => cluster::update_options,
        ("GET", "/cluster/ha/resources") => ha::list,
        ("POST", "/cluster/ha/resources") => ha::create,
        ("GET", "/cluster/ha/resources/{sid}") => ha::get,
        ("PUT", "/cluster/ha/resources/{sid}") => ha::update,
        ("DELETE", "/cluster/ha/resources/{sid}") => ha::delete,
        ("GET", "/cluster/ha/status/current") => ha::status,
        ("GET", "/nodes") => nodes::list,
        ("GET", "/nodes/{node}") => nodes::index,
        ("GET", "/nodes/{node}/status") => nodes::status,
        ("GET", "/version" | "/nodes/{node}/version") => nodes::version,
        ("GET", "/nodes/{node}/time") => nodes::time,
        ("GET", "/nodes/{node}/network") => nodes::network,
        ("GET", "/nodes/{node}/network/{iface}") => nodes::interface,
        ("GET", "/nodes/{node}/lxc") => |_, _| now(json!([])),
        ("GET", "/nodes/{node}/qemu") => status::list,
        ("POST", "/nodes/{node}/qemu") => qemu::create,
        ("GET", "/nodes/{node}/storage") => storage::list,
        ("GET", "/nodes/{node}/storage/{storage}") => |_, _| {
            now(names(
                "subdir",
                &[
                    "content",
                    "download-url",
                    "file-restore",
                    "import-metadata",
                    "prunebackups",
                    "rrd",
                    "rrddata",
                    "status",
                    "upload",
                ],
            ))
        },
        ("GET", "/nodes/{node}/storage/{storage}/status") => storage::status,
        ("GET", "/nodes/{node}/storage/{storage}/content") => content::list,
        ("POST", "/nodes/{node}/storage/{storage}/content") => content::allocate,
        ("GET", "/nodes/{node}/storage/{storage}/content/{volume}") => content::get,
        ("DELETE", "/nodes/{node}/storage/{storage}/content/{volume}") => content::delete,
        ("POST", "/nodes/{node}/storage/{storage}/upload") => content::upload,
        ("GET", "/nodes/{node}/tasks") => tasks::list,
        ("GET", "/nodes/{node}/tasks/{upid}") => |_, _| now(names("name", &["log", "status"])),
        ("DELETE", "/nodes/{node}/tasks/{upid}") => tasks::stop,
        ("GET", "/nodes/{node}/tasks/{upid}/status") => tasks::status,
        ("GET", "/nodes/{node}/tasks/{upid}/log") => tasks::log,
        ("GET", "/storage") => storage::configs,
        ("GET", "/storage/{storage}") => storage::config,
        ("GET", "/pools") => pools::list,
        ("POST", "/pools") => pools::create,
        ("PUT", "/pools" | "/pools/{poolid}") => pools::update,
        ("DELETE", "/pools" | "/pools/{poolid}") => pools::delete,
        ("GET", "/pools/{poolid}") => pools::get,
        _ => return None,
    })
}

/// A directory of names.
pub(crate) fn names(key: &str, of: &[&str]) -> Value {
    of.iter().map(|name| json!({key: name})).collect()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn every_method_of_the_table_has_a_handler() {
        let schema = Schema::get();
        let missing: Vec<String> = schema
            .methods
            .iter()
            .filter(|m| handler(&m.verb, &m.path).is_none())
            .map(|m| format!("{} {}", m.verb, m.path))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}

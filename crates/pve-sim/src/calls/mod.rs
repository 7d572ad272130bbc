//! The methods: one file an endpoint family.
//!
//! A handler is a function of the world and a call; it never waits. Where Proxmox VE waits, the handler
//! says so ([`Done::After`], [`Done::Agent`], [`Retry`]) and the edge does the waiting.

pub(crate) mod access;
#[cfg(test)]
pub(crate) mod ask;
pub(crate) mod backup;
mod ceph;
pub(crate) mod cluster;
pub(crate) mod lxc;
pub(crate) mod needs;
pub(crate) mod network;
pub(crate) mod node;
mod object;
pub(crate) mod pools;
pub(crate) mod qemu;
mod sight;
mod snapshots;
mod status;
pub(crate) mod storage;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::http::fail::Fail;
use crate::perm::Who;
use crate::schema::{Method, Schema};
use crate::state::World;
use crate::state::guest::GuestKind;

/// A verified call.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) method: &'a Method,
    pub(crate) who: &'a Who,
    pub(crate) params: BTreeMap<String, String>,
    /// Parameters that were named without a value.
    pub(crate) undefined: Vec<String>,
    /// The file of an upload.
    pub(crate) file: Option<Bytes>,
    /// How often the handler has asked to be called again ([`Stop::Again`]).
    pub(crate) turn: u32,
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

    /// The kind of guest that it is about.
    pub(crate) fn kind(&self) -> GuestKind {
        if self.method.path.starts_with("/nodes/{node}/lxc") { GuestKind::Lxc } else { GuestKind::Qemu }
    }

    pub(crate) fn vmid(&self) -> u32 {
        self.str("vmid").parse().unwrap_or_default()
    }
}

/// How a call goes well.
#[derive(Debug)]
pub(crate) enum Done {
    Now(Value),
    /// The value, written as JSON already: what is large.
    Written(String),
    /// With `total` beside the data.
    Total(Value, usize),
    /// With `changes` beside the data.
    Changes(Value, String),
    /// The text of a file, and its name.
    File(String, String),
    /// The outcome is known; it is said after so many seconds.
    After(f64, Box<Result<Value, Fail>>),
    /// A guest agent answers, or does not.
    Agent(oneshot::Receiver<Value>, AgentCall),
}

impl Done {
    /// Whether time passes until it is said.
    pub(crate) fn waits(&self) -> bool {
        match self {
            Self::After(..) | Self::Agent(..) => true,
            Self::Now(_) | Self::Written(_) | Self::Total(..) | Self::Changes(..) | Self::File(..) => false,
        }
    }
}

/// What was asked of an agent, to shape its answer.
#[derive(Debug, Clone)]
pub(crate) struct AgentCall {
    pub(crate) vmid: u32,
    pub(crate) command: String,
    pub(crate) shape: qemu::agent::Shape,
}

/// The outcome of a handler.
pub(crate) type Outcome = Result<Done, Stop>;

/// Why a handler stopped.
#[derive(Debug)]
pub(crate) enum Stop {
    Fail(Fail),
    /// Try again until so many seconds have passed, then fail so: a lock is held.
    Retry(f64, Fail),
    /// Go on in so many seconds: part of the work is done.
    Again(f64),
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

pub(crate) type Handler = fn(&mut World, &Call<'_>) -> Outcome;

/// Does a call at once that would take its time.
pub(crate) fn at_once(world: &mut World, handler: Handler, call: &mut Call<'_>) -> Outcome {
    loop {
        match handler(world, call) {
            Err(Stop::Again(_)) => call.turn += 1,
            other => return other,
        }
    }
}

/// The handler of a method; none if it isn't simulated.
pub(crate) fn handler(verb: &str, path: &str) -> Option<Handler> {
    if let Some(handler) = backup::handler(verb, path) {
        return Some(handler);
    }
    let family: fn(&str, &str) -> Option<Handler> = match path {
        _ if network::is_of(path) => network::handler,
        _ if ceph::is_of(path) => ceph::handler,
        _ if path.starts_with("/nodes/{node}/qemu") || path.starts_with("/nodes/{node}/capabilities") => qemu::handler,
        _ if path.starts_with("/nodes/{node}/lxc") => lxc::handler,
        _ if storage::is_of(path) => storage::handler,
        _ if path.starts_with("/nodes") || path == "/version" => node::handler,
        _ if path.starts_with("/access") => access::handler,
        _ if path.starts_with("/pools") => pools::handler,
        _ => cluster::handler,
    };
    family(verb, path)
}

/// The handler of a method of the table, without looking at its path.
pub(crate) fn handler_of(method: &Method) -> Option<Handler> {
    static TABLE: OnceLock<Vec<Option<Handler>>> = OnceLock::new();
    let table = TABLE.get_or_init(|| Schema::get().methods.iter().map(|m| handler(&m.verb, &m.path)).collect());
    table.get(method.number).copied().flatten()
}

/// A directory of names.
pub(crate) fn names(key: &str, of: &[&str]) -> Value {
    of.iter().map(|name| json!({key: name})).collect()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_method_is_simulated_exactly_if_it_has_a_handler() {
        assert!(handler("POST", "/nodes/{node}/qemu/{vmid}/clone").is_some());
        assert!(handler("POST", "/nodes/{node}/qemu/{vmid}/mtunnel").is_none());
        let real = Schema::get().methods.iter().filter(|m| handler(&m.verb, &m.path).is_some()).count();
        assert!(real > 100, "{real}");
    }
}

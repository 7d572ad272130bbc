//! What was called: counters of all calls, a trace of those that change something.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Everything recorded since the start or the last reset.
#[derive(Debug, Default)]
pub(crate) struct Record {
    total: u64,
    calls: BTreeMap<String, u64>,
    users: BTreeMap<String, u64>,
    statuses: BTreeMap<u16, u64>,
    trace: Vec<Value>,
}

/// A call that has been answered, or was left without an answer (status 0).
#[derive(Debug)]
pub(crate) struct Answered<'a> {
    pub(crate) method: &'a str,
    pub(crate) template: &'a str,
    pub(crate) path: &'a str,
    pub(crate) user: &'a str,
    pub(crate) params: Vec<String>,
    pub(crate) status: u16,
    pub(crate) now: f64,
    pub(crate) upid: Option<String>,
}

impl Record {
    pub(crate) fn add(&mut self, call: Answered<'_>) {
        let Answered { method, template, path, user, params, status, now, upid } = call;
        self.total += 1;
        *self.calls.entry(format!("{method} {template}")).or_default() += 1;
        *self.users.entry(user.to_owned()).or_default() += 1;
        *self.statuses.entry(status).or_default() += 1;
        if method != "GET" {
            self.trace.push(json!({
                "n": self.trace.len() + 1, "time": now, "user": user, "method": method, "path": path,
                "params": params, "status": status, "upid": upid,
            }));
        }
    }

    pub(crate) fn counters(&self) -> Value {
        json!({"total": self.total, "calls": self.calls, "users": self.users, "status": self.statuses})
    }

    pub(crate) fn trace(&self) -> Value {
        json!(self.trace)
    }
}

//! What a scenario starts from: the recorded server, and whatever the transcript evidently found there.
//!
//! What is read, or used with success, before anything in the transcript made it must have been there. Where a transcript
//! shows that something was changed behind its back (a right granted, a user disabled), the change is made there too.
//! What cannot be seen is in the fixtures, by the transcript's name.

mod access;
mod agents;
mod fixture;
mod guests;
mod objects;
mod rights;
mod seen;
mod server;
mod tasks;
mod unseen;
mod volumes;

#[cfg(test)]
mod test;

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

pub(crate) use server::no_container_starts;

/// A call that sets something up, as root.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    pub(crate) method: String,
    /// Below `/api2/json`.
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) form: BTreeMap<String, String>,
}

impl Call {
    fn new(method: &str, path: &str, form: &[(&str, &str)]) -> Self {
        let form = form.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Self { method: method.to_owned(), path: path.to_owned(), form }
    }
}

/// How a transcript's simulator is prepared.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The state to load.
    pub(crate) state: Value,
    /// Calls before the first exchange.
    pub(crate) setup: Vec<Call>,
    /// Calls before others, by their place.
    pub(crate) before: BTreeMap<usize, Vec<Call>>,
    /// Guests whose agents answer.
    pub(crate) systems: std::collections::BTreeSet<u32>,
    /// Passwords of users by name.
    pub(crate) passwords: BTreeMap<String, String>,
    /// Expiry times of the recording, and in how many seconds ours is to be (below zero: past).
    pub(crate) expiries: BTreeMap<usize, i64>,
}

/// Makes the plan for a transcript out of a fresh simulator's state.
pub(crate) fn plan(name: &str, items: &[Value], fresh: Value) -> Result<Plan> {
    let seen = seen::read(items);
    let fixture = fixture::of(name)?;
    let mut plan = Plan { state: fresh, ..Plan::default() };
    server::recorded(&mut plan);
    let mut guests = guests::found(&mut plan, &seen, &fixture);
    agents::add(&mut plan, &seen, &mut guests);
    let allocated = volumes::allocated(&seen);
    for guest in guests.values_mut() {
        guest.config.retain(|_, v| volumes::volume_of(v).is_none_or(|volid| !allocated.contains(&volid)));
    }
    volumes::add(&mut plan, &seen, &guests);
    guests::add(&mut plan, &guests);
    unseen::add(&mut plan, &seen, &guests);
    access::add(&mut plan, &seen);
    objects::add(&mut plan, &seen);
    tasks::add(&mut plan, &seen);
    fixture.add(&mut plan, &seen);
    Ok(plan)
}

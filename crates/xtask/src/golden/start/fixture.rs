//! What a transcript does not show of its beginning: data, by its name.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::guests::Guest;
use super::seen::Seen;
use super::{Call, Plan};

/// All fixtures, by the names of transcripts.
const ALL: &str = include_str!("../fixtures.json");

/// What is added for one transcript.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Fixture {
    /// Why the rest is needed; for readers.
    #[serde(rename = "because")]
    _because: String,
    guests: BTreeMap<u32, Machine>,
    /// Calls before the first exchange.
    setup: Vec<Call>,
    /// Calls before the first exchange with this note.
    before: BTreeMap<String, Vec<Call>>,
    /// Calls after that exchange and those of its task.
    after: BTreeMap<String, Vec<Call>>,
}

/// A guest, or what is different of one that was inferred.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Machine {
    lxc: bool,
    config: BTreeMap<String, String>,
    without: Vec<String>,
    running: Option<bool>,
    agent: Option<bool>,
}

/// The fixture of a transcript; most have none.
pub(super) fn of(name: &str) -> Result<Fixture> {
    let mut all: BTreeMap<String, Fixture> = serde_json::from_str(ALL).context("read the fixtures")?;
    Ok(all.remove(name).unwrap_or_default())
}

impl Fixture {
    pub(super) fn guests(&self, guests: &mut BTreeMap<u32, Guest>) {
        for (vmid, machine) in &self.guests {
            let guest = guests.entry(*vmid).or_insert_with(|| Guest {
                kind: if machine.lxc { "lxc" } else { "qemu" },
                config: BTreeMap::new(),
                running: false,
                agent: false,
                snapshots: Vec::new(),
            });
            guest.config.extend(machine.config.clone());
            guest.config.retain(|k, _| !machine.without.contains(k));
            guest.running = machine.running.unwrap_or(guest.running);
            guest.agent = machine.agent.unwrap_or(guest.agent);
        }
    }

    pub(super) fn add(&self, plan: &mut Plan, seen: &[Seen]) {
        plan.setup.extend(self.setup.iter().cloned());
        for (note, calls) in &self.before {
            if let Some(at) = seen.iter().position(|s| s.note == *note) {
                plan.before.entry(at).or_default().extend(calls.iter().cloned());
            }
        }
        for (note, calls) in &self.after {
            if let Some(at) = seen.iter().position(|s| s.note == *note) {
                let tasks = |s: &&Seen| s.path.iter().any(|p| p == "tasks");
                let next = at + 1 + seen[at + 1..].iter().take_while(tasks).count();
                plan.before.entry(next).or_default().extend(calls.iter().cloned());
            }
        }
    }
}

//! What belongs to the cluster as a whole: its name, its options, HA resources, what is kept in section files, its log.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::ha::Manager;

/// The settings of one entry of a section file, as texts.
pub(crate) type Section = BTreeMap<String, String>;

/// The cluster.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Cluster {
    pub(crate) name: String,
    /// `datacenter.cfg`.
    pub(crate) options: BTreeMap<String, String>,
    /// HA resources by their id (`vm:100`).
    pub(crate) ha: BTreeMap<String, HaResource>,
    /// Signs tickets.
    pub(crate) secret: String,
    /// What the HA manager knows.
    #[serde(default)]
    pub(crate) manager: Manager,
    /// HA rules (9) by their id.
    #[serde(default)]
    pub(crate) rules: BTreeMap<String, Section>,
    /// The order in which rules were made.
    #[serde(default)]
    pub(crate) rule_order: Vec<String>,
    /// HA groups (8) by their id.
    #[serde(default)]
    pub(crate) groups: BTreeMap<String, Section>,
    /// Section files (metric servers, mappings, jobs, …): file, id, settings.
    #[serde(default)]
    pub(crate) sections: BTreeMap<String, BTreeMap<String, Section>>,
    /// The newest entries of the cluster's log, oldest first.
    #[serde(default)]
    pub(crate) log: VecDeque<Entry>,
    #[serde(default)]
    pub(crate) log_count: u64,
    /// Set by the control door: the majority is gone, whatever the nodes look like.
    #[serde(default)]
    pub(crate) no_quorum: bool,
}

/// A guest that the HA manager looks after.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct HaResource {
    pub(crate) state: String,
    pub(crate) more: BTreeMap<String, String>,
    /// Nobody said which state: `started` goes without saying.
    #[serde(default)]
    pub(crate) unsaid: bool,
}

/// One entry of the cluster's log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) uid: u64,
    pub(crate) time: i64,
    pub(crate) node: String,
    pub(crate) pid: u32,
    pub(crate) tag: String,
    pub(crate) user: String,
    pub(crate) msg: String,
}

/// As many entries as the log keeps.
const LOG_LENGTH: usize = 500;

impl Cluster {
    /// Adds an entry to the log.
    pub(crate) fn note(&mut self, time: i64, node: &str, user: &str, msg: String) {
        self.log_count += 1;
        if self.log.len() == LOG_LENGTH {
            self.log.pop_front();
        }
        self.log.push_back(Entry {
            uid: self.log_count,
            time,
            node: node.to_owned(),
            pid: 82,
            tag: "pvedaemon".to_owned(),
            user: user.to_owned(),
            msg,
        });
    }

    /// A section file.
    pub(crate) fn file(&self, file: &str) -> Option<&BTreeMap<String, Section>> {
        self.sections.get(file)
    }

    /// A section file, to be changed.
    pub(crate) fn file_mut(&mut self, file: &str) -> &mut BTreeMap<String, Section> {
        self.sections.entry(file.to_owned()).or_default()
    }

    /// Takes a guest out of the HA manager's care, and out of the rules that name it.
    pub(crate) fn unmanage(&mut self, sid: &str) -> bool {
        let known = self.ha.remove(sid).is_some();
        let mut empty = Vec::new();
        for (id, rule) in &mut self.rules {
            let Some(of) = rule.get_mut("resources") else { continue };
            let left: Vec<&str> = of.split(',').filter(|r| *r != sid).collect();
            if left.is_empty() {
                empty.push(id.clone());
            }
            *of = left.join(",");
        }
        for id in empty {
            self.rules.remove(&id);
            self.rule_order.retain(|r| *r != id);
        }
        self.manager.services.remove(sid);
        known
    }
}

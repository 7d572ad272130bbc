//! Which backups of a guest are kept: the newest of the last hours, days, weeks, months and years.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::dates::period;
use crate::state::World;
use crate::state::guest::Config;

/// The rules in the order in which they are applied.
pub(crate) const RULES: [&str; 6] =
    ["keep-last", "keep-hourly", "keep-daily", "keep-weekly", "keep-monthly", "keep-yearly"];

/// What is done with a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Keep,
    Remove,
    Protected,
    /// Its name does not tell its time: it is left alone.
    Renamed,
}

impl Mark {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Remove => "remove",
            Self::Protected => "protected",
            Self::Renamed => "renamed",
        }
    }
}

/// A backup to be judged.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) volid: String,
    pub(crate) ctime: i64,
    pub(crate) kind: &'static str,
    pub(crate) vmid: Option<u32>,
    pub(crate) mark: Option<Mark>,
}

/// The backups on a storage, of one guest or kind of guest if it is said.
pub(crate) fn entries(world: &World, storage: &str, node: &str, vmid: Option<u32>, kind: Option<&str>) -> Vec<Entry> {
    let mut all: Vec<Entry> = world
        .volumes
        .iter()
        .filter(|v| v.storage == storage && v.content == "backup" && v.node.as_deref().is_none_or(|n| n == node))
        .map(|v| {
            let file = v.name.rsplit('/').next().unwrap_or(&v.name);
            let kind = ["qemu", "lxc", "openvz"].into_iter().find(|k| file.starts_with(&format!("vzdump-{k}-")));
            let mark = if v.protected {
                Some(Mark::Protected)
            } else if kind.is_none() {
                Some(Mark::Renamed)
            } else {
                None
            };
            Entry { volid: v.volid(), ctime: v.ctime, kind: kind.unwrap_or("unknown"), vmid: v.vmid, mark }
        })
        .filter(|e| vmid.is_none_or(|wanted| e.vmid == Some(wanted)))
        .filter(|e| kind.is_none_or(|wanted| e.kind == wanted))
        .collect();
    all.sort_by(|a, b| b.ctime.cmp(&a.ctime).then_with(|| a.volid.cmp(&b.volid)));
    all
}

/// Marks every backup; each guest's backups are judged apart from the others'.
pub(crate) fn mark(entries: &mut [Entry], keep: &Config) {
    let number = |rule: &str| keep.get(rule).and_then(|n| n.parse::<usize>().ok()).unwrap_or_default();
    let all = keep.get("keep-all").is_some_and(|a| a == "1") || RULES.iter().all(|r| number(r) == 0);
    let groups: BTreeSet<(&'static str, Option<u32>)> = entries.iter().map(|e| (e.kind, e.vmid)).collect();
    for group in groups {
        let mut mine: Vec<&mut Entry> = entries
            .iter_mut()
            .filter(|e| (e.kind, e.vmid) == group && !matches!(e.mark, Some(Mark::Protected | Mark::Renamed)))
            .collect();
        if all {
            for entry in mine {
                entry.mark = Some(Mark::Keep);
            }
            continue;
        }
        for rule in RULES {
            apply(&mut mine, number(rule), rule.trim_start_matches("keep-"));
        }
        for entry in mine.into_iter().filter(|e| e.mark.is_none()) {
            entry.mark = Some(Mark::Remove);
        }
    }
}

fn apply(entries: &mut [&mut Entry], count: usize, what: &str) {
    if count == 0 {
        return;
    }
    let had: BTreeSet<String> =
        entries.iter().filter(|e| e.mark == Some(Mark::Keep)).map(|e| period(e.ctime, what)).collect();
    let mut new = BTreeSet::new();
    for entry in entries.iter_mut() {
        let id = period(entry.ctime, what);
        if had.contains(&id) {
            continue;
        }
        if new.contains(&id) {
            entry.mark = Some(Mark::Remove);
        } else if new.len() >= count {
            return;
        } else {
            new.insert(id);
            entry.mark = Some(Mark::Keep);
        }
    }
}

/// Removes what is marked so; the volumes that went.
pub(crate) fn remove(world: &mut World, node: &str, entries: &[Entry]) -> Vec<String> {
    let gone: Vec<String> = entries.iter().filter(|e| e.mark == Some(Mark::Remove)).map(|e| e.volid.clone()).collect();
    for volid in &gone {
        world.volumes.remove(volid, node);
    }
    world.forget_archives();
    gone
}

/// A prune that was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Prune {
    pub(crate) storage: String,
    pub(crate) node: String,
    pub(crate) vmid: Option<u32>,
    pub(crate) kind: Option<String>,
    pub(crate) keep: Config,
}

pub(crate) fn step(world: &mut World, upid: &str, work: &Prune) {
    let mut all = entries(world, &work.storage, &work.node, work.vmid, work.kind.as_deref());
    mark(&mut all, &work.keep);
    for entry in &all {
        let word = entry.mark.map_or("keep", Mark::word);
        world.log(upid, format!("{word} {}", entry.volid));
    }
    remove(world, &work.node, &all);
}

#[cfg(test)]
mod test {
    use super::*;

    fn entry(ctime: i64, vmid: u32) -> Entry {
        Entry { volid: format!("s:{vmid}-{ctime}"), ctime, kind: "qemu", vmid: Some(vmid), mark: None }
    }

    fn kept(entries: &[Entry]) -> Vec<i64> {
        entries.iter().filter(|e| e.mark == Some(Mark::Keep)).map(|e| e.ctime).collect()
    }

    fn keep(pairs: &[(&str, &str)]) -> Config {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    const DAY: i64 = 86_400;

    #[test]
    fn the_last_ones_are_kept_and_then_the_newest_of_days_that_have_none_yet() {
        // Two a day, newest first.
        let mut all: Vec<Entry> = (0..8).map(|n| entry(1_700_000_000 - n * DAY / 2, 300)).collect();
        mark(&mut all, &keep(&[("keep-last", "1"), ("keep-daily", "2")]));
        assert_eq!(kept(&all), [1_700_000_000, 1_700_000_000 - DAY, 1_700_000_000 - 2 * DAY]);
        assert!(all.iter().all(|e| e.mark.is_some()));
    }

    #[test]
    fn guests_are_judged_apart_and_without_rules_everything_stays() {
        let mut all = vec![entry(30, 300), entry(20, 301), entry(10, 300)];
        mark(&mut all, &keep(&[("keep-last", "1")]));
        assert_eq!(kept(&all), [30, 20]);
        let mut all = vec![entry(30, 300), entry(10, 300)];
        mark(&mut all, &keep(&[("keep-all", "1")]));
        assert_eq!(kept(&all), [30, 10]);
    }

    #[test]
    fn a_protected_backup_counts_for_nothing() {
        let mut first = entry(30, 300);
        first.mark = Some(Mark::Protected);
        let mut all = vec![first, entry(20, 300), entry(10, 300)];
        mark(&mut all, &keep(&[("keep-last", "1")]));
        assert_eq!(kept(&all), [20]);
        assert_eq!(all[0].mark, Some(Mark::Protected));
    }
}

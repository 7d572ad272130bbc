//! Which template a machine is cloned from.

use std::collections::BTreeSet;

use api::MatchPolicy;
use pve_types::{NodeName, Vmid};

use crate::inventory::{GuestRow, Inventory};

/// How the spec names its template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// By VMID, on a node.
    ById {
        /// Node that the spec names. A template that has moved is found all the same.
        node: NodeName,
        /// Its VMID.
        vmid: Vmid,
    },
    /// By tags, in lower case.
    ByTags {
        /// The tags.
        tags: BTreeSet<String>,
        /// How they match.
        policy: MatchPolicy,
    },
}

/// Why there is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoTemplate {
    /// No such VM, as far as our credentials see.
    #[error("no VM {vmid} is to be seen{}", near(.nearest))]
    Missing {
        /// The VMID.
        vmid: Vmid,
        /// Templates that are there.
        nearest: Vec<String>,
    },
    /// It is a VM, but no template.
    #[error("VM {vmid} on `{node}` is no template; convert it with `qm template {vmid}`")]
    NotATemplate {
        /// The VMID.
        vmid: Vmid,
        /// Its node.
        node: NodeName,
    },
    /// Nothing matches.
    #[error("no template has {} the tags `{}`{}", .how, .tags, near(.nearest))]
    NoMatch {
        /// `exactly` or `all of`.
        how: &'static str,
        /// The tags.
        tags: String,
        /// Templates that come closest, with their tags.
        nearest: Vec<String>,
    },
    /// Several match.
    #[error("{} templates match the tags `{}`: {}; one is wanted", .found.len(), .tags, .found.join(", "))]
    Several {
        /// The tags.
        tags: String,
        /// The templates.
        found: Vec<String>,
    },
}

fn near(nearest: &[String]) -> String {
    if nearest.is_empty() {
        "; there is no template that our credentials see (they need VM.Audit and VM.Clone on it)".into()
    } else {
        format!("; there are: {}", nearest.join(", "))
    }
}

/// Finds the template.
pub fn find<'a>(choice: &Choice, inventory: &'a Inventory) -> Result<&'a GuestRow, NoTemplate> {
    match choice {
        Choice::ById { vmid, .. } => match inventory.guest(*vmid) {
            Some(row) if row.template => Ok(row),
            // A template that has not been broadcast yet says neither.
            Some(row) if row.running.is_none() => Ok(row),
            Some(row) => Err(NoTemplate::NotATemplate { vmid: *vmid, node: row.node.clone() }),
            None => Err(NoTemplate::Missing { vmid: *vmid, nearest: nearest(inventory, &BTreeSet::new()) }),
        },
        Choice::ByTags { tags, policy } => by_tags(tags, *policy, inventory),
    }
}

fn by_tags<'a>(
    tags: &BTreeSet<String>,
    policy: MatchPolicy,
    inventory: &'a Inventory,
) -> Result<&'a GuestRow, NoTemplate> {
    let has_all = |row: &&GuestRow| tags.iter().all(|tag| row.tags.contains(tag));
    let templates = inventory.guests.iter().filter(|row| row.template);
    let mut found: Vec<&GuestRow> = match policy {
        MatchPolicy::Exact => templates.filter(has_all).filter(|row| row.tags.len() == tags.len()).collect(),
        MatchPolicy::UniqueSubset => templates.filter(has_all).collect(),
        MatchPolicy::BestSubset => {
            let all: Vec<_> = templates.filter(has_all).collect();
            let fewest = all.iter().map(|row| row.tags.len()).min();
            all.into_iter().filter(|row| Some(row.tags.len()) == fewest).collect()
        }
    };
    let wanted = || tags.iter().cloned().collect::<Vec<_>>().join(";");
    match (found.pop(), found.is_empty()) {
        (Some(row), true) => Ok(row),
        (Some(row), false) => {
            found.push(row);
            Err(NoTemplate::Several { tags: wanted(), found: found.iter().map(|row| describe(row)).collect() })
        }
        (None, _) => Err(NoTemplate::NoMatch {
            how: if policy == MatchPolicy::Exact { "exactly" } else { "all of" },
            tags: wanted(),
            nearest: nearest(inventory, tags),
        }),
    }
}

fn describe(row: &GuestRow) -> String {
    let name = row.name.as_deref().unwrap_or("(no name)");
    format!("{} `{name}` on `{}` with tags `{}`", row.vmid, row.node, row.tags)
}

/// The three templates that share most tags.
fn nearest(inventory: &Inventory, tags: &BTreeSet<String>) -> Vec<String> {
    let mut templates: Vec<_> = inventory.guests.iter().filter(|row| row.template).collect();
    templates.sort_by_key(|row| {
        let shared = tags.iter().filter(|tag| row.tags.contains(tag)).count();
        (std::cmp::Reverse(shared), row.vmid)
    });
    templates.into_iter().take(3).map(describe).collect()
}

#[cfg(test)]
mod test {
    use super::*;
    use pve_types::Tags;

    fn row(vmid: &str, template: bool, tags: &str) -> GuestRow {
        GuestRow {
            vmid: vmid.parse().unwrap(),
            node: "pve1".parse().unwrap(),
            name: Some(format!("t-{vmid}")),
            running: Some(false),
            template,
            tags: Tags::parse(tags),
            lock: None,
            maxmem: 0,
        }
    }

    fn inventory() -> Inventory {
        Inventory {
            guests: vec![
                row("9000", true, "kubernetes;v1.36"),
                row("9001", true, "kubernetes;v1.36;gpu"),
                row("9002", false, "kubernetes"),
            ],
            ..Inventory::default()
        }
    }

    fn ask(tags: &[&str], policy: MatchPolicy) -> Result<u32, String> {
        let choice = Choice::ByTags { tags: tags.iter().map(|&tag| tag.into()).collect(), policy };
        find(&choice, &inventory()).map(|row| u32::from(row.vmid)).map_err(|e| e.to_string())
    }

    #[test]
    fn tags_match_as_the_policy_says() {
        assert_eq!(ask(&["kubernetes", "v1.36"], MatchPolicy::Exact), Ok(9000));
        assert!(ask(&["kubernetes"], MatchPolicy::Exact).unwrap_err().contains("9000 `t-9000`"));
        assert_eq!(ask(&["gpu"], MatchPolicy::UniqueSubset), Ok(9001));
        assert!(ask(&["v1.36"], MatchPolicy::UniqueSubset).unwrap_err().starts_with("2 templates match"));
        assert_eq!(ask(&["v1.36"], MatchPolicy::BestSubset), Ok(9000));
    }

    #[test]
    fn a_missing_template_names_those_that_are_there() {
        let choice = |vmid: &str| Choice::ById { node: "pve1".parse().unwrap(), vmid: vmid.parse().unwrap() };
        let missing = find(&choice("9009"), &inventory()).unwrap_err().to_string();
        assert!(missing.contains("no VM 9009") && missing.contains("9001 `t-9001`"), "{missing}");
        let plain = find(&choice("9002"), &inventory()).unwrap_err().to_string();
        assert!(plain.contains("is no template"), "{plain}");
    }
}

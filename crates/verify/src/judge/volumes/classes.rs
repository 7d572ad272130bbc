//! Whether what StorageClasses name is there.

use std::collections::BTreeSet;

use pve_types::NodeName;

use super::{installed, parameters, zones};
use crate::evidence::{ClassSeen, Evidence, NodePlugin, ZONE};
use crate::judge::verdict::{Tally, Verdict, need};
use crate::judge::{privileges, scope};

const NEXT: &str = "make the class anew with what the driver knows and its zones have; parameters cannot be changed";

pub(super) fn storage_classes(evidence: &Evidence) -> Verdict {
    let both = installed(evidence).and_then(|seen| {
        let classes = need("the StorageClasses", &seen.classes)?;
        need("Nodes and their CSINodes", &seen.nodes).map(|nodes| (classes, nodes))
    });
    let (classes, nodes) = match both {
        Ok(both) => both,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    if classes.is_empty() {
        tally.warning("no StorageClass is of the driver: no claim can ask it for a volume");
    }
    for class in classes {
        for trouble in parameters::troubles(&class.parameters) {
            tally.error(format!("StorageClass `{}`: {trouble}", class.name));
        }
        if let Some(storage) = class.parameters.get("storage").filter(|storage| !storage.is_empty()) {
            places(evidence, class, storage, nodes, &mut tally);
        }
    }
    let passed = match classes.len() {
        1 => "1 StorageClass, with its storage".to_owned(),
        many => format!("{many} StorageClasses, each with its storage"),
    };
    tally.verdict(passed, NEXT)
}

/// What one zone has of the storage.
enum Has {
    Usable,
    Lacks(String),
    Unread(String),
}

fn places(evidence: &Evidence, class: &ClassSeen, storage: &str, nodes: &[NodePlugin], tally: &mut Tally) {
    let asked: BTreeSet<&str> =
        class.allowed.iter().filter_map(|term| term.get(ZONE)).flatten().map(String::as_str).collect();
    let wanted = if asked.is_empty() { zones(nodes) } else { asked.clone() };
    let name = &class.name;
    if wanted.is_empty() {
        tally.unread(format!("StorageClass `{name}`: no worker with the driver has a zone to look for `{storage}` in"));
        return;
    }
    let (mut usable, mut unread, mut lacks) = (Vec::new(), 0, Vec::new());
    for zone in wanted {
        match has(evidence, zone, storage) {
            Has::Usable => usable.push(zone),
            Has::Lacks(why) => lacks.push(why),
            Has::Unread(why) => {
                unread += 1;
                tally.unread(format!("StorageClass `{name}`: {why}"));
            }
        }
    }
    let everywhere_or_asked = !asked.is_empty() || (usable.is_empty() && unread == 0);
    for why in lacks {
        let line = format!("StorageClass `{name}`: {why}");
        if everywhere_or_asked {
            tally.error(line);
        } else {
            tally.warning(format!("{line}: workers there get no volume of it"));
        }
    }
    if !usable.is_empty() {
        tally.fine(format!("{name}: `{storage}` on {}", usable.join(", ")));
    }
}

fn has(evidence: &Evidence, zone: &str, storage: &str) -> Has {
    let Ok(node) = zone.parse::<NodeName>() else {
        return Has::Lacks(format!("zone `{zone}` is no name of a Proxmox VE node"));
    };
    if evidence.proxmox.nodes.known().is_some_and(|nodes| !nodes.iter().any(|one| one.name == node)) {
        return Has::Lacks(format!("Proxmox VE has no node `{zone}`"));
    }
    let storages = match scope::of(&evidence.proxmox.node_storages, &node) {
        Ok(storages) if storages.is_empty() => {
            return Has::Unread(format!("no storage of node `{node}` is to be seen: that needs Datastore.Audit"));
        }
        Ok(storages) => storages,
        Err(why) => return Has::Unread(format!("storages of node `{node}` could not be read: {why}")),
    };
    match storages.iter().find(|one| one.storage.as_str() == storage) {
        // Proxmox VE leaves out what we may not see, without a word.
        None if !audits(evidence, storage) => Has::Unread(format!(
            "storage `{storage}` of node `{node}` is not to be seen: that needs Datastore.Audit on /storage/{storage}"
        )),
        None => {
            let all: Vec<&str> = storages.iter().map(|one| one.storage.as_str()).collect();
            Has::Lacks(format!("node `{node}` has no storage `{storage}`; it has {}", all.join(", ")))
        }
        Some(one) if !one.content.contains("images") => {
            Has::Lacks(format!("storage `{storage}` on node `{node}` takes no `images`"))
        }
        Some(one) if !one.enabled => Has::Lacks(format!("storage `{storage}` on node `{node}` is not enabled")),
        Some(one) if !one.active => Has::Lacks(format!("storage `{storage}` on node `{node}` is not active")),
        Some(_) => Has::Usable,
    }
}

/// Whether the storage would be shown to us if it were there.
fn audits(evidence: &Evidence, storage: &str) -> bool {
    let held = evidence.proxmox.permissions.known();
    held.is_some_and(|held| privileges::holds(held, &format!("/storage/{storage}"), "Datastore.Audit"))
}

//! Whether kubelets know the driver, and the driver where it is.

use super::{MEET, installed, younger};
use crate::evidence::{DRIVER, Evidence, Named, NamedVm, NodePlugin, Plugin, REGION, ZONE};
use crate::judge::scope::count;
use crate::judge::verdict::{Tally, Verdict, need};

const NEXT: &str = "see that `oxmox run csi-node` runs on that Node, and what its log says";

pub(super) fn registered(evidence: &Evidence) -> Verdict {
    let both = installed(evidence).and_then(|seen| {
        let driver = need("the CSIDriver", &seen.driver)?;
        need("Nodes and their CSINodes", &seen.nodes).map(|nodes| (driver, nodes))
    });
    let (driver, nodes) = match both {
        Ok(both) => both,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    match driver {
        None => tally.error(format!("there is no CSIDriver `{DRIVER}`, though it has StorageClasses or volumes")),
        Some(driver) if !driver.attach_required => {
            tally.error(format!("CSIDriver `{DRIVER}` has `attachRequired: false`: volumes are never attached"));
        }
        Some(_) => {}
    }
    let mut have = 0;
    for node in nodes {
        let worker = node.ready && !node.control_plane;
        match &node.plugin {
            Some(plugin) => {
                have += usize::from(worker);
                let troubles = troubles(evidence, node, plugin, &mut tally);
                if troubles.is_empty() {
                    let (region, zone) = (node.region.as_deref().unwrap_or(""), node.zone.as_deref().unwrap_or(""));
                    tally.fine(format!("{}: `{}` in {region}/{zone}", node.name, plugin.node_id));
                }
                for trouble in troubles {
                    tally.error(format!("Node `{}`: {trouble}", node.name));
                }
            }
            None if !worker => {}
            None if younger(evidence, node.created, MEET) => {
                tally.warning(format!("Node `{}` is new, and the driver has not registered there yet", node.name));
            }
            None => tally.error(format!("the driver has not registered on Node `{}`", node.name)),
        }
    }
    if !nodes.iter().any(|node| node.ready && !node.control_plane) {
        tally.unread("no Node is Ready and not of the control plane: nobody needs the driver yet");
    }
    tally.verdict(format!("on {}, with region and zone", count(have, "worker")), NEXT)
}

fn troubles(evidence: &Evidence, node: &NodePlugin, plugin: &Plugin, tally: &mut Tally) -> Vec<String> {
    let mut all = Vec::new();
    for (key, label) in [(REGION, &node.region), (ZONE, &node.zone)] {
        if !plugin.topology_keys.iter().any(|one| one == key) {
            all.push(format!("the driver told no `{key}` when it registered"));
        } else if label.as_deref().is_none_or(str::is_empty) {
            all.push(format!("the driver told `{key}`, and the Node has no such label"));
        }
    }
    let by_plugin = vm(evidence, NamedVm::of_plugin(&plugin.node_id));
    let by_provider = vm(evidence, node.provider_id.as_deref().and_then(NamedVm::read));
    match (by_plugin, by_provider) {
        (Some(Err(why)), _) | (_, Some(Err(why))) => tally.unread(format!("which VM Node `{}` is: {why}", node.name)),
        (Some(Ok(plugin)), Some(Ok(provider))) if plugin != provider => {
            all.push(format!("the driver says it is VM {plugin}, its provider ID says VM {provider}"));
        }
        _ => {}
    }
    all
}

/// The one VM of that name; the error says why it could not be told. `None`: no such VM, which other checks tell.
fn vm(evidence: &Evidence, named: Option<NamedVm>) -> Option<Result<pve_types::Vmid, String>> {
    match evidence.proxmox.named(named?) {
        Named::Are(vmids) => vmids.first().copied().map(Ok),
        Named::Unread(why) => Some(Err(why)),
    }
}

/// The VM of a Node: by its provider ID, else by what the driver calls it there.
pub(super) fn vm_of(evidence: &Evidence, node: &NodePlugin) -> Option<Result<pve_types::Vmid, String>> {
    let by_provider = vm(evidence, node.provider_id.as_deref().and_then(NamedVm::read));
    by_provider.or_else(|| vm(evidence, NamedVm::of_plugin(&node.plugin.as_ref()?.node_id)))
}

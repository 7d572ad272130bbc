//! The scenes of the story, in their order: which step of the plan each belongs to, and how long it may take.

use std::time::Duration;

/// A scene.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene {
    /// What reports call it.
    pub(super) id: &'static str,
    /// The step, 1 to 8, that it is a part of.
    pub(super) step: u8,
    /// What is told when it begins.
    pub(super) title: &'static str,
    /// Longer is told as too long: about three times of what it takes on two idle cores.
    pub(super) limit: Duration,
}

const fn scene(id: &'static str, step: u8, seconds: u64, title: &'static str) -> Scene {
    Scene { id, step, title, limit: Duration::from_secs(seconds) }
}

/// All of them. Those of a step stand together, so that `--step` cuts the story in two.
pub(super) const PLOT: &[Scene] = &[
    scene("proxmox", 1, 15, "a simulated Proxmox VE: three nodes, shared and local storage, one template"),
    scene("management", 1, 90, "a management cluster: etcd, API server, controllers, Cluster API, oxmox"),
    scene("quickstart", 3, 240, "the quickstart: a Cluster, one control-plane machine, two workers"),
    scene("nodes", 3, 60, "the new cluster's Nodes"),
    scene("pods", 3, 60, "pods on two Nodes: logs, exec, and a packet from one to the other"),
    scene("scale", 4, 150, "scaling the workers: 2 → 3 → 2"),
    scene("repair", 4, 150, "a worker's VM is destroyed behind everybody's back"),
    scene("volumes", 5, 360, "volumes: our driver between Kubernetes' own sidecars, kubelets and the guests' disks"),
    scene("policy-engine", 6, 60, "a network policy engine on every Node"),
    scene("tenant-policies", 6, 60, "the policies of charts/tenant-policies in a tenant's namespace, by packets"),
    scene("monitoring", 7, 180, "metrics, dashboards, alerts and logs on real stores"),
    scene("verify", 8, 180, "oxmox verify all, on the living cluster"),
    scene("broken-worlds", 8, 900, "broken worlds: faults on the living demo, seen, explained and healed"),
    scene("node-lost-ha", 8, 90, "a node is lost with a worker of the HA manager: fenced, and started elsewhere"),
    scene(
        "node-lost",
        8,
        240,
        "a node is lost with a worker of nobody's: nothing moves until its VM is proven stopped",
    ),
    scene("volumes-removed", 8, 120, "the StatefulSet, its volumes and snapshots are deleted"),
    scene("delete", 8, 120, "the cluster is deleted"),
    scene("nothing-left", 8, 15, "what Proxmox VE holds now, against what it held before"),
];

/// The scenes up to a step; all of them without one. A story that is kept has no end, and worlds are broken in one that
/// asks for it.
pub(super) fn scenes(step: Option<u8>, keep: bool, broken: bool) -> impl Iterator<Item = &'static Scene> {
    let always = |scene: &Scene| matches!(scene.id, "verify" | "broken-worlds");
    let end = |scene: &Scene| matches!(scene.id, "volumes-removed" | "delete" | "nothing-left");
    PLOT.iter()
        .filter(move |scene| step.is_none_or(|step| scene.step <= step || always(scene)))
        .filter(move |scene| broken || scene.id != "broken-worlds")
        .filter(move |scene| !(keep && end(scene)))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_steps_follow_one_another_and_no_two_scenes_share_a_name() {
        assert!(PLOT.is_sorted_by_key(|scene| scene.step));
        let ids: std::collections::BTreeSet<&str> = PLOT.iter().map(|scene| scene.id).collect();
        assert_eq!(ids.len(), PLOT.len());
    }

    #[test]
    fn a_step_ends_with_its_verification_and_leaves_everything_alive() {
        let ids: Vec<&str> = scenes(Some(3), true, false).map(|scene| scene.id).collect();
        assert_eq!(ids, ["proxmox", "management", "quickstart", "nodes", "pods", "verify"]);
        assert!(!scenes(None, true, true).any(|scene| scene.id == "delete"));
        assert_eq!(scenes(None, false, true).count(), PLOT.len());
        assert_eq!(scenes(Some(1), true, true).last().map(|scene| scene.id), Some("broken-worlds"));
    }
}

//! Step 8: a whole cluster from nothing to nothing, by the record of a story that did it.

use super::verdict::{Verdict, need};
use super::{CheckInfo, Of};
use crate::evidence::{Evidence, SceneOutcome};
use crate::step::StepId;

const fn check(
    id: &'static str,
    title: &'static str,
    looks_at: &'static str,
    judge: fn(&Evidence) -> Verdict,
) -> CheckInfo {
    CheckInfo {
        id,
        step: StepId::EndToEnd,
        title,
        looks_at,
        matters: "Parts that work each by itself may still not work together, nor after something has failed.",
        fix: "Read the scene's last words and the logs in the demo's directory; `oxmox demo --step N` stops before it \
              with everything alive.",
        of: Of::Story,
        needs: &[],
        judge,
    }
}

pub(super) const PROVISION: CheckInfo = check(
    "end-to-end.provision",
    "A cluster comes up from its manifests",
    "The scene `quickstart`: a Cluster, its control plane and two workers, until all machines run.",
    |evidence| scene(evidence, "quickstart"),
);

pub(super) const PODS: CheckInfo = check(
    "end-to-end.pods",
    "Pods run on its nodes and reach each other",
    "The scene `pods`: logs, exec, and a packet between two nodes.",
    |evidence| scene(evidence, "pods"),
);

pub(super) const SCALE: CheckInfo = check(
    "end-to-end.scale",
    "Workers come and go, also when managers are killed meanwhile",
    "The scene `scale`: two workers, three, two; SIGKILL of the managers in the middle of a clone.",
    |evidence| scene(evidence, "scale"),
);

pub(super) const REPAIR: CheckInfo = check(
    "end-to-end.repair",
    "A worker whose VM is destroyed is replaced",
    "The scene `repair`: a VM is destroyed behind everybody's back.",
    |evidence| scene(evidence, "repair"),
);

pub(super) const VOLUMES: CheckInfo = check(
    "end-to-end.volumes",
    "A StatefulSet keeps its data over a move, an expansion, a snapshot and its restore",
    "The scene `volumes`: checksums of what its pods have written.",
    |evidence| scene(evidence, "volumes"),
);

pub(super) const MONITORING: CheckInfo = check(
    "end-to-end.monitoring",
    "A real metrics store sees all of it, and an alert comes and goes",
    "The scene `monitoring`: every query of the dashboards returns data; a fault makes an alert fire.",
    |evidence| scene(evidence, "monitoring"),
);

pub(super) const NODE_LOST_HA: CheckInfo = check(
    "end-to-end.node-lost-ha",
    "A worker of the HA manager returns from another node when its own is lost",
    "The scene `node-lost-ha`: power loss, fencing, start elsewhere with its disks, a Ready Node with the new zone.",
    |evidence| scene(evidence, "node-lost-ha"),
);

pub(super) const NODE_LOST: CheckInfo = check(
    "end-to-end.node-lost",
    "A lost node moves nothing until its VM is proven stopped",
    "The scene `node-lost`: power loss; no out-of-service taint while nobody knows; then the taint, pods and their volumes move with their data, and the Node returns.",
    |evidence| scene(evidence, "node-lost"),
);

pub(super) const DELETION: CheckInfo =
    check("end-to-end.deletion", "The cluster goes when it is deleted", "The scene `delete`.", |evidence| {
        scene(evidence, "delete")
    });

pub(super) const NOTHING_LEFT: CheckInfo = check(
    "end-to-end.nothing-left",
    "Proxmox VE then holds what it held before",
    "The scene `nothing-left`: VMs, volumes, HA entries and pool members.",
    |evidence| scene(evidence, "nothing-left"),
);

fn scene(evidence: &Evidence, name: &str) -> Verdict {
    let story = match need("the story", &evidence.story) {
        Ok(story) => story,
        Err(verdict) => return verdict,
    };
    let Some(scene) = story.scenes.get(name) else {
        return Verdict::unread(format!("the story did not come to `{name}`"));
    };
    let (took, limit) = (scene.seconds, scene.limit_seconds);
    match scene.outcome {
        SceneOutcome::Failed => Verdict::failed(format!("failed after {took:.0} s: {}", scene.last))
            .hint("read the logs in the demo's directory, or play it up to there with `oxmox demo --step N`"),
        SceneOutcome::Done if took > limit => Verdict::warning(format!("took {took:.0} s, more than {limit:.0} s"))
            .hint("play it again on an idle machine; if it stays slow, the record says which scene it is"),
        SceneOutcome::Done => Verdict::passed(format!("{took:.0} s (of at most {limit:.0} s): {}", scene.last)),
    }
}

//! What is taken over of Kubernetes' objects.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::{CSINode, StorageClass, VolumeAttachment};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use serde_json::Value;

use super::{full_name, quantity};
use crate::evidence::{
    AttachmentSeen, ClaimSeen, ClassSeen, DRIVER, EventSeen, NodePlugin, PersistentSeen, Plugin, REGION, ZONE,
};

const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

fn time(time: Option<&Time>) -> Option<Timestamp> {
    time.map(|time| time.0)
}

pub(super) fn nodes(nodes: &[Node], plugins: &[CSINode]) -> Vec<NodePlugin> {
    let of = |node: &Node| {
        let name = node.name_any();
        let drivers = plugins.iter().find(|one| one.name_any() == name).map(|one| one.spec.drivers.as_slice());
        let plugin = drivers.unwrap_or_default().iter().find(|driver| driver.name == DRIVER);
        let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
        NodePlugin {
            created: time(node.metadata.creation_timestamp.as_ref()),
            ready: conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True"),
            control_plane: node.labels().contains_key(CONTROL_PLANE),
            provider_id: node.spec.as_ref().and_then(|spec| spec.provider_id.clone()).filter(|id| !id.is_empty()),
            region: node.labels().get(REGION).cloned(),
            zone: node.labels().get(ZONE).cloned(),
            plugin: plugin.map(|driver| Plugin {
                node_id: driver.node_id.clone(),
                topology_keys: driver.topology_keys.clone().unwrap_or_default(),
            }),
            name,
        }
    };
    nodes.iter().map(of).collect()
}

pub(super) fn class(class: &StorageClass) -> Option<ClassSeen> {
    if class.provisioner != DRIVER {
        return None;
    }
    let terms = class.allowed_topologies.iter().flatten();
    let values = |term: &k8s_openapi::api::core::v1::TopologySelectorTerm| {
        let all = term.match_label_expressions.iter().flatten();
        all.map(|one| (one.key.clone(), one.values.clone())).collect()
    };
    Some(ClassSeen {
        name: class.name_any(),
        default: class.annotations().get(DEFAULT_CLASS).is_some_and(|value| value == "true"),
        waits: class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"),
        parameters: class.parameters.clone().unwrap_or_default(),
        allowed: terms.map(values).collect(),
    })
}

pub(super) fn claims(claims: &[PersistentVolumeClaim], classes: &[ClassSeen]) -> Vec<ClaimSeen> {
    let of = |claim: &PersistentVolumeClaim| {
        let class = claim.spec.as_ref()?.storage_class_name.clone()?;
        if !classes.iter().any(|one| one.name == class) {
            return None;
        }
        Some(ClaimSeen {
            name: full_name(claim),
            uid: claim.uid().unwrap_or_default(),
            class,
            phase: claim
                .status
                .as_ref()
                .and_then(|status| status.phase.clone())
                .unwrap_or_else(|| "Pending".to_owned()),
            created: time(claim.metadata.creation_timestamp.as_ref()),
            node_chosen: claim.annotations().contains_key(SELECTED_NODE),
            pending: None,
        })
    };
    claims.iter().filter_map(of).collect()
}

/// Pods that are not over and use the claim, by its name or because it was made for them.
pub(super) fn users(pods: &[Pod], claim: &str) -> BTreeMap<String, Option<Timestamp>> {
    let uses = |pod: &&Pod| {
        let over = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
        let named = volumes.iter().any(|volume| {
            let own = volume.ephemeral.is_some() && claim == format!("{}-{}", pod.name_any(), volume.name);
            own || volume.persistent_volume_claim.as_ref().is_some_and(|of| of.claim_name == claim)
        });
        named && !matches!(over, Some("Succeeded" | "Failed"))
    };
    pods.iter().filter(uses).map(|pod| (pod.name_any(), time(pod.metadata.creation_timestamp.as_ref()))).collect()
}

pub(super) fn last_event(events: &[Event]) -> Option<EventSeen> {
    let at = |event: &&Event| {
        let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
        let last = series.or(event.event_time.as_ref()).map(|time| time.0);
        last.max(time(event.last_timestamp.as_ref())).max(time(event.metadata.creation_timestamp.as_ref()))
    };
    let last = events.iter().max_by_key(at)?;
    let warns = last.type_.as_deref() == Some("Warning");
    Some(EventSeen { warns, message: last.message.clone().unwrap_or_default() })
}

pub(super) fn volume(volume: &PersistentVolume) -> Option<PersistentSeen> {
    let spec = volume.spec.as_ref()?;
    let csi = spec.csi.as_ref().filter(|csi| csi.driver == DRIVER)?;
    let status = volume.status.clone().unwrap_or_default();
    Some(PersistentSeen {
        name: volume.name_any(),
        handle: csi.volume_handle.clone(),
        capacity: spec.capacity.as_ref().and_then(|all| quantity::bytes(&all.get("storage")?.0)),
        phase: status.phase.unwrap_or_default(),
        since: time(status.last_phase_transition_time.as_ref()),
        reclaimed: spec.persistent_volume_reclaim_policy.as_deref() == Some("Delete"),
        deleting: volume.metadata.deletion_timestamp.is_some(),
    })
}

pub(super) fn attachment(one: &VolumeAttachment) -> Option<AttachmentSeen> {
    if one.spec.attacher != DRIVER {
        return None;
    }
    let status = one.status.as_ref();
    let said =
        |error: Option<&k8s_openapi::api::storage::v1::VolumeError>| error.and_then(|error| error.message.clone());
    Some(AttachmentSeen {
        name: one.name_any(),
        volume: one.spec.source.persistent_volume_name.clone()?,
        node: one.spec.node_name.clone(),
        created: time(one.metadata.creation_timestamp.as_ref()),
        attached: status.is_some_and(|status| status.attached),
        deleting: time(one.metadata.deletion_timestamp.as_ref()),
        attach_error: said(status.and_then(|status| status.attach_error.as_ref())),
        detach_error: said(status.and_then(|status| status.detach_error.as_ref())),
    })
}

/// The handle of a VolumeSnapshotContent of the driver.
pub(super) fn snapshot(content: &Value) -> Option<String> {
    let word = |at: &str| content.pointer(at).and_then(Value::as_str);
    if word("/spec/driver") != Some(DRIVER) {
        return None;
    }
    word("/status/snapshotHandle").or_else(|| word("/spec/source/snapshotHandle")).map(str::to_owned)
}

#[cfg(test)]
mod test {
    use serde_json::json;

    use super::*;

    fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn objects_of_other_drivers_are_nobodys_business() {
        let class_of = |driver: &str| class(&read(json!({"metadata": {"name": "a"}, "provisioner": driver})));
        assert_eq!((class_of("ebs.csi.aws.com"), class_of(DRIVER).unwrap().name), (None, "a".to_owned()));
        let pv = |driver: &str| {
            let spec = json!({"csi": {"driver": driver, "volumeHandle": "eu//data/vm-9100-pvc-1"},
                "capacity": {"storage": "1Gi"}, "persistentVolumeReclaimPolicy": "Delete"});
            volume(&read(json!({"metadata": {"name": "pvc-1"}, "spec": spec, "status": {"phase": "Bound"}})))
        };
        assert_eq!(pv("nfs.csi.k8s.io"), None);
        let ours = pv(DRIVER).unwrap();
        assert_eq!((ours.capacity, ours.reclaimed, ours.phase.as_str()), (Some(1 << 30), true, "Bound"));
        let content =
            json!({"spec": {"driver": DRIVER, "source": {}}, "status": {"snapshotHandle": "eu//d/vm-1-disk-0"}});
        assert_eq!(snapshot(&content).as_deref(), Some("eu//d/vm-1-disk-0"));
    }

    #[test]
    fn a_node_has_what_its_csinode_says_of_the_driver() {
        let labels = json!({CONTROL_PLANE: "", ZONE: "pve1"});
        let node: Node = read(json!({"metadata": {"name": "cp-0", "labels": labels}}));
        let driver = json!({"name": DRIVER, "nodeID": "cp-0/101", "topologyKeys": [REGION, ZONE]});
        let plugin: CSINode = read(json!({"metadata": {"name": "cp-0"}, "spec": {"drivers": [driver]}}));
        let seen = nodes(&[node], &[plugin]).remove(0);
        assert!(seen.control_plane && !seen.ready);
        assert_eq!((seen.zone.as_deref(), seen.region), (Some("pve1"), None));
        assert_eq!(seen.plugin.unwrap().node_id, "cp-0/101");
    }

    #[test]
    fn pods_that_are_over_wait_for_no_volume() {
        let pod = |name: &str, phase: &str, volume: Value| -> Pod {
            read(json!({"metadata": {"name": name}, "spec": {"containers": [], "volumes": [volume]},
                "status": {"phase": phase}}))
        };
        let claimed = json!({"name": "v", "persistentVolumeClaim": {"claimName": "data"}});
        let pods = [
            pod("done", "Succeeded", claimed.clone()),
            pod("waits", "Pending", claimed),
            pod("own", "Pending", json!({"name": "scratch", "ephemeral": {}})),
        ];
        assert_eq!(users(&pods, "data").into_keys().collect::<Vec<_>>(), ["waits"]);
        assert_eq!(users(&pods, "own-scratch").into_keys().collect::<Vec<_>>(), ["own"]);
    }

    #[test]
    fn the_last_event_is_the_one_that_happened_last() {
        let event = |message: &str, last: &str, kind: &str| -> Event {
            read(json!({"metadata": {}, "involvedObject": {}, "message": message, "type": kind, "lastTimestamp": last}))
        };
        let all = [
            event("no room", "2026-11-25T21:05:00Z", "Warning"),
            event("waiting for first consumer", "2026-11-25T21:00:00Z", "Normal"),
        ];
        assert_eq!(last_event(&all), Some(EventSeen { warns: true, message: "no room".into() }));
        assert_eq!(last_event(&[]), None);
    }
}

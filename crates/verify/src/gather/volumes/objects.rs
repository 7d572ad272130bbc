//! The objects of the probe: a claim, a pod that writes and one that reads.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use serde_json::json;

use super::super::own::{MANAGED_BY, US, object};

/// The claim.
pub(super) const CLAIM: &str = "probe";
/// Where pods have it.
const MOUNT: &str = "/data";

/// Half a gibibyte: sizes are rounded up to that, and xfs takes no less than 300 MiB.
pub(super) fn claim(class: &str) -> PersistentVolumeClaim {
    object(json!({
        "metadata": {"name": CLAIM, "labels": {MANAGED_BY: US}},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": class,
            "resources": {"requests": {"storage": "512Mi"}},
        },
    }))
}

/// Writes 1 MiB that nobody can guess, and tells its checksum.
pub(super) fn writer(image: &str, node: &str) -> Pod {
    let write = format!("dd if=/dev/urandom of={MOUNT}/probe bs=4096 count=256 2>/dev/null && sync");
    pod("writer", image, node, &format!("{write} && sha256sum {MOUNT}/probe"))
}

/// Tells the checksum of what is there.
pub(super) fn reader(image: &str, node: &str) -> Pod {
    pod("reader", image, node, &format!("sha256sum {MOUNT}/probe"))
}

/// The scheduler places it, for a volume that waits for its first pod is made only then.
fn pod(name: &str, image: &str, node: &str, script: &str) -> Pod {
    let on =
        json!({"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]});
    object(json!({
        "metadata": {"name": name, "labels": {MANAGED_BY: US}},
        "spec": {
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": on}},
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 65534,
                "runAsGroup": 65534,
                "fsGroup": 65534,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "probe",
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", script],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}},
                "volumeMounts": [{"name": "data", "mountPath": MOUNT}],
            }],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": CLAIM}}],
        },
    }))
}

/// The checksum in what a pod said.
pub(super) fn checksum(log: &str) -> Option<String> {
    let (sum, file) = log.lines().rev().find_map(|line| line.split_once("  "))?;
    let good = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit()) && file.starts_with(MOUNT);
    good.then(|| sum.to_owned())
}

#[cfg(test)]
mod test {
    use kube::ResourceExt;

    use super::*;

    #[test]
    fn every_object_reads_and_is_marked_as_ours() {
        assert_eq!(claim("fast").spec.unwrap().storage_class_name.as_deref(), Some("fast"));
        for pod in [writer("i", "n"), reader("i", "n")] {
            assert_eq!(pod.labels().get(MANAGED_BY).map(String::as_str), Some(US));
            assert_eq!(pod.spec.unwrap().node_name, None, "a pod that nobody schedules gets no volume made for it");
        }
    }

    #[test]
    fn only_a_checksum_is_one() {
        let sum = "a".repeat(64);
        assert_eq!(checksum(&format!("{sum}  /data/probe\n")), Some(sum));
        assert_eq!(checksum("sha256sum: can't open '/data/probe': Permission denied\n"), None);
        assert_eq!(checksum(""), None);
    }
}

//! Step 5: pods get volumes, each volume is where it should be and nowhere else, and none is left behind.

mod attachments;
mod claims;
mod classes;
mod driver;
mod orphans;
mod parameters;
mod probe;
mod stored;

use jiff::{SignedDuration, Timestamp};

use super::verdict::{Verdict, need};
use super::{CheckInfo, Of};
use crate::evidence::{DRIVER, Evidence, NodePlugin, Read, VolumesSeen};
use crate::step::StepId;

/// A kubelet has this long to meet the driver on a new Node.
const MEET: SignedDuration = SignedDuration::from_mins(5);
/// What is made, attached or detached has this long.
const GRACE: SignedDuration = SignedDuration::from_mins(2);
/// A volume that was released has this long to be deleted, a new one to be known to Kubernetes.
const SETTLE: SignedDuration = SignedDuration::from_mins(10);

pub(super) const DRIVER_REGISTERED: CheckInfo = CheckInfo {
    id: "csi.driver-registered",
    step: StepId::Csi,
    title: "Every worker has the driver, and it knows where it is",
    looks_at: "The CSIDriver object is there, with `attachRequired`. The CSINode of each Node that is Ready and not of the \
               control plane lists the driver, with the topology keys `topology.kubernetes.io/region` and `…/zone`; the Node \
               has both labels; and where the driver's node ID and the Node's provider ID both name a VM, it is the same. A \
               Node that registered less than five minutes ago may still be on its way.",
    matters: "A pod with a volume does not start on a Node that the driver has not registered on; with a wrong place its \
              volume is made where the Node cannot have it, with a wrong VM it is attached to another machine.",
    fix: "See that `oxmox run csi-node` runs on that Node and what its log says; labels come from the cloud controller \
          manager, and must be there before the driver registers.",
    of: Of::Cluster,
    needs: &["network-storage.endpoint-answers"],
    judge: driver::registered,
};

pub(super) const STORAGE_CLASSES: CheckInfo = CheckInfo {
    id: "csi.storage-classes",
    step: StepId::Csi,
    title: "Each StorageClass names a storage that its zones have",
    looks_at: "Each StorageClass of the driver: its parameters are ones that the driver knows (docs/reference/csi.md), with \
               values that it takes; its storage is there, works and takes `images` on the Proxmox VE nodes that \
               `allowedTopologies` names, without them on those that workers are on. A storage that only some of those have \
               is a warning where no topology was asked for.",
    matters: "A class is only looked at when somebody asks for a volume, and then the claim hangs.",
    fix: "Parameters of a class cannot be changed: delete the class and make it anew. On Proxmox VE add `images` to the \
          storage's content, or name the zones that have it in `allowedTopologies`.",
    of: Of::Cluster,
    needs: &["api.authenticated", "network-storage.endpoint-answers"],
    judge: classes::storage_classes,
};

pub(super) const CLAIMS_BOUND: CheckInfo = CheckInfo {
    id: "csi.claims-bound",
    step: StepId::Csi,
    title: "Claims get their volumes",
    looks_at: "Each PersistentVolumeClaim of a class of the driver: bound, or pending for a reason. One that waits for its \
               first pod is fine; two minutes after it and its pod are there it should be bound. One whose pod is scheduled \
               nowhere is a warning. The last event is shown.",
    matters: "A pod whose claim hangs never starts.",
    fix: "`kubectl describe pvc NAME` and the logs of the controller and of csi-provisioner beside it: most often the storage \
          has no room, or the token may not do what the message names.",
    of: Of::Cluster,
    needs: &["network-storage.endpoint-answers"],
    judge: claims::claims_bound,
};

pub(super) const VOLUMES_EXIST: CheckInfo = CheckInfo {
    id: "csi.volumes-exist",
    step: StepId::Csi,
    title: "Each PersistentVolume's disk exists, and is large enough",
    looks_at: "The handle of each PersistentVolume of the driver reads, Proxmox VE lists the volume that it names under its \
               owner, with at least the PersistentVolume's capacity. One that is about to be deleted may be gone already.",
    matters: "Data that is not there cannot be used, and nobody notices until a pod is to start.",
    fix: "Look who removed it (task log of Proxmox VE), and restore it from a backup under the same name. Where it is listed \
          under another name or storage, make a PersistentVolume with the right handle.",
    of: Of::Cluster,
    needs: &["api.authenticated", "network-storage.endpoint-answers"],
    judge: stored::volumes_exist,
};

pub(super) const ATTACHMENTS: CheckInfo = CheckInfo {
    id: "csi.attachments",
    step: StepId::Csi,
    title: "Each volume is in the VM that it is attached to, and in no other",
    looks_at: "Each VolumeAttachment of the driver that says attached: the configuration of the Node's VM has the volume in a \
               drive that waits for nothing, and no other VM's has it but its own holder's, which does not run. One that is \
               two minutes old and not attached, or has been going for two minutes, is an error with its own message. A \
               volume in a VM without a VolumeAttachment is a warning.",
    matters: "Two machines that write to one disk destroy its file system, and Proxmox VE does not prevent it. A volume that \
              cannot be detached keeps its pod from starting elsewhere.",
    fix: "The log of csi-attacher and of the controller. A disk that QEMU does not let go needs the guest's help, or the VM \
          stopped; never start a holder.",
    of: Of::Cluster,
    needs: &["api.authenticated", "network-storage.endpoint-answers"],
    judge: attachments::attachments,
};

pub(super) const NO_ORPHANS: CheckInfo = CheckInfo {
    id: "csi.no-orphans",
    step: StepId::Csi,
    title: "No volume is left without its PersistentVolume",
    looks_at: "What the holders of this cluster's volumes own at Proxmox VE: for each volume there is a PersistentVolume, or a \
               VolumeSnapshotContent. Holders are VMs whose notes end in `oxmox: holder=TENANT`; this cluster's are those of \
               the tenants that its PersistentVolumes belong to. A PersistentVolume that was released ten minutes ago and \
               should be deleted is named as well. Warnings, since several clusters may share a tenant by mistake.",
    matters: "Such volumes take room that nobody gets back, and hold data that somebody believes deleted.",
    fix: "Make sure that no other cluster has it. Then an administrator frees it, as docs/guide/storage.md has it; or make a \
          PersistentVolume for it, with a claim that is then deleted.",
    of: Of::Cluster,
    needs: &["api.authenticated", "network-storage.endpoint-answers"],
    judge: orphans::no_orphans,
};

pub(super) const PROBE: CheckInfo = CheckInfo {
    id: "csi.probe",
    step: StepId::Csi,
    title: "What one pod wrote another reads, and all of it goes again",
    looks_at: "A claim of the default class of the driver, or of its first by name, in a namespace of its own. A pod writes \
               1 MiB and tells its checksum, and goes; a second pod, on another Node where one can have the volume, reads it \
               back. Then the claim is deleted: PersistentVolume, VolumeAttachment and the volume at Proxmox VE must be gone \
               within two minutes.",
    matters: "This is what volumes are for; everything else is only a sign of it.",
    fix: "The message names what did not come about, with the last event. Try again with `oxmox verify csi --probe`.",
    of: Of::Probe,
    needs: &["api.authenticated", "network-storage.endpoint-answers"],
    judge: probe::probe,
};

/// What was seen of volumes, where the driver is installed at all.
fn installed(evidence: &Evidence) -> Result<&VolumesSeen, Verdict> {
    let seen = need("the workload cluster's volumes", &evidence.workload.volumes)?;
    let nothing = matches!(&seen.driver, Read::Known(None))
        && seen.classes.known().is_some_and(Vec::is_empty)
        && seen.volumes.known().is_none_or(Vec::is_empty);
    if nothing {
        let why =
            format!("the driver is not installed: there is neither a CSIDriver `{DRIVER}` nor a StorageClass of it");
        return Err(Verdict::blocked("driver", why));
    }
    Ok(seen)
}

/// How old something is; `None`: it is not known since when it is.
fn age(evidence: &Evidence, since: Option<Timestamp>) -> Option<SignedDuration> {
    Some(evidence.finished.duration_since(since?))
}

/// Whether something is surely younger than that.
fn younger(evidence: &Evidence, since: Option<Timestamp>, than: SignedDuration) -> bool {
    age(evidence, since).is_some_and(|age| age < than)
}

/// `for 12 min`, or that it is not known for how long.
fn since(evidence: &Evidence, at: Option<Timestamp>) -> String {
    age(evidence, at)
        .map_or_else(|| "for a time that is not known".to_owned(), |age| format!("for {} min", age.as_mins()))
}

/// The zones that workers with the driver are in.
fn zones(nodes: &[NodePlugin]) -> std::collections::BTreeSet<&str> {
    nodes.iter().filter(|node| node.plugin.is_some()).filter_map(|node| node.zone.as_deref()).collect()
}

//! Broken worlds of step 5 that a user's own wish breaks: claims and snapshots that cannot be, through Kubernetes' own
//! sidecars. Each has to be told on the object, with the field and the next move; leaves nothing behind; and heals when its
//! cause is gone. `oxmox verify` says of a claim that is young what it says of a healthy one.

use super::volumes::PICTURES;
use super::world::{Do, World};

/// What the events of the claim say.
const EVENTS: &[&str] = &[
    "get",
    "events",
    "--field-selector=involvedObject.name=wish",
    r#"--output=jsonpath={range .items[*]}{.message}{"\n"}{end}"#,
];
const PHASE: &[&str] = &["get", "pvc", "wish", "--output=jsonpath={.status.phase}"];
const VOLUMES: &[&str] = &["get", "pv", "--output=jsonpath={.items[*].spec.claimRef.name}"];
const CLASS: &[&str] = &["delete", "storageclass", "wish", "--ignore-not-found"];

/// A claim that is there for nobody's pod: it is served at once.
const CLAIM: &str = r#"{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"wish"},"spec":{
    "storageClassName":"wish","accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}"#;
const SHARED: &str = r#"{"apiVersion":"storage.k8s.io/v1","kind":"StorageClass","metadata":{"name":"wish"},
    "provisioner":"csi.proxmox.sinextra.dev","parameters":{"storage":"shared"}}"#;

/// The claim was served in the end; it goes, its volume with it, and its events, of which the next wish must not read.
const GRANTED: Do = Do::Until(PHASE, "Bound", 60);
const GONE: Do = Do::Workload(&["delete", "pvc", "wish", "--ignore-not-found"]);
const FREED: Do = Do::UntilNot(VOLUMES, "wish", 60);
const FORGOTTEN: Do =
    Do::Workload(&["delete", "events", "--field-selector=involvedObject.name=wish", "--ignore-not-found"]);

/// Rights of the driver's controller, without the one to make volumes.
const FEWER: &str = "VM.Audit,VM.Allocate,VM.Clone,VM.Config.Disk,VM.Config.Options,Datastore.Audit";
const ALL: &str =
    "VM.Audit,VM.Allocate,VM.Clone,VM.Config.Disk,VM.Config.Options,Datastore.AllocateSpace,Datastore.Audit";

pub(super) const WORLDS: &[World] = &[
    World {
        id: "csi.claim-unknown-parameter",
        step: 5,
        from: 5,
        what: "a claim of a class with a parameter that nobody knows",
        breaks: &[
            Do::Apply(
                r#"{"apiVersion":"storage.k8s.io/v1","kind":"StorageClass","metadata":{"name":"wish"},
                "provisioner":"csi.proxmox.sinextra.dev","parameters":{"storage":"shared","speed":"fast"}}"#,
            ),
            Do::Apply(CLAIM),
            Do::Until(EVENTS, "parameters.speed: no such parameter; there are storage", 40),
            // a class cannot be changed: it is made anew, and so is the claim, which csi-provisioner would leave for long
            Do::Workload(CLASS),
            GONE,
            Do::Apply(SHARED),
            Do::Apply(CLAIM),
            GRANTED,
        ],
        with: &[],
        heals: &[GONE, FREED, Do::Workload(CLASS), FORGOTTEN],
        expects: &[],
        seconds: 20,
    },
    World {
        id: "csi.claim-no-images",
        step: 5,
        from: 5,
        what: "a claim of a class whose storage takes no disks",
        breaks: &[
            Do::Pve("POST", "/storage", PICTURES),
            Do::Apply(
                r#"{"apiVersion":"storage.k8s.io/v1","kind":"StorageClass","metadata":{"name":"wish"},
                "provisioner":"csi.proxmox.sinextra.dev","parameters":{"storage":"pictures"}}"#,
            ),
            Do::Apply(CLAIM),
            Do::Until(EVENTS, "parameters.storage: `pictures` takes no `images`", 40),
            Do::Pve("PUT", "/storage/pictures", &[("content", "images,iso")]),
            GRANTED,
        ],
        with: &[],
        heals: &[GONE, FREED, Do::Workload(CLASS), FORGOTTEN, Do::Pve("DELETE", "/storage/pictures", &[])],
        expects: &[],
        seconds: 25,
    },
    World {
        id: "csi.claim-full",
        step: 5,
        from: 5,
        what: "a claim while the storage is full",
        breaks: &[
            Do::Door("POST", "/sim/storages/shared/full", ""),
            Do::Apply(SHARED),
            Do::Apply(CLAIM),
            Do::Until(EVENTS, "ResourceExhausted", 40),
            Do::Door("POST", "/sim/storages/shared/free", ""),
            GRANTED,
        ],
        with: &[],
        heals: &[GONE, FREED, Do::Workload(CLASS), FORGOTTEN],
        expects: &[],
        seconds: 25,
    },
    World {
        id: "csi.claim-shared-by-nodes",
        step: 5,
        from: 5,
        what: "a claim that several Nodes may write to at once",
        breaks: &[
            Do::Apply(SHARED),
            Do::Apply(
                r#"{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":"wish"},"spec":{
                "storageClassName":"wish","accessModes":["ReadWriteMany"],"resources":{"requests":{"storage":"1Gi"}}}}"#,
            ),
            Do::Until(EVENTS, "ReadWriteOnce", 40),
        ],
        with: &[],
        heals: &[GONE, FREED, Do::Workload(CLASS), FORGOTTEN],
        expects: &[],
        seconds: 15,
    },
    World {
        id: "csi.claim-no-privilege",
        step: 5,
        from: 5,
        what: "a claim while the driver's token may not make volumes",
        breaks: &[
            Do::Pve("PUT", "/access/roles/csi-controller", &[("privs", FEWER)]),
            Do::Apply(SHARED),
            Do::Apply(CLAIM),
            Do::Until(EVENTS, "Datastore.AllocateSpace", 40),
            Do::Pve("PUT", "/access/roles/csi-controller", &[("privs", ALL)]),
            GRANTED,
        ],
        with: &[],
        heals: &[
            Do::Pve("PUT", "/access/roles/csi-controller", &[("privs", ALL)]),
            GONE,
            FREED,
            Do::Workload(CLASS),
            FORGOTTEN,
        ],
        expects: &[],
        seconds: 25,
    },
    World {
        id: "csi.snapshot-in-use",
        step: 5,
        from: 5,
        what: "a snapshot of a volume that a running machine writes to",
        breaks: &[
            Do::Apply(
                r#"{"apiVersion":"snapshot.storage.k8s.io/v1","kind":"VolumeSnapshot","metadata":{"name":"wish"},
                "spec":{"volumeSnapshotClassName":"proxmox","source":{"persistentVolumeClaimName":"data-store-0"}}}"#,
            ),
            Do::Until(&["get", "volumesnapshot", "wish", "--output=jsonpath={.status.error.message}"], "attached", 40),
        ],
        with: &[],
        heals: &[
            Do::Workload(&["delete", "volumesnapshot", "wish", "--timeout=60s"]),
            Do::UntilNot(
                &["get", "volumesnapshotcontents", "--output=jsonpath={.items[*].spec.volumeSnapshotRef.name}"],
                "wish",
                60,
            ),
        ],
        expects: &[],
        seconds: 20,
    },
];

//! Broken worlds of step 5: volumes at Proxmox VE and what Kubernetes knows of them.
//!
//! Not shown here, but on saved evidence: volumes that nobody knows (they have ten minutes), claims that hang (two), a
//! holder that runs (it would boot as a guest), and a disk that is taken from a VM that uses it (a guest that loses a
//! mounted disk fails every test that follows).

use super::world::{Do, With, World, fails, tells, unread};

const REGISTERED: &str = "csi.driver-registered";
const CLASSES: &str = "csi.storage-classes";
const CLAIMS: &str = "csi.claims-bound";
const EXIST: &str = "csi.volumes-exist";
const ATTACHMENTS: &str = "csi.attachments";
const ORPHANS: &str = "csi.no-orphans";
const SECRET: &str = "Secret `quickstart-kubeconfig`";

pub(super) const WORLDS: &[World] = &[
    World {
        id: "csi.unknown-parameter",
        step: 5,
        from: 5,
        what: "a StorageClass has a parameter that nobody knows",
        breaks: &[Do::Apply(
            r#"{"apiVersion":"storage.k8s.io/v1","kind":"StorageClass","metadata":{"name":"ghost"},
            "provisioner":"csi.proxmox.sinextra.dev","parameters":{"storage":"shared","speed":"fast"}}"#,
        )],
        with: &[],
        heals: &[Do::Workload(&["delete", "storageclass", "ghost"])],
        expects: &[fails(CLASSES, "StorageClass `ghost`: no parameter is called `speed`")],
        seconds: 5,
    },
    World {
        id: "csi.missing-storage",
        step: 5,
        from: 5,
        what: "a StorageClass names a storage that is not there",
        breaks: &[Do::Apply(
            r#"{"apiVersion":"storage.k8s.io/v1","kind":"StorageClass","metadata":{"name":"ghost"},
            "provisioner":"csi.proxmox.sinextra.dev","parameters":{"storage":"nowhere"}}"#,
        )],
        with: &[],
        heals: &[Do::Workload(&["delete", "storageclass", "ghost"])],
        expects: &[fails(CLASSES, "has no storage `nowhere`; it has")],
        seconds: 5,
    },
    World {
        id: "csi.no-images",
        step: 5,
        from: 5,
        what: "a StorageClass names a storage that takes no disks",
        breaks: &[
            Do::Pve("POST", "/storage", PICTURES),
            Do::Apply(
                r#"{"apiVersion":"storage.k8s.io/v1","kind":"StorageClass","metadata":{"name":"ghost"},
                "provisioner":"csi.proxmox.sinextra.dev","parameters":{"storage":"pictures"}}"#,
            ),
        ],
        with: &[],
        heals: &[Do::Workload(&["delete", "storageclass", "ghost"]), Do::Pve("DELETE", "/storage/pictures", &[])],
        expects: &[fails(CLASSES, "storage `pictures` on node")],
        seconds: 6,
    },
    World {
        id: "csi.lost-disk",
        step: 5,
        from: 5,
        what: "a PersistentVolume names a disk that Proxmox VE has not",
        breaks: &[Do::Apply(
            r#"{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"ghost"},"spec":{
            "capacity":{"storage":"1Gi"},"accessModes":["ReadWriteOnce"],"persistentVolumeReclaimPolicy":"Retain",
            "storageClassName":"proxmox-xfs","csi":{"driver":"csi.proxmox.sinextra.dev","volumeHandle":"{ghost-handle}"}}}"#,
        )],
        with: &[],
        heals: &[Do::Workload(&["delete", "persistentvolume", "ghost"])],
        expects: &[fails(EXIST, "which PersistentVolume `ghost` names")],
        seconds: 5,
    },
    World {
        id: "csi.two-vms",
        step: 5,
        from: 5,
        what: "a volume that a pod uses is in another VM, too",
        breaks: &[
            Do::Pve(
                "POST",
                "/nodes/pve2/qemu",
                &[("vmid", "990"), ("name", "thief"), ("memory", "512"), ("pool", "kubernetes")],
            ),
            Do::Pve("PUT", "/nodes/pve2/qemu/990/config", &[("scsi5", "{volid}")]),
            Do::Door("POST", "/sim/tick", ""),
        ],
        with: &[],
        heals: &[
            Do::Pve("PUT", "/nodes/pve2/qemu/990/config", &[("delete", "scsi5")]),
            Do::Pve("DELETE", "/nodes/pve2/qemu/990", &[]),
            Do::Door("POST", "/sim/tick", ""),
        ],
        expects: &[fails(ATTACHMENTS, "VM 990")],
        seconds: 8,
    },
    World {
        id: "csi.detached",
        step: 5,
        from: 5,
        what: "Kubernetes believes a volume attached to a Node whose VM has it not",
        breaks: &[
            Do::Stop("csi-attacher"),
            Do::Apply(
                r#"{"apiVersion":"storage.k8s.io/v1","kind":"VolumeAttachment","metadata":{"name":"ghost"},"spec":{
                "attacher":"csi.proxmox.sinextra.dev","nodeName":"{control}","source":{"persistentVolumeName":"{volume}"}}}"#,
            ),
            Do::Workload(&[
                "patch",
                "volumeattachment",
                "ghost",
                "--subresource=status",
                "--type=merge",
                "--patch",
                r#"{"status":{"attached":true}}"#,
            ]),
        ],
        with: &[],
        heals: &[Do::Workload(&["delete", "volumeattachment", "ghost"]), Do::Start("csi-attacher")],
        expects: &[fails(
            ATTACHMENTS,
            "`{volume}` is attached to Node `{control}`, but VM {control-vmid} does not have",
        )],
        seconds: 8,
    },
    World {
        id: "csi.no-node-plugin",
        step: 5,
        from: 5,
        what: "the node plugin is missing on a Node",
        breaks: &[
            Do::Workload(&[
                "-n",
                "oxmox-system",
                "patch",
                "daemonset",
                "oxmox-csi-node",
                "--type=merge",
                "--patch",
                NOT_THERE,
            ]),
            Do::Workload(&["-n", "oxmox-system", "rollout", "status", "daemonset/oxmox-csi-node", "--timeout=90s"]),
            Do::UntilNot(&["get", "csinode", "{machine}", "-o", "jsonpath={.spec.drivers[*].name}"], "proxmox", 90),
        ],
        with: &[],
        heals: &[
            Do::Workload(&[
                "-n",
                "oxmox-system",
                "patch",
                "daemonset",
                "oxmox-csi-node",
                "--type=json",
                "--patch",
                THERE,
            ]),
            Do::Workload(&["-n", "oxmox-system", "rollout", "status", "daemonset/oxmox-csi-node", "--timeout=90s"]),
        ],
        expects: &[tells(REGISTERED, "Node `{machine}`")],
        seconds: 60,
    },
    World {
        id: "csi.unlisted",
        step: 5,
        from: 5,
        what: "Proxmox VE answers 500 when a storage is listed",
        breaks: &[Do::Door(
            "POST",
            "/sim/faults",
            r#"{"match":{"method":"GET","path":"/nodes/*/storage/shared/content","user":"capi@pve*"},"times":0,"then":{"refuse":{"status":500,"message":"mount is stale"}}}"#,
        )],
        with: &[],
        heals: &[Do::Door("DELETE", "/sim/faults", "")],
        expects: &[unread(EXIST, "mount is stale"), unread(ORPHANS, "mount is stale")],
        seconds: 6,
    },
    World {
        id: "csi.no-secrets",
        step: 5,
        from: 5,
        what: "who verifies may not read the Secret with the workload cluster's kubeconfig",
        breaks: &[Do::Reader],
        with: &[With("KUBECONFIG", "{reader}")],
        heals: &[Do::NoReader],
        expects: &[
            unread(REGISTERED, SECRET),
            unread(CLASSES, SECRET),
            unread(CLAIMS, SECRET),
            unread(EXIST, SECRET),
            unread(ATTACHMENTS, SECRET),
            unread(ORPHANS, SECRET),
        ],
        seconds: 6,
    },
];

/// A storage for images of disks that come on CDs only.
pub(super) const PICTURES: &[(&str, &str)] =
    &[("storage", "pictures"), ("type", "dir"), ("path", "/mnt/pictures"), ("content", "iso")];

pub(super) const NOWHERE: &str = r#"{"spec":{"template":{"spec":{"nodeSelector":{"no":"where"}}}}}"#;
pub(super) const ANYWHERE: &str = r#"[{"op":"remove","path":"/spec/template/spec/nodeSelector"}]"#;

const NOT_THERE: &str = r#"{"spec":{"template":{"spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":
    {"nodeSelectorTerms":[{"matchExpressions":[{"key":"kubernetes.io/hostname","operator":"NotIn","values":["{machine}"]}]}]}}}}}}}"#;
const THERE: &str = r#"[{"op":"remove","path":"/spec/template/spec/affinity"}]"#;

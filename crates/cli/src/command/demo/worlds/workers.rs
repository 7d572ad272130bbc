//! Broken worlds of step 4: Nodes, and the VMs that they are.
//!
//! Not shown here, but on saved evidence: clocks that disagree (all guests of the lab have one), kubelets of other versions,
//! and a machine that never became a Node (it has a quarter of an hour).

use super::world::{Do, With, World, blocked, fails, unread, warns};

const READY: &str = "worker.nodes-ready";
const INITIALISED: &str = "worker.initialised";
const IDS: &str = "worker.provider-ids";
const ORPHANS: &str = "worker.no-orphans";
const ZONES: &str = "worker.zones";
const ADDRESSES: &str = "worker.addresses";
const SKEW: &str = "worker.version-skew";
const REQUESTS: &str = "worker.no-pending-csrs";
const CLOCKS: &str = "worker.clocks";
const SECRET: &str = "Secret `quickstart-kubeconfig`";

pub(super) const WORLDS: &[World] = &[
    World {
        id: "worker.cordoned",
        step: 4,
        from: 4,
        what: "a worker is cordoned",
        breaks: &[Do::Workload(&["cordon", "{machine}"])],
        with: &[],
        heals: &[Do::Workload(&["uncordon", "{machine}"])],
        expects: &[warns(READY, "Node `{machine}` is cordoned")],
        seconds: 5,
    },
    World {
        id: "worker.kubelet-stopped",
        step: 4,
        from: 4,
        what: "a worker's kubelet has stopped",
        breaks: &[
            Do::Guest("{pve}", "{vmid}", "systemctl stop kubelet"),
            Do::Until(
                &["get", "node", "{machine}", "-o", "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}"],
                "Unknown",
                120,
            ),
        ],
        with: &[],
        heals: &[Do::Guest("{pve}", "{vmid}", "systemctl start kubelet")],
        expects: &[blocked(READY, "node `{machine}` is not Ready")],
        seconds: 75,
    },
    World {
        id: "worker.wrong-zone",
        step: 4,
        from: 4,
        what: "a worker's zone is not where its VM is, and no cloud controller manager runs",
        breaks: &[
            Do::Stop("ccm"),
            Do::Workload(&[
                "label",
                "node",
                "{machine}",
                "--overwrite",
                "topology.kubernetes.io/zone=nowhere",
                "topology.proxmox.sinextra.dev/zone=nowhere",
            ]),
        ],
        with: &[],
        heals: &[Do::Start("ccm")],
        expects: &[fails(ZONES, "Node `{machine}`: VM {vmid} is on `{pve}`, its zone says `nowhere`")],
        seconds: 12,
    },
    World {
        id: "worker.waits",
        step: 4,
        from: 4,
        what: "a Node waits for a cloud controller manager, and none runs",
        breaks: &[
            Do::Stop("ccm"),
            Do::Workload(&[
                "taint",
                "node",
                "{control}",
                "node.cloudprovider.kubernetes.io/uninitialized=true:NoSchedule",
            ]),
        ],
        with: &[],
        heals: &[Do::Start("ccm")],
        expects: &[
            fails(INITIALISED, "Node `{control}` waits for a cloud controller manager"),
            blocked(IDS, INITIALISED),
            blocked(ORPHANS, INITIALISED),
            blocked(ZONES, INITIALISED),
            blocked(ADDRESSES, INITIALISED),
        ],
        seconds: 12,
    },
    World {
        id: "worker.ghost",
        step: 4,
        from: 4,
        what: "a Node is left of a VM that is no more, and no cloud controller manager runs",
        breaks: &[
            Do::Stop("ccm"),
            Do::Apply(
                r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"ghost"},"spec":{"unschedulable":false,"providerID":"proxmox://00000000-0000-4000-8000-000000000990"}}"#,
            ),
            Do::Workload(&["patch", "node", "ghost", "--subresource=status", "--type=merge", "--patch", WELL]),
        ],
        with: &[],
        heals: &[
            Do::Workload(&["delete", "node", "ghost"]),
            Do::Start("ccm"),
            Do::Workload(&[
                "delete",
                "pods",
                "--all-namespaces",
                "--field-selector=spec.nodeName=ghost",
                "--force",
                "--grace-period=0",
            ]),
        ],
        expects: &[
            fails(ORPHANS, "Node `ghost` is proxmox://00000000-0000-4000-8000-000000000990, and no VM"),
            unread(CLOCKS, "Node `ghost` renews no lease"),
        ],
        seconds: 20,
    },
    World {
        id: "worker.denied",
        step: 4,
        from: 4,
        what: "a kubelet's request for a certificate was denied",
        breaks: &[Do::Apply(REQUEST), Do::Workload(&["certificate", "deny", "ghost"])],
        with: &[],
        heals: &[Do::Workload(&["delete", "csr", "ghost"])],
        expects: &[warns(REQUESTS, "CertificateSigningRequest `ghost`")],
        seconds: 5,
    },
    World {
        id: "worker.no-secrets",
        step: 4,
        from: 4,
        what: "who verifies may not read the Secret with the workload cluster's kubeconfig",
        breaks: &[Do::Reader],
        with: &[With("KUBECONFIG", "{reader}")],
        heals: &[Do::NoReader],
        expects: &[
            unread(READY, SECRET),
            unread(INITIALISED, SECRET),
            unread(IDS, SECRET),
            unread(ORPHANS, SECRET),
            unread(ZONES, SECRET),
            unread(ADDRESSES, SECRET),
            unread(SKEW, SECRET),
            unread(REQUESTS, SECRET),
            unread(CLOCKS, SECRET),
        ],
        seconds: 6,
    },
];

/// What a kubelet would say of a Node that is well.
const WELL: &str = r#"{"status":{"nodeInfo":{"kubeletVersion":"v1.36.3"},"addresses":[{"type":"InternalIP","address":"10.10.10.99"}],"conditions":[{"type":"Ready","status":"True","reason":"KubeletReady"}]}}"#;

/// For a key that nobody kept.
const REQUEST: &str = r#"{"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{"name":"ghost"},
"spec":{"signerName":"kubernetes.io/kubelet-serving","usages":["digital signature","server auth"],
"request":"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIdk1JR1ZBZ0VBTURNeEZUQVRCZ05WQkFvTURITjVjM1JsYlRwdWIyUmxjekVhTUJnR0ExVUVBd3dSYzNsegpkR1Z0T201dlpHVTZaMmh2YzNRd1dUQVRCZ2NxaGtqT1BRSUJCZ2dxaGtqT1BRTUJCd05DQUFSNzU4VDd3Y0tzClBrWVI3bHNFVUwwdSs5MmF6WVkrTkNvU3RwcDdhUUJFd2tTdElieFdTaXU4RDBXVTRxeTRydlVralZQVkFqUTEKRUIvUEtJMTQ2dXRkb0FBd0NnWUlLb1pJemowRUF3SURTUUF3UmdJaEFJSzI0RkFaK2tjUmRHeEh0SEg1ckF4RwovRmFMSFdvM2pkQ2FWSFo3N2hZdkFpRUEvaEE5b2xjRHpyTG8xUHl5MmFtemY4eDdOUENTQnltS2c5U05jblUvCmFVQT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg=="}}"#;

//! Broken worlds of step 3: VMs and their machines.
//!
//! Not shown here, but on saved evidence: a template without a disk to boot from or with all its IDE drives taken, and a
//! machine whose VM is gone (the MachineHealthCheck replaces it at once: the scene `repair`). A VM that is powered off is
//! started again before anybody looks, and one that is locked is nobody's failure.

use super::world::{Do, With, World, fails, unread, warns};

const OURS: &str = "vm-management.machines-have-vms";
const ORPHANS: &str = "vm-management.no-orphans";
const TWICE: &str = "vm-management.no-duplicates";
const TEMPLATE: &str = "vm-management.template";
const READY: &str = "vm-management.nodes-ready";
const SEED: &str = "vm-management.seed-removed";

/// Whoever looks at lists need not wait for the statistics daemon.
const TICK: Do = Do::Door("POST", "/sim/tick", "");

pub(super) const WORLDS: &[World] = &[
    World {
        id: "vm-management.template-without-agent",
        step: 3,
        from: 3,
        what: "the template's guest agent is switched off",
        breaks: &[Do::Pve("PUT", "/nodes/pve1/qemu/9000/config", &[("agent", "0")])],
        with: &[],
        heals: &[Do::Pve("PUT", "/nodes/pve1/qemu/9000/config", &[("agent", "1")])],
        expects: &[warns(TEMPLATE, "has the guest agent switched off")],
        seconds: 5,
    },
    World {
        id: "vm-management.template-elsewhere",
        step: 3,
        from: 3,
        what: "the template has moved to another node",
        breaks: &[Do::Pve("POST", "/nodes/pve1/qemu/9000/migrate", &[("target", "pve2")]), TICK],
        with: &[],
        heals: &[Do::Pve("POST", "/nodes/pve2/qemu/9000/migrate", &[("target", "pve1")]), TICK],
        expects: &[fails(TEMPLATE, "template 9000 is on node `pve2`, not on `pve1`")],
        seconds: 8,
    },
    World {
        id: "vm-management.template-unread",
        step: 3,
        from: 3,
        what: "Proxmox VE answers 500 when the template is asked for",
        breaks: &[Do::Door(
            "POST",
            "/sim/faults",
            r#"{"match":{"method":"GET","path":"/nodes/*/qemu/9000/config","user":"capi@pve*"},"times":0,"then":{"refuse":{"status":500,"message":"pmxcfs is gone"}}}"#,
        )],
        with: &[],
        heals: &[Do::Door("DELETE", "/sim/faults", "")],
        expects: &[
            unread(TEMPLATE, "settings of template 9000 could not be read"),
            unread(ORPHANS, "settings of VM 9000 could not be read"),
            unread(TWICE, "pmxcfs is gone"),
        ],
        seconds: 5,
    },
    World {
        id: "vm-management.mark-lost",
        step: 3,
        from: 3,
        what: "somebody has written over the notes of a worker's VM",
        breaks: &[
            Do::Keep("notes", "/nodes/{pve}/qemu/{vmid}/config", "/description"),
            Do::Pve("PUT", "/nodes/{pve}/qemu/{vmid}/config", &[("description", "mine now")]),
        ],
        with: &[],
        heals: &[Do::Pve("PUT", "/nodes/{pve}/qemu/{vmid}/config", &[("description", "{notes}")])],
        expects: &[fails(OURS, "machine `{machine}`, VM {vmid}: its notes do not end with our mark")],
        seconds: 5,
    },
    World {
        id: "vm-management.renamed",
        step: 3,
        from: 3,
        what: "somebody has renamed a worker's VM",
        breaks: &[Do::Pve("PUT", "/nodes/{pve}/qemu/{vmid}/config", &[("name", "mail")])],
        with: &[],
        heals: &[Do::Pve("PUT", "/nodes/{pve}/qemu/{vmid}/config", &[("name", "{machine}")])],
        expects: &[fails(OURS, "machine `{machine}`, VM {vmid}: it is called `mail`")],
        seconds: 5,
    },
    World {
        id: "vm-management.orphan",
        step: 3,
        from: 3,
        what: "a VM with our mark is left of a machine that is no more",
        breaks: &[Do::Pve("POST", "/nodes/pve2/qemu", GHOST), TICK],
        with: &[],
        heals: &[Do::Pve("DELETE", "/nodes/pve2/qemu/990", &[]), TICK],
        expects: &[warns(ORPHANS, "VM 990 belongs to machine `default/ghost`")],
        seconds: 6,
    },
    World {
        id: "vm-management.twin",
        step: 3,
        from: 3,
        what: "a second VM has a worker's mark",
        breaks: &[Do::Pve("POST", "/nodes/pve2/qemu", TWIN), TICK],
        with: &[],
        heals: &[Do::Pve("DELETE", "/nodes/pve2/qemu/990", &[]), TICK],
        expects: &[fails(TWICE, "990")],
        seconds: 6,
    },
    World {
        id: "vm-management.silent-agent",
        step: 3,
        from: 3,
        what: "the guest agent of a worker does not answer",
        breaks: &[Do::Door(
            "POST",
            "/sim/faults",
            r#"{"match":{"method":"POST","path":"/nodes/*/qemu/{vmid}/agent/ping","user":"capi@pve*"},"times":0,"then":{"refuse":{"status":500,"message":"QEMU guest agent is not running"}}}"#,
        )],
        with: &[],
        heals: &[Do::Door("DELETE", "/sim/faults", "")],
        expects: &[fails("vm-management.agent-answers", "`{machine}` (VM {vmid})")],
        seconds: 5,
    },
    World {
        id: "vm-management.no-secrets",
        step: 3,
        from: 3,
        what: "who verifies may not read the Secret with the workload cluster's kubeconfig",
        breaks: &[Do::Reader],
        with: &[With("KUBECONFIG", "{reader}")],
        heals: &[Do::NoReader],
        expects: &[unread(READY, "Secret `quickstart-kubeconfig`"), unread(SEED, "give the credentials the privilege")],
        seconds: 6,
    },
];

const GHOST: &[(&str, &str)] = &[
    ("vmid", "990"),
    ("name", "ghost"),
    ("pool", "kubernetes"),
    ("memory", "512"),
    ("description", "oxmox: machine=default/ghost uid=00000000-0000-4000-8000-000000000990"),
];
const TWIN: &[(&str, &str)] = &[
    ("vmid", "990"),
    ("name", "twin"),
    ("pool", "kubernetes"),
    ("memory", "512"),
    ("description", "oxmox: machine=default/{machine} uid={uid}"),
];

//! Broken worlds of step 2: network and storage.
//!
//! Not shown here, but on saved evidence: an address range that is too small or holds the endpoint (a ProxmoxCluster's
//! addresses are given away already), and a template on a local storage.

use super::world::{Do, World, fails, unread, warns};

const IMAGES: &str = "network-storage.image-storage";
const ISOS: &str = "network-storage.iso-storage";
const SPACE: &str = "network-storage.free-space";
const BRIDGE: &str = "network-storage.bridge";

pub(super) const WORLDS: &[World] = &[
    World {
        id: "network-storage.no-images",
        step: 2,
        from: 3,
        what: "the machines' storage takes no disks",
        breaks: &[Do::Pve("PUT", "/storage/shared", &[("content", "iso,import")])],
        with: &[],
        heals: &[Do::Pve("PUT", "/storage/shared", &[("content", "images,iso,import")])],
        expects: &[fails(IMAGES, "storage `shared` on node `pve1` takes no `images`")],
        seconds: 4,
    },
    World {
        id: "network-storage.no-isos",
        step: 2,
        from: 1,
        what: "no storage takes bootstrap images",
        breaks: &[
            Do::Pve("PUT", "/storage/shared", &[("content", "images,import")]),
            Do::Pve("PUT", "/storage/local", &[("content", "images,vztmpl,backup,snippets,import")]),
        ],
        with: &[],
        heals: &[
            Do::Pve("PUT", "/storage/shared", &[("content", "images,iso,import")]),
            Do::Pve("PUT", "/storage/local", &[("content", "images,iso,vztmpl,backup,snippets,import")]),
        ],
        expects: &[fails(ISOS, "no storage of node `pve1` takes `iso`; it has")],
        seconds: 5,
    },
    World {
        id: "network-storage.offline-on-a-node",
        step: 2,
        from: 3,
        what: "one node does not reach the shared storage",
        breaks: &[Do::Door("POST", "/sim/storages/shared", r#"{"offline":["pve2"]}"#)],
        with: &[],
        heals: &[Do::Door("POST", "/sim/storages/shared", r#"{"offline":[]}"#)],
        expects: &[fails(IMAGES, "storage `shared` on node `pve2` is not active")],
        seconds: 4,
    },
    World {
        id: "network-storage.full",
        step: 2,
        from: 1,
        what: "the shared storage is full",
        breaks: &[Do::Door("POST", "/sim/storages/shared/full", "")],
        with: &[],
        heals: &[Do::Door("POST", "/sim/storages/shared/free", "")],
        expects: &[fails(SPACE, "storage `shared` has 0 % free")],
        seconds: 4,
    },
    World {
        id: "network-storage.no-bridge",
        step: 2,
        from: 3,
        what: "the bridge is missing on one node",
        breaks: &[Do::Pve("DELETE", "/nodes/pve3/network/vmbr0", &[])],
        with: &[],
        heals: &[Do::Pve("DELETE", "/nodes/pve3/network", &[])],
        expects: &[fails(BRIDGE, "node `pve3` has no bridge `vmbr0`")],
        seconds: 4,
    },
    World {
        id: "network-storage.unlisted",
        step: 2,
        from: 3,
        what: "a node answers 500 when its storages are asked for",
        breaks: &[Do::Door(
            "POST",
            "/sim/faults",
            r#"{"match":{"method":"GET","path":"/nodes/pve2/storage","user":"capi@pve*"},"times":0,"then":{"refuse":{"status":500,"message":"no pvestatd"}}}"#,
        )],
        with: &[],
        heals: &[Do::Door("DELETE", "/sim/faults", "")],
        expects: &[
            unread(ISOS, "storages of node `pve2` could not be read"),
            unread(IMAGES, "no pvestatd"),
            unread(SPACE, "no pvestatd"),
        ],
        seconds: 4,
    },
    World {
        id: "network-storage.no-endpoint",
        step: 2,
        from: 3,
        what: "the control plane has lost the cluster's address",
        breaks: &[
            // it would end by itself when it cannot hold its lease
            Do::Stop("ccm"),
            Do::Guest("{control-pve}", "{control-vmid}", "systemctl stop keepalived"),
        ],
        with: &[],
        heals: &[
            Do::Guest("{control-pve}", "{control-vmid}", "systemctl start keepalived"),
            Do::Until(&["get", "nodes", "-o", "name"], "node/{control}", 30),
            Do::Start("ccm"),
        ],
        expects: &[fails("network-storage.endpoint-answers", "10.10.10.10")],
        seconds: 30,
    },
    World {
        id: "network-storage.shrinking",
        step: 2,
        from: 1,
        what: "the shared storage has a tenth of its room left",
        breaks: &[Do::Door("POST", "/sim/storages/shared", r#"{"foreign":3870280929771}"#)],
        with: &[],
        heals: &[Do::Door("POST", "/sim/storages/shared", r#"{"foreign":2147483648}"#)],
        expects: &[warns(SPACE, "storage `shared` has")],
        seconds: 4,
    },
];

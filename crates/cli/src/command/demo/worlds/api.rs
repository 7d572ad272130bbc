//! Broken worlds of step 1: Proxmox VE's API.
//!
//! Not shown here, but on saved evidence: versions that are not supported and clocks that disagree (the simulator is one
//! version, and its answers carry the real time), certificates that end soon (it makes one at its start), and a node that
//! is offline (each has a machine on it: the scenes `node-lost` have that).

use super::world::{Do, With, World, blocked, fails, unread, warns};

const LOGIN: &str = "api.authenticated";
const HEALED: &[Do] = &[Do::Door("DELETE", "/sim/faults", "")];

pub(super) const WORLDS: &[World] = &[
    World {
        id: "api.nobody-listens",
        step: 1,
        from: 1,
        what: "nothing listens where Proxmox VE should",
        breaks: &[],
        with: &[With("PROXMOX_URL", "https://127.0.0.1:9")],
        heals: &[],
        expects: &[
            fails("api.reachable", "127.0.0.1:9"),
            blocked("api.tls-chain", "api.reachable"),
            blocked(LOGIN, "api.reachable"),
            blocked("api.version-supported", "api.reachable"),
            blocked("api.privileges", "api.reachable"),
            blocked("api.quorate", "api.reachable"),
            blocked("api.nodes-online", "api.reachable"),
            blocked("api.clock-skew", "api.reachable"),
        ],
        seconds: 4,
    },
    World {
        id: "api.other-authority",
        step: 1,
        from: 1,
        what: "the certificate is of another authority than the trusted one",
        breaks: &[],
        with: &[With("PROXMOX_ROOT_CA_FILE", "{ca}")],
        heals: &[],
        expects: &[
            fails("api.tls-chain", "trust Proxmox's CA (/etc/pve/pve-root-ca.pem)"),
            blocked(LOGIN, "api.tls-chain"),
            blocked("api.version-supported", "api.tls-chain"),
            blocked("api.privileges", "api.tls-chain"),
            blocked("api.quorate", "api.tls-chain"),
            blocked("api.nodes-online", "api.tls-chain"),
        ],
        seconds: 4,
    },
    World {
        id: "api.wrong-secret",
        step: 1,
        from: 1,
        what: "the token's secret is another",
        breaks: &[],
        with: &[With("PROXMOX_SECRET", "00000000-0000-0000-0000-000000000000")],
        heals: &[],
        expects: &[
            fails(LOGIN, "check the token's id and secret"),
            blocked("api.version-supported", LOGIN),
            blocked("api.privileges", LOGIN),
            blocked("api.quorate", LOGIN),
            blocked("api.nodes-online", LOGIN),
        ],
        seconds: 6,
    },
    World {
        id: "api.version-unanswered",
        step: 1,
        from: 1,
        what: "Proxmox VE answers 500 to /version",
        breaks: &[Do::Door(
            "POST",
            "/sim/faults",
            r#"{"match":{"method":"GET","path":"/version","user":"capi@pve*"},"times":0,"then":{"refuse":{"status":500,"message":"proxy loop"}}}"#,
        )],
        with: &[],
        heals: HEALED,
        expects: &[unread(LOGIN, "proxy loop"), unread("api.version-supported", "proxy loop")],
        seconds: 4,
    },
    World {
        id: "api.nodes-unanswered",
        step: 1,
        from: 3,
        what: "Proxmox VE answers 500 when its nodes are asked for",
        breaks: &[Do::Door(
            "POST",
            "/sim/faults",
            r#"{"match":{"method":"GET","path":"/nodes","user":"capi@pve*"},"times":0,"then":{"refuse":{"status":500,"message":"no pvestatd"}}}"#,
        )],
        with: &[],
        heals: HEALED,
        expects: &[unread("api.quorate", "no pvestatd"), unread("api.nodes-online", "no pvestatd")],
        seconds: 4,
    },
    World {
        id: "api.slow",
        step: 1,
        from: 1,
        what: "Proxmox VE takes more than two seconds to answer",
        breaks: &[Do::Door(
            "POST",
            "/sim/faults",
            r#"{"match":{"method":"GET","path":"/version","user":"capi@pve*"},"times":0,"then":{"delay":2300}}"#,
        )],
        with: &[],
        heals: HEALED,
        expects: &[warns("api.reachable", "ms to answer")],
        seconds: 7,
    },
    World {
        id: "api.no-majority",
        step: 1,
        from: 1,
        what: "the Proxmox cluster has lost its majority, though all its nodes answer",
        breaks: &[Do::Door("POST", "/sim/quorum/off", "")],
        with: &[],
        heals: &[Do::Door("POST", "/sim/quorum/on", "")],
        expects: &[fails("api.quorate", "no majority")],
        seconds: 4,
    },
    World {
        id: "api.missing-privilege",
        step: 1,
        from: 3,
        what: "the token may no longer plug NICs in",
        breaks: &[Do::Pve("PUT", "/access/acl", NICS_TAKEN)],
        with: &[],
        heals: &[Do::Pve("PUT", "/access/acl", NICS_GIVEN)],
        expects: &[fails("api.privileges", "missing: SDN.Use on /sdn/zones/localnetwork/vmbr0")],
        seconds: 4,
    },
    World {
        id: "api.unknown-node",
        step: 1,
        from: 3,
        what: "`allowedNodes` names a node that Proxmox VE has not",
        breaks: &[Do::Management(&[
            "patch",
            "proxmoxcluster",
            "quickstart",
            "--type=merge",
            "--patch",
            NODES_AND_NINE,
        ])],
        with: &[],
        heals: &[Do::Management(&["patch", "proxmoxcluster", "quickstart", "--type=merge", "--patch", NODES])],
        expects: &[fails("api.nodes-online", "there is no node `pve9`; there are: pve1, pve2, pve3")],
        seconds: 4,
    },
];

const NODES: &str = r#"{"spec":{"allowedNodes":["pve1","pve2","pve3"]}}"#;
const NODES_AND_NINE: &str = r#"{"spec":{"allowedNodes":["pve1","pve2","pve3","pve9"]}}"#;

const NICS_TAKEN: &[(&str, &str)] = &[
    ("path", "/sdn/zones/localnetwork"),
    ("roles", "OxmoxCapi"),
    ("users", "capi@pve"),
    ("tokens", "capi@pve!oxmox"),
    ("delete", "1"),
];
const NICS_GIVEN: &[(&str, &str)] =
    &[("path", "/sdn/zones/localnetwork"), ("roles", "OxmoxCapi"), ("users", "capi@pve"), ("tokens", "capi@pve!oxmox")];

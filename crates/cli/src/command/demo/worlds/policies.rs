//! Broken worlds of step 6: network policies and what enforces them. Each look makes pods of its own, and takes the longer
//! the more is wrong; so none is in a sample.
//!
//! Not shown here, but on saved evidence: what Cilium's own policies do.

use super::volumes::{ANYWHERE, NOWHERE};
use super::world::{Do, With, World, blocked, fails, unread};

/// Health alone takes a minute, before and after.
const LONG: u64 = 180;
/// The world without kube-router.
pub(super) const NO_ENGINE: &str = "policies.no-engine";
const CONNECTIVITY: &str = "policies.connectivity";
const DENY: &str = "policies.deny-all";
const ONE: &str = "policies.allow-one";
const PORT: &str = "policies.port";
const NAMESPACE: &str = "policies.namespace";
const EGRESS: &str = "policies.egress";
const UPDATE: &str = "policies.update";
const DELETE: &str = "policies.delete";
const SECRET: &str = "Secret `quickstart-kubeconfig`";
const NO_NODE: &str = "no node is Ready and takes pods";
const REFUSED: &str = "not in this world";

pub(super) const WORLDS: &[World] = &[
    World {
        id: "policies.no-nodes",
        step: 6,
        from: 6,
        what: "no Node takes pods",
        breaks: &[Do::Workload(&["cordon", "{machine}", "{worker2}"])],
        with: &[],
        heals: &[Do::Workload(&["uncordon", "{machine}", "{worker2}"])],
        expects: &[
            blocked(CONNECTIVITY, NO_NODE),
            blocked(DENY, NO_NODE),
            blocked(ONE, NO_NODE),
            blocked(PORT, NO_NODE),
            blocked(NAMESPACE, NO_NODE),
            blocked(EGRESS, NO_NODE),
            blocked(UPDATE, NO_NODE),
            blocked(DELETE, NO_NODE),
        ],
        seconds: LONG,
    },
    World {
        id: "policies.no-secrets",
        step: 6,
        from: 6,
        what: "who verifies may not read the Secret with the workload cluster's kubeconfig",
        breaks: &[Do::Reader],
        with: &[With("KUBECONFIG", "{reader}")],
        heals: &[Do::NoReader],
        expects: &[
            unread(CONNECTIVITY, SECRET),
            unread(DENY, SECRET),
            unread(ONE, SECRET),
            unread(PORT, SECRET),
            unread(NAMESPACE, SECRET),
            unread(EGRESS, SECRET),
            unread(UPDATE, SECRET),
            unread(DELETE, SECRET),
        ],
        seconds: LONG,
    },
    World {
        id: "policies.no-namespaces",
        step: 6,
        from: 6,
        what: "an admission policy forbids the namespaces of the probes",
        breaks: &[Do::Apply(FORBIDS_NAMESPACES), IN_FORCE],
        with: &[],
        heals: ADMITTED,
        expects: &[
            unread(CONNECTIVITY, REFUSED),
            unread(DENY, REFUSED),
            unread(ONE, REFUSED),
            unread(PORT, REFUSED),
            unread(NAMESPACE, REFUSED),
            unread(EGRESS, REFUSED),
            unread(UPDATE, REFUSED),
            unread(DELETE, REFUSED),
        ],
        seconds: LONG,
    },
    World {
        id: "policies.no-ports",
        step: 6,
        from: 6,
        what: "an admission policy forbids policies with ports",
        breaks: &[Do::Apply(FORBIDS_PORTS), IN_FORCE],
        with: &[],
        heals: ADMITTED,
        expects: &[unread(PORT, REFUSED)],
        seconds: LONG,
    },
    World {
        id: "policies.no-changes",
        step: 6,
        from: 6,
        what: "an admission policy forbids to change a policy of egress",
        breaks: &[Do::Apply(FORBIDS_CHANGES), IN_FORCE],
        with: &[],
        heals: ADMITTED,
        expects: &[unread(UPDATE, REFUSED)],
        seconds: LONG,
    },
    World {
        id: "policies.no-dns",
        step: 6,
        from: 6,
        what: "no DNS answers",
        breaks: &[
            Do::Workload(&["-n", "kube-system", "scale", "deployment", "coredns", "--replicas=0"]),
            Do::UntilNot(&["-n", "kube-system", "get", "pods", "-l", "k8s-app=kube-dns", "-o", "name"], "coredns", 60),
        ],
        with: &[],
        heals: &[
            Do::Workload(&["-n", "kube-system", "scale", "deployment", "coredns", "--replicas=2"]),
            Do::Workload(&["-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=90s"]),
        ],
        expects: &[
            fails(CONNECTIVITY, "which should be open to it"),
            blocked(DENY, CONNECTIVITY),
            blocked(ONE, CONNECTIVITY),
            blocked(PORT, CONNECTIVITY),
            blocked(NAMESPACE, CONNECTIVITY),
            blocked(EGRESS, CONNECTIVITY),
            blocked(UPDATE, CONNECTIVITY),
            blocked(DELETE, CONNECTIVITY),
        ],
        seconds: LONG,
    },
    World {
        id: NO_ENGINE,
        step: 6,
        from: 6,
        what: "no policy engine runs on any Node",
        breaks: &[
            Do::Workload(&[
                "-n",
                "kube-system",
                "patch",
                "daemonset",
                "kube-router",
                "--type=merge",
                "--patch",
                NOWHERE,
            ]),
            Do::UntilNot(&["-n", "kube-system", "get", "pods", "-o", "name"], "kube-router", 60),
        ],
        with: &[],
        heals: &[
            Do::Workload(&[
                "-n",
                "kube-system",
                "patch",
                "daemonset",
                "kube-router",
                "--type=json",
                "--patch",
                ANYWHERE,
            ]),
            Do::Workload(&["-n", "kube-system", "rollout", "status", "daemonset/kube-router", "--timeout=90s"]),
        ],
        expects: &[
            fails(DENY, "which should be closed to it"),
            fails(ONE, "which should be closed to it"),
            fails(PORT, "which should be closed to it"),
            fails(NAMESPACE, "which should be closed to it"),
            fails(EGRESS, "which should be closed to it"),
            fails(UPDATE, "which should be closed to it"),
        ],
        seconds: LONG,
    },
];

/// An admission policy is in force a moment after it was made.
const IN_FORCE: Do = Do::Until(&["get", "validatingadmissionpolicybindings", "-o", "name"], "broken-world", 10);
const ADMITTED: &[Do] = &[Do::Workload(&[
    "delete",
    "validatingadmissionpolicy/broken-world",
    "validatingadmissionpolicybinding/broken-world",
])];

/// An admission policy: API group, operations, resource, and what must hold of the object.
macro_rules! forbids {
    ($group:literal, $operations:literal, $resource:literal, $unless:literal) => {
        concat!(
            "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy\n",
            "metadata: { name: broken-world }\nspec:\n  failurePolicy: Fail\n  matchConstraints:\n    resourceRules:\n",
            "      - { apiGroups: [\"",
            $group,
            "\"], apiVersions: [v1], operations: [",
            $operations,
            "], resources: [",
            $resource,
            "] }\n  validations:\n    - { expression: \"",
            $unless,
            "\", message: not in this world }\n---\n",
            "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding\n",
            "metadata: { name: broken-world }\nspec: { policyName: broken-world, validationActions: [Deny] }\n",
        )
    };
}

const FORBIDS_NAMESPACES: &str =
    forbids!("", "CREATE", "namespaces", "!object.metadata.name.startsWith('oxmox-verify')");
const FORBIDS_PORTS: &str = forbids!(
    "networking.k8s.io",
    "CREATE, UPDATE",
    "networkpolicies",
    "!(has(object.spec.ingress) && object.spec.ingress.exists(rule, has(rule.ports)))"
);
const FORBIDS_CHANGES: &str = forbids!("networking.k8s.io", "UPDATE", "networkpolicies", "!has(object.spec.egress)");

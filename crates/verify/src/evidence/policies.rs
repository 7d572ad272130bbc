//! What was seen of network policies: packets that were sent between pods of our own, policy by policy.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CiliumSeen, Read};

/// What probes saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoliciesSeen {
    /// Policy engines that run in the cluster, by the names of their DaemonSets.
    pub engines: Vec<String>,
    /// The node of the pods that are called.
    pub server_node: String,
    /// The node of the pods that call; the same where the cluster has only one that takes pods.
    pub client_node: String,
    /// What each stage saw.
    pub stages: BTreeMap<PolicyStage, Read<Vec<Connection>>>,
    /// What Cilium's own policies did; `None`: no Cilium runs there.
    #[serde(default = "not_probed")]
    pub cilium: Read<Option<CiliumSeen>>,
    /// Objects of ours that are still there.
    pub left: Read<Vec<String>>,
}

/// Of evidence that is older than the field.
fn not_probed() -> Read<Option<CiliumSeen>> {
    Read::not_asked("the evidence is older than the probes of Cilium's own policies")
}

/// Stages of the probes, in their order: what policies stand in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyStage {
    /// None.
    Connectivity,
    /// The server takes nothing.
    DenyAll,
    /// The server takes all from pods that are called friend.
    AllowOne,
    /// The server takes only the port of `web` from them.
    Port,
    /// The server takes all from the other namespace, and from nobody else.
    Namespace,
    /// Nothing keeps from the server; the foe may talk only to DNS and to the control.
    Egress,
    /// The same policy, changed: the foe may talk to the server's first port, too.
    Update,
    /// None again.
    Delete,
}

impl PolicyStage {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::Connectivity,
        Self::DenyAll,
        Self::AllowOne,
        Self::Port,
        Self::Namespace,
        Self::Egress,
        Self::Update,
        Self::Delete,
    ];

    /// Its name in ids.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connectivity => "connectivity",
            Self::DenyAll => "deny-all",
            Self::AllowOne => "allow-one",
            Self::Port => "port",
            Self::Namespace => "namespace",
            Self::Egress => "egress",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// What its policies let through, by the words of `networking.k8s.io/v1` (NetworkPolicySpec).
    pub const fn opens(self, from: Caller, to: Target) -> bool {
        let first_port = matches!(to, Target::Web | Target::Service);
        match self {
            Self::Connectivity | Self::Delete => true,
            Self::DenyAll => false,
            Self::AllowOne => matches!(from, Caller::Friend),
            Self::Port => matches!(from, Caller::Friend) && first_port,
            Self::Namespace => matches!(from, Caller::Stranger),
            Self::Egress => !matches!(from, Caller::Foe),
            Self::Update => !matches!(from, Caller::Foe) || first_port,
        }
    }
}

/// A pod that calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Caller {
    /// Labelled as a friend, on another node than the server.
    Friend,
    /// Without that label, on another node than the server.
    Foe,
    /// In another namespace, on the server's own node.
    Stranger,
    /// In no pod network at all, but in that of a node: another one than the server's, where there is one.
    Node,
}

impl Caller {
    /// Those that Kubernetes' own policies speak of.
    pub const ALL: [Self; 3] = [Self::Friend, Self::Foe, Self::Stranger];
    /// Those that Cilium's policies speak of.
    pub const CILIUM: [Self; 4] = [Self::Friend, Self::Foe, Self::Stranger, Self::Node];

    /// Its name: its pod's and its label's.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Friend => "friend",
            Self::Foe => "foe",
            Self::Stranger => "stranger",
            Self::Node => "node",
        }
    }
}

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The server's first port, by its pod's address.
    Web,
    /// The server's second port, by its pod's address.
    Side,
    /// The server's first port, through its Service, found by DNS.
    Service,
    /// An address outside of the cluster.
    Outside,
}

impl Target {
    /// Those that Kubernetes' own policies are tried with.
    pub const ALL: [Self; 3] = [Self::Web, Self::Side, Self::Service];
    /// Those that Cilium's policies are tried with.
    pub const CILIUM: [Self; 4] = [Self::Web, Self::Side, Self::Service, Self::Outside];

    /// Its name in the words of a probe.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Side => "side",
            Self::Service => "service",
            Self::Outside => "outside",
        }
    }
}

/// One connection that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Who called.
    pub from: Caller,
    /// What.
    pub to: Target,
    /// Whether an answer came back. `None`: the caller reached not even the control, which no policy closes, so that its
    /// silence says nothing.
    pub open: Option<bool>,
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn each_stage_opens_something_else_than_the_one_before() {
        let table = |stage: PolicyStage| {
            let all = Caller::ALL.into_iter().flat_map(|from| Target::ALL.map(|to| stage.opens(from, to)));
            all.collect::<Vec<bool>>()
        };
        for pair in PolicyStage::ALL.windows(2) {
            assert_ne!(table(pair[0]), table(pair[1]), "{pair:?}: what was seen before would pass for what comes");
        }
    }
}

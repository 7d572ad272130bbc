//! What was seen of Cilium's own policies: the same pods and two more ends of a connection.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Caller, Connection, Read, Target};

/// What probes saw of CiliumNetworkPolicies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CiliumSeen {
    /// The address outside of the cluster that was called, `IP:PORT`. `None`: none was named.
    pub outside: Option<String>,
    /// What each stage saw; those that are about the outside only where there was one.
    pub stages: BTreeMap<CiliumStage, Read<Vec<Connection>>>,
}

/// Stages of the probes, in their order: which CiliumNetworkPolicy stands in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CiliumStage {
    /// The server takes all from the cluster, and denies the foe.
    Deny,
    /// The server takes all from nodes, and nothing from pods.
    Nodes,
    /// The server takes all from outside of the cluster, and nothing from within.
    World,
    /// The foe may talk only to the port of the address outside, by its CIDR; and to DNS and the control.
    EgressCidr,
    /// The same CIDR, with another port.
    EgressPort,
    /// None again.
    Delete,
}

impl CiliumStage {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [Self::Deny, Self::Nodes, Self::World, Self::EgressCidr, Self::EgressPort, Self::Delete];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "cilium-deny",
            Self::Nodes => "cilium-nodes",
            Self::World => "cilium-world",
            Self::EgressCidr => "cilium-egress-cidr",
            Self::EgressPort => "cilium-egress-port",
            Self::Delete => "cilium-delete",
        }
    }

    /// Whether it says nothing without an address outside of the cluster.
    pub const fn needs_outside(self) -> bool {
        matches!(self, Self::EgressCidr | Self::EgressPort)
    }

    /// What its policy lets through, by the words of `cilium.io/v2`: what is allowed closes the rest of its direction,
    /// a denial wins over what allows, and a CIDR means addresses outside of the cluster only.
    pub const fn opens(self, from: Caller, to: Target) -> bool {
        let outside = matches!(to, Target::Outside);
        match self {
            // The one closes where the foe arrives, the other where it leaves: the same is to be seen.
            Self::Deny | Self::EgressCidr => outside || !matches!(from, Caller::Foe),
            Self::Nodes => outside || matches!(from, Caller::Node),
            Self::World => outside,
            Self::EgressPort => !matches!(from, Caller::Foe),
            Self::Delete => true,
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn each_stage_opens_something_else_than_the_one_before() {
        let table = |stage: CiliumStage| {
            let all = Caller::CILIUM.into_iter().flat_map(|from| Target::CILIUM.map(|to| stage.opens(from, to)));
            all.collect::<Vec<bool>>()
        };
        for pair in CiliumStage::ALL.windows(2) {
            assert_ne!(table(pair[0]), table(pair[1]), "{pair:?}: what was seen before would pass for what comes");
        }
    }
}

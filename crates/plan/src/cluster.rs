//! What a `ProxmoxCluster` is told of itself: can machines be made for it?
//!
//! Promises: nothing is created or destroyed for a cluster; a wrong spec, missing credentials or an unreachable
//! Proxmox VE show as conditions and heal by themselves; a cluster goes when its last machine is gone.

use std::net::IpAddr;
use std::time::Duration;

use api::{ClusterReason, ProxmoxCluster};
use pve_types::NodeName;

use crate::address::{Family, Pool};
use crate::inventory::Inventory;
use crate::{Again, Seen};

/// What was seen.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The owning `Cluster` is set.
    pub owned: bool,
    /// The credentials: absent with the reason why.
    pub credentials: Result<(), String>,
    /// What Proxmox VE holds.
    pub inventory: Seen<Inventory>,
    /// `ProxmoxMachine`s of this cluster that are still there.
    pub machines: usize,
}

/// What is to be said and done.
#[must_use = "a plan that nobody publishes helps no one"]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// All is there: machines may be made.
    pub ready: bool,
    /// Why.
    pub reason: ClusterReason,
    /// Why, for people.
    pub message: String,
    /// The object may go.
    pub let_go: bool,
    /// When to look again.
    pub again: Again,
}

/// What is wrong with the spec, the first thing first.
pub fn check(cluster: &ProxmoxCluster) -> Result<(), String> {
    let spec = &cluster.spec;
    let endpoint = spec.control_plane_endpoint.as_ref().filter(|endpoint| !endpoint.host.is_empty());
    let host: Option<IpAddr> = endpoint.and_then(|endpoint| endpoint.host.parse().ok());
    if let Some(endpoint) = endpoint
        && host.is_none()
        && !is_hostname(&endpoint.host)
    {
        return Err(format!(
            "spec.controlPlaneEndpoint.host: `{}` is neither an address nor a host name",
            endpoint.host
        ));
    }
    let zones = spec.zone_config.iter().flat_map(|zone| {
        let name = format!("spec.zoneConfig[{}].", zone.zone);
        [
            (format!("{name}ipv4Config"), &zone.ipv4_config, Family::V4),
            (format!("{name}ipv6Config"), &zone.ipv6_config, Family::V6),
        ]
    });
    let own = [
        ("spec.ipv4Config".to_owned(), &spec.ipv4_config, Family::V4),
        ("spec.ipv6Config".to_owned(), &spec.ipv6_config, Family::V6),
    ];
    for (field, config, family) in own.into_iter().chain(zones) {
        let Some(config) = config else { continue };
        let pool = Pool::read(config, family).map_err(|why| format!("{field}: {why}"))?;
        if let Some(host) = host.filter(|host| pool.contains(*host)) {
            return Err(format!(
                "spec.controlPlaneEndpoint.host: `{host}` lies in the addresses of {field}, where a machine could get \
                 it; take it out of the range"
            ));
        }
    }
    for server in &spec.dns_servers {
        if server.parse::<IpAddr>().is_err() {
            return Err(format!("spec.dnsServers: `{server}` is no address"));
        }
    }
    Ok(())
}

/// A host name by RFC 1123: labels of letters, digits and hyphens, not all digits and dots (that is a mistyped address).
fn is_hostname(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label) && text.bytes().any(|b| b.is_ascii_alphabetic())
}

/// Decides what to say of a cluster that is to be.
pub fn keep(cluster: &ProxmoxCluster, seen: &Observed) -> Plan {
    let not = |reason, message: String, again| Plan { ready: false, reason, message, let_go: false, again };
    let minute = Again::After(Duration::from_mins(1));
    if !seen.owned {
        return not(ClusterReason::WaitingForOwner, "waiting for a Cluster to own this".into(), Again::OnChange);
    }
    if let Err(why) = check(cluster) {
        return not(ClusterReason::InvalidSpec, why, Again::OnChange);
    }
    let endpoint = cluster.spec.control_plane_endpoint.as_ref().filter(|endpoint| !endpoint.host.is_empty());
    if endpoint.is_none() {
        let who = if cluster.spec.external_managed_control_plane == Some(true) {
            "waiting for the control plane's provider to write spec.controlPlaneEndpoint"
        } else {
            "spec.controlPlaneEndpoint is missing: give the address and port that the API server will have"
        };
        return not(ClusterReason::MissingControlPlaneEndpoint, who.into(), Again::OnChange);
    }
    if let Err(why) = &seen.credentials {
        return not(ClusterReason::CredentialsNotFound, why.clone(), minute);
    }
    let inventory = match &seen.inventory {
        Seen::Known(inventory) => inventory,
        Seen::Unread(why) => {
            return not(ClusterReason::ProxmoxUnreachable, why.clone(), Again::After(Duration::from_secs(10)));
        }
        Seen::Absent | Seen::Unasked => {
            let again = Again::After(Duration::from_secs(1));
            return not(ClusterReason::ProxmoxUnreachable, "Proxmox VE was not read yet".into(), again);
        }
    };
    let known = |name: &&String| name.parse::<NodeName>().is_ok_and(|name| inventory.node(&name).is_some());
    let missing: Vec<_> = cluster.spec.allowed_nodes.iter().filter(|name| !known(name)).cloned().collect();
    if !missing.is_empty() {
        let has: Vec<_> = inventory.nodes.iter().map(|row| row.node.as_str()).collect();
        let message =
            format!("spec.allowedNodes: Proxmox VE has no node `{}`; it has: {}", missing.join("`, `"), has.join(", "));
        return not(ClusterReason::NodeNotFound, message, minute);
    }
    Plan {
        ready: true,
        reason: ClusterReason::Provisioned,
        message: "Proxmox VE answers and has what the spec names".into(),
        let_go: false,
        again: Again::OnChange,
    }
}

/// Decides what to say of a cluster that is to go.
pub fn remove(seen: &Observed) -> Plan {
    let left = seen.machines;
    Plan {
        ready: false,
        reason: ClusterReason::Deleting,
        message: if left == 0 { "nothing is left".into() } else { format!("waiting for {left} machines to go") },
        let_go: left == 0,
        again: Again::OnChange,
    }
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::inventory::NodeRow;
    use api::{ApiEndpoint, IpConfig, ProxmoxClusterSpec};

    fn cluster(host: &str, nodes: &[&str]) -> ProxmoxCluster {
        let ipv4_config = Some(IpConfig {
            addresses: vec!["10.0.0.20-10.0.0.30".into()],
            prefix: 24,
            gateway: "10.0.0.1".into(),
            metric: None,
        });
        ProxmoxCluster::new(
            "c",
            ProxmoxClusterSpec {
                control_plane_endpoint: Some(ApiEndpoint { host: host.into(), port: 6443 }),
                allowed_nodes: nodes.iter().map(|&node| node.into()).collect(),
                ipv4_config,
                ..ProxmoxClusterSpec::default()
            },
        )
    }

    fn seen() -> Observed {
        let node = NodeRow { node: "pve1".parse().unwrap(), online: true, maxmem: None };
        let inventory = Inventory { nodes: vec![node], ..Inventory::default() };
        Observed { owned: true, credentials: Ok(()), inventory: Seen::Known(inventory), machines: 0 }
    }

    #[test]
    fn an_endpoint_that_a_machine_could_get_is_refused() {
        assert_eq!(check(&cluster("10.0.0.10", &[])), Ok(()));
        assert!(check(&cluster("10.0.0.20", &[])).unwrap_err().contains("lies in the addresses of spec.ipv4Config"));
    }

    #[test]
    fn an_endpoint_is_an_address_or_a_host_name() {
        assert_eq!(check(&cluster("api.example.org", &[])), Ok(()));
        assert!(check(&cluster("10.0.0.300", &[])).is_err());
        assert!(check(&cluster("api_1", &[])).is_err());
    }

    #[test]
    fn a_node_that_is_not_there_is_named_beside_those_that_are() {
        let plan = keep(&cluster("10.0.0.10", &["pve1", "pve7"]), &seen());
        assert_eq!(plan.reason, ClusterReason::NodeNotFound);
        assert_eq!(plan.message, "spec.allowedNodes: Proxmox VE has no node `pve7`; it has: pve1");
        assert!(keep(&cluster("10.0.0.10", &["pve1"]), &seen()).ready);
    }

    #[test]
    fn what_could_not_be_read_is_not_ready_and_heals() {
        let unread = Observed { inventory: Seen::Unread("401".into()), ..seen() };
        let plan = keep(&cluster("10.0.0.10", &[]), &unread);
        assert_eq!((plan.ready, plan.reason), (false, ClusterReason::ProxmoxUnreachable));
        assert_ne!(plan.again, Again::OnChange);
        let wrong = Observed { credentials: Err("no key `token`".into()), ..seen() };
        assert_eq!(keep(&cluster("10.0.0.10", &[]), &wrong).reason, ClusterReason::CredentialsNotFound);
    }

    #[test]
    fn a_cluster_stays_until_its_last_machine_is_gone() {
        assert!(!remove(&Observed { machines: 2, ..seen() }).let_go);
        assert!(remove(&seen()).let_go);
    }
}

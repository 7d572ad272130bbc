//! The pods' network of a node: a bridge with addresses of the Node's own `podCIDR`s.
//!
//! Promises: configured as soon as the Node has a prefix, with the kubelet's own credentials and no others, and again
//! when the node has left its cluster and joined one; the outside is told, because it routes between nodes. A cluster that brings its own CNI configuration sorts before ours.
//! Assumes a control plane that allocates node CIDRs.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::line::{Said, say};
use super::{PodNetwork, inside};
use crate::tool;

const KUBECONFIG: &str = "/etc/kubernetes/kubelet.conf";
const CONFIGURATION: &str = "/etc/cni/net.d/90-guest-node.conflist";
const BEAT: Duration = Duration::from_millis(500);

/// Begins waiting for the prefix. The outside is told of it whoever brings the network: no node masquerades its pods.
pub(super) fn begin(network: PodNetwork, note: impl Fn(&str) + Send + 'static) {
    thread::spawn(move || {
        let mut routed = false;
        loop {
            let configured = network == PodNetwork::Cluster || Path::new(CONFIGURATION).exists();
            if !(configured && routed)
                && Path::new(KUBECONFIG).exists()
                && let Ok(found) = look(configured)
            {
                // With an external cloud provider a Node has its prefix before it has an address.
                routed = found == Found::Routed;
                if !configured && Path::new(CONFIGURATION).exists() {
                    note("pod network is configured");
                }
            }
            #[expect(clippy::disallowed_methods, reason = "the edge: a Node that another program will register")]
            thread::sleep(BEAT);
        }
    });
}

/// What the Node says of itself.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// No prefix.
    Nothing,
    /// A prefix, and no address behind which it could be reached.
    Prefix,
    /// Both, and the outside has been told.
    Routed,
}

/// Looks at the Node, lays the configuration, tells the outside.
fn look(configured: bool) -> Result<Found> {
    let kubectl = |words: &[&str]| {
        tool::run(inside("kubectl").arg(format!("--kubeconfig={KUBECONFIG}")).arg("--request-timeout=5s").args(words))
    };
    let user = kubectl(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"])?;
    let name = user.trim().strip_prefix("system:node:").context("the kubelet's user is no node")?;
    let node: Value = serde_json::from_str(&kubectl(&["get", "node", name, "-o", "json"])?)?;
    let cidrs = texts(&node["spec"]["podCIDRs"]);
    if cidrs.is_empty() {
        return Ok(Found::Nothing);
    }
    if !configured {
        let temporary = format!("{CONFIGURATION}.new");
        fs::write(&temporary, configuration(&cidrs).to_string())?;
        fs::rename(&temporary, CONFIGURATION)?;
    }
    let addresses = internal_addresses(&node);
    if addresses.is_empty() {
        return Ok(Found::Prefix);
    }
    say(&Said::Pods { cidrs, addresses })?;
    Ok(Found::Routed)
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|one| one.as_str().map(str::to_owned)).collect()
}

fn internal_addresses(node: &Value) -> Vec<String> {
    let addresses = node["status"]["addresses"].as_array();
    addresses
        .into_iter()
        .flatten()
        .filter(|address| address["type"] == "InternalIP")
        .filter_map(|address| address["address"].as_str().map(str::to_owned))
        .collect()
}

/// Bridge, host-local and portmap. No masquerading: the datacenter's router knows every node's prefix.
fn configuration(cidrs: &[String]) -> Value {
    let ranges: Vec<Value> = cidrs.iter().map(|cidr| json!([{"subnet": cidr}])).collect();
    let routes: Vec<Value> =
        cidrs.iter().map(|cidr| json!({"dst": if cidr.contains(':') { "::/0" } else { "0.0.0.0/0" }})).collect();
    json!({
        "cniVersion": "0.4.0",
        "name": "guest-node",
        "plugins": [
            {
                "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
                "ipam": {"type": "host-local", "dataDir": "/run/cni-addresses", "ranges": ranges, "routes": routes},
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn each_prefix_of_the_node_gets_a_range_and_a_default_route_of_its_family() {
        let configuration = configuration(&["10.244.3.0/24".to_owned(), "fd00:3::/64".to_owned()]);
        let ipam = &configuration["plugins"][0]["ipam"];
        assert_eq!(ipam["ranges"], json!([[{"subnet": "10.244.3.0/24"}], [{"subnet": "fd00:3::/64"}]]));
        assert_eq!(ipam["routes"], json!([{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]));
    }

    #[test]
    fn only_internal_addresses_are_gateways() {
        let node = json!({"status": {"addresses": [
            {"type": "Hostname", "address": "w-0"}, {"type": "InternalIP", "address": "10.10.10.21"}]}});
        assert_eq!(internal_addresses(&node), ["10.10.10.21"]);
    }
}

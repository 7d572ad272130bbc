//! The network of a machine: NICs, routes, policy rules, VRFs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The network of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkSpec {
    /// Deployment zone of the machine's addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[a-z0-9A-Z]([a-z0-9A-Z-_.]{0,61}[a-z0-9A-Z])?$"))]
    pub zone: Option<String>,
    /// NICs, `net0` first.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub network_devices: Vec<NetworkDevice>,
    /// Virtual routing and forwarding devices of the guest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub vrfs: Vec<Vrf>,
}

/// One NIC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkDevice {
    /// Name of the NIC in Proxmox VE: `net0`, `net1`, …
    #[serde(default = "net0")]
    #[schemars(regex(pattern = r"^net[0-9]+$"))]
    pub name: String,
    /// Bridge or VNet that the NIC is plugged into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub bridge: Option<String>,
    /// Model: `virtio`, `e1000`, `rtl8139` or `vmxnet3`.
    #[serde(default = "virtio")]
    #[schemars(extend("enum" = ["e1000", "virtio", "rtl8139", "vmxnet3"]))]
    pub model: Option<String>,
    /// MTU of the device in Proxmox VE; 1 takes the bridge's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self == 1 || (self >= 576 && self <= 65520)", "message": "mtu must be 1 or within 576-65520"}]))]
    pub mtu: Option<i32>,
    /// VLAN tag, 1 to 4094.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4094))]
    pub vlan: Option<i32>,
    /// Queues of a virtio NIC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub queues: Option<i32>,
    /// The cluster's (or zone's) IPv4 addresses and default gateway go to this NIC. Without any such NIC: the first.
    #[serde(default, rename = "defaultIPv4", skip_serializing_if = "Option::is_none")]
    pub default_ipv4: Option<bool>,
    /// The cluster's (or zone's) IPv6 addresses and default gateway go to this NIC. Without any such NIC: the first.
    #[serde(default, rename = "defaultIPv6", skip_serializing_if = "Option::is_none")]
    pub default_ipv6: Option<bool>,
    /// Pools of the in-cluster IPAM provider that give this NIC further addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub ip_pool_ref: Vec<IpPoolRef>,
    /// DNS servers of this NIC, instead of the cluster's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_servers: Vec<String>,
    /// Static routes of this NIC.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// Policy routing rules of this NIC.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routing_policy: Vec<RoutingPolicy>,
    /// MTU inside the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self == 1 || (self >= 576 && self <= 65520)", "message": "linkMtu must be 1 or within 576-65520"}]))]
    pub link_mtu: Option<i32>,
}

fn net0() -> String {
    "net0".into()
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's own type")]
fn virtio() -> Option<String> {
    Some("virtio".into())
}

/// A pool of the in-cluster IPAM provider.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "self.apiGroup == 'ipam.cluster.x-k8s.io'", "message": "ipPoolRef allows only IPAM apiGroup ipam.cluster.x-k8s.io"},
    {"rule": "self.kind == 'InClusterIPPool' || self.kind == 'GlobalInClusterIPPool'", "message": "ipPoolRef allows either InClusterIPPool or GlobalInClusterIPPool"}
]))]
pub struct IpPoolRef {
    /// `ipam.cluster.x-k8s.io`.
    pub api_group: String,
    /// `InClusterIPPool` or `GlobalInClusterIPPool`.
    pub kind: String,
    /// Name of the pool.
    pub name: String,
}

/// A static route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Destination: a CIDR, or `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Next hop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// Metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub metric: Option<i32>,
    /// Routing table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub table: Option<i64>,
    /// The route is IPv6 although its texts do not show it (`default`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is6: Option<bool>,
}

/// A policy routing rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoutingPolicy {
    /// Destination of packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Source of packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Routing table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<i64>,
    /// Priority of the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self >= 1 && self <= 4294967295 && self != 32765 && self != 32766", "message": "priority must not be one of the kernel's own (0, 32765, 32766)"}]))]
    pub priority: Option<i64>,
    /// The rule is IPv6 although its texts do not show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is6: Option<bool>,
}

/// A VRF device of the guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Vrf {
    /// Name of the device.
    #[schemars(length(min = 3))]
    pub name: String,
    /// Its routing table; not the kernel's own 254 and 255.
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self >= 1 && self <= 4294967295 && self != 254 && self != 255", "message": "table must not be one of the kernel's own (254, 255)"}]))]
    pub table: i64,
    /// NICs that belong to it: `net0`, …
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,
    /// Static routes of the device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// Policy routing rules of the device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routing_policy: Vec<RoutingPolicy>,
}

//! `ProxmoxCluster` and its template: what the machines of one workload cluster share.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::address::{IpConfig, Zone};
use crate::machine::{Initialization, TemplateMeta};

/// What the machines of one workload cluster share: the API endpoint, addresses, nodes, credentials.
///
/// With neither `ipv4Config` nor `ipv6Config` machines get their addresses by DHCP (additive: the peer demands one).
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1alpha2",
    kind = "ProxmoxCluster",
    plural = "proxmoxclusters",
    namespaced,
    status = "ProxmoxClusterStatus",
    derive = "PartialEq",
    category = "cluster-api",
    doc = "ProxmoxCluster is what the machines of one workload cluster share: the API endpoint, addresses, Proxmox VE nodes and credentials.",
    printcolumn = r#"{"name":"Cluster","type":"string","description":"Cluster","jsonPath":".metadata.labels['cluster\\.x-k8s\\.io/cluster-name']"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","description":"Infrastructure is provisioned","jsonPath":".status.initialization.provisioned"}"#,
    printcolumn = r#"{"name":"Endpoint","type":"string","description":"API endpoint","jsonPath":".spec.controlPlaneEndpoint.host"}"#,
    printcolumn = r#"{"name":"Why","type":"string","description":"What is waited for","priority":1,"jsonPath":".status.conditions[?(@.type=='Ready')].message"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ProxmoxClusterSpec {
    /// Address and port of the workload cluster's API server. A virtual IP must lie outside of all address ranges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_plane_endpoint: Option<ApiEndpoint>,
    /// The control plane is run by something else, which writes the endpoint later.
    #[serde(default)]
    pub external_managed_control_plane: Option<bool>,
    /// Proxmox VE nodes that machines may be placed on. Empty: a machine stays on the node of its template.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub allowed_nodes: Vec<String>,
    /// Hints for the placement of machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler_hints: Option<SchedulerHints>,
    /// IPv4 addresses for machines.
    #[serde(default, rename = "ipv4Config", skip_serializing_if = "Option::is_none")]
    pub ipv4_config: Option<IpConfig>,
    /// IPv6 addresses for machines.
    #[serde(default, rename = "ipv6Config", skip_serializing_if = "Option::is_none")]
    pub ipv6_config: Option<IpConfig>,
    /// DNS servers that machines use.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub dns_servers: Vec<String>,
    /// Deployment zones: further addresses and DNS servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["zone"]))]
    pub zone_config: Vec<Zone>,
    /// Secret with `url`, `token`, `secret` (and optionally `insecure`, `root_ca`, `fingerprint`) of the Proxmox VE.
    /// Without it the manager's own credentials are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_ref: Option<SecretRef>,
}

/// Address and port of a Kubernetes API server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("minProperties" = 1, "x-kubernetes-validations" = [
    {"rule": "has(self.port) && self.port > 0 && self.port < 65536", "message": "port must be within 1-65535"}
]))]
pub struct ApiEndpoint {
    /// Host name or IP address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 1, max = 512))]
    pub host: String,
    /// Port, 1 to 65535.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
}

/// Hints for the placement of machines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SchedulerHints {
    /// Percentage of a node's memory that machines may reserve; 100 by default, 0 switches the check off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub memory_adjustment: Option<i64>,
}

/// A reference to a Secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretRef {
    /// Name of the Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Namespace of the Secret; by default that of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// What was observed of a `ProxmoxCluster`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxmoxClusterStatus {
    /// Conditions: `Ready`, `ProxmoxAvailable`, `Paused`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Cluster API's contract v1beta2: has the infrastructure been provisioned once?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialization: Option<Initialization>,
    /// Cluster API's contract v1beta1, for older cores: the same as `initialization.provisioned` (additive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// In-cluster IP pools in use; kept for the peer's objects.
    #[serde(default, rename = "inClusterIPPoolRef", skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub in_cluster_ip_pool_ref: Vec<ObjectName>,
    /// In-cluster IP pools by zone; kept for the peer's objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["zone"]))]
    pub in_cluster_zone_ref: Vec<ZonePools>,
    /// Where machines are; kept for the peer's objects. oxmox reads placement from Proxmox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_locations: Option<NodeLocations>,
}

/// The name of an object in the same namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectName {
    /// Name.
    #[serde(default)]
    pub name: String,
}

/// The in-cluster IP pools of a zone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ZonePools {
    /// Name of the zone.
    #[serde(default = "default_zone")]
    pub zone: String,
    /// Its IPv4 pool.
    #[serde(default, rename = "inClusterIPPoolRefV4", skip_serializing_if = "Option::is_none")]
    pub in_cluster_ip_pool_ref_v4: Option<ObjectName>,
    /// Its IPv6 pool.
    #[serde(default, rename = "inClusterIPPoolRefV6", skip_serializing_if = "Option::is_none")]
    pub in_cluster_ip_pool_ref_v6: Option<ObjectName>,
}

fn default_zone() -> String {
    crate::DEFAULT_ZONE.into()
}

/// Where the machines of a cluster were placed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeLocations {
    /// Machines of the control plane.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub control_plane: Vec<NodeLocation>,
    /// Workers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<NodeLocation>,
}

/// Where one machine was placed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeLocation {
    /// The `ProxmoxMachine`.
    #[serde(default)]
    pub machine: ObjectName,
    /// The Proxmox VE node.
    #[serde(default)]
    pub node: String,
    /// The deployment zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// A template of `ProxmoxCluster`s, for ClusterClass.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1alpha2",
    kind = "ProxmoxClusterTemplate",
    plural = "proxmoxclustertemplates",
    shortname = "pct",
    namespaced,
    category = "cluster-api",
    doc = "ProxmoxClusterTemplate is a template of ProxmoxClusters, for ClusterClass."
)]
pub struct ProxmoxClusterTemplateSpec {
    /// The `ProxmoxCluster`s made from this.
    pub template: ProxmoxClusterTemplateResource,
}

/// The `ProxmoxCluster`s made from a template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProxmoxClusterTemplateResource {
    /// Labels and annotations of what is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMeta>,
    /// Spec of what is made.
    pub spec: ProxmoxClusterSpec,
}

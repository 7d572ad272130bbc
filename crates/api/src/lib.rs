//! The custom resources of oxmox: spec, status and conditions, and the YAML of their definitions.
//!
//! Group `infrastructure.cluster.x-k8s.io`, version `v1alpha2`: the shape that users of the ionos-cloud
//! Cluster API provider for Proxmox have, so that their manifests apply unchanged. What oxmox adds is optional and
//! marked *additive*. The crate holds no logic beyond defaults and schema.

mod address;
mod cluster;
mod condition;
mod definition;
mod machine;
mod network;

pub use address::{IpConfig, Zone};
pub use cluster::{
    ApiEndpoint, NodeLocation, NodeLocations, ObjectName, ProxmoxCluster, ProxmoxClusterSpec, ProxmoxClusterStatus,
    ProxmoxClusterTemplate, ProxmoxClusterTemplateResource, ProxmoxClusterTemplateSpec, SchedulerHints, SecretRef,
    ZonePools,
};
pub use condition::{ClusterReason, ConditionType, MachineReason};
pub use definition::{CONTRACTS, PrintError, definition_yaml, definitions};
pub use machine::{
    BootVolume, Checks, Disks, Initialization, IpAddresses, MachineAddress, MatchPolicy, MetadataSettings,
    NetworkStatus, ProxmoxMachine, ProxmoxMachineSpec, ProxmoxMachineStatus, ProxmoxMachineTemplate,
    ProxmoxMachineTemplateResource, ProxmoxMachineTemplateSpec, TemplateMeta, TemplateSelector, VmIdRange,
};
pub use network::{IpPoolRef, NetworkDevice, NetworkSpec, Route, RoutingPolicy, Vrf};

/// The API group of all kinds here.
pub const GROUP: &str = "infrastructure.cluster.x-k8s.io";
/// The version of all kinds here.
pub const VERSION: &str = "v1alpha2";
/// The finalizer on a `ProxmoxMachine`, under the peer's name, so that a swapped controller finds its own.
pub const MACHINE_FINALIZER: &str = "proxmoxmachine.infrastructure.cluster.x-k8s.io";
/// The finalizer on a `ProxmoxCluster`, under the peer's name.
pub const CLUSTER_FINALIZER: &str = "proxmoxcluster.infrastructure.cluster.x-k8s.io";
/// Cluster API's label that names the `Cluster` of an object.
pub const CLUSTER_NAME_LABEL: &str = "cluster.x-k8s.io/cluster-name";
/// Cluster API's label on machines of a control plane.
pub const CONTROL_PLANE_LABEL: &str = "cluster.x-k8s.io/control-plane";
/// Cluster API's annotation that pauses one object.
pub const PAUSED_ANNOTATION: &str = "cluster.x-k8s.io/paused";
/// Cluster API's label on infrastructure that something else manages: we then write nothing.
pub const MANAGED_BY_LABEL: &str = "cluster.x-k8s.io/managed-by";
/// The label that names the deployment zone of a ready `ProxmoxMachine`, under the peer's name.
pub const ZONE_LABEL: &str = "topology.kubernetes.io/proxmox-zone";
/// The zone of machines that name none.
pub const DEFAULT_ZONE: &str = "default";

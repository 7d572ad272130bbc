//! `ProxmoxMachine` and its template: one VM.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::network::NetworkSpec;

/// One VM: the template it is cloned from, its size, its network.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1alpha2",
    kind = "ProxmoxMachine",
    plural = "proxmoxmachines",
    shortname = "moxm",
    namespaced,
    status = "ProxmoxMachineStatus",
    derive = "PartialEq",
    category = "cluster-api",
    category = "proxmox",
    doc = "ProxmoxMachine is one VM on Proxmox VE: the template it is cloned from, its size and its network.",
    printcolumn = r#"{"name":"Cluster","type":"string","description":"Cluster","jsonPath":".metadata.labels['cluster\\.x-k8s\\.io/cluster-name']"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","description":"Machine is provisioned","jsonPath":".status.initialization.provisioned"}"#,
    printcolumn = r#"{"name":"Node","type":"string","description":"Proxmox VE node","jsonPath":".status.proxmoxNode"}"#,
    printcolumn = r#"{"name":"Provider_ID","type":"string","description":"Provider ID","jsonPath":".spec.providerID"}"#,
    printcolumn = r#"{"name":"Machine","type":"string","description":"Machine that owns this","jsonPath":".metadata.ownerReferences[?(@.kind==\"Machine\")].name"}"#,
    printcolumn = r#"{"name":"Why","type":"string","description":"What is waited for","priority":1,"jsonPath":".status.conditions[?(@.type=='Ready')].message"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "[has(self.sourceNode), has(self.templateSelector)].exists_one(c, c)", "message": "must define either a sourceNode with a templateID or a templateSelector"},
    {"rule": "[has(self.templateID), has(self.templateSelector)].exists_one(c, c)", "message": "must define either a templateID with a sourceNode or a templateSelector"},
    {"rule": "self.full || !has(self.format)", "message": "must set full=true when specifying format"},
    {"rule": "self.full || !has(self.storage)", "message": "must set full=true when specifying storage"}
]))]
pub struct ProxmoxMachineSpec {
    /// Node that holds the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub source_node: Option<String>,
    /// VMID of the template to clone.
    #[serde(default, rename = "templateID", skip_serializing_if = "Option::is_none")]
    pub template_id: Option<i32>,
    /// Chooses the template by its tags, instead of `sourceNode` and `templateID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_selector: Option<TemplateSelector>,
    /// Text for the VM's notes. oxmox's own mark stands below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Format of the cloned disks; with `full` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["raw", "qcow2", "vmdk"]))]
    pub format: Option<String>,
    /// A full clone (the default), or a linked one.
    #[serde(default = "yes")]
    pub full: Option<bool>,
    /// Pool that the VM joins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Snapshot of the template to clone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snap_name: Option<String>,
    /// Storage of the cloned disks; with `full` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
    /// `proxmox://` and the VM's SMBIOS UUID. Written by the controller once the clone is done.
    #[serde(default, rename = "providerID", skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^proxmox://[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"))]
    pub provider_id: Option<String>,
    /// The VM's VMID. Written by the controller once the clone is done.
    #[serde(default, rename = "virtualMachineID", skip_serializing_if = "Option::is_none")]
    pub virtual_machine_id: Option<i64>,
    /// CPU sockets; the template's when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub num_sockets: Option<i32>,
    /// CPU cores of each socket; the template's when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub num_cores: Option<i32>,
    /// Memory in MiB, a multiple of 8; the template's when unset.
    #[serde(default, rename = "memoryMiB", skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0), extend("multipleOf" = 8))]
    pub memory_mib: Option<i32>,
    /// Sizes of disks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [{"rule": "self == oldSelf", "message": "is immutable"}]))]
    pub disks: Option<Disks>,
    /// NICs and their addresses.
    pub network: NetworkSpec,
    /// VMIDs to choose from. Without it: from the datacenter's own range.
    #[serde(default, rename = "vmIDRange", skip_serializing_if = "Option::is_none")]
    pub vm_id_range: Option<VmIdRange>,
    /// Checks to skip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<Checks>,
    /// What the guest is told of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_settings: Option<MetadataSettings>,
    /// Proxmox VE nodes that this machine may be placed on, instead of the cluster's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub allowed_nodes: Vec<String>,
    /// Tags of the VM, beside the template's and oxmox's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"), inner(regex(pattern = r"^(?i)[a-z0-9_][a-z0-9_\-\+\.]*$")))]
    pub tags: Vec<String>,
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's own type")]
fn yes() -> Option<bool> {
    Some(true)
}

/// Chooses a template by its tags.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateSelector {
    /// Tags to match, in any case.
    #[schemars(length(min = 1), extend("x-kubernetes-list-type" = "set"), inner(regex(pattern = r"^(?i)[a-z0-9_][a-z0-9_\-\+\.]*$")))]
    pub match_tags: Vec<String>,
    /// How tags match.
    #[serde(default)]
    pub match_policy: MatchPolicy,
}

/// How the tags of a selector and of a template match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum MatchPolicy {
    /// The template has these tags and no others.
    #[default]
    Exact,
    /// The template has these tags; exactly one template does.
    UniqueSubset,
    /// The template has these tags; of several the one with the fewest others.
    BestSubset,
}

/// Sizes of disks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Disks {
    /// The disk that the VM boots from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_volume: Option<BootVolume>,
}

/// The disk that the VM boots from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BootVolume {
    /// Its name in Proxmox VE, like `scsi0`.
    pub disk: String,
    /// Its size in GiB; it only ever grows.
    #[schemars(range(min = 5))]
    pub size_gb: i32,
}

/// VMIDs to choose from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [{"rule": "self.end >= self.start", "message": "end should be greater than or equal to start"}]))]
pub struct VmIdRange {
    /// The first.
    #[schemars(range(min = 100, max = 999_999_999))]
    pub start: i64,
    /// The last.
    #[schemars(range(min = 100, max = 999_999_999))]
    pub end: i64,
}

/// Checks to skip.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checks {
    /// Do not ask the guest whether cloud-init has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_cloud_init_status: Option<bool>,
    /// Do not wait for the guest agent (Talos has none); cloud-init is not asked for either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_qemu_guest_agent: Option<bool>,
}

/// What the guest is told of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetadataSettings {
    /// Put `provider-id` into the cloud-init meta-data.
    #[serde(rename = "providerIDInjection")]
    pub provider_id_injection: bool,
}

/// What was observed of a `ProxmoxMachine`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProxmoxMachineStatus {
    /// Conditions: `Ready`, `VirtualMachineProvisioned`, `Paused`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Cluster API's contract v1beta2: has the VM been provisioned once?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initialization: Option<Initialization>,
    /// Cluster API's contract v1beta1, for older cores: the same as `initialization.provisioned` (additive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// Addresses of the VM.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<MachineAddress>,
    /// `notfound`, `pending` or `ready`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_status: Option<String>,
    /// The bootstrap data has been given to the VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap_data_provided: Option<bool>,
    /// The ISO with the bootstrap data has been removed again (additive).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap_data_removed: Option<bool>,
    /// Addresses allocated to each NIC.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ip_addresses: BTreeMap<String, Vec<IpAddresses>>,
    /// NICs as the guest has them; kept for the peer's objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub network: Vec<NetworkStatus>,
    /// Proxmox VE node that the VM is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxmox_node: Option<String>,
    /// UPID of the Proxmox VE task that is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_ref: Option<String>,
    /// When a failed step is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Time>,
    /// VMID that was reserved for the VM before it was cloned (additive).
    #[serde(default, rename = "reservedVMID", skip_serializing_if = "Option::is_none")]
    pub reserved_vmid: Option<i64>,
}

/// Cluster API's word for "was provisioned once".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
pub struct Initialization {
    /// The infrastructure has been provisioned once; never goes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<bool>,
}

/// One address of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MachineAddress {
    /// `Hostname`, `InternalIP`, `ExternalIP`, `InternalDNS` or `ExternalDNS`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The address.
    pub address: String,
}

/// Addresses allocated to one NIC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IpAddresses {
    /// The NIC, or `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net: Option<String>,
    /// IPv4 addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ipv4: Vec<String>,
    /// IPv6 addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ipv6: Vec<String>,
}

/// A NIC as the guest has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkStatus {
    /// Link is up.
    #[serde(default)]
    pub connected: bool,
    /// Addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_addrs: Vec<String>,
    /// MAC address.
    #[serde(default)]
    pub mac_addr: String,
    /// Bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_name: Option<String>,
}

/// A template of `ProxmoxMachine`s.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "infrastructure.cluster.x-k8s.io",
    version = "v1alpha2",
    kind = "ProxmoxMachineTemplate",
    plural = "proxmoxmachinetemplates",
    shortname = "pmt",
    namespaced,
    category = "cluster-api",
    doc = "ProxmoxMachineTemplate is a template of ProxmoxMachines."
)]
pub struct ProxmoxMachineTemplateSpec {
    /// The `ProxmoxMachine`s made from this.
    pub template: ProxmoxMachineTemplateResource,
}

/// The `ProxmoxMachine`s made from a template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProxmoxMachineTemplateResource {
    /// Labels and annotations of what is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMeta>,
    /// Spec of what is made.
    pub spec: ProxmoxMachineSpec,
}

/// Labels and annotations of what is made from a template.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TemplateMeta {
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

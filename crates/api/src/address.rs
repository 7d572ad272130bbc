//! Addresses that machines may get: ranges, gateway, zones.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A range of addresses for machines, with what a machine needs to use one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "self.addresses.size() > 0", "message": "IPConfig must provide addresses"}
]))]
pub struct IpConfig {
    /// Addresses that machines may get: single addresses, ranges `a-b`, or CIDRs.
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub addresses: Vec<String>,
    /// Network prefix length, 1 to 128.
    #[schemars(range(min = 1, max = 128))]
    pub prefix: i32,
    /// Address of the default gateway.
    #[schemars(length(min = 1))]
    pub gateway: String,
    /// Metric of the default route.
    #[serde(default = "default_metric")]
    #[schemars(range(min = 0))]
    pub metric: Option<i32>,
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's own type")]
fn default_metric() -> Option<i32> {
    Some(100)
}

/// A deployment zone: addresses and DNS servers for the machines that name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Zone {
    /// Name of the zone.
    #[schemars(regex(pattern = r"^[a-z0-9A-Z]([a-z0-9A-Z-_.]{0,61}[a-z0-9A-Z])?$"))]
    pub zone: String,
    /// IPv4 addresses of the zone.
    #[serde(default, rename = "ipv4Config", skip_serializing_if = "Option::is_none")]
    pub ipv4_config: Option<IpConfig>,
    /// IPv6 addresses of the zone.
    #[serde(default, rename = "ipv6Config", skip_serializing_if = "Option::is_none")]
    pub ipv6_config: Option<IpConfig>,
    /// DNS servers of the zone.
    #[schemars(length(min = 1), extend("x-kubernetes-list-type" = "set"))]
    pub dns_servers: Vec<String>,
}

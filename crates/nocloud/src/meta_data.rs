//! Who the guest is: the `meta-data` file. cloud-init offers each key to templates in user data,
//! e.g. `{{ ds.meta_data.provider_id }}` (dashes become underscores there).

use serde::Serialize;

use crate::yaml;

/// Identity of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaData {
    /// A guest that sees another id than at its last boot takes itself for new and runs its user
    /// data again. The VM's SMBIOS UUID is right: a clone gets another, a reboot doesn't.
    pub instance_id: String,
    /// Written as both `hostname` and `local-hostname`; readers differ in which they look at.
    pub hostname: String,
    /// What the kubelet reports as its provider id; left out when `None`.
    pub provider_id: Option<String>,
    /// Version that user data may want to install, e.g. `v1.36.3`; left out when `None`.
    pub kubernetes_version: Option<String>,
}

/// The file, key for key.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Document<'a> {
    instance_id: &'a str,
    hostname: &'a str,
    local_hostname: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kubernetes_version: Option<&'a str>,
}

impl MetaData {
    /// The file `meta-data`.
    pub fn to_yaml(&self) -> String {
        let Self { instance_id, hostname, provider_id, kubernetes_version } = self;
        yaml::document(&Document {
            instance_id,
            hostname,
            local_hostname: hostname,
            provider_id: provider_id.as_deref(),
            kubernetes_version: kubernetes_version.as_deref(),
        })
    }
}

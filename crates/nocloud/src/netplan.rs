//! Writes a network down as cloud-init's network config version 2, which is netplan's format.
use crate::NetworkConfig;
impl NetworkConfig {
    /// The file `network-config`.
    pub fn to_yaml(&self) -> String {
        String::new()
    }
}

//! What a VM is told on its first boot, as a NoCloud seed on an ISO image.
//!
//! It promises: the same seed gives the same bytes, on any machine and on any day, so that an
//! image can be compared with the one that a storage already holds; user data passes through
//! byte for byte; every string in meta-data and network-config is read back as that string by
//! YAML 1.1 readers (cloud-init) and YAML 1.2 readers alike.
//!
//! It assumes: the values were judged before (addresses are addresses, a MAC is a MAC, names are
//! unique). It does no I/O and knows nothing of Proxmox or Kubernetes.

mod iso;
mod meta_data;
mod netplan;
mod network;
mod seed;
mod yaml;

pub use meta_data::MetaData;
pub use network::{NetworkConfig, Nic, Route, Rule, Vrf};
pub use seed::Seed;

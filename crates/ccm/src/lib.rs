//! The cloud controller manager for Proxmox VE: Nodes are told which VM they are and where it is, and go when it is
//! proven gone.
//!
//! * What it is: one controller of Nodes, and one shared reading of each Proxmox VE cluster.
//! * What it promises: an idle cluster costs the shared reading and nothing else, however many Nodes there are; a Node
//!   costs one call when it is first met. What is decided, `plan::node` decides.
//! * What it assumes: kubelets that were started with `--cloud-provider=external`.

mod node;
mod region;
mod run;
mod settings;
mod view;
mod wake;

pub use run::{Error, run};
pub use settings::{Cluster, Settings};

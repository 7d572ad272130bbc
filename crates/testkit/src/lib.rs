//! Real Kubernetes for tests and for the demo, on one machine, with a leash.
//!
//! What it is: tools built once ([`Tools`]), private namespaces to run them in ([`leash`]), a control plane
//! ([`ControlPlane`]), Cluster API beside it ([`capi`]), and the only way to wait ([`eventually`]).
//!
//! What it promises: nothing it starts outlives its owner, nothing it starts dials an address that is not ours, and
//! nothing is written outside the cache directory, the directories its callers name, and namespaces of its own.
//!
//! What it assumes: Linux, and for the leash root and util-linux. It is a development tool: nothing shipped links it,
//! but `oxmox demo` behind its feature.

mod administrator;
mod cache;
pub mod capi;
mod control_plane;
mod eventually;
pub mod leash;
mod packages;
mod process;
mod python;
pub mod requirements;
mod tools;

pub use administrator::Administrator;
pub use cache::cache_dir;
pub use control_plane::{
    Authority, Certificate, ControlPlane, Controllers, Identity, Options, Ports, free_port, service_account_kubeconfig,
    token_kubeconfig,
};
pub use eventually::{NotYet, TimedOut, eventually, eventually_blocking};
pub use packages::Prometheus;
pub use process::{Process, ProcessSpec};
pub use python::python;
pub use tools::{Progress, Stage, Tool, Tools};

//! Tests against the real binary, a real API server and a simulated Proxmox VE.
//!
//! [`Stage`] is the set: control plane, simulator, and the `oxmox` binary as its own process under its own
//! ServiceAccount. Cluster API's part is played by the test ([`Stage::machine`], [`Stage::joined`]), so that a story
//! takes seconds; the demo runs the real managers.

mod binary;
pub mod chance;
pub mod guests;
mod nodes;
mod play;
mod role;
mod root;
mod simulator;
mod stage;
mod world;

pub use binary::binary;
pub use nodes::{Kubelet, READY};
pub use play::{CLUSTER, MachineWish};
pub use root::root;
pub use simulator::{Rule, Simulator, TOKEN};
pub use stage::{Leader, Pace, Stage, StageOptions, say};
pub use world::World;

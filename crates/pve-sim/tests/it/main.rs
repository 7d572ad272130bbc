//! The simulator as its clients see it, over real HTTPS.

mod access;
mod client;
mod door;
mod faults;
mod hook;
mod machine;
mod proxmoxer;
mod wire;

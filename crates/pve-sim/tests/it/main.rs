//! The simulator as its clients see it, over real HTTPS.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests say what is wrong by failing"
)]

mod access;
mod client;
mod door;
mod faults;
mod firewall;
mod hook;
mod interfaces;
mod machine;
mod proxmoxer;
mod refusals;
mod sdn;
mod wire;

//! The simulator as its clients see it, over real HTTPS.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests say what is wrong by failing"
)]

mod access;
mod backups;
mod client;
mod command_line;
mod containers;
mod door;
mod fault_scripts;
mod faults;
mod firewall;
mod golang;
mod hook;
mod interfaces;
mod machine;
mod malformed;
mod model;
mod python;
mod quickstart;
mod refusals;
mod same;
mod sdn;
mod storage;
mod unconnected;
mod wire;
mod workers;

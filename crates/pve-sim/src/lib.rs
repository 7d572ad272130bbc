//! A Proxmox VE that fits in a test: HTTP server, state, tasks, faults.
//!
//! Real HTTPS, the answers of Proxmox VE 9.2 to the letter for what is simulated, and 501 for all else. The state is
//! one value, deterministic for a seed. A second, plain listener is the control door: faults,
//! counters, the guest hook.
//!
//! Promises to start no process, to open no connection to anybody, and to import nothing of its users, so that a
//! field misread by a client is not misread here in the same way.

mod calls;
mod control;
mod faults;
mod hook;
mod http;
mod jobs;
mod options;
mod perm;
mod record;
mod schema;
mod shared;
mod sim;
mod state;

pub use options::Options;
pub use sim::{Running, Sim};

/// The methods that are simulated, as `VERB PATH`.
pub fn methods() -> Vec<String> {
    schema::Schema::get().methods.iter().map(|m| format!("{} {}", m.verb, m.path)).collect()
}

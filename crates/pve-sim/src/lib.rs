//! A Proxmox VE that fits in a test: HTTP server, state, tasks, faults.
//!
//! Real HTTPS, the answers of Proxmox VE 9.2 to the letter for what is simulated, and 501 for all else. The state is
//! one value, deterministic for a seed. A second, plain listener is the control door: faults,
//! counters, the guest hook.
//!
//! Promises to start no process, to open no connection to anybody, and to import nothing of its users, so that a
//! field misread by a client is not misread here in the same way.

mod budget;
mod calendar;
mod calls;
pub mod capture;
mod clock;
mod control;
mod faults;
mod ha;
mod hook;
mod http;
mod jobs;
mod latency;
mod options;
mod perm;
mod profile;
mod record;
mod rrd;
mod schema;
pub mod scripts;
mod shared;
mod sim;
mod state;

pub use latency::Latency;
pub use options::Options;
pub use sim::{Running, Sim};

/// Every method that Proxmox VE has, as `VERB PATH`, with whether it is simulated; the others are checked (permission,
/// node, parameters) and then answer 501.
pub fn methods() -> Vec<(String, bool)> {
    let real = |m: &schema::Method| calls::handler(&m.verb, &m.path).is_some();
    schema::Schema::get().methods.iter().map(|m| (format!("{} {}", m.verb, m.path), real(m))).collect()
}

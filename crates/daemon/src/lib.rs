//! What every long-running process of ours needs, and nothing about Proxmox or our resources.
//!
//! * What it is: logs, shutdown, error chains, health and its HTTP door, metrics, leader election,
//!   the wiring of a controller, and events.
//! * What it promises: nothing here decides anything about machines; a failure here is logged or
//!   returned, never swallowed.
//! * What it assumes: a tokio runtime, and for leases, events and controllers a Kubernetes API.

pub mod admin;
mod chain;
pub mod controller;
pub mod events;
pub mod health;
pub mod lease;
pub mod logs;
pub mod metrics;
pub mod shutdown;

#[cfg(test)]
mod fake_api;

pub use chain::chain;

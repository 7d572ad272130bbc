//! Cluster API controllers: `ProxmoxCluster` and `ProxmoxMachine`.
//!
//! Each pass is one sentence: observe, plan, act, publish. The decisions stand in the crate `plan`; here are the reads,
//! the writes, and what is remembered of tasks between passes. Everything remembered is a hint: a process that starts
//! with nothing comes to the same end.

mod cluster;
mod condition;
mod connection;
mod core;
mod failures;
mod inventory;
mod machine;
mod run;
mod settings;
mod watch;

pub use run::{Error, run};
pub use settings::{Credentials, Settings};

//! The administrator of a simulator.

use anyhow::Result;
use testkit::Administrator;

use crate::simulator::Simulator;

/// Logs in as `root@pam`.
pub async fn root(sim: &Simulator) -> Result<Administrator> {
    Administrator::log_in(sim.url(), sim.ca(), sim.root_password()).await
}

//! `pve-sim`: a simulated Proxmox VE on loopback, and the commands that talk to one that runs.
//!
//! Promises that the simulator itself opens no connection; the commands for its control door do, to it alone, and
//! `capture` to the Proxmox VE that it is told.

mod cli;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    cli::run(cli::Args::parse()).await.unwrap_or_else(|error| {
        // The chain, once. There is nobody left to tell if stderr is gone.
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
        ExitCode::FAILURE
    })
}

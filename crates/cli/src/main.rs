//! The `oxmox` binary: Proxmox VE as Kubernetes infrastructure.

mod args;
mod command;
mod proxmox;
mod settings;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // Both rustls users of ours take this one; installing it twice cannot happen here.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    match command::run(args::Args::parse()) {
        Ok(code) => code,
        Err(why) => {
            // stderr may be closed; then nobody reads this
            let _ = writeln!(std::io::stderr(), "error: {}", daemon::chain(why.as_ref()));
            ExitCode::from(2)
        }
    }
}

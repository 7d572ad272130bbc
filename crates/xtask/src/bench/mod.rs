//! `cargo xtask bench NAME`: figures against the aims, and beside those of software that people use now.

mod ccm;
mod csi;
mod exporter;
mod figure;
mod provision;
mod quantities;
mod sim;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

/// Measure oxmox on a simulated Proxmox VE, or that itself, against the aims.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Csi(csi::Args),
    Provision(provision::Args),
    Ccm(ccm::Args),
    Exporter(exporter::Args),
    Sim(sim::Args),
}

/// How figures are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// A table.
    #[default]
    Table,
    /// A list for programs.
    Json,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    match &args.what {
        What::Csi(args) => csi::run(args),
        What::Provision(args) => provision::run(args),
        What::Ccm(args) => ccm::run(args),
        What::Exporter(args) => exporter::run(args),
        What::Sim(args) => sim::run(args),
    }
}

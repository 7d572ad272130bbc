//! Development tasks: `cargo xtask help`.

mod generate;
mod lab;
mod tools;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Development tasks of oxmox.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    #[command(name = "gen")]
    Generate(generate::Args),
    Tools(tools::Args),
    Lab(lab::Args),
    Enter(lab::EnterArgs),
    Clean(lab::CleanArgs),
    #[command(name = testkit::leash::INIT, hide = true)]
    Init(lab::InitArgs),
}

fn main() -> Result<ExitCode> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).without_time().with_target(false).init();
    match Args::parse().task {
        Task::Generate(args) => generate::run(&args),
        Task::Tools(args) => tools::run(&args),
        Task::Lab(args) => lab::run(&args),
        Task::Enter(args) => lab::enter(&args),
        Task::Clean(args) => lab::clean(&args),
        Task::Init(args) => lab::init(&args),
    }
}

//! Development tasks: `cargo xtask help`.

mod architecture;
mod bench;
mod generate;
mod golden;
mod lab;
mod schema;
mod test;
mod tools;

use std::io::Write as _;
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
    Test(test::Args),
    Golden(golden::Args),
    Schema(schema::Args),
    Bench(bench::Args),
    Architecture(architecture::Args),
    Tools(tools::Args),
    Lab(lab::Args),
    Enter(lab::EnterArgs),
    Clean(lab::CleanArgs),
    #[command(name = testkit::leash::INIT, hide = true)]
    Init(lab::InitArgs),
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).without_time().with_target(false).init();
    run(Args::parse().task).unwrap_or_else(|error| {
        // The chain, once. There is nobody left to tell if stderr is gone.
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Generate(args) => generate::run(&args),
        Task::Architecture(args) => architecture::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Golden(args) => golden::run(&args),
        Task::Schema(args) => schema::run(&args),
        Task::Tools(args) => tools::run(&args),
        Task::Lab(args) => lab::run(&args),
        Task::Enter(args) => lab::enter(&args),
        Task::Clean(args) => lab::clean(&args),
        Task::Init(args) => lab::init(&args),
    }
}

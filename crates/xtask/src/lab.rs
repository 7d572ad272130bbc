//! `cargo xtask lab`, `enter`, `clean`: commands in private namespaces that lead nowhere.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use testkit::leash::{self, Leash, Scope};
use testkit::requirements;

/// Run a command in private namespaces with no way out, where real control planes and nodes may run (needs root).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A name, for `enter` and `clean`.
    #[arg(long, default_value = "lab")]
    name: String,
    /// The command; `cargo xtask lab -- cargo test -p testkit`.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Run a command inside a lab that is running.
#[derive(Debug, clap::Args)]
pub(crate) struct EnterArgs {
    /// Its name.
    #[arg(long, default_value = "lab")]
    name: String,
    /// The command; a shell if none is given.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// End labs that are left over, or all, and remove what they left.
#[derive(Debug, clap::Args)]
pub(crate) struct CleanArgs {
    /// Also those that somebody is still running.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if !leash::inside() {
        requirements::ensure(&requirements::LEASH, &|words| {
            // Nobody to tell is no reason not to go on.
            let _ = writeln!(std::io::stderr(), "{words}");
        })?;
    }
    let leash = Leash::new(&args.name)?;
    leash::block_on(leash.run(&args.command)).map(leash::exit_code)
}

/// This very command, in private namespaces.
pub(crate) fn again(name: &str) -> Result<ExitCode> {
    let program = std::env::current_exe().context("find our own binary")?;
    let command = std::iter::once(program.into_os_string()).chain(std::env::args_os().skip(1)).collect();
    run(&Args { name: name.to_owned(), command })
}

pub(crate) fn enter(args: &EnterArgs) -> Result<ExitCode> {
    let shell = [OsString::from("bash")];
    let command = if args.command.is_empty() { &shell[..] } else { &args.command };
    leash::block_on(leash::enter(&args.name, command)).map(leash::exit_code)
}

pub(crate) fn clean(args: &CleanArgs) -> Result<ExitCode> {
    let scope = if args.all { Scope::Everything } else { Scope::Orphans };
    for line in leash::clean(&scope)? {
        writeln!(std::io::stderr(), "{line}").context("say what was removed")?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn init(args: &InitArgs) -> Result<ExitCode> {
    leash::block_on(leash::init(&args.command)).map(leash::exit_code)
}

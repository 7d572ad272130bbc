//! The command line.

mod capture;
mod door;
mod facts;
mod fault;
mod https;
mod schema;
mod script;
mod serve;
mod world;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  pve-sim                                     three nodes, any free port, what to use on stdout
  pve-sim -o json --ready-file /tmp/sim.json  for scripts: the file is there when it answers
  pve-sim -o env > sim.env &                  for shells, after `set -a; . ./sim.env`: PVE_URL, ...
  pve-sim --nodes 100 --vms 10000             a crowd
  pve-sim --storage rbd,lvmthin,dir,zfspool,nfs --clusters 2 --seed 7 --pve 8.4
  pve-sim --speed 20 --agent-after 2          tasks twenty times faster, agents answer after 2 s
  pve-sim --task-seconds clone=5,start=3      slow clones and starts
  pve-sim --latency 'GET /nodes/*=20~5'       such calls take 15 to 25 ms
  pve-sim --budget POST=100 --budget total=1000
                                              exit status 3 at the end if there were more calls
  pve-sim --load dump.json                    the world of `pve-sim state dump` or `pve-sim capture`

From one that lives:
  pve-sim capture --url https://pve:8006 --token 'me@pve!read=SECRET' --fingerprint AA:.. --to dump.json

With one that runs (its ready file, or --control / PVE_CONTROL_URL, says where):
  pve-sim state dump > dump.json
  pve-sim fault add --method POST --path '*/clone' --nth 2 --then answer_lost
  pve-sim fault wait 1
  pve-sim clock --jump 3600
  pve-sim trace --whole > trace.json; pve-sim replay trace.json
  pve-sim schema                              the methods that are simulated (needs none that runs)";

/// A simulated Proxmox VE on loopback: real HTTPS, answers of 9.2.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the methods that are simulated
    Schema(schema::Args),
    /// Dump a Proxmox VE that lives somewhere, for --load; it only reads, and no secret is in the dump
    Capture(Box<capture::Args>),
    /// Rules that make calls go wrong
    #[command(subcommand)]
    Fault(fault::Command),
    /// Situations that hurt tools most, as rules for faults: list them, print one
    Script(script::Args),
    /// The whole state
    #[command(subcommand)]
    State(world::State),
    /// Every call that changes something, in order
    Trace(world::Trace),
    /// Do a trace again, from its start to the same end; the clock stands afterwards
    Replay(world::Replay),
    /// What was called how often
    Counters(world::Counters),
    /// The clock: show it, make it faster, jump, stop
    Clock(world::Clock),
    /// The statistics daemon makes its round now
    Tick(world::Tick),
    /// A task does its next piece now
    Step(world::Step),
    /// A task does all its pieces now
    Finish(world::Step),
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
    Env,
}

/// Does what was asked.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        None => return serve::run(args.serve).await,
        Some(Command::Schema(args)) => schema::run(&args)?,
        Some(Command::Capture(args)) => capture::run(*args).await?,
        Some(Command::Fault(command)) => return fault::run(command).await,
        Some(Command::Script(args)) => script::run(&args)?,
        Some(Command::State(state)) => world::state(state).await?,
        Some(Command::Trace(trace)) => world::trace(trace).await?,
        Some(Command::Replay(replay)) => world::replay(replay).await?,
        Some(Command::Counters(counters)) => world::counters(counters).await?,
        Some(Command::Clock(clock)) => world::clock(clock).await?,
        Some(Command::Tick(tick)) => world::tick(tick).await?,
        Some(Command::Step(step)) => world::step(step, "step").await?,
        Some(Command::Finish(step)) => world::step(step, "finish").await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Who reads has seen enough (`| head`).
        Err(why) if why.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => done.context("write to stdout"),
    }
}

#[cfg(test)]
mod test {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_line_can_be_read() {
        Args::command().debug_assert();
    }
}

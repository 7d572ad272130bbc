//! `pve-sim state`, `trace`, `counters`, `clock`, `tick`, `step`: looking at a simulator that runs, and moving it.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::door::Door;
use super::say;

#[derive(Debug, clap::Subcommand)]
pub(super) enum State {
    /// Print the whole state as JSON
    Dump {
        #[command(flatten)]
        door: Door,
    },
    /// Put back a state that was printed
    Load {
        #[command(flatten)]
        door: Door,
        /// The file
        file: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Trace {
    #[command(flatten)]
    door: Door,
    /// With the state that it starts from, for `pve-sim replay`
    #[arg(long)]
    whole: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Replay {
    #[command(flatten)]
    door: Door,
    /// What `pve-sim trace --whole` printed
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct Counters {
    #[command(flatten)]
    door: Door,
    /// Count from nothing again, and forget the trace
    #[arg(long)]
    reset: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Clock {
    #[command(flatten)]
    door: Door,
    /// Simulated seconds in a real one
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// Seconds that pass at once
    #[arg(long, value_name = "SECONDS")]
    jump: Option<f64>,
    /// Stop the clock
    #[arg(long, conflicts_with = "go_on")]
    freeze: bool,
    /// Let a stopped clock go on
    #[arg(long)]
    go_on: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Tick {
    #[command(flatten)]
    door: Door,
}

#[derive(Debug, clap::Args)]
pub(super) struct Step {
    #[command(flatten)]
    door: Door,
    /// The task
    upid: String,
}

fn print(value: &Value) -> anyhow::Result<()> {
    say(&format!("{value}\n"))
}

/// Reads JSON out of a file.
pub(super) fn read(file: &std::path::Path) -> anyhow::Result<Value> {
    let bytes = std::fs::read(file).with_context(|| format!("read `{}`", file.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("read `{}`", file.display()))
}

pub(super) async fn state(command: State) -> anyhow::Result<()> {
    match command {
        State::Dump { door } => print(&door.call("GET", "/sim/state", None).await?),
        State::Load { door, file } => print(&door.call("POST", "/sim/load", Some(&read(&file)?)).await?),
    }
}

pub(super) async fn trace(args: Trace) -> anyhow::Result<()> {
    let path = if args.whole { "/sim/recording" } else { "/sim/trace" };
    print(&args.door.call("GET", path, None).await?)
}

pub(super) async fn replay(args: Replay) -> anyhow::Result<()> {
    print(&args.door.call("POST", "/sim/replay", Some(&read(&args.file)?)).await?)
}

pub(super) async fn counters(args: Counters) -> anyhow::Result<()> {
    let method = if args.reset { "DELETE" } else { "GET" };
    print(&args.door.call(method, "/sim/counters", None).await?)
}

pub(super) async fn clock(args: Clock) -> anyhow::Result<()> {
    let mut setting = json!({});
    if let Some(rate) = args.rate {
        setting["rate"] = json!(rate);
    }
    if let Some(jump) = args.jump {
        setting["jump"] = json!(jump);
    }
    if args.freeze || args.go_on {
        setting["frozen"] = json!(args.freeze);
    }
    let change = setting.as_object().is_some_and(|s| !s.is_empty());
    let (method, body) = if change { ("POST", Some(&setting)) } else { ("GET", None) };
    print(&args.door.call(method, "/sim/clock", body).await?)
}

pub(super) async fn tick(args: Tick) -> anyhow::Result<()> {
    print(&args.door.call("POST", "/sim/tick", None).await?)
}

pub(super) async fn step(args: Step, what: &str) -> anyhow::Result<()> {
    let upid = percent_encoding::utf8_percent_encode(&args.upid, percent_encoding::NON_ALPHANUMERIC);
    print(&args.door.call("POST", &format!("/sim/tasks/{upid}/{what}"), None).await?)
}

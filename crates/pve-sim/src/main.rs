//! `pve-sim`: a simulated Proxmox VE on loopback.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use pve_sim::{Options, Running, Sim};
use serde_json::json;

const EXAMPLES: &str = "\
Examples:
  pve-sim                                     three nodes, any free port, what to use on stdout
  pve-sim -o json --ready-file /tmp/sim.json  for scripts: the file is there when it answers
  pve-sim -o env > sim.env &                  for shells: PVE_URL, PVE_TOKEN_ID, ...
  pve-sim --speed 20 --agent-after 2          tasks twenty times faster, agents answer after 2 s
  pve-sim --task-seconds clone=5,start=3      slow clones and starts
  pve-sim schema                              the methods that are simulated";

/// A simulated Proxmox VE on loopback: real HTTPS, answers of 9.2.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Nodes, named pve1 and on
    #[arg(long, default_value_t = 3)]
    nodes: u32,
    /// Where chance starts: the same seed makes the same ids and secrets
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Port of the API, 0 for any
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Port of the control door, 0 for any
    #[arg(long, default_value_t = 0)]
    control_port: u16,
    /// Release to simulate
    #[arg(long, default_value = "9.2")]
    pve: String,
    /// A further name or address in the certificate (repeatable)
    #[arg(long, value_name = "NAME")]
    san: Vec<String>,
    /// Everything that takes time takes this many times less
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Seconds that tasks take, by kind: clone=2,start=1
    #[arg(long, value_name = "KIND=SECONDS", value_delimiter = ',', value_parser = kind_seconds)]
    task_seconds: Vec<(String, f64)>,
    /// Milliseconds added to every answer of the API
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// Seconds between two rounds of the statistics daemon
    #[arg(long, default_value_t = 10.0)]
    tick: f64,
    /// A directory for uploaded files, which are otherwise kept in memory
    #[arg(long, value_name = "DIR")]
    backing: Option<PathBuf>,
    /// Seconds until the agent of a VM without a real guest answers, or never
    #[arg(long, default_value = "5", value_parser = seconds_or_never)]
    agent_after: AgentAfter,
    /// Refuse bad logins at once, not after three seconds
    #[arg(long)]
    no_login_delay: bool,
    /// How to print what a client needs
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    /// Write the JSON here as soon as it answers
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the methods that are simulated
    Schema,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
    Env,
}

#[derive(Debug, Clone, Copy)]
struct AgentAfter(Option<f64>);

fn seconds_or_never(text: &str) -> Result<AgentAfter, String> {
    if text == "never" {
        return Ok(AgentAfter(None));
    }
    text.parse().map(|s| AgentAfter(Some(s))).map_err(|_| "seconds, or `never`".to_owned())
}

fn kind_seconds(text: &str) -> Result<(String, f64), String> {
    let wrong = || "KIND=SECONDS, such as clone=2".to_owned();
    let (kind, seconds) = text.split_once('=').ok_or_else(wrong)?;
    Ok((kind.to_owned(), seconds.parse().map_err(|_| wrong())?))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let args = Args::parse();
    if let Some(Command::Schema) = args.command {
        let line = |(method, real): (String, bool)| format!("{} {method}\n", if real { "real" } else { "501 " });
        return say(&pve_sim::methods().into_iter().map(line).collect::<String>());
    }
    let (output, ready_file) = (args.output, args.ready_file.clone());
    let running = Sim::start(options(args)).await?;
    let facts = facts(&running, None);
    if let Some(file) = &ready_file {
        let temporary = file.with_extension("part");
        std::fs::write(&temporary, facts.to_string()).with_context(|| format!("write `{}`", temporary.display()))?;
        std::fs::rename(&temporary, file).with_context(|| format!("write `{}`", file.display()))?;
    }
    say(&match output {
        Output::Json => format!("{facts}\n"),
        Output::Env => env(&running),
        Output::Text => text(&running),
    })?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    running.stop().await;
    Ok(())
}

fn options(args: Args) -> Options {
    Options {
        nodes: args.nodes,
        seed: args.seed,
        port: args.port,
        control_port: args.control_port,
        pve: args.pve,
        names: args.san,
        speed: args.speed,
        task_seconds: args.task_seconds.into_iter().collect::<BTreeMap<_, _>>(),
        latency: Duration::from_millis(args.latency_ms),
        tick: args.tick,
        agent_after: args.agent_after.0,
        login_delay: Duration::from_secs(if args.no_login_delay { 0 } else { 3 }),
        backing: args.backing,
    }
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("write to stdout")
}

fn facts(sim: &Running, ca_file: Option<&str>) -> serde_json::Value {
    let tokens: Vec<_> = sim.tokens().iter().map(|(id, secret)| json!({"id": id, "secret": secret})).collect();
    let mut facts = json!({
        "url": sim.url(), "ca": sim.ca_pem(), "fingerprint": sim.fingerprint(), "control_url": sim.control_url(),
        "root_password": sim.root_password(), "tokens": tokens,
    });
    if let Some(file) = ca_file {
        facts["ca_file"] = json!(file);
    }
    facts
}

fn env(sim: &Running) -> String {
    let mut out = format!(
        "PVE_URL={}\nPVE_FINGERPRINT={}\nPVE_CONTROL_URL={}\nPVE_ROOT_PASSWORD={}\n",
        sim.url(),
        sim.fingerprint(),
        sim.control_url(),
        sim.root_password()
    );
    for (id, secret) in sim.tokens() {
        let _ = writeln!(out, "PVE_TOKEN_ID='{id}'\nPVE_TOKEN_SECRET={secret}");
    }
    let _ = writeln!(out, "PVE_CA='{}'", sim.ca_pem().trim_end());
    out
}

fn text(sim: &Running) -> String {
    let mut out = format!(
        "API            {}\ncontrol door   {}\nfingerprint    {}\nroot@pam       {}\n",
        sim.url(),
        sim.control_url(),
        sim.fingerprint(),
        sim.root_password()
    );
    for (id, secret) in sim.tokens() {
        let _ = writeln!(out, "token          {id}={secret}");
    }
    let _ = writeln!(out, "{}Ctrl-C ends it.", sim.ca_pem());
    out
}

//! `pve-sim` itself: one simulator for each cluster, until it is told to stop.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use pve_sim::{Latency, Options, Running, Sim};
use serde_json::Value;

use super::{Output, facts, say, world};

/// Exit status when a budget was broken.
const OVER_BUDGET: u8 = 3;

#[derive(Debug, clap::Args)]
#[group(id = "serve")]
pub(super) struct Args {
    /// Nodes, named pve1 and on
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    nodes: u32,
    /// VMs that are there from the start
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    vms: u32,
    /// Kinds of storages: dir, nfs, cifs, lvm, lvmthin, zfspool, rbd, cephfs, btrfs, pbs
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    storage: Vec<String>,
    /// Clusters, each with an URL, a control door and a CA of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    clusters: u32,
    /// Where chance starts: the same seed makes the same ids and secrets
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Address that the API listens on (0.0.0.0: all; name those that clients use with --san). The control door stays
    /// on loopback
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    listen: IpAddr,
    /// Port of the API, 0 for any; further clusters take the next ones
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Port of the control door, 0 for any; further clusters take the next ones
    #[arg(long, default_value_t = 0)]
    control_port: u16,
    /// Release to simulate: 9.2, 9.1, 8.4
    #[arg(long, default_value = "9.2", value_parser = ["9.2", "9.1", "8.4"], hide_possible_values = true)]
    pve: String,
    /// Start from this state, of `pve-sim state dump` or `pve-sim capture`
    #[arg(long, value_name = "FILE", conflicts_with = "clusters")]
    load: Option<PathBuf>,
    /// A further name or address in the certificate (repeatable)
    #[arg(long, value_name = "NAME")]
    san: Vec<String>,
    /// Everything that takes time takes this many times less
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Simulated seconds in a real one: all of time passes faster
    #[arg(long, default_value_t = 1.0, value_name = "N")]
    clock_rate: f64,
    /// Seconds that tasks take, by kind: clone=2,start=1
    #[arg(long, value_name = "KIND=SECONDS", value_delimiter = ',', value_parser = kind_seconds)]
    task_seconds: Vec<(String, f64)>,
    /// Milliseconds added to every answer of the API
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// Milliseconds that calls take, with jitter; the first that fits counts (repeatable)
    #[arg(long, value_name = "[METHOD ]PATH=MS[~JITTER]")]
    latency: Vec<Latency>,
    /// A file with such latencies, one a line
    #[arg(long, value_name = "FILE")]
    latency_file: Option<PathBuf>,
    /// Calls that each daemon of a node does at a time, 0 for any number
    #[arg(long, default_value_t = 3, value_name = "N")]
    workers: u32,
    /// Seconds that the proxy waits for a daemon until it answers 596
    #[arg(long, default_value_t = 30.0, value_name = "SECONDS")]
    proxy_timeout: f64,
    /// A file with rules for faults (repeatable)
    #[arg(long, value_name = "FILE")]
    faults: Vec<PathBuf>,
    /// At most so many calls, else exit status 3 at the end: total=1000, POST=100, user:capi@pve*=50,
    /// GET /nodes/{node}/qemu/{vmid}/config=10 (repeatable)
    #[arg(long, value_name = "RULE")]
    budget: Vec<String>,
    /// Seconds between two rounds of the statistics daemon
    #[arg(long, default_value_t = 10.0)]
    tick: f64,
    /// A directory for the contents of volumes, which are otherwise kept in memory
    #[arg(long, value_name = "DIR")]
    backing: Option<PathBuf>,
    /// Seconds until the agent of a VM without a real guest answers, or never
    #[arg(long, default_value = "5", value_parser = seconds_or_never)]
    agent_after: AgentAfter,
    /// A program that VMs without a real guest do not have, such as cloud-init (repeatable)
    #[arg(long, value_name = "PROGRAM")]
    guests_lack: Vec<String>,
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

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (output, ready_file, clusters) = (args.output, args.ready_file.clone(), args.clusters);
    let first = options(args)?;
    if let Some(file) = &ready_file {
        // One of an earlier run would say that we answer.
        forget(file)?;
    }
    let mut sims = Vec::new();
    for cluster in 1..=clusters {
        sims.push(Sim::start(one_of(&first, cluster)).await?);
    }
    if let Some(file) = &ready_file {
        write_whole(file, &facts::json(&sims).to_string())?;
    }
    say(&match output {
        Output::Json => format!("{}\n", facts::json(&sims)),
        Output::Env => facts::env(&sims),
        Output::Text => facts::text(&sims),
    })?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    let broken: Vec<String> = sims.iter().flat_map(Running::broken_budgets).collect();
    if let Some(file) = &ready_file {
        forget(file)?;
    }
    for sim in sims {
        sim.stop().await;
    }
    for line in &broken {
        writeln!(std::io::stderr(), "over budget: {line}").context("tell of a broken budget")?;
    }
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(OVER_BUDGET) })
}

/// Removes a ready file, if it is there.
fn forget(file: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(file) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
            Err(why).with_context(|| format!("--ready-file: remove `{}`", file.display()))
        }
        _ => Ok(()),
    }
}

/// Appears in one piece.
fn write_whole(file: &Path, text: &str) -> anyhow::Result<()> {
    let temporary = file.with_extension("part");
    std::fs::write(&temporary, text).with_context(|| format!("write `{}`", temporary.display()))?;
    std::fs::rename(&temporary, file).with_context(|| format!("write `{}`", file.display()))
}

/// The options of one of several clusters.
fn one_of(first: &Options, cluster: u32) -> Options {
    let step = u16::try_from(cluster - 1).unwrap_or_default();
    let port = |of: u16| if of == 0 { 0 } else { of.saturating_add(step) };
    Options {
        cluster,
        seed: first.seed.wrapping_add(u64::from(step)),
        port: port(first.port),
        control_port: port(first.control_port),
        backing: first
            .backing
            .as_ref()
            .map(|dir| if cluster == 1 { dir.clone() } else { dir.join(cluster.to_string()) }),
        ..first.clone()
    }
}

fn rules(files: &[PathBuf]) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for file in files {
        match world::read(file)? {
            Value::Array(rules) => all.extend(rules),
            Value::Object(mut one) => match one.remove("rules") {
                Some(Value::Array(rules)) => all.extend(rules),
                _ => all.push(Value::Object(one)),
            },
            _ => anyhow::bail!("read `{}`: neither a rule nor rules", file.display()),
        }
    }
    Ok(all)
}

fn options(args: Args) -> anyhow::Result<Options> {
    let sane = |rate: f64| rate.is_finite() && rate > 0.0;
    ensure!(sane(args.speed) && sane(args.clock_rate), "`--speed` and `--clock-rate` are more than 0");
    let patience = Duration::try_from_secs_f64(args.proxy_timeout).context("read `--proxy-timeout`")?;
    let mut latencies = args.latency;
    if let Some(file) = &args.latency_file {
        let text = std::fs::read_to_string(file).with_context(|| format!("read `{}`", file.display()))?;
        for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            latencies.push(line.parse().map_err(anyhow::Error::msg)?);
        }
    }
    Ok(Options {
        nodes: args.nodes,
        vms: args.vms,
        storages: args.storage,
        cluster: 1,
        state: args.load.as_deref().map(world::read).transpose()?,
        seed: args.seed,
        listen: args.listen,
        port: args.port,
        control_port: args.control_port,
        pve: args.pve,
        names: args.san,
        speed: args.speed,
        clock_rate: args.clock_rate,
        task_seconds: args.task_seconds.into_iter().collect::<BTreeMap<_, _>>(),
        latency: Duration::from_millis(args.latency_ms),
        latencies,
        workers: args.workers,
        patience,
        faults: rules(&args.faults)?,
        budgets: args.budget,
        tick: args.tick,
        agent_after: args.agent_after.0,
        guests_lack: args.guests_lack,
        login_delay: Duration::from_secs(if args.no_login_delay { 0 } else { 3 }),
        backing: args.backing,
    })
}

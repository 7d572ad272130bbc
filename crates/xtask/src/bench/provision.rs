//! `cargo xtask bench provision`: many machines at once, from nothing to Ready, at rest, and to nothing again.
//!
//! Real etcd and kube-apiserver, the simulated Proxmox VE, the shipped binary with its shipped paces. Guests are of
//! paper: they boot in no time. Task times are those under which the peer was measured.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use e2e::{MachineWish, Pace, Stage, StageOptions};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use pve_sim::Options as SimOptions;
use serde_json::json;
use testkit::{NotYet, eventually, leash};
use tokio::time::MissedTickBehavior;

use super::figure::{self, Figure};
use super::{Output, quantities};

/// Measure how fast, and with how many calls, machines come and go.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Machines at once.
    #[arg(long, default_value_t = 100, value_name = "N")]
    machines: u32,
    /// Milliseconds that Proxmox VE takes for each call.
    #[arg(long, default_value_t = 1, value_name = "MS")]
    latency: u64,
    /// How the figures are printed.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

/// What the peer needs: cluster-api-provider-proxmox (capmox) v0.9.0 and 48 commits, with Cluster API v1.13.6, measured
/// in November 2026 with the same task times on a machine of two cores. At 50 machines where not said otherwise.
mod peer {
    pub(super) const CALLS_TO_READY: f64 = 63.0;
    pub(super) const CALLS_TO_DELETED: f64 = 25.3;
    pub(super) const RATE_AT_1_MS: f64 = 138.0;
    pub(super) const RATE_AT_20_MS: f64 = 39.0;
    /// One machine, beyond task times.
    pub(super) const SECONDS_BEYOND_TASKS: f64 = 22.0;
    pub(super) const IDLE_CALLS: f64 = 0.0;
    /// One machine.
    pub(super) const REFUSED_DESTROYS: f64 = 9.0;
    /// At 200 machines.
    pub(super) const PEAK_RSS: f64 = 79.0;
    pub(super) const START_RSS: f64 = 57.0;
    pub(super) const START_MS: f64 = 372.0;
}

/// What Proxmox VE's tasks take, in seconds.
const TASKS: [(&str, f64); 5] = [("clone-full", 2.0), ("start", 1.0), ("stop", 1.0), ("resize", 0.5), ("upload", 0.15)];
/// The tasks of one machine, one after the other.
const TASKS_OF_ONE: f64 = 2.0 + 0.15 + 0.5 + 1.0;
/// Three readings at the shipped idle pace of ten seconds.
const IDLE_WINDOW: Duration = Duration::from_secs(30);
/// Objects that are made at the same time.
const AT_ONCE: usize = 8;
/// More than the slowest machine needs for the whole number.
const LIMIT: Duration = Duration::from_mins(10);

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if !leash::inside() {
        return crate::lab::again("bench-provision");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    let figures = runtime.block_on(measure(args))?;
    figure::print(&figures, args.output)?;
    Ok(ExitCode::SUCCESS)
}

fn tell(words: &str) {
    // Nobody to tell is no reason not to measure.
    let _unheard = writeln!(std::io::stderr(), "bench: {words}");
}

/// The optimised binary, where there is one.
pub(super) fn program() -> Result<PathBuf> {
    let here = std::env::current_exe().context("find our own binary")?;
    let release = here.ancestors().nth(2).map(|target| target.join("release/oxmox")).filter(|path| path.is_file());
    if let Some(path) = release {
        tell("profile release");
        return Ok(path);
    }
    tell("profile debug (for figures that count: cargo build --release -p cli)");
    e2e::binary("oxmox")
}

async fn measure(args: &Args) -> Result<Vec<Figure>> {
    let program = program()?;
    let sim = SimOptions {
        speed: 1.0,
        task_seconds: TASKS.iter().map(|(task, seconds)| ((*task).to_owned(), *seconds)).collect(),
        latency: Duration::from_millis(args.latency),
        ..SimOptions::default()
    };
    let options = StageOptions { sim, pace: Pace::Shipped, program: Some(program), ..StageOptions::default() };
    let Some(mut stage) = Stage::set("bench-provision", options).await? else {
        anyhow::bail!("the stage cannot be set\nhint: cargo xtask tools");
    };
    stage.kill_manager().await?;
    let start = start(&mut stage).await?;
    let start_rss = quantities::memory(stage.manager_pid().context("the manager has died")?, "VmRSS")?;
    stage.cluster(json!({"schedulerHints": {"memoryAdjustment": 0}})).await?;
    let alone = create(&stage, &["alone".to_owned()]).await?;
    tell(&format!("one machine Ready after {:.1} s", alone.as_secs_f64()));
    delete(&stage, &["alone".to_owned()]).await?;
    stage.sim.forget_calls().await?;

    let names: Vec<String> = (0..args.machines).map(|number| format!("m-{number}")).collect();
    let many = f64::from(args.machines);
    let took = create(&stage, &names).await?;
    tell(&format!("{many} machines Ready after {:.1} s", took.as_secs_f64()));
    let created = stage.sim.calls().await?;
    join(&stage, &names).await?;
    let joined = stage.sim.calls().await?;
    let starts = stage.sim.writes().await?;
    stage.sim.forget_calls().await?;
    let idle = idle(&stage).await?;
    stage.sim.forget_calls().await?;
    let gone = delete(&stage, &names).await?;
    tell(&format!("{many} machines gone after {:.1} s", gone.as_secs_f64()));
    let deleted = stage.sim.calls().await?;
    let destroys = stage.sim.writes().await?;
    let peak = quantities::memory(stage.manager_pid().context("the manager has died")?, "VmHWM")?;
    stage.strike().await?;

    let rate = if args.latency >= 20 { peer::RATE_AT_20_MS } else { peer::RATE_AT_1_MS };
    let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    let seconds = took.as_secs_f64();
    let mut figures = vec![
        Figure::new("rate", many / seconds * 60.0, "machines/min").at_least(300.0).peer(rate),
        Figure::new("all_ready", seconds, "s"),
        Figure::new("one_ready_beyond_tasks", alone.as_secs_f64() - TASKS_OF_ONE, "s")
            .at_most(2.0)
            .peer(peer::SECONDS_BEYOND_TASKS),
        Figure::new("calls_to_ready", per(&created, many), "calls/machine").at_most(10.0).peer(peer::CALLS_TO_READY),
        Figure::new("calls_to_iso_gone", per(&joined, many), "calls/machine"),
        Figure::new("calls_to_deleted", per(&deleted, many), "calls/machine").at_most(4.0).peer(peer::CALLS_TO_DELETED),
        Figure::new("idle_calls", idle, "calls/min").at_most(6.0).peer(peer::IDLE_CALLS),
        Figure::new("second_starts", count(quantities::second_starts(&starts)), "starts").at_most(0.0),
        Figure::new("refused_destroys", count(quantities::refused_destroys(&destroys)), "calls")
            .at_most(0.0)
            .peer(peer::REFUSED_DESTROYS),
        Figure::new("all_gone", gone.as_secs_f64(), "s"),
        Figure::new("start_to_working", start.as_secs_f64() * 1000.0, "ms").at_most(100.0).peer(peer::START_MS),
        Figure::new("rss_start", start_rss, "MB").at_most(20.0).peer(peer::START_RSS),
        Figure::new("rss_peak", peak, "MB").at_most(30.0).peer(peer::PEAK_RSS),
    ];
    figures.extend(endpoints("create", &joined, many));
    figures.extend(endpoints("delete", &deleted, many));
    Ok(figures)
}

/// Calls of one machine, shared readings apart.
fn per(calls: &BTreeMap<String, u64>, machines: f64) -> f64 {
    number(quantities::own(calls)) / machines
}

fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// A figure for each endpoint: per machine, or in all where it is shared.
fn endpoints(phase: &str, calls: &BTreeMap<String, u64>, machines: f64) -> Vec<Figure> {
    let figure = |(call, times): (&String, &u64)| {
        let name = format!("{phase}: {call}");
        if quantities::shared(call) {
            Figure::new(name, number(*times), "calls in all")
        } else {
            Figure::new(name, number(*times) / machines, "calls/machine")
        }
    };
    calls.iter().map(figure).collect()
}

/// Starts the manager; how long it took until it worked.
async fn start(stage: &mut Stage) -> Result<Duration> {
    let began = Instant::now();
    stage.start_manager()?;
    let mut every = tokio::time::interval(Duration::from_millis(5));
    every.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        every.tick().await;
        if stage.manager_log().contains("working") {
            return Ok(began.elapsed());
        }
        anyhow::ensure!(began.elapsed() < LIMIT, "the manager does not start: {}", stage.manager_log());
    }
}

/// Makes machines; how long it took from the first object until all were Ready.
async fn create(stage: &Stage, names: &[String]) -> Result<Duration> {
    let began = Instant::now();
    let wishes = names.iter().map(MachineWish::named);
    let make = |wish: MachineWish| async move { stage.machine(&wish).await };
    stream::iter(wishes).map(make).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    eventually(LIMIT, || async {
        let all = stage.machines().list(&kube::api::ListParams::default()).await;
        let all = all.map_err(|why| NotYet::because(why.to_string()))?;
        let ready = |machine: &&api::ProxmoxMachine| {
            let conditions = machine.status.iter().flat_map(|status| &status.conditions);
            conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
        };
        let ready = all.iter().filter(ready).count();
        if ready == names.len() { Ok(()) } else { Err(NotYet::because(format!("{ready} of {} Ready", names.len()))) }
    })
    .await
    .with_context(|| stage.manager_log())?;
    Ok(began.elapsed())
}

/// Lets their Nodes join, and waits until their bootstrap data is removed.
async fn join(stage: &Stage, names: &[String]) -> Result<()> {
    let join = |name: &String| {
        let name = name.clone();
        async move { stage.joined(&name).await }
    };
    stream::iter(names).map(join).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    for name in names {
        stage.until_ejected(name, LIMIT).await?;
    }
    Ok(())
}

/// Calls a minute while nothing is to be done.
async fn idle(stage: &Stage) -> Result<f64> {
    // What the last steps were followed by ends first: a reading at the busy pace or two.
    let mut window = tokio::time::interval(IDLE_WINDOW);
    window.tick().await;
    window.tick().await;
    stage.sim.forget_calls().await?;
    window.tick().await;
    let calls = stage.sim.calls().await?;
    let sum: u64 = calls.values().sum();
    Ok(number(sum) * 60.0 / IDLE_WINDOW.as_secs_f64())
}

/// Deletes machines; how long it took until all were gone.
async fn delete(stage: &Stage, names: &[String]) -> Result<Duration> {
    let began = Instant::now();
    let delete = |name: &String| {
        let name = name.clone();
        async move { stage.delete_machine(&name).await }
    };
    stream::iter(names).map(delete).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    for name in names {
        stage.until_gone(name, LIMIT).await?;
    }
    Ok(began.elapsed())
}

//! `cargo xtask bench ccm`: many Nodes initialised, at rest, and silent.
//!
//! Real etcd and kube-apiserver, the simulated Proxmox VE, the shipped binary with its shipped pace; kubelets are played.
//! Nodes are there, with their status, before the controller starts, so that what is measured is the controller.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use e2e::{Kubelet, Stage, StageOptions, root};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::ListParams;
use pve_sim::Options as SimOptions;
use testkit::{NotYet, eventually, leash};
use tokio::time::MissedTickBehavior;

use super::figure::{self, Figure};
use super::{Output, provision, quantities};

/// Measure how fast, and with how many calls, Nodes are initialised and watched.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Nodes.
    #[arg(long, default_value_t = 50, value_name = "N")]
    nodes: u32,
    /// How the figures are printed.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

/// What the peer needs: proxmox-cloud-controller-manager v0.13.1 and 3 commits, measured in November 2026 on a machine of
/// two cores, its default of one Node at a time.
mod peer {
    pub(super) const CALLS_PER_NODE: f64 = 7.0;
    pub(super) const SECONDS_50: f64 = 3.5;
    pub(super) const SECONDS_300: f64 = 28.6;
    pub(super) const IDLE_CALLS_50: f64 = 36.5;
    pub(super) const SILENT_CALLS_50: f64 = 1812.0;
    pub(super) const START_RSS: f64 = 58.0;
    pub(super) const RSS: f64 = 68.0;
}

/// Calls a minute are counted this long: three readings at the shipped pace.
const WINDOW: Duration = Duration::from_secs(30);
const AT_ONCE: usize = 16;
const LIMIT: Duration = Duration::from_mins(5);
/// Readings that all Nodes share.
const SHARED: &str = "GET /cluster/resources";

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if !leash::inside() {
        return crate::lab::again("bench-ccm");
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

async fn measure(args: &Args) -> Result<Vec<Figure>> {
    // Four of five of its VMs run.
    let sim = SimOptions { vms: args.nodes * 5 / 4 + 5, speed: 1.0, ..SimOptions::default() };
    let options = StageOptions { sim, program: Some(provision::program()?), ..StageOptions::default() };
    let Some(mut stage) = Stage::set("bench-ccm", options).await? else {
        anyhow::bail!("the stage cannot be set\nhint: cargo xtask tools");
    };
    stage.kill_manager().await?;
    let root = root(&stage.sim).await?;
    let secret = root.token("ccm@pve", "oxmox", "VM.Audit,Sys.Audit", &["/"]).await?;
    let kubelets = Kubelet::all(&stage.sim, args.nodes as usize).await?;
    let many = f64::from(args.nodes);

    let idle = stage.role("ccm", &["--leader-elect=false"], ("ccm@pve!oxmox", &secret)).await?;
    until(|| idle.tail().contains("working")).await?;
    let start_rss = quantities::memory(idle.pid().context("the controller has died")?, "VmRSS")?;
    idle.kill().await?;
    each(&kubelets, |one, kube| async move { one.register(&kube).await }, &stage).await?;
    tell(&format!("{many} Nodes registered"));
    stage.sim.forget_calls().await?;

    let ccm = stage.role("ccm", &["--leader-elect=false"], ("ccm@pve!oxmox", &secret)).await?;
    let began = Instant::now();
    until(|| ccm.tail().contains("working")).await?;
    let start = began.elapsed();
    let working = Instant::now();
    initialised(&stage, kubelets.len()).await?;
    let took = working.elapsed();
    tell(&format!("{many} Nodes initialised after {:.2} s", took.as_secs_f64()));
    let calls = stage.sim.calls().await?;
    let own: u64 = calls.iter().filter(|(call, _)| *call != SHARED).map(|(_, times)| times).sum();

    let idle_calls = window(&stage).await?;
    each(&kubelets, |one, kube| async move { one.report(&kube, "Unknown").await }, &stage).await?;
    let silent_calls = window(&stage).await?;
    let pid = ccm.pid().context("the controller has died")?;
    let (rss, peak) = (quantities::memory(pid, "VmRSS")?, quantities::memory(pid, "VmHWM")?);
    ccm.stop(Duration::from_secs(10)).await?;
    stage.strike().await?;

    let (aim, peer) = if args.nodes <= 50 { (1.0, peer::SECONDS_50) } else { (5.0, peer::SECONDS_300) };
    #[expect(clippy::cast_precision_loss, reason = "a number of calls")]
    let own = own as f64;
    Ok(vec![
        Figure::new("calls_to_initialise", own / many, "calls/Node").at_most(1.0).peer(peer::CALLS_PER_NODE),
        Figure::new("all_initialised", took.as_secs_f64(), "s").at_most(aim).peer(peer),
        Figure::new("start_to_working", start.as_secs_f64(), "s"),
        Figure::new("idle_calls", idle_calls, "calls/min").at_most(12.0).peer(peer::IDLE_CALLS_50),
        Figure::new("silent_calls", silent_calls, "calls/min").at_most(15.0).peer(peer::SILENT_CALLS_50),
        Figure::new("start_rss", start_rss, "MB").at_most(20.0).peer(peer::START_RSS),
        Figure::new("rss", rss, "MB").at_most(20.0).peer(peer::RSS),
        Figure::new("peak_rss", peak, "MB"),
    ])
}

/// Does something to all kubelets, some at a time.
async fn each<F>(of: &[Kubelet], what: impl Fn(Kubelet, kube::Client) -> F, stage: &Stage) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let all = of.iter().map(|one| what(one.clone(), stage.kube.clone()));
    stream::iter(all).buffer_unordered(AT_ONCE).try_collect().await
}

async fn until(is: impl Fn() -> bool) -> Result<()> {
    let waited = eventually(LIMIT, || async { if is() { Ok(()) } else { Err(NotYet::because("not yet")) } });
    waited.await.context("wait for the controller")
}

/// Waits until no Node is uninitialised.
async fn initialised(stage: &Stage, many: usize) -> Result<()> {
    let nodes: Api<Node> = Api::all(stage.kube.clone());
    let waited = eventually(LIMIT, || async {
        let list = nodes.list(&ListParams::default()).await.map_err(|why| NotYet::because(why.to_string()))?;
        let has = |node: &&Node| {
            let spec = node.spec.as_ref();
            let taints = spec.and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
            spec.is_some_and(|spec| spec.provider_id.is_some())
                && !taints.iter().any(|one| one.key.ends_with("/uninitialized"))
        };
        let done = list.items.iter().filter(has).count();
        if done == many { Ok(()) } else { Err(NotYet::because(format!("{done} of {many}"))) }
    });
    waited.await.context("wait for the Nodes")
}

/// Calls a minute while nothing changes; what has just changed ends first.
async fn window(stage: &Stage) -> Result<f64> {
    let mut every = tokio::time::interval(WINDOW / 3);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    every.tick().await;
    every.tick().await;
    stage.sim.forget_calls().await?;
    for _ in 0..3 {
        every.tick().await;
    }
    let sum: u64 = stage.sim.calls().await?.values().sum();
    #[expect(clippy::cast_precision_loss, reason = "a number of calls")]
    Ok(sum as f64 * 60.0 / WINDOW.as_secs_f64())
}

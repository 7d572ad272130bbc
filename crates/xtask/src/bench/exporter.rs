//! `cargo xtask bench exporter`: scrapes of a large Proxmox VE.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use e2e::Simulator;
use pve_sim::Options as SimOptions;
use testkit::{NotYet, ProcessSpec, eventually};

use super::figure::{self, Figure};
use super::{Output, provision, quantities};

/// Measure what a scrape of everything costs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Guests.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    guests: u32,
    /// Nodes of Proxmox VE.
    #[arg(long, default_value_t = 10, value_name = "N")]
    nodes: u32,
    /// How the figures are printed.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

/// What the peer needs: prometheus-pve-exporter 3.10.2, measured in November 2026 on a machine of two cores. The calls of
/// ten nodes' configurations are ten scrapes: 18 of each, and one for each guest.
mod peer {
    pub(super) const CALLS_ONE_NODE: f64 = 1019.0;
    pub(super) const CALLS_TEN_NODES: f64 = 1180.0;
    pub(super) const SECONDS_ONE_NODE: f64 = 1.81;
    pub(super) const SECONDS_CLUSTER: f64 = 0.29;
    pub(super) const RSS: f64 = 89.0;
    pub(super) const START_RSS: f64 = 61.0;
}

const LIMIT: Duration = Duration::from_mins(3);
/// Scrapes of which the median is taken.
const ROUNDS: usize = 9;

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let _installed = rustls::crypto::ring::default_provider().install_default();
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
    let program = provision::program()?;
    let options = SimOptions { vms: args.guests, nodes: args.nodes, speed: 1.0, ..SimOptions::default() };
    let sim = Simulator::start(options).await?;
    let dir = std::env::temp_dir().join(format!("oxmox-bench-exporter-{}", std::process::id()));
    std::fs::create_dir_all(&dir).with_context(|| format!("make `{}`", dir.display()))?;
    let (ca, config) = (dir.join("ca.pem"), dir.join("pve.yml"));
    std::fs::write(&ca, sim.ca()).context("write the simulator's CA")?;
    let text =
        format!("default:\n  user: root@pam\n  password: {}\n  verify_ssl: {}\n", sim.root_password(), ca.display());
    std::fs::write(&config, text).context("write pve.yml")?;
    let port = testkit::free_port()?;
    let exporter = ProcessSpec::new("exporter", program, dir.join("exporter.log"))
        .args(["run", "exporter", &format!("--web.listen-address=127.0.0.1:{port}"), "--allowed-target=127.0.0.1"])
        .args([&format!("--config.file={}", config.display())])
        .start()?;
    let pid = exporter.pid().context("the exporter has died")?;
    let door = format!("http://127.0.0.1:{port}");
    let until = eventually(LIMIT, || async {
        get(&format!("{door}/-/ready")).await.map(|_| ()).map_err(|why| NotYet::because(why.to_string()))
    });
    until.await.with_context(|| exporter.tail())?;
    let start_rss = quantities::memory(pid, "VmRSS")?;

    let target = sim.url().trim_start_matches("https://").to_owned();
    let whole = format!("{door}/pve?target={target}&node=all");
    let began = Instant::now();
    let until = eventually(LIMIT, || async {
        let text = get(&whole).await.map_err(|why| NotYet::because(why.to_string()))?;
        let (known, all) =
            (sum(&text, "oxmox_exporter_guest_configs_known{"), sum(&text, "oxmox_exporter_guest_configs{"));
        if all > 0.0 && known >= all {
            Ok(())
        } else {
            Err(NotYet::because(format!("{known} of {all} configurations")))
        }
    });
    until.await.with_context(|| exporter.tail())?;
    let warm = began.elapsed();
    tell(&format!("all configurations known after {:.1} s", warm.as_secs_f64()));
    sim.forget_calls().await?;
    let text = get(&whole).await?;
    let calls: BTreeMap<String, u64> = sim.calls().await?;
    let calls: u64 = calls.values().sum();
    let whole_took = median(&whole).await?;
    let cluster_took = median(&format!("{door}/pve?target={target}&node=0")).await?;
    let pve_took = own_time(&sim).await?;
    let (rss, peak) = (quantities::memory(pid, "VmRSS")?, quantities::memory(pid, "VmHWM")?);
    exporter.stop(Duration::from_secs(10)).await?;
    sim.stop().await;
    std::fs::remove_dir_all(&dir).with_context(|| format!("remove `{}`", dir.display()))?;

    let calls_of_peer = if args.nodes == 1 { peer::CALLS_ONE_NODE } else { peer::CALLS_TEN_NODES };
    #[expect(clippy::cast_precision_loss, reason = "a number of calls, of bytes and of lines")]
    let (calls, bytes, lines) =
        (calls as f64, text.len() as f64, text.lines().filter(|l| !l.starts_with('#')).count() as f64);
    Ok(vec![
        Figure::new("calls_whole_cluster", calls, "calls/scrape").at_most(8.0).peer(calls_of_peer),
        Figure::new("whole_cluster", whole_took, "s").peer(peer::SECONDS_ONE_NODE),
        Figure::new("without_configurations", cluster_took, "s").peer(peer::SECONDS_CLUSTER),
        Figure::new("proxmox_itself", pve_took, "s"),
        Figure::new("beyond_proxmox", whole_took - pve_took, "s").at_most(0.05),
        Figure::new("configurations_known", warm.as_secs_f64(), "s"),
        Figure::new("bytes", bytes / 1e6, "MB/scrape"),
        Figure::new("samples", lines, "lines/scrape"),
        Figure::new("start_rss", start_rss, "MB").peer(peer::START_RSS),
        Figure::new("rss", rss, "MB").at_most(20.0).peer(peer::RSS),
        Figure::new("peak_rss", peak, "MB"),
    ])
}

async fn get(url: &str) -> Result<String> {
    let client = reqwest::Client::builder().no_proxy().build().context("make a client")?;
    let answer = client.get(url).send().await.with_context(|| format!("GET {url}"))?;
    Ok(answer.error_for_status()?.text().await?)
}

fn sum(text: &str, name: &str) -> f64 {
    text.lines()
        .filter(|line| line.starts_with(name))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

async fn median(url: &str) -> Result<f64> {
    let mut all = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        get(url).await?;
        all.push(began.elapsed().as_secs_f64());
    }
    all.sort_by(f64::total_cmp);
    Ok(all[ROUNDS / 2])
}

/// What Proxmox VE takes for the slowest of a scrape's calls.
async fn own_time(sim: &Simulator) -> Result<f64> {
    let root = e2e::root(sim).await?;
    let mut all = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        root.call("GET", "/cluster/resources", &[]).await?;
        all.push(began.elapsed().as_secs_f64());
    }
    all.sort_by(f64::total_cmp);
    Ok(all[ROUNDS / 2])
}

//! `cargo xtask bench sim`: the simulated Proxmox VE itself, beside `fakepve` of PyPI in the same run.
//!
//! One machine does it all, so the client's work is in the figures; ratios say more than numbers, and the processor time of
//! the server for a call (`get_status_processor`) says something even while others use the machine.

mod client;
mod peer;
mod server;

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::future::try_join_all;

use self::client::{Client, Credentials};
use self::server::Server;
use super::figure::{self, Figure};
use super::{Output, quantities};

/// Measure the simulated Proxmox VE, and the peer.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Seconds of each load.
    #[arg(long, default_value_t = 3, value_name = "SECONDS")]
    seconds: u64,
    /// Leave the peer out.
    #[arg(long)]
    alone: bool,
    /// How the figures are printed.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

/// Connections of the load.
const CONNECTIONS: u32 = 8;
/// Times that something is done to take the median.
const ROUNDS: usize = 7;
/// A VM that every server has, and the template.
const VM: u32 = 100;
const TEMPLATE: u32 = 9000;

/// What was measured of one server.
#[derive(Debug, Default)]
struct Measured {
    start: f64,
    rss_1000: f64,
    rss_10000: f64,
    gets: f64,
    get_processor: f64,
    resources_1000: f64,
    resources_10000: f64,
    clones_100: f64,
    clones_10000: f64,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
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
    let program = server::program()?;
    let ours = all(args, async |guests| Server::ours(&program, guests).await, 2000).await?;
    let peer = if args.alone {
        None
    } else {
        match peer::install().await {
            Ok(program) => Some(all(args, async |guests| Server::peer(&program, guests).await, 40).await?),
            Err(why) => {
                tell(&format!("SKIPPED the peer: {why:#}"));
                None
            }
        }
    };
    let row = |name: &str, unit: &'static str, of: fn(&Measured) -> f64| {
        let figure = Figure::new(name, of(&ours), unit);
        peer.as_ref().map_or(figure.clone(), |peer| figure.peer(of(peer)))
    };
    Ok(vec![
        row("start", "ms", |m| m.start).at_most(50.0),
        row("rss_1000_vms", "MB", |m| m.rss_1000).at_most(20.0),
        row("rss_10000_vms_100_nodes", "MB", |m| m.rss_10000).at_most(157.0),
        row("get_status", "calls/s", |m| m.gets).at_least(30_000.0),
        row("get_status_processor", "us", |m| m.get_processor),
        row("resources_1000_vms", "ms", |m| m.resources_1000).at_most(2.0),
        row("resources_10000_vms", "ms", |m| m.resources_10000).at_most(20.0),
        row("clones_100_vms", "clones/s", |m| m.clones_100).at_least(2000.0),
        row("clones_10000_vms", "clones/s", |m| m.clones_10000).at_least(2000.0),
    ])
}

/// Starts a server with so many guests, again and again, and measures it; `clones` is how many it is asked for.
async fn all(args: &Args, start: impl AsyncFn(u32) -> Result<Server>, clones: u32) -> Result<Measured> {
    let mut measured = Measured::default();
    let mut starts = Vec::new();
    for _ in 0..ROUNDS {
        let server = start(1).await?;
        starts.push(server.started.as_secs_f64() * 1000.0);
    }
    measured.start = median(&mut starts);
    {
        let server = start(100).await?;
        measured.clones_100 = cloned(&server, clones).await?;
    }
    {
        let server = start(1000).await?;
        measured.rss_1000 = quantities::memory(server.pid(), "VmRSS")?;
        measured.resources_1000 = resources(&server).await?;
        let before = quantities::processor(server.pid())?;
        let (calls, seconds) = gets(&server, Duration::from_secs(args.seconds)).await?;
        measured.gets = f64::from(calls) / seconds;
        measured.get_processor = (quantities::processor(server.pid())? - before) * 1e6 / f64::from(calls.max(1));
        tell(&format!("{}: {} GET/s", server.name, measured.gets.round()));
    }
    let server = start(10_000).await?;
    measured.rss_10000 = quantities::memory(server.pid(), "VmRSS")?;
    measured.resources_10000 = resources(&server).await?;
    measured.clones_10000 = cloned(&server, clones).await?;
    tell(&format!("{}: {} clones/s with 10,000 VMs", server.name, measured.clones_10000.round()));
    Ok(measured)
}

fn median(of: &mut [f64]) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or_default()
}

/// Milliseconds that everything at a glance takes.
async fn resources(server: &Server) -> Result<f64> {
    let credentials = Credentials::get(server).await?;
    let mut client = Client::connect(server).await?;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let answer = client.call("GET", "/cluster/resources", &credentials, "").await?;
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        anyhow::ensure!(answer.status == 200 && answer.body.len() > 1000, "GET /cluster/resources: {}", answer.status);
    }
    Ok(median(&mut times))
}

/// Status readings, and the seconds that they took, over connections that are kept as long as the server keeps them.
async fn gets(server: &Server, time: Duration) -> Result<(u32, f64)> {
    let credentials = Credentials::get(server).await?;
    let path = format!("/nodes/pve1/qemu/{VM}/status/current");
    let began = Instant::now();
    let load = |_| async {
        let mut client = Client::connect(server).await?;
        let mut calls = 0_u32;
        while began.elapsed() < time {
            let answer = client.call("GET", &path, &credentials, "").await?;
            anyhow::ensure!(answer.status == 200, "GET {path}: {}", answer.status);
            calls += 1;
        }
        anyhow::Ok(calls)
    };
    let counts = try_join_all((0..CONNECTIONS).map(load)).await?;
    Ok((counts.iter().sum(), began.elapsed().as_secs_f64()))
}

/// Clones a second, asked for one after the other.
async fn cloned(server: &Server, clones: u32) -> Result<f64> {
    let credentials = Credentials::get(server).await?;
    let mut client = Client::connect(server).await?;
    let path = format!("/nodes/pve1/qemu/{TEMPLATE}/clone");
    let began = Instant::now();
    for number in 0..clones {
        let answer = client.call("POST", &path, &credentials, &format!("newid={}", 50_000 + number)).await?;
        let text = String::from_utf8_lossy(&answer.body);
        anyhow::ensure!(answer.status == 200, "POST {path}: {} {text}", answer.status);
    }
    Ok(f64::from(clones) / began.elapsed().as_secs_f64())
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert!((median(&mut [9.0, 1.0, 5.0]) - 5.0).abs() < f64::EPSILON);
        assert!(median(&mut []).abs() < f64::EPSILON);
    }
}

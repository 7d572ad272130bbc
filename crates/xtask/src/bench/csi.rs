//! `cargo xtask bench csi`: the storage driver's controller among many VMs: calls for each operation, time, memory.
//!
//! The simulated Proxmox VE, the shipped binary with its shipped paces, and this program in the place of the sidecars.
//! Calls that all operations share (the list of resources, the lists of tasks) are counted apart.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use csi_proto::csi::controller_client::ControllerClient;
use csi_proto::csi::volume_capability::{AccessMode, AccessType, MountVolume, access_mode::Mode};
use csi_proto::csi::{self, CapacityRange, VolumeCapability};
use e2e::Simulator;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use hyper_util::rt::TokioIo;
use pve_sim::Options;
use testkit::{NotYet, eventually};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tonic::transport::{Channel, Endpoint};

use super::figure::{self, Figure};
use super::{Output, quantities};

/// Measure the controller of the storage driver.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// VMs in the cluster, beside the ten that volumes are attached to.
    #[arg(long, default_value_t = 300, value_name = "N")]
    vms: u32,
    /// Volumes that are attached at once.
    #[arg(long, default_value_t = 50, value_name = "N")]
    volumes: usize,
    /// Milliseconds that Proxmox VE takes for each call.
    #[arg(long, default_value_t = 1, value_name = "MS")]
    latency: u64,
    /// How the figures are printed.
    #[arg(long, short, value_enum, default_value_t)]
    output: Output,
}

/// What the peer needs: proxmox-csi-plugin v0.19.1 on the same simulator, measured in November 2026.
mod peer {
    pub(super) const CREATE: f64 = 5.0;
    pub(super) const PUBLISH: f64 = 12.0;
    pub(super) const UNPUBLISH: f64 = 10.0;
    pub(super) const DELETE: f64 = 6.0;
    /// Among 300 VMs.
    pub(super) const EXPAND_ATTACHED: f64 = 900.0;
    /// And it fails.
    pub(super) const EXPAND_UNATTACHED: f64 = 902.0;
    pub(super) const PUBLISHES_A_SECOND: f64 = 5.0;
    pub(super) const SNAPSHOT_BEYOND_COPY: f64 = 13.0;
    pub(super) const START_RSS: f64 = 34.0;
    pub(super) const PEAK_RSS: f64 = 53.0;
}

/// What a copy takes: it is a task that changes a configuration.
const COPY: f64 = 2.0;
const WORKERS: u32 = 10;
const FIRST_WORKER: u32 = 90_001;
const GIB: i64 = 1 << 30;
const LIMIT: Duration = Duration::from_mins(2);

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

/// The optimised binary, where there is one.
fn program() -> Result<PathBuf> {
    let here = std::env::current_exe().context("find our own binary")?;
    let release = here.ancestors().nth(2).map(|target| target.join("release/oxmox")).filter(|path| path.is_file());
    if let Some(path) = release {
        tell("profile release");
        return Ok(path);
    }
    tell("profile debug (for figures that count: cargo build --release -p cli)");
    e2e::binary("oxmox")
}

fn start(sim: &Simulator, directory: &Path) -> Result<Child> {
    let ca = directory.join("ca.pem");
    std::fs::write(&ca, sim.ca()).context("write the simulator's CA")?;
    Command::new(program()?)
        .args(["run", "csi-controller", "--region", "eu", "--pool", "kubernetes", "--admin-addr", ""])
        .args(["--proxmox-url", sim.url(), "--proxmox-token", e2e::TOKEN])
        .arg("--proxmox-root-ca-file")
        .arg(ca)
        .arg("--csi-address")
        .arg(format!("unix://{}", directory.join("csi.sock").display()))
        .env("PROXMOX_SECRET", sim.secret()?)
        .env("OXMOX_LOG", "warn")
        .kill_on_drop(true)
        .spawn()
        .context("start `oxmox run csi-controller`")
}

async fn connect(directory: &Path) -> Result<ControllerClient<Channel>> {
    let path = directory.join("csi.sock");
    eventually(LIMIT, || async {
        UnixStream::connect(&path).await.map(drop).map_err(|why| NotYet::because(why.to_string()))
    })
    .await?;
    let connector = move |_| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    };
    let channel = Endpoint::from_static("http://localhost").connect_with_connector(tower::service_fn(connector)).await;
    Ok(ControllerClient::new(channel.context("connect to the controller")?))
}

/// Makes VMs that volumes are attached to.
async fn workers(sim: &Simulator) -> Result<()> {
    let auth = pve::Auth::Token { id: e2e::TOKEN.to_owned(), secret: sim.secret()?.to_owned().into() };
    let mut config = pve::ClientConfig::new(vec![sim.url().parse().context("read the simulator's URL")?], auth);
    config.trust = pve::Trust::Ca(sim.ca().to_owned());
    config.proxy = pve::Proxy::None;
    let client = pve::Client::new(config).context("make a client")?;
    for number in FIRST_WORKER..FIRST_WORKER + WORKERS {
        let node = format!("pve{}", 1 + number % 3).parse().context("read a node's name")?;
        let vm = number.try_into().context("read a VM's number")?;
        let keys = [("name", format!("w-{number}")), ("pool", "kubernetes".to_owned())];
        let keys = keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        client.follow(&client.create_guest(&node, vm, &keys).await?).await?;
        client.follow(&client.start(&node, vm).await?).await?;
    }
    Ok(())
}

fn capability() -> VolumeCapability {
    VolumeCapability {
        access_mode: Some(AccessMode { mode: Mode::SingleNodeWriter.into() }),
        access_type: Some(AccessType::Mount(MountVolume::default())),
    }
}

struct Bench {
    sim: Simulator,
    client: ControllerClient<Channel>,
    figures: Vec<Figure>,
}

impl Bench {
    async fn create(&self, name: &str) -> Result<String> {
        let request = csi::CreateVolumeRequest {
            name: name.to_owned(),
            capacity_range: Some(CapacityRange { required_bytes: GIB, limit_bytes: 0 }),
            volume_capabilities: vec![capability()],
            parameters: [("storage".to_owned(), "shared".to_owned())].into(),
            ..csi::CreateVolumeRequest::default()
        };
        let made = self.client.clone().create_volume(request).await?.into_inner().volume;
        Ok(made.context("no volume")?.volume_id)
    }

    async fn publish(&self, volume: &str, vm: u32) -> Result<()> {
        let request = csi::ControllerPublishVolumeRequest {
            volume_id: volume.to_owned(),
            node_id: format!("w-{vm}/{vm}"),
            volume_capability: Some(capability()),
            ..csi::ControllerPublishVolumeRequest::default()
        };
        self.client.clone().controller_publish_volume(request).await?;
        Ok(())
    }

    async fn unpublish(&self, volume: &str, vm: u32) -> Result<()> {
        let request = csi::ControllerUnpublishVolumeRequest {
            volume_id: volume.to_owned(),
            node_id: format!("w-{vm}/{vm}"),
            ..csi::ControllerUnpublishVolumeRequest::default()
        };
        self.client.clone().controller_unpublish_volume(request).await?;
        Ok(())
    }

    async fn expand(&self, volume: &str, gib: i64) -> Result<()> {
        let request = csi::ControllerExpandVolumeRequest {
            volume_id: volume.to_owned(),
            capacity_range: Some(CapacityRange { required_bytes: gib * GIB, limit_bytes: 0 }),
            ..csi::ControllerExpandVolumeRequest::default()
        };
        self.client.clone().controller_expand_volume(request).await?;
        Ok(())
    }

    /// Calls since the last time, those that are shared apart.
    async fn calls(&self) -> Result<f64> {
        let calls: BTreeMap<String, u64> = self.sim.calls().await?;
        self.sim.forget_calls().await?;
        Ok(f64::from(u32::try_from(quantities::own(&calls)).unwrap_or(u32::MAX)))
    }

    async fn note(&mut self, name: &str, aim: f64, peer: f64) -> Result<()> {
        let calls = self.calls().await?;
        self.figures.push(Figure::new(name, calls, "calls").at_most(aim).peer(peer));
        Ok(())
    }
}

async fn measure(args: &Args) -> Result<Vec<Figure>> {
    // Where it is installed already, it is the same one.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let options = Options {
        speed: 1.0,
        vms: args.vms,
        latency: Duration::from_millis(args.latency),
        task_seconds: [("config", COPY), ("resize", 0.1), ("create", 0.1), ("start", 0.1)]
            .map(|(task, seconds)| (task.to_owned(), seconds))
            .into(),
        ..Options::default()
    };
    let sim = Simulator::start(options).await?;
    let directory = std::env::temp_dir().join(format!("oxmox-bench-csi-{}", std::process::id()));
    std::fs::create_dir_all(&directory).context("make a directory")?;
    let measured = on(args, sim, &directory).await;
    std::fs::remove_dir_all(&directory).context("remove our directory")?;
    measured
}

async fn on(args: &Args, sim: Simulator, directory: &Path) -> Result<Vec<Figure>> {
    workers(&sim).await?;
    let mut child = start(&sim, directory)?;
    let pid = child.id().context("the controller has ended")?;
    let client = connect(directory).await?;
    let start_rss = quantities::memory(pid, "VmRSS")?;
    let mut bench = Bench { sim, client, figures: Vec::new() };
    let begun = Instant::now();
    let first = bench.create("first").await?;
    bench.publish(&first, FIRST_WORKER).await?;
    let learnt = begun.elapsed();
    let learnt_calls = bench.calls().await?;

    let volume = bench.create("pvc-1").await?;
    bench.note("create", 2.0, peer::CREATE).await?;
    bench.expand(&volume, 2).await?;
    bench.note("expand, not attached", 4.0, peer::EXPAND_UNATTACHED).await?;
    bench.publish(&volume, FIRST_WORKER).await?;
    bench.note("publish", 4.0, peer::PUBLISH).await?;
    bench.expand(&volume, 3).await?;
    bench.note("expand, attached", 4.0, peer::EXPAND_ATTACHED).await?;
    bench.unpublish(&volume, FIRST_WORKER).await?;
    bench.note("unpublish", 4.0, peer::UNPUBLISH).await?;
    let began = Instant::now();
    let snapshot = csi::CreateSnapshotRequest {
        name: "snap".to_owned(),
        source_volume_id: volume.clone(),
        ..csi::CreateSnapshotRequest::default()
    };
    bench.client.clone().create_snapshot(snapshot).await?;
    let beyond = began.elapsed().as_secs_f64() - COPY;
    let snapshot_calls = bench.calls().await?;
    let request = csi::DeleteVolumeRequest { volume_id: volume, ..csi::DeleteVolumeRequest::default() };
    bench.client.clone().delete_volume(request).await?;
    bench.note("delete", 4.0, peer::DELETE).await?;

    let seconds = burst(&bench, args.volumes).await?;
    #[expect(clippy::cast_precision_loss, reason = "a number of volumes")]
    let rate = args.volumes as f64 / seconds;
    let peak = quantities::memory(pid, "VmHWM")?;
    let mut figures = bench.figures;
    figures.extend([
        Figure::new("publishes at once", rate, "1/s").at_least(50.0).peer(peer::PUBLISHES_A_SECOND),
        Figure::new("snapshot beyond the copy", beyond, "s").at_most(2.0).peer(peer::SNAPSHOT_BEYOND_COPY),
        Figure::new("snapshot", snapshot_calls, "calls"),
        Figure::new("first volume and attach: learning all VMs", learnt_calls, "calls"),
        Figure::new("first volume and attach: learning all VMs", learnt.as_secs_f64(), "s"),
        Figure::new("rss_start", start_rss, "MB").at_most(15.0).peer(peer::START_RSS),
        Figure::new("rss_peak", peak, "MB").at_most(20.0).peer(peer::PEAK_RSS),
    ]);
    child.kill().await.context("end the controller")?;
    bench.sim.stop().await;
    Ok(figures)
}

/// Attaches so many volumes at once, over all workers; the seconds that took.
async fn burst(bench: &Bench, volumes: usize) -> Result<f64> {
    let names: Vec<String> = (0..volumes).map(|n| format!("many-{n}")).collect();
    let made: Vec<String> = stream::iter(&names).map(|name| bench.create(name)).buffered(16).try_collect().await?;
    let began = Instant::now();
    let attach = |(n, volume): (usize, &String)| {
        let (vm, volume) = (FIRST_WORKER + u32::try_from(n).unwrap_or(0) % WORKERS, volume.clone());
        async move { bench.publish(&volume, vm).await }
    };
    stream::iter(made.iter().enumerate()).map(attach).buffer_unordered(volumes.max(1)).try_collect::<()>().await?;
    Ok(began.elapsed().as_secs_f64())
}

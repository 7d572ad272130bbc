//! The program: arguments, then one of its faces.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use guest_node::guest::Guest;
use guest_node::hook::Hook;
use guest_node::image::{NodeImage, ToolPaths};
use guest_node::init::PodNetwork;
use guest_node::machine::{self, Site, leash, route};
use guest_node::seed::Seed;
use guest_node::{boot_one, front, image, init, run};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Real guests for pve-sim: a started VM becomes a machine in namespaces of this one.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Face,
}

#[derive(Subcommand)]
enum Face {
    /// Make the node image (no root needed); print its directory.
    Image {
        /// Directory of the Kubernetes tools, CNI plugins in `cni/` below it.
        #[arg(long)]
        tools: PathBuf,
        /// Where the image is kept.
        #[arg(long)]
        cache: PathBuf,
    },
    /// Be the guests of a simulator.
    Run {
        /// The simulator's control door.
        #[arg(long)]
        sim: String,
        /// Directory of more container images (tars that `ctr images import` takes), for every guest.
        #[arg(long)]
        more_images: Option<PathBuf>,
        /// Who brings the pods' network: each node for itself, or the cluster.
        #[arg(long, value_enum, default_value_t)]
        pod_network: PodNetwork,
        #[command(flatten)]
        place: Place,
    },
    /// Boot one guest by hand; orders come from standard input (`off`, `shutdown`, `exec …`, agent commands).
    BootOne {
        /// The guest, as the hook would describe it.
        #[arg(long)]
        guest: PathBuf,
        /// Its NoCloud seed.
        #[arg(long)]
        iso: Option<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// Run a command inside a running guest.
    Exec {
        /// Where VMs keep what they write.
        #[arg(long)]
        state: PathBuf,
        /// The VM's number.
        vmid: u32,
        /// The command.
        #[arg(trailing_var_arg = true, required = true)]
        words: Vec<String>,
    },
    #[command(hide = true)]
    Leash { boot: PathBuf },
    #[command(hide = true)]
    Init { boot: PathBuf },
    #[command(hide = true)]
    Supervise,
}

#[derive(clap::Args)]
struct Place {
    /// The node image's directory.
    #[arg(long)]
    image: PathBuf,
    /// Where VMs keep what they write.
    #[arg(long)]
    state: PathBuf,
    /// Put before a PVE bridge's name to get the bridge's name here.
    #[arg(long, default_value = "")]
    bridge_prefix: String,
}

impl Place {
    fn site(self) -> Result<Site> {
        std::fs::create_dir_all(&self.state).context("state directory")?;
        Ok(Site::new(
            NodeImage::open(&self.image)?,
            self.state.canonicalize().context("state directory")?,
            self.bridge_prefix,
            std::env::current_exe().context("own program")?,
        ))
    }
}

fn main() -> Result<ExitCode> {
    let mut words = std::env::args();
    let name = words.next().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or_default();
    if let Some(result) = front::act(name, &words.collect::<Vec<_>>()) {
        return result;
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Arguments::parse().command {
        Face::Leash { boot } => leash::hold(&boot)?,
        Face::Init { boot } => init::init(&boot)?,
        Face::Supervise => init::supervise()?,
        Face::Exec { state, vmid, words } => {
            let enter = machine::running(&state, vmid)?.enter();
            let err = std::process::Command::new(&enter[0]).args(&enter[1..]).args(words).exec();
            return Err(err).context("enter the guest");
        }
        Face::Image { tools, cache } => make_image(&tools, &cache)?,
        Face::Run { sim, more_images, pod_network, place } => {
            let (mut site, hook) = (place.site()?, Hook::new(&sim)?);
            site.more_images = more_images.map(|dir| dir.canonicalize().context("--more-images")).transpose()?;
            site.pod_network = pod_network;
            route::begin();
            runtime()?.block_on(async { run::run(site, hook, told_to_stop()?).await })?;
        }
        Face::BootOne { guest, iso, place } => {
            let guest: Guest = serde_json::from_slice(&std::fs::read(guest).context("guest")?).context("guest")?;
            let seed = match iso {
                Some(iso) => {
                    Some(Seed::from_iso(&std::fs::read(iso).context("ISO")?).context("the ISO holds no seed")?)
                }
                None => None,
            };
            let site = place.site()?;
            route::begin();
            let runtime = runtime()?;
            runtime.block_on(async { boot_one::boot_one(&site, &guest, seed, told_to_stop()?).await })?;
            // Standard input may be a terminal that nobody types at any more.
            runtime.shutdown_background();
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One thread: guests end with the thread that started them.
fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("runtime")
}

fn told_to_stop() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn make_image(tools: &std::path::Path, cache: &std::path::Path) -> Result<()> {
    use std::io::Write;
    let image = image::ensure(cache, &ToolPaths::in_directory(tools), |step| tracing::info!("{step}"))?;
    writeln!(std::io::stdout(), "{}", image.dir().display())?;
    Ok(())
}

//! `oxmox run exporter`: metrics for Prometheus.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command};
use exporter::{Collector, Measure, Settings};

use crate::args::Kubernetes;
use crate::settings::pve_yml;

/// Run the exporter: metrics of Proxmox VE under the names of prometheus-pve-exporter.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    oxmox run exporter --config.file /etc/prometheus/pve.yml --allowed-target pve1 --allowed-target '*.lan'\n  \
    PVE_USER=monitoring@pve PVE_TOKEN_NAME=exporter PVE_TOKEN_VALUE=UUID oxmox run exporter --default-target pve1\n  \
    curl 'http://localhost:9221/pve?target=pve1&cluster=1&node=1'\n\n\
    The variables PVE_USER, PVE_PASSWORD, PVE_TOKEN_NAME, PVE_TOKEN_VALUE, PVE_VERIFY_SSL and PVE_MODULE take the\n\
    place of the file.")]
pub(crate) struct Args {
    #[command(flatten)]
    collectors: Collectors,
    #[command(flatten)]
    env: pve_yml::Env,
    /// Modules with their credentials.
    #[arg(long = "config.file", default_value = "/etc/prometheus/pve.yml", value_name = "FILE")]
    config_file: PathBuf,
    /// Where it listens.
    #[arg(long = "web.listen-address", default_value = "[::]:9221", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Answer /pve in OpenMetrics to who prefers it. It has no room for the deprecated gauges, which old dashboards use.
    #[arg(long = "web.openmetrics")]
    openmetrics: bool,
    /// A target that may be asked for: `host`, `host:port` or `*.suffix`; may be given several times. Without any, who
    /// reaches this exporter can have it show its credentials to any host.
    #[arg(long = "allowed-target", value_name = "TARGET")]
    allowed: Vec<String>,
    /// The target that /metrics tells of as well.
    #[arg(long = "default-target", value_name = "TARGET")]
    default_target: Option<String>,
    /// Seconds after which a guest's configuration is read again.
    #[arg(long = "config-refresh", default_value_t = 900.0, value_name = "SECONDS")]
    config_refresh: f64,
    /// Tell which guest is which Machine, Node and PersistentVolume, from the Kubernetes that --kubeconfig, or the pod's
    /// own account, leads to.
    #[arg(long)]
    kubernetes: bool,
    #[command(flatten)]
    cluster: Kubernetes,
    /// A kubeconfig of a further cluster to tell of: Machines stand in a management cluster, their Nodes and volumes in
    /// workload clusters. May be given several times.
    #[arg(long = "also-kubeconfig", value_name = "FILE", requires = "kubernetes")]
    also: Vec<PathBuf>,
}

/// The flags `--collector.NAME` and their twins `--no-collector.NAME`.
#[derive(Debug, Clone)]
struct Collectors {
    on: BTreeSet<Collector>,
    measure: Measure,
}

/// A flag's two names.
type Twins = (&'static str, &'static str);

macro_rules! twins {
    ($word:literal) => {
        (concat!("collector.", $word), concat!("no-collector.", $word))
    };
}

const API: Twins = twins!("pve-api-metrics");
const TARGETS: Twins = twins!("target-metrics");

fn names(of: Collector) -> (Twins, &'static str) {
    match of {
        Collector::Status => (twins!("status"), "What is up"),
        Collector::Version => (twins!("version"), "The version"),
        Collector::Node => (twins!("node"), "Nodes"),
        Collector::Cluster => (twins!("cluster"), "The cluster"),
        Collector::Resources => (twins!("resources"), "Figures of nodes, guests and storages"),
        Collector::BackupInfo => (twins!("backup-info"), "Guests that no backup job takes"),
        Collector::Qdevice => (twins!("qdevice"), "The quorum device"),
        Collector::Config => (twins!("config"), "Whether guests start with their node"),
        Collector::Replication => (twins!("replication"), "Replication jobs"),
        Collector::Subscription => (twins!("subscription"), "The subscription"),
    }
}

fn with(command: Command, (on, off): Twins, text: &'static str, heading: &'static str) -> Command {
    let flag = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help_heading(heading);
    command.arg(flag(on).help(text).overrides_with(off)).arg(flag(off).help("Not that").overrides_with(on))
}

impl clap::Args for Collectors {
    fn augment_args(mut command: Command) -> Command {
        for one in Collector::ALL {
            let heading =
                if one.of_node() { "Collectors of the node (node=1)" } else { "Collectors of the cluster (cluster=1)" };
            let (twins, text) = names(one);
            command = with(command, twins, text, heading);
        }
        let heading = "Of the exporter itself (off)";
        let command = with(command, API, "Tell how long calls of Proxmox VE take", heading);
        with(command, TARGETS, "Tell how long scrapes take, by target", heading)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Collectors {
    fn from_arg_matches(of: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self {
            on: Collector::ALL.into_iter().filter(|one| !of.get_flag(names(*one).0.1)).collect(),
            measure: Measure { api: of.get_flag(API.0), targets: of.get_flag(TARGETS.0) },
        })
    }

    fn update_from_arg_matches(&mut self, of: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(of)?;
        Ok(())
    }
}

impl Args {
    fn settings(&self) -> anyhow::Result<Settings> {
        let modules = match self.env.modules()? {
            Some(modules) => modules,
            None => pve_yml::read(&self.config_file)?,
        };
        let config_refresh = Duration::try_from_secs_f64(self.config_refresh)
            .ok()
            .filter(|wait| !wait.is_zero())
            .with_context(|| format!("--config-refresh: `{}` is no number of seconds above 0", self.config_refresh))?;
        if self.allowed.is_empty() {
            tracing::warn!(
                "any target may be asked for, and is shown our credentials: name yours with --allowed-target"
            );
        }
        // The default target was named by who started us.
        let allowed = if self.allowed.is_empty() { &None } else { &self.default_target };
        Ok(Settings {
            modules,
            collectors: self.collectors.on.clone(),
            allowed_targets: self.allowed.iter().chain(allowed).cloned().collect(),
            default_target: self.default_target.clone(),
            listen: self.listen,
            config_refresh,
            negotiate: self.openmetrics,
            measure: self.collectors.measure,
        })
    }
}

/// Runs it until it is told to stop.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let settings = args.settings()?;
    let mut clusters = Vec::new();
    if args.kubernetes {
        clusters.push(args.cluster.client().await?);
    }
    for file in args.also {
        let of = Kubernetes { kubeconfig: Some(file.clone().into_os_string()) };
        clusters.push(of.client().await.with_context(|| format!("--also-kubeconfig {}", file.display()))?);
    }
    exporter::run(settings, clusters, daemon::shutdown::on_signal(), |_| ()).await?;
    Ok(ExitCode::SUCCESS)
}

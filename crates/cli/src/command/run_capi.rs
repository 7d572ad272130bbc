//! `oxmox run capi`: the Cluster API provider.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use capi::Settings;

use crate::args::Kubernetes;
use crate::proxmox::{self, Proxmox};

/// Run the Cluster API provider: VMs for Machines.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    oxmox run capi --proxmox-url https://pve1:8006 --proxmox-token 'capi@pve!oxmox' --proxmox-secret UUID\n  \
    oxmox run capi --namespace team-a          only that namespace; credentials from spec.credentialsRef\n\n\
    Signals: SIGTERM and SIGINT end it orderly; the Lease is given back.")]
pub(crate) struct Args {
    #[command(flatten)]
    kubernetes: Kubernetes,
    #[command(flatten)]
    proxmox: Proxmox,
    /// Only objects in this namespace.
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Only objects with this value of the label cluster.x-k8s.io/watch-filter.
    #[arg(long, value_name = "VALUE")]
    watch_filter: Option<String>,
    /// Machines that are worked on at the same time.
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// Elect a leader by a Lease, so that several replicas may run.
    #[arg(long, default_value = "true", default_missing_value = "true", num_args = 0..=1)]
    leader_elect: bool,
    /// Namespace of the Lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = "oxmox-system", value_name = "NAMESPACE")]
    lease_namespace: String,
    /// Where /healthz, /readyz and /metrics are served; empty: nowhere.
    #[arg(long, default_value = "0.0.0.0:8081", value_name = "ADDRESS:PORT")]
    admin_addr: String,
    /// Seconds between readings of Proxmox VE while nothing is under way.
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    poll_idle: f64,
    /// Seconds between readings of Proxmox VE while machines are under way.
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    poll_busy: f64,
    /// Seconds between readings of tasks under way.
    #[arg(long, default_value_t = 0.25, value_name = "SECONDS")]
    poll_tasks: f64,
    /// Seconds between looks for tasks of others that failed on VMs of ours, one call for each node; for the log.
    #[arg(long, default_value_t = 60.0, value_name = "SECONDS")]
    poll_failures: f64,
}

impl Args {
    fn settings(&self) -> anyhow::Result<Settings> {
        let admin: Option<SocketAddr> = match self.admin_addr.as_str() {
            "" => None,
            text => Some(text.parse().with_context(|| format!("--admin-addr: `{text}` is not ADDRESS:PORT"))?),
        };
        let seconds = |flag: &str, value: f64| {
            Duration::try_from_secs_f64(value)
                .ok()
                .filter(|wait| !wait.is_zero())
                .with_context(|| format!("{flag}: `{value}` is no number of seconds above 0"))
        };
        let credentials = self.proxmox.credentials()?;
        if let Some(credentials) = &credentials {
            proxmox::client(proxmox::config(credentials)?)?;
        }
        Ok(Settings {
            credentials,
            namespace: self.namespace.clone(),
            watch_filter: self.watch_filter.clone(),
            concurrency: self.concurrency,
            leader_elect: self.leader_elect,
            lease_namespace: self.lease_namespace.clone(),
            admin,
            poll_idle: seconds("--poll-idle", self.poll_idle)?,
            poll_busy: seconds("--poll-busy", self.poll_busy)?,
            poll_tasks: seconds("--poll-tasks", self.poll_tasks)?,
            poll_failures: seconds("--poll-failures", self.poll_failures)?,
        })
    }
}

/// Runs it until it is told to stop.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let settings = args.settings()?;
    let kube = args.kubernetes.client().await?;
    capi::run(settings, kube, daemon::shutdown::on_signal()).await?;
    Ok(ExitCode::SUCCESS)
}

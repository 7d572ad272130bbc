//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::command;

/// Proxmox VE as Kubernetes infrastructure.
#[derive(Debug, Parser)]
#[command(
    name = "oxmox",
    version,
    arg_required_else_help = true,
    after_help = "Where to begin:\n  \
        oxmox crds | kubectl apply --server-side -f -   install the custom resources\n  \
        oxmox run capi --help                           run the Cluster API provider\n  \
        oxmox verify --help                             check a Proxmox VE and a cluster on it\n\n\
        The documentation is in docs/; `make demo` shows all of it on a simulated Proxmox VE."
)]
pub(crate) struct Args {
    /// How logs are written.
    #[arg(long, global = true, default_value = "text", env = "OXMOX_LOG_FORMAT")]
    pub(crate) log_format: String,
    /// Which logs are written: `info`, `debug`, or a filter such as `info,pve=debug`.
    #[arg(long, global = true, default_value = "info", env = "OXMOX_LOG")]
    pub(crate) log: String,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run one of the long-running parts.
    #[command(subcommand)]
    Run(Run),
    /// Print the definitions of the custom resources as YAML.
    #[command(after_help = "Example:\n  oxmox crds | kubectl apply --server-side -f -")]
    Crds,
    Verify(Box<command::verify::Args>),
    /// Show everything on a simulated Proxmox VE, with real Kubernetes.
    #[cfg(feature = "demo")]
    Demo(command::demo::Args),
    #[cfg(feature = "demo")]
    #[command(name = testkit::leash::INIT, hide = true)]
    LabInit(command::demo::InitArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Run {
    Capi(Box<command::run_capi::Args>),
    Ccm(Box<command::run_ccm::Args>),
    Exporter(Box<command::run_exporter::Args>),
}

/// Where a Kubernetes is.
#[derive(Debug, clap::Args)]
pub(crate) struct Kubernetes {
    /// Kubeconfig file; without it, the usual places and the pod's own account.
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

impl Kubernetes {
    /// A client.
    pub(crate) async fn client(&self) -> anyhow::Result<kube::Client> {
        use anyhow::Context as _;
        let config = match &self.kubeconfig {
            Some(file) => {
                let kubeconfig = kube::config::Kubeconfig::read_from(file)
                    .with_context(|| format!("--kubeconfig: read `{}`", file.display()))?;
                kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default())
                    .await
                    .with_context(|| format!("--kubeconfig: use `{}`", file.display()))?
            }
            None => kube::Config::infer()
                .await
                .context("find a Kubernetes: no --kubeconfig, no ~/.kube/config, and not running in a pod")?,
        };
        kube::Client::try_from(config).context("make a Kubernetes client")
    }
}

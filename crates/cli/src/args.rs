//! The command line.

use std::error::Error as _;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use kube::config::{InferConfigError, Kubeconfig, KubeconfigError};

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
        oxmox run csi-controller --help                 run the controller of the CSI driver\n  \
        oxmox run csi-node --help                       run its node plugin\n  \
        oxmox verify --help                             check a Proxmox VE and a cluster on it\n  \
        oxmox worker --help                             join this machine to a cluster, and leave again\n\n\
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
    #[command(subcommand)]
    Worker(command::worker::Command),
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
    CsiController(Box<command::run_csi_controller::Args>),
    CsiNode(Box<command::run_csi_node::Args>),
    Exporter(Box<command::run_exporter::Args>),
}

/// Where a Kubernetes is.
#[derive(Debug, clap::Args)]
pub(crate) struct Kubernetes {
    /// Kubeconfig file; without it, the usual places and the pod's own account.
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    pub(crate) kubeconfig: Option<OsString>,
}

/// One or several files, as `$KUBECONFIG` may name them; what comes first counts.
fn merged(files: &OsStr) -> anyhow::Result<Kubeconfig> {
    let read = |file: PathBuf| {
        Kubeconfig::read_from(&file).map_err(told).with_context(|| format!("--kubeconfig: read `{}`", file.display()))
    };
    let files = std::env::split_paths(files).filter(|file| !file.as_os_str().is_empty());
    files.map(read).try_fold(Kubeconfig::default(), |before, next| {
        before.merge(next?).context("--kubeconfig: put the files together")
    })
}

/// A kubeconfig holds keys, and a parser's error quotes what it could not read: only the place is told.
fn told(why: KubeconfigError) -> anyhow::Error {
    match why {
        KubeconfigError::Parse(why) => place(&why),
        other => other.into(),
    }
}

fn place(why: &serde_saphyr::Error) -> anyhow::Error {
    match why.location() {
        Some(at) => anyhow::anyhow!("it is no kubeconfig: look at line {}, column {}", at.line(), at.column()),
        None => anyhow::anyhow!("it is no kubeconfig"),
    }
}

/// The same where nobody named a file.
fn inferred(why: InferConfigError) -> anyhow::Error {
    match why.source().and_then(|cause| cause.downcast_ref()) {
        Some(KubeconfigError::Parse(why)) => place(why).context("read ~/.kube/config"),
        _ => why.into(),
    }
}

impl Kubernetes {
    /// A client.
    pub(crate) async fn client(&self) -> anyhow::Result<kube::Client> {
        let config = match self.kubeconfig.as_ref().filter(|files| !files.is_empty()) {
            Some(files) => {
                let shown = files.display();
                let kubeconfig = merged(files)?;
                kube::Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default())
                    .await
                    .with_context(|| format!("--kubeconfig: use `{shown}`"))?
            }
            None => kube::Config::infer()
                .await
                .map_err(inferred)
                .context("find a Kubernetes: no --kubeconfig, no ~/.kube/config, and not running in a pod")?,
        };
        kube::Client::try_from(config).context("make a Kubernetes client")
    }
}

#[cfg(test)]
mod test {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_line_can_be_read() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_kubeconfig_that_does_not_read_is_not_quoted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "apiVersion: v1\nusers: s3cr3t-t0ken\n").unwrap();
        let why = format!("{:#}", merged(file.path().as_os_str()).unwrap_err());
        assert!(why.contains("line 2") && !why.contains("s3cr3t"), "{why}");
    }

    #[test]
    fn what_says_two_things_at_once_is_refused() {
        let read = |line: &str| Args::try_parse_from(line.split(' ')).map_err(|why| why.kind());
        let both = read("oxmox verify --proxmox-only --cluster a");
        assert_eq!(both.unwrap_err(), clap::error::ErrorKind::ArgumentConflict);
        assert!(read("oxmox verify --cluster a --namespace b").is_ok());
        assert_eq!(read("oxmox run capi --concurrency 0").unwrap_err(), clap::error::ErrorKind::ValueValidation);
    }
}

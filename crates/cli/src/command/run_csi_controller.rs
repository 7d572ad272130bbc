//! `oxmox run csi-controller`: the controller of the CSI driver.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use csi::{ControllerSettings, DRIVER, RegionSettings};
use pve::PollerOptions;

use crate::proxmox::Proxmox;
use crate::settings::cloud_config::{self, CloudConfig};

/// Run the controller of the CSI driver: volumes of Proxmox VE for PersistentVolumeClaims.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    oxmox run csi-controller --csi-address unix:///csi/csi.sock --region eu --pool kubernetes \\\n    \
    --proxmox-url https://pve1:8006 --proxmox-token 'csi@pve!oxmox' --proxmox-secret UUID\n  \
    oxmox run csi-controller --cloud-config /etc/proxmox/config.yaml --pool kubernetes\n\n\
    The sidecars (external-provisioner, -attacher, -snapshotter, -resizer) stand beside it on the same socket.\n\
    Volumes belong to holder VMs: docs/reference/csi.md says what these are and which rights the token needs.\n\
    Signals: SIGTERM and SIGINT end it orderly, calls under way are answered.")]
pub(crate) struct Args {
    #[command(flatten)]
    proxmox: Proxmox,
    /// Region of the Proxmox VE at --proxmox-url: what handles and topology call it.
    #[arg(long, env = "PROXMOX_REGION", default_value = "default", value_name = "NAME")]
    region: String,
    /// YAML with one or more clusters, as the driver that people use now reads it:
    /// `clusters: [{url, region, token_id, token_secret, insecure}]`.
    #[arg(long, value_name = "FILE", conflicts_with = "proxmox_url")]
    cloud_config: Option<PathBuf>,
    /// Unix socket to serve on.
    #[arg(long, default_value = "unix:///csi/csi.sock", value_name = "unix://PATH")]
    csi_address: String,
    /// Name of the driver.
    #[arg(long, default_value = DRIVER, value_name = "NAME")]
    driver_name: String,
    /// Pool that holder VMs are made in, which the token has its rights on.
    #[arg(long, env = "PROXMOX_POOL", value_name = "POOL")]
    pool: Option<String>,
    /// Whose volumes these are: holder VMs carry it in their notes, and those of others are left alone. Default: the
    /// pool's name.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Make a holder VM where none has room (needs VM.Allocate on the pool).
    #[arg(long, default_value = "true", default_missing_value = "true", num_args = 0..=1)]
    make_holders: bool,
    /// Minutes after which other VMs' configurations are read again before a volume is attached, grown or deleted.
    #[arg(long, default_value_t = 30, value_name = "MINUTES")]
    recheck: u16,
    /// Where /healthz, /readyz and /metrics are served; empty: nowhere.
    #[arg(long, default_value = "0.0.0.0:8082", value_name = "ADDRESS:PORT")]
    admin_addr: String,
    /// Seconds between readings of Proxmox VE.
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    poll_idle: f64,
    /// Seconds between readings of tasks under way.
    #[arg(long, default_value_t = 0.25, value_name = "SECONDS")]
    poll_tasks: f64,
}

/// `unix:///csi/csi.sock`, `unix:/csi/csi.sock` or the path.
pub(super) fn socket(text: &str) -> anyhow::Result<PathBuf> {
    let path = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")).unwrap_or(text);
    anyhow::ensure!(path.starts_with('/'), "--csi-address: `{text}` is not unix:// and an absolute path");
    Ok(PathBuf::from(path))
}

pub(super) fn admin(text: &str) -> anyhow::Result<Option<SocketAddr>> {
    match text {
        "" => Ok(None),
        text => text.parse().map(Some).with_context(|| format!("--admin-addr: `{text}` is not ADDRESS:PORT")),
    }
}

impl Args {
    fn regions(&self) -> anyhow::Result<Vec<RegionSettings>> {
        if let Some(file) = &self.cloud_config {
            let config = CloudConfig::read(file)?;
            let region =
                |of: &cloud_config::Cluster| Ok(RegionSettings { name: of.region.clone(), client: of.client()? });
            return config.clusters.iter().map(region).collect();
        }
        match self.proxmox.credentials()? {
            None => bail!("no Proxmox VE is named: give --proxmox-url (or $PROXMOX_URL), or --cloud-config"),
            Some(credentials) => {
                cloud_config::check_region(&self.region).context("--region")?;
                let client = credentials.config().map_err(|why| anyhow::anyhow!("--proxmox-{why}"))?;
                Ok(vec![RegionSettings { name: self.region.clone(), client }])
            }
        }
    }

    fn settings(&self) -> anyhow::Result<ControllerSettings> {
        let seconds = |flag: &str, value: f64| {
            Duration::try_from_secs_f64(value)
                .ok()
                .filter(|wait| !wait.is_zero())
                .with_context(|| format!("{flag}: `{value}` is no number of seconds above 0"))
        };
        let pool = self.pool.as_deref().filter(|pool| !pool.is_empty());
        let tenant = self.tenant.as_deref().or(pool).unwrap_or("kubernetes");
        anyhow::ensure!(
            !tenant.is_empty() && !tenant.contains(char::is_whitespace),
            "--tenant: `{tenant}` is empty or holds a blank"
        );
        let tasks = seconds("--poll-tasks", self.poll_tasks)?;
        let idle = seconds("--poll-idle", self.poll_idle)?;
        Ok(ControllerSettings {
            socket: socket(&self.csi_address)?,
            driver: self.driver_name.clone(),
            regions: self.regions()?,
            tenant: tenant.to_owned(),
            pool: pool.map(str::parse).transpose().context("--pool")?,
            make_holders: self.make_holders,
            pace: PollerOptions { idle, tasks, ..PollerOptions::default() },
            recheck: Duration::from_mins(self.recheck.into()),
            admin: admin(&self.admin_addr)?,
        })
    }
}

/// Runs it until it is told to stop.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    csi::controller(args.settings()?, daemon::shutdown::on_signal()).await?;
    Ok(ExitCode::SUCCESS)
}

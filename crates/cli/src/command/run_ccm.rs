//! `oxmox run ccm`: the cloud controller manager.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use ccm::{Cluster, Settings};
use ipnet::IpNet;
use plan::node::{Follow, Form, Network, Source};

use crate::args::Kubernetes;
use crate::proxmox::Proxmox;
use crate::settings::cloud_config::{self, CloudConfig, Features, Mode, Provider};

/// Run the cloud controller manager: Nodes learn which VM they are, and go when it is gone.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    oxmox run ccm --proxmox-url https://pve1:8006 --proxmox-token 'ccm@pve!oxmox' --proxmox-secret UUID --region dc1\n  \
    oxmox run ccm --cloud-config /etc/kubernetes/cloud-config.yaml      one or more clusters, each its region\n\n\
    Kubelets have to be started with --cloud-provider=external.\n\
    Signals: SIGTERM and SIGINT end it orderly; the Lease is given back.")]
pub(crate) struct Args {
    #[command(flatten)]
    kubernetes: Kubernetes,
    #[command(flatten)]
    proxmox: Proxmox,
    /// Region of the one Proxmox VE that --proxmox-url names.
    #[arg(long, env = "PROXMOX_REGION", default_value = "default", value_name = "REGION")]
    region: String,
    /// YAML file with clusters and features, in the shape that proxmox-cloud-controller-manager reads.
    #[arg(long, env = "CLOUD_CONFIG", value_name = "FILE")]
    cloud_config: Option<PathBuf>,
    /// Form of provider IDs that are written: `default` is proxmox://REGION/VMID, `capmox` is proxmox://UUID. Both are
    /// read. Without it: features.provider of the cloud config; without one: capmox.
    #[arg(long, value_enum, value_name = "FORM")]
    provider: Option<Provider>,
    /// Where addresses of Nodes come from: `default`, --node-ip of the kubelet alone; `auto`, from the guest agent as
    /// well (needs VM.GuestAgent.Audit). Without it: features.network.mode of the cloud config; without one: auto.
    #[arg(long, value_enum, value_name = "MODE")]
    network_mode: Option<Mode>,
    /// Nodes that are worked on at the same time.
    #[arg(long, default_value_t = 16, value_name = "N")]
    concurrency: u16,
    /// Elect a leader by a Lease, so that several replicas may run.
    #[arg(long, default_value = "true", default_missing_value = "true", num_args = 0..=1)]
    leader_elect: bool,
    /// Namespace of the Lease `cloud-controller-manager-proxmox`.
    #[arg(long, env = "POD_NAMESPACE", default_value = "oxmox-system", value_name = "NAMESPACE")]
    lease_namespace: String,
    /// Where /healthz, /readyz and /metrics are served; empty: nowhere.
    #[arg(long, default_value = "0.0.0.0:8082", value_name = "ADDRESS:PORT")]
    admin_addr: String,
    /// Seconds between readings of each Proxmox VE, which all Nodes share.
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    poll: f64,
}

impl Args {
    fn settings(&self) -> anyhow::Result<Settings> {
        let admin: Option<SocketAddr> = match self.admin_addr.as_str() {
            "" => None,
            text => Some(text.parse().with_context(|| format!("--admin-addr: `{text}` is not ADDRESS:PORT"))?),
        };
        let poll = Duration::try_from_secs_f64(self.poll)
            .ok()
            .filter(|wait| !wait.is_zero())
            .with_context(|| format!("--poll: `{}` is no number of seconds above 0", self.poll))?;
        let (mut features, clusters) = self.clusters()?;
        if let Some(mode) = self.network_mode {
            features.network.mode = mode;
        }
        Ok(Settings {
            clusters,
            nodes: nodes(&features, self.provider)?,
            concurrency: self.concurrency,
            leader_elect: self.leader_elect,
            lease_namespace: self.lease_namespace.clone(),
            admin,
            poll,
        })
    }

    fn clusters(&self) -> anyhow::Result<(Features, Vec<Cluster>)> {
        if let Some(file) = &self.cloud_config {
            let config = CloudConfig::read(file)?;
            let client = |cluster: &cloud_config::Cluster| {
                Ok(Cluster { region: cluster.region.clone(), client: cluster.client()? })
            };
            let clusters = config.clusters.iter().map(client).collect::<anyhow::Result<_>>()?;
            return Ok((config.features, clusters));
        }
        cloud_config::check_region(&self.region).context("--region")?;
        let credentials = self.proxmox.credentials()?.context(
            "no Proxmox VE is named: give --cloud-config, or --proxmox-url with --proxmox-token and --proxmox-secret",
        )?;
        let client = credentials.config().map_err(|why| anyhow::anyhow!("--proxmox-{why}"))?;
        let mut features = Features { provider: Provider::Capmox, ..Features::default() };
        features.network.mode = Mode::Auto;
        Ok((features, vec![Cluster { region: self.region.clone(), client }]))
    }
}

/// What the features mean here.
fn nodes(features: &Features, provider: Option<Provider>) -> anyhow::Result<plan::node::Settings> {
    ensure!(
        !features.ha_group,
        "--cloud-config: features.ha_group: Proxmox VE 9 has no HA groups any more; the zone is the node. Leave it out"
    );
    let form = match provider.unwrap_or(features.provider) {
        Provider::Default => Form::Number,
        Provider::Capmox => Form::Uuid,
    };
    let follow = if features.force_update_labels == Some(false) { Follow::OursAlone } else { Follow::All };
    let network = &features.network;
    let list = |key: &str, text: &str| -> anyhow::Result<Vec<(bool, IpNet)>> {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let read = |word: &str| {
            let (out, net) = word.strip_prefix('!').map_or((false, word), |net| (true, net));
            let net = net.parse().with_context(|| format!("--cloud-config: features.network.{key}: `{word}`"))?;
            Ok((out, net))
        };
        words.map(read).collect()
    };
    let external = list("external_ip_cidrs", &network.external_ip_cidrs)?;
    let order = list("ip_sort_order", &network.ip_sort_order)?;
    let pick = |all: &[(bool, IpNet)], out: bool| all.iter().filter(|(o, _)| *o == out).map(|(_, net)| *net).collect();
    Ok(plan::node::Settings {
        form,
        follow,
        network: Network {
            source: match network.mode {
                Mode::Default => Source::Provided,
                Mode::Qemu | Mode::Auto => Source::Agent,
            },
            external: pick(&external, false),
            sort: pick(&order, false),
            ignore: pick(&order, true),
            ipv6: !network.ipv6_support_disabled,
        },
    })
}

/// Runs it until it is told to stop.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let settings = args.settings()?;
    let kube = args.kubernetes.client().await?;
    ccm::run(settings, kube, daemon::shutdown::on_signal()).await?;
    Ok(ExitCode::SUCCESS)
}

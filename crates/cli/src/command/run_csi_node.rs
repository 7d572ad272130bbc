//! `oxmox run csi-node`: the node plugin of the CSI driver.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use csi::{DRIVER, NodeSettings, Place, Registration, Roots, host::LinuxHost};
use k8s_openapi::api::core::v1::Node;
use tokio_util::sync::CancellationToken;

use super::run_csi_controller::{admin, socket};
use crate::args::Kubernetes;

/// Run the node plugin of the CSI driver: disks become file systems of pods.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    oxmox run csi-node --node-id \"$NODE_NAME\"                     region and zone from the Node's labels\n  \
    oxmox run csi-node --node-id w-0 --region eu --zone pve1      no Kubernetes is asked\n\n\
    It registers itself with the kubelet; with node-driver-registrar beside it, give --registration-dir ''.\n\
    It needs root, the host's /dev, the kubelet's directory with mounts passed on both ways, and blkid, mkfs.ext4,\n\
    mkfs.xfs, e2fsck, resize2fs, xfs_growfs, mount and umount.")]
pub(crate) struct Args {
    #[command(flatten)]
    kubernetes: Kubernetes,
    /// The node as Kubernetes calls it.
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    node_id: String,
    /// Number of the node's VM. Without it, the number that the firmware's serial says, else the firmware's UUID.
    #[arg(long, value_name = "VMID")]
    vmid: Option<u32>,
    /// Region; without it, the label topology.kubernetes.io/region of the Node.
    #[arg(long, value_name = "NAME", requires = "zone")]
    region: Option<String>,
    /// Zone, the node of Proxmox VE; without it, the label topology.kubernetes.io/zone of the Node.
    #[arg(long, value_name = "NAME", requires = "region")]
    zone: Option<String>,
    /// Volumes that the node takes. Without it, the label csi.proxmox.sinextra.dev/max-volume-attachments, else 24.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=30))]
    max_volumes: Option<u8>,
    /// Unix socket to serve on.
    #[arg(long, default_value = "unix:///csi/csi.sock", value_name = "unix://PATH")]
    csi_address: String,
    /// Name of the driver.
    #[arg(long, default_value = DRIVER, value_name = "NAME")]
    driver_name: String,
    /// Directory that the kubelet watches for plugins; empty: do not register.
    #[arg(long, default_value = "/registration", value_name = "DIR")]
    registration_dir: String,
    /// The socket of --csi-address as the kubelet sees it.
    #[arg(long, value_name = "PATH")]
    kubelet_socket: Option<String>,
    /// Where /dev is.
    #[arg(long, default_value = "/dev", value_name = "DIR")]
    dev_root: PathBuf,
    /// Where /sys is.
    #[arg(long, default_value = "/sys", value_name = "DIR")]
    sys_root: PathBuf,
    /// Where /healthz, /readyz and /metrics are served; empty: nowhere.
    #[arg(long, default_value = "", value_name = "ADDRESS:PORT")]
    admin_addr: String,
}

/// Labels that name region and zone, those that win first.
const REGION: [&str; 2] = ["topology.proxmox.sinextra.dev/region", "topology.kubernetes.io/region"];
const ZONE: [&str; 2] = ["topology.proxmox.sinextra.dev/node", "topology.kubernetes.io/zone"];
const MAX_VOLUMES: &str = "csi.proxmox.sinextra.dev/max-volume-attachments";
/// As in the driver that people use now.
const DEFAULT_VOLUMES: u8 = 24;
/// Labels come with the cloud controller manager, which may be later than we are.
const LABELS_EVERY: Duration = Duration::from_secs(2);

impl Args {
    /// `NAME/VMID`, `NAME/UUID` or, where the firmware says neither, `NAME`.
    fn id(&self) -> String {
        let name = &self.node_id;
        let read = |file: &str| std::fs::read_to_string(self.sys_root.join("class/dmi/id").join(file)).ok();
        let number = self.vmid.map(|vmid| vmid.to_string()).or_else(|| serial_vmid(&read("product_serial")?));
        let uuid = || read("product_uuid").map(|uuid| uuid.trim().to_ascii_lowercase()).filter(|uuid| !uuid.is_empty());
        number.or_else(uuid).map_or_else(|| name.clone(), |proof| format!("{name}/{proof}"))
    }

    async fn place(&self, stop: &CancellationToken) -> anyhow::Result<Option<(Place, Option<u8>)>> {
        if let (Some(region), Some(zone)) = (&self.region, &self.zone) {
            return Ok(Some((Place { region: region.clone(), zone: zone.clone() }, None)));
        }
        let nodes: kube::Api<Node> = kube::Api::all(self.kubernetes.client().await?);
        let mut every = tokio::time::interval(LABELS_EVERY);
        loop {
            tokio::select! {
                _ = every.tick() => {}
                () = stop.cancelled() => return Ok(None),
            }
            let node =
                nodes.get(&self.node_id).await.with_context(|| format!("--node-id: read Node `{}`", self.node_id));
            let labels = match node {
                Ok(node) => node.metadata.labels.unwrap_or_default(),
                Err(why) => {
                    tracing::warn!("{why:#}: trying again");
                    continue;
                }
            };
            if let Some(place) = of_labels(&labels) {
                return Ok(Some(place));
            }
            tracing::warn!(
                node = self.node_id,
                "waiting for the labels {} and {} of the Node (or give --region and --zone)",
                REGION[1],
                ZONE[1]
            );
        }
    }
}

/// The number in a serial such as `h=w-0;i=101`.
fn serial_vmid(serial: &str) -> Option<String> {
    let number = serial.trim().split(';').find_map(|part| part.strip_prefix("i="))?;
    number.parse::<u32>().ok().filter(|number| *number >= 100).map(|number| number.to_string())
}

fn of_labels(labels: &BTreeMap<String, String>) -> Option<(Place, Option<u8>)> {
    let first = |keys: [&str; 2]| keys.into_iter().find_map(|key| labels.get(key)).cloned();
    let most = labels.get(MAX_VOLUMES).and_then(|text| text.parse().ok()).filter(|most| *most <= 30);
    Some((Place { region: first(REGION)?, zone: first(ZONE)? }, most))
}

/// Runs it until it is told to stop.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let stop = daemon::shutdown::on_signal();
    let socket = socket(&args.csi_address)?;
    let endpoint = match &args.kubelet_socket {
        Some(path) => path.clone(),
        None => Path::new("/var/lib/kubelet/plugins").join(&args.driver_name).join("csi.sock").display().to_string(),
    };
    let Some((place, most)) = args.place(&stop).await? else { return Ok(ExitCode::SUCCESS) };
    let roots = Roots { dev: args.dev_root.clone(), sys: args.sys_root.clone(), ..Roots::default() };
    let directory = Some(args.registration_dir.clone()).filter(|directory| !directory.is_empty());
    let settings = NodeSettings {
        socket,
        driver: args.driver_name.clone(),
        node: args.id(),
        place,
        max_volumes: args.max_volumes.or(most).unwrap_or(DEFAULT_VOLUMES),
        registration: directory.map(|directory| Registration { directory: directory.into(), endpoint }),
        roots: roots.clone(),
        admin: admin(&args.admin_addr)?,
    };
    csi::node(settings, LinuxHost::new(roots), stop).await?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_firmwares_serial_names_the_vm() {
        assert_eq!(serial_vmid("h=w-0;i=101\n"), Some("101".to_owned()));
        assert_eq!(serial_vmid("h=w-0"), None);
        assert_eq!(serial_vmid("i=7"), None);
    }

    #[test]
    fn labels_of_the_driver_that_people_use_now_win() {
        let of = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let both = [(REGION[1], "eu"), (ZONE[1], "a"), (ZONE[0], "pve1"), (MAX_VOLUMES, "12")];
        let (place, most) = of_labels(&of(&both)).unwrap();
        assert_eq!((place.region.as_str(), place.zone.as_str(), most), ("eu", "pve1", Some(12)));
        assert_eq!(of_labels(&of(&[(REGION[1], "eu")])), None);
    }
}

//! The storage driver of the workload cluster: its objects, its node plugin on every Node, its controller with
//! Kubernetes' own sidecars beside the management plane, each under the ServiceAccount and rights of the chart.
//!
//! external-resizer cannot be had as a Go module: [`super::resizer`] stands in for it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use testkit::{NotYet, ProcessSpec, Tool, eventually};

use super::cloud::Role;
use super::set::{NAMESPACE, Set, beside};
use super::workload::Workload;

const DRIVER_OBJECT: &str = include_str!("../../../../../charts/oxmox/files/csi-driver.yaml");
const NODE_RIGHTS: &str = include_str!("../../../../../charts/oxmox/files/csi-node-rbac.yaml");
const NODE_PLUGIN: &str = include_str!("csi-node.yaml");

/// The controller, with the rights that docs/guide/credentials.md gives it.
const CONTROLLER: Role = Role {
    name: "csi-controller",
    rbac: include_str!("../../../../../charts/oxmox/files/csi-controller-rbac.yaml"),
    privileges: "VM.Audit,VM.Allocate,VM.Clone,VM.Config.Disk,VM.Config.Options,Datastore.AllocateSpace,Datastore.Audit",
};

/// Kubernetes' own, which share the controller's pod.
const SIDECARS: [Tool; 3] = [Tool::CsiProvisioner, Tool::CsiAttacher, Tool::CsiSnapshotter];
const RESIZER: &str = "stand-in for csi-resizer";

/// The pool that holder VMs are made in.
const POOL: &str = "kubernetes";

/// Puts all of it in place.
pub(super) async fn start(set: &mut Set, workload: &Workload) -> Result<()> {
    let socket = set.dir.join("csi.sock");
    let address = format!("unix://{}", socket.display());
    let flags = ["--pool", POOL, "--admin-addr", "127.0.0.1:8085", "--csi-address", &address];
    set.role(workload, CONTROLLER, &flags).await?;
    let plugin = NODE_PLUGIN.replace("oxmox:VERSION", guest_node::OXMOX_IMAGE);
    for (name, text) in [("csi-driver", DRIVER_OBJECT), ("csi-node-rbac", NODE_RIGHTS), ("csi-node", &plugin)] {
        workload.apply(name, text).await.with_context(|| format!("apply {name}"))?;
    }
    // a link to a directory: kubectl reads only what ends like one
    let definitions = format!("{}/", set.tools.join(Tool::SnapshotCrds.file_name()).display());
    workload.kubectl(&["apply", "--server-side", "--filename", &definitions]).await.context("snapshot definitions")?;

    // where Set::role puts it
    let account = set.dir.join("oxmox-csi-controller.kubeconfig");
    for sidecar in sidecars(set, &socket, &account)? {
        set.start(sidecar)?;
    }
    // It belongs to the cluster, not to a driver, and has rights of its own there.
    let snapshots = set.tools.join(Tool::SnapshotController.file_name());
    let snapshots = ProcessSpec::new("snapshot-controller", snapshots, set.dir.join("snapshot-controller.log"))
        .arg("--kubeconfig")
        .arg(&workload.kubeconfig);
    set.start(snapshots)
}

/// Kubernetes' own beside it, with the chart's flags; not in a pod, so nobody owns what they write of storages' room,
/// and alone, so none has to lead.
fn sidecars(set: &Set, socket: &Path, account: &Path) -> Result<Vec<ProcessSpec>> {
    let flags = |tool| -> &[&str] {
        if tool != Tool::CsiProvisioner {
            return &[];
        }
        &[
            "--default-fstype=ext4",
            "--extra-create-metadata=true",
            "--enable-capacity=true",
            "--capacity-ownerref-level=-1",
            "--immediate-topology=false",
        ]
    };
    let mut all: Vec<ProcessSpec> = SIDECARS
        .into_iter()
        .map(|tool| {
            let name = tool.file_name();
            ProcessSpec::new(name, set.tools.join(name), set.dir.join(format!("{name}.log")))
                .arg(format!("--csi-address={}", socket.display()))
                .arg(format!("--kubeconfig={}", account.display()))
                .args(["--timeout=3m"])
                .args(flags(tool))
                .env("NAMESPACE", NAMESPACE)
        })
        .collect();
    all.push(
        ProcessSpec::new(RESIZER, beside("oxmox")?, set.dir.join("csi-resizer.log"))
            .args(["demo", "resizer", "--csi-address"])
            .arg(socket)
            .env("KUBECONFIG", account),
    );
    Ok(all)
}

/// Kills the controller's pod, so to say, and every node plugin's, with no time to say good-bye; all of it comes again.
pub(super) async fn killed(set: &mut Set, workload: &Workload) -> Result<()> {
    for name in [CONTROLLER.name, RESIZER].into_iter().chain(SIDECARS.map(Tool::file_name)) {
        set.restart(name).await.with_context(|| format!("kill {name}"))?;
    }
    let plugins = "--selector=app.kubernetes.io/component=csi-node";
    let words = ["--namespace", NAMESPACE, "delete", "pods", plugins, "--grace-period=0", "--force"];
    workload.kubectl(&words).await.context("kill the node plugins").map(drop)
}

/// Waits until so many Nodes know the driver, which they do when its plugin has registered there.
pub(super) async fn registered(workload: &Workload, nodes: usize) -> Result<()> {
    let path = "jsonpath={range .items[*]}{.metadata.name}={.spec.drivers[*].name}{\"\\n\"}{end}";
    let all = eventually(Duration::from_secs(90), || async {
        let text = workload.kubectl(&["get", "csinodes", "-o", path]).await?;
        let have = text.lines().filter(|line| line.contains(csi::DRIVER)).count();
        if have == nodes {
            return Ok(());
        }
        let pods = workload.kubectl(&["-n", NAMESPACE, "get", "pods", "-o", "wide", "--no-headers"]).await?;
        Err(NotYet::because(format!("{have} of {nodes} Nodes know the driver; its pods:\n{pods}")))
    });
    all.await.context("wait for the node plugin")
}

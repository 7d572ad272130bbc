//! The stages of the story, each proven before the next begins.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use testkit::{NotYet, TimedOut, eventually};

use super::say::Stages;
use super::set::{Set, TOKEN, beside};
use super::volumes::{self, Sums, Volumes};
use super::workload::Workload;
use super::{Cni, proxmox};

const QUICKSTART: &str = include_str!("../../../../../examples/quickstart/cluster.yaml");
pub(super) const CLUSTER: &str = "quickstart";
const WORKERS: &str = "quickstart-workers";

/// The last step that a living cluster is verified for; the eighth is judged when the story has ended.
const LIVING: u8 = 7;

/// The story so far.
pub(super) struct Story<'a> {
    pub(super) set: &'a mut Set,
    pub(super) stages: &'a mut Stages,
}

/// One machine, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Machine {
    name: String,
    phase: String,
    pub(super) why: String,
    pub(super) vmid: Option<u64>,
    worker: bool,
    deleting: bool,
}

impl<'a> Story<'a> {
    pub(super) fn new(set: &'a mut Set, stages: &'a mut Stages) -> Self {
        Self { set, stages }
    }

    /// The quickstart's manifests, until all machines run.
    pub(super) async fn quickstart(&mut self) -> Result<Workload> {
        self.stages.begin("quickstart");
        self.set.plane.apply(QUICKSTART).await.context("apply examples/quickstart")?;
        self.stages.note("applied examples/quickstart/cluster.yaml");
        self.until(Duration::from_mins(4), |machines| machines.iter().any(|m| !m.worker && m.phase == "Running"))
            .await?;
        self.stages.note("the control plane runs: a real `kubeadm init` in a VM");
        let workload = Workload::open(&self.set.dir, &self.set.tools, &self.set.plane, CLUSTER).await?;
        self.set.cloud_controller_manager(&workload).await?;
        self.stages.note("the cloud controller manager runs under the ServiceAccount and RBAC of its chart");
        if self.set.cni == Cni::Cilium {
            self.install_cilium(&workload).await?;
        }
        self.until(Duration::from_mins(3), |machines| running(machines) == (1, 2)).await?;
        self.stages.note("all machines run");
        Ok(workload)
    }

    /// The workload cluster's Nodes.
    pub(super) async fn nodes(&mut self, workload: &Workload) -> Result<()> {
        self.stages.begin("nodes");
        for line in workload.nodes(3, Duration::from_mins(2)).await?.lines() {
            self.stages.note(line);
        }
        Ok(())
    }

    /// Pods on them.
    pub(super) async fn pods(&mut self, workload: &Workload) -> Result<()> {
        self.stages.begin("pods");
        let stages = &mut *self.stages;
        workload.pods(guest_node::DEMO_IMAGE, &mut |text| stages.note(text)).await
    }

    /// Two workers, three, two.
    pub(super) async fn scale(&mut self, workload: &Workload) -> Result<()> {
        self.stages.begin("scale");
        for count in [3, 2] {
            let replicas = format!("--replicas={count}");
            self.set.plane.kubectl(&["scale", "machinedeployment", WORKERS, &replicas]).await?;
            if count == 3 {
                self.until(Duration::from_mins(1), |machines| machines.iter().any(|machine| machine.why == "Cloning"))
                    .await?;
                for name in ["oxmox", "ccm"] {
                    self.set.restart(name).await?;
                }
                self.stages.note("SIGKILL: the manager, in the middle of a clone, and the cloud controller manager");
            }
            self.until(Duration::from_mins(3), |machines| {
                running(machines) == (1, count) && machines.len() == count + 1
            })
            .await?;
            workload.nodes(count + 1, Duration::from_secs(90)).await?;
            self.stages.note(&format!("{count} workers, {} Nodes Ready", count + 1));
        }
        Ok(())
    }

    /// A VM destroyed behind everybody's back.
    pub(super) async fn repair(&mut self, workload: &Workload) -> Result<()> {
        self.stages.begin("repair");
        let victim = self.running_worker().await?;
        let vmid = victim.vmid.context("the worker has no VMID")?;
        self.set.sim.meddle(&format!("/sim/vms/{vmid}/destroy"), &Value::Null).await?;
        self.stages.note(&format!("VM {vmid} of {} is gone", victim.name));
        self.until(Duration::from_mins(3), |machines| {
            running(machines) == (1, 2)
                && machines.len() == 3
                && machines.iter().all(|machine| machine.name != victim.name)
        })
        .await?;
        workload.nodes(3, Duration::from_mins(2)).await?;
        self.stages.note("the MachineHealthCheck had it replaced");
        workload.own_pods(Duration::from_mins(2)).await?;
        self.stages.note("what ran on it runs elsewhere");
        Ok(())
    }

    /// The storage driver.
    pub(super) fn volumes<'b>(&'b mut self, workload: &'b Workload, administrator: &'b pve::Client) -> Volumes<'b> {
        Volumes { set: self.set, stages: self.stages, workload, administrator }
    }

    /// What was written is still there.
    pub(super) async fn data(&mut self, workload: &Workload, administrator: &pve::Client, sums: &Sums) -> Result<()> {
        self.volumes(workload, administrator).hold(sums, Duration::from_mins(3)).await?;
        self.stages.note("store-0 and store-1 are Ready, their checksums hold");
        Ok(())
    }

    /// The verification on the living cluster, with pods that prove the network policies.
    pub(super) async fn verify(&mut self, step: u8) -> Result<u8> {
        self.stages.begin("verify");
        let reports = self.set.dir.join("reports");
        let mut verify = tokio::process::Command::new(std::env::current_exe()?);
        verify.args(["--log", "warn", "verify", "--report"]).arg(&reports);
        verify.args((1..=step.min(LIVING)).map(|number| number.to_string()));
        if step >= 3 {
            verify.args(["--cluster", CLUSTER]);
        }
        if step >= 6 {
            verify.args(["--probe", "--probe-image", guest_node::DEMO_IMAGE]);
            if self.set.cni == Cni::Cilium {
                verify.args(["--probe-outside", super::cilium::OUTSIDE]);
            }
        }
        if step >= 7 {
            verify.args(["--prometheus-url", super::monitoring::METRICS, "--logs-url", super::monitoring::LOGS]);
        }
        let output = verify
            .env("KUBECONFIG", self.set.plane.admin_kubeconfig())
            .env("PROXMOX_URL", &self.set.sim.url)
            .env("PROXMOX_TOKEN", TOKEN)
            .env("PROXMOX_SECRET", &self.set.sim.secret)
            .env("PROXMOX_ROOT_CA_FILE", &self.set.sim.ca_file)
            .output()
            .await
            .context("start `oxmox verify`")?;
        super::say::line(&String::from_utf8_lossy(&output.stdout));
        super::say::line(String::from_utf8_lossy(&output.stderr).trim_end());
        match output.status.code() {
            // warnings are shown, and are no reason to stop
            Some(0 | 1) => Ok(0),
            code => bail!("`oxmox verify` ended with {code:?}"),
        }
    }

    /// The report of all steps: what was read of the living cluster, and the story that has ended.
    pub(super) async fn report(&mut self) -> Result<u8> {
        self.stages.end("done");
        let (dir, reports) = (&self.set.dir, self.set.dir.join("reports"));
        let judge = |words: &[&str]| {
            let mut verify = tokio::process::Command::new(beside("oxmox")?);
            verify.args(["--log", "warn", "verify"]).args(words);
            verify.arg("--from").arg(reports.join("evidence.json")).arg("--story").arg(dir.join("story.json"));
            Ok::<_, anyhow::Error>(verify)
        };
        let shown = judge(&["end-to-end"])?.output().await.context("start `oxmox verify`")?;
        super::say::line("");
        super::say::line(String::from_utf8_lossy(&shown.stdout).trim_end());
        let whole = judge(&["all"])?.arg("--report").arg(&reports).output().await.context("start `oxmox verify`")?;
        match whole.status.code() {
            Some(0 | 1) => Ok(0),
            code => bail!("`oxmox verify` ended with {code:?}: {}", String::from_utf8_lossy(&whole.stderr).trim_end()),
        }
    }

    /// The cluster goes.
    pub(super) async fn delete(&mut self) -> Result<()> {
        self.stages.begin("delete");
        self.set.plane.kubectl(&["delete", "cluster", CLUSTER, "--wait=false"]).await?;
        let deadline = std::time::Instant::now() + Duration::from_mins(3);
        loop {
            let machines = self.machines().await?;
            let left = self.set.plane.kubectl(&["get", "cluster", CLUSTER, "--ignore-not-found", "-o", "name"]).await?;
            if left.trim().is_empty() {
                break;
            }
            let shown = show(&machines);
            self.stages.note(&shown);
            self.set.must_run()?;
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            ensure!(!left.is_zero(), "the Cluster is still there: {shown}");
            self.change(left, &shown).await?;
        }
        self.stages.note("the Cluster object is gone");
        Ok(())
    }

    /// Proxmox VE holds what it held before.
    pub(super) async fn nothing_left(&mut self, administrator: &pve::Client, before: &BTreeSet<String>) -> Result<()> {
        self.stages.begin("nothing-left");
        let holders = volumes::remove_holders(administrator).await?;
        self.stages.note(&format!("the administrator destroyed {holders} empty holder VMs, which the driver leaves"));
        // volumes of destroyed VMs are freed in their tasks, which have ended
        let after = proxmox::inventory(administrator).await?;
        let left: Vec<_> = after.difference(before).cloned().collect();
        let lost: Vec<_> = before.difference(&after).cloned().collect();
        ensure!(left.is_empty(), "left behind: {}", left.join(", "));
        ensure!(lost.is_empty(), "missing: {}", lost.join(", "));
        self.stages
            .note(&format!("the same {} VMs, volumes, HA entries and pool members; nothing is left", after.len()));
        Ok(())
    }

    /// Waits until the machines are as wanted, showing each change.
    async fn until(&mut self, limit: Duration, wanted: impl Fn(&[Machine]) -> bool) -> Result<()> {
        let deadline = std::time::Instant::now() + limit;
        loop {
            let machines = self.machines().await?;
            let shown = show(&machines);
            self.stages.note(&shown);
            if wanted(&machines) {
                return Ok(());
            }
            self.set.must_run()?;
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            ensure!(!left.is_zero(), "not there after {limit:?}: {shown}");
            self.change(left, &shown).await?;
        }
    }

    /// Waits until the machines are not shown as they were, or a few seconds.
    async fn change(&mut self, limit: Duration, shown: &str) -> Result<()> {
        let limit = limit.min(Duration::from_secs(5));
        let changed = eventually(limit, || async {
            let now = machines(&self.set.plane).await?;
            if show(&now) == shown { Err(NotYet::because("no change")) } else { Ok(()) }
        })
        .await;
        match changed {
            Ok(()) | Err(TimedOut::Limit { .. }) => Ok(()),
            Err(why) => Err(why.into()),
        }
    }

    /// A worker that runs.
    pub(super) async fn running_worker(&self) -> Result<Machine> {
        let mut machines = self.machines().await?.into_iter();
        machines.find(|machine| machine.worker && machine.phase == "Running").context("no worker runs")
    }

    pub(super) async fn machines(&self) -> Result<Vec<Machine>> {
        machines(&self.set.plane).await
    }
}

async fn machines(plane: &testkit::ControlPlane) -> Result<Vec<Machine>> {
    let text = plane.kubectl(&["get", "machines.cluster.x-k8s.io,proxmoxmachines", "-o", "json"]).await?;
    let list: Value = serde_json::from_str(&text).context("read the machines")?;
    let items = list.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    let word =
        |item: &Value, pointer: &str| item.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let of = |kind: &str| {
        items.iter().filter(|item| item.get("kind").and_then(Value::as_str) == Some(kind)).collect::<Vec<_>>()
    };
    let infrastructure = of("ProxmoxMachine");
    Ok(of("Machine")
        .into_iter()
        .map(|machine| {
            let name = word(machine, "/spec/infrastructureRef/name");
            let own = infrastructure.iter().find(|item| word(item, "/metadata/name") == name);
            let conditions =
                own.and_then(|own| own.pointer("/status/conditions")?.as_array().cloned()).unwrap_or_default();
            let ready = conditions.iter().find(|condition| word(condition, "/type") == "Ready");
            Machine {
                name: word(machine, "/metadata/name"),
                phase: word(machine, "/status/phase"),
                why: ready.map(|ready| word(ready, "/reason")).unwrap_or_default(),
                vmid: own.and_then(|own| own.pointer("/spec/virtualMachineID")?.as_u64()),
                worker: machine.pointer("/metadata/labels/nodepool").is_some(),
                deleting: machine.pointer("/metadata/deletionTimestamp").is_some(),
            }
        })
        .collect())
}

/// Control-plane machines and workers that run.
fn running(machines: &[Machine]) -> (usize, usize) {
    let count = |worker| machines.iter().filter(|m| m.worker == worker && m.phase == "Running" && !m.deleting).count();
    (count(false), count(true))
}

/// `quickstart-x7: Running · quickstart-workers-a: Provisioning (Cloning)`
fn show(machines: &[Machine]) -> String {
    let one = |machine: &Machine| {
        let short = machine.name.strip_prefix("quickstart-").unwrap_or(&machine.name);
        if machine.phase == "Running" || machine.why.is_empty() {
            format!("{short}: {}", machine.phase)
        } else {
            format!("{short}: {} ({})", machine.phase, machine.why)
        }
    };
    if machines.is_empty() { "no machines".into() } else { machines.iter().map(one).collect::<Vec<_>>().join(" · ") }
}

//! A node of Proxmox VE is lost, twice: with a worker that the HA manager looks after, and with one that it does not.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{NotYet, eventually};

use super::stages::{CLUSTER, Story};
use super::volumes::Sums;
use super::workload::Workload;

/// Proxmox VE fences after a minute of silence and starts its services elsewhere a minute later: the simulated minutes
/// pass this much faster.
const FASTER: u32 = 20;
/// Kubernetes calls a Node unreachable after 50 s without a word of its kubelet, and that clock is the real one.
const UNREACHABLE: Duration = Duration::from_secs(100);
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
const LOST_NODE: &str = "oxmox.io/lost-node";

/// A worker, and where it is.
#[derive(Debug)]
struct Worker {
    /// Its Node.
    name: String,
    vmid: u64,
    /// The node of Proxmox VE, as Proxmox VE says.
    at: String,
    /// A new one with each boot.
    boot: String,
    ready: String,
    taints: Vec<String>,
    /// The annotation by which the cloud controller says which node is lost.
    lost: String,
    zone: String,
}

impl Story<'_> {
    /// The HA manager's worker is started elsewhere, with its disks, and its Node returns.
    pub(super) async fn node_lost_with_ha(&mut self, workload: &Workload) -> Result<()> {
        self.stages.begin("node-lost-ha");
        let before = self.alone(workload, 0).await?;
        let sid = format!("vm:{}", before.vmid);
        self.set.administrator.call("POST", "/cluster/ha/resources", &[("sid", &sid)]).await?;
        self.ha_state(&sid, "started").await.context("wait until the HA manager has taken it")?;
        self.stages.note(&format!("{} (VM {}) is looked after by the HA manager", before.name, before.vmid));
        self.set.sim.meddle("/sim/clock", &json!({ "rate": FASTER })).await?;
        self.set.sim.meddle(&format!("/sim/nodes/{}/down", before.at), &Value::Null).await?;
        self.stages.note(&format!("{} has lost its power; Proxmox VE's time passes {FASTER} times faster", before.at));
        let returned = eventually(Duration::from_mins(2), || async {
            let now = self.worker(workload, &before.name).await.map_err(|why| NotYet::because(why.to_string()))?;
            let elsewhere = now.at != before.at && now.zone == now.at;
            if elsewhere && now.boot != before.boot && now.ready == "True" {
                Ok(now)
            } else {
                Err(NotYet::because(format!("{now:?}")))
            }
        });
        let now = returned.await.context("wait for the Node to return from another node of Proxmox VE")?;
        self.set.sim.meddle("/sim/clock", &json!({ "rate": 1 })).await?;
        self.set.sim.meddle(&format!("/sim/nodes/{}/up", before.at), &Value::Null).await?;
        self.stages.note(&format!("fenced, started on {} and Ready there; its zone says so", now.at));
        self.online().await
    }

    /// Without the HA manager nothing moves until the VM is proven stopped; then pods and volumes may.
    pub(super) async fn node_lost(
        &mut self,
        workload: &Workload,
        administrator: &pve::Client,
        sums: &Sums,
    ) -> Result<()> {
        self.stages.begin("node-lost");
        let before = self.alone(workload, 1).await?;
        self.set.sim.meddle(&format!("/sim/nodes/{}/down", before.at), &Value::Null).await?;
        self.stages.note(&format!("{} has lost its power, and with it {}", before.at, before.name));
        let unreachable = eventually(UNREACHABLE, || async {
            let now = self.worker(workload, &before.name).await.map_err(|why| NotYet::because(why.to_string()))?;
            if now.taints.iter().any(|taint| taint == OUT_OF_SERVICE) {
                return Err(NotYet::Never("out of service, though nobody knows whether its VM has stopped".into()));
            }
            let machines = self.machines().await.map_err(|why| NotYet::because(why.to_string()))?;
            let machine = machines.into_iter().find(|machine| machine.vmid == Some(before.vmid));
            let says = machine.map(|machine| machine.why).unwrap_or_default();
            if now.ready == "Unknown" && now.lost == before.at && says == "ProxmoxNodeLost" {
                Ok(())
            } else {
                Err(NotYet::because(format!("{now:?}, and its ProxmoxMachine says `{says}`")))
            }
        });
        unreachable.await.context("wait until the Node is known to be on a lost node")?;
        self.stages.note("its Node is unreachable, its ProxmoxMachine says ProxmoxNodeLost: nothing of it moves");
        // else oxmox starts the VM as soon as it can, and there is nothing to move
        self.paused(true).await?;
        self.stages.note("the Cluster is paused, so that the VM stays stopped when its node is back");
        self.set.sim.meddle(&format!("/sim/nodes/{}/up", before.at), &Value::Null).await?;
        let stopped = eventually(Duration::from_mins(1), || async {
            let now = self.worker(workload, &before.name).await.map_err(|why| NotYet::because(why.to_string()))?;
            if now.taints.iter().any(|taint| taint == OUT_OF_SERVICE) {
                Ok(())
            } else {
                Err(NotYet::because(format!("{now:?}")))
            }
        });
        stopped.await.context("wait until the VM is proven stopped")?;
        self.stages.note("the node is back, the VM proven stopped: out of service, so that pods and volumes move");
        self.data(workload, administrator, sums).await?;
        let path = "jsonpath={.items[*].spec.nodeName}";
        let places = workload.kubectl(&["get", "pods", "--selector=app=store", "--output", path]).await?;
        ensure!(!places.contains(&before.name), "a pod is said to be on {}, which does not run", before.name);
        self.paused(false).await?;
        let returned = eventually(Duration::from_mins(2), || async {
            let now = self.worker(workload, &before.name).await.map_err(|why| NotYet::because(why.to_string()))?;
            if now.ready == "True" && now.taints.is_empty() && now.boot != before.boot {
                Ok(())
            } else {
                Err(NotYet::because(format!("{now:?}")))
            }
        });
        returned.await.context("wait for the Node to return")?;
        self.stages.note("no longer paused: oxmox has started the VM again; the Node is Ready and without taints");
        self.online().await
    }

    /// The worker of that index, alone on its node, so that nothing else is lost with it: where it is not, it is
    /// migrated, and the cloud controller follows.
    async fn alone(&mut self, workload: &Workload, index: usize) -> Result<Worker> {
        let worker = self.workers(workload).await?.into_iter().nth(index).context("there are too few workers")?;
        let others: Vec<Worker> = self.nodes_of(workload, "").await?;
        let free = |node: &str| others.iter().all(|one| one.name == worker.name || one.at != node);
        if free(&worker.at) {
            return Ok(worker);
        }
        let nodes = self.set.administrator.call("GET", "/nodes", &[]).await?;
        let mut nodes = nodes.as_array().into_iter().flatten().filter_map(|node| node["node"].as_str());
        let target = nodes.find(|node| free(node)).context("no node of Proxmox VE is without a machine")?;
        let path = format!("/nodes/{}/qemu/{}/migrate", worker.at, worker.vmid);
        let form = [("target", target), ("online", "1"), ("with-local-disks", "1")];
        self.set.administrator.carry_out("POST", &path, &form).await.context("migrate the worker")?;
        let followed = eventually(Duration::from_mins(1), || async {
            let now = self.worker(workload, &worker.name).await.map_err(|why| NotYet::because(why.to_string()))?;
            let there = now.at == target && now.zone == target && now.ready == "True" && now.boot == worker.boot;
            if there { Ok(now) } else { Err(NotYet::because(format!("{now:?}"))) }
        });
        let now = followed.await.with_context(|| format!("wait until {} has followed to {target}", worker.name))?;
        let (name, at) = (&worker.name, &worker.at);
        self.stages.note(&format!("{name} is not alone on {at}: migrated to {target}; it runs on, its zone says so"));
        Ok(now)
    }

    async fn paused(&self, paused: bool) -> Result<()> {
        let patch = json!({ "spec": { "paused": paused } }).to_string();
        let words = ["patch", "cluster", CLUSTER, "--type=merge", "--patch", &patch];
        self.set.plane.kubectl(&words).await.context("pause the Cluster, or let it go on").map(drop)
    }

    async fn ha_state(&self, sid: &str, wanted: &str) -> Result<()> {
        let state = eventually(Duration::from_mins(1), || async {
            let all = self.set.administrator.call("GET", "/cluster/ha/status/current", &[]).await;
            let all = all.map_err(|why| NotYet::because(why.to_string()))?;
            let service = all.as_array().into_iter().flatten().find(|entry| entry["sid"] == *sid);
            match service.and_then(|service| service["state"].as_str()) {
                Some(state) if state == wanted => Ok(()),
                state => Err(NotYet::because(format!("{sid} is {state:?}"))),
            }
        });
        Ok(state.await?)
    }

    /// All nodes of Proxmox VE answer.
    async fn online(&self) -> Result<()> {
        let online = eventually(Duration::from_secs(30), || async {
            let all = self.set.administrator.call("GET", "/cluster/status", &[]).await;
            let all = all.map_err(|why| NotYet::because(why.to_string()))?;
            let lost: Vec<&Value> = all
                .as_array()
                .into_iter()
                .flatten()
                .filter(|one| one["type"] == "node" && one["online"] != 1)
                .collect();
            if lost.is_empty() { Ok(()) } else { Err(NotYet::because(format!("not online: {lost:?}"))) }
        });
        online.await.context("wait for all nodes of Proxmox VE")
    }

    async fn worker(&self, workload: &Workload, name: &str) -> Result<Worker> {
        let all = self.workers(workload).await?;
        all.into_iter().find(|worker| worker.name == name).with_context(|| format!("Node {name} is gone"))
    }

    /// The workers, by name.
    async fn workers(&self, workload: &Workload) -> Result<Vec<Worker>> {
        self.nodes_of(workload, "!node-role.kubernetes.io/control-plane").await
    }

    async fn nodes_of(&self, workload: &Workload, selector: &str) -> Result<Vec<Worker>> {
        let text = workload.kubectl(&["get", "nodes", "--selector", selector, "-o", "json"]).await?;
        let nodes: Value = serde_json::from_str(&text).context("read the Nodes")?;
        let vms = self.set.administrator.call("GET", "/cluster/resources?type=vm", &[]).await?;
        let mut workers = Vec::new();
        for node in nodes["items"].as_array().into_iter().flatten() {
            let text = |pointer: &str| node.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let vmid = text("/metadata/annotations/proxmox.sinextra.dev~1instance-id").parse()?;
            let vm = vms.as_array().into_iter().flatten().find(|vm| vm["vmid"].as_u64() == Some(vmid));
            let at = vm.and_then(|vm| vm["node"].as_str()).with_context(|| format!("there is no VM {vmid}"))?;
            let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
            let ready = conditions.filter(|one| one["type"] == "Ready").find_map(|one| one["status"].as_str());
            let taints = node["spec"]["taints"].as_array().into_iter().flatten();
            workers.push(Worker {
                name: text("/metadata/name"),
                vmid,
                at: at.to_owned(),
                boot: text("/status/nodeInfo/bootID"),
                ready: ready.unwrap_or_default().to_owned(),
                taints: taints.filter_map(|taint| taint["key"].as_str()).map(ToOwned::to_owned).collect(),
                lost: text(&format!("/metadata/annotations/{}", LOST_NODE.replace('/', "~1"))),
                zone: text("/metadata/labels/topology.kubernetes.io~1zone"),
            });
        }
        Ok(workers)
    }
}

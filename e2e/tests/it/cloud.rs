//! The cloud controller manager: real API server, simulated Proxmox VE, played kubelets.

use std::time::Duration;

use e2e::{Kubelet, READY, Stage, StageOptions, root};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use pve_sim::Options as SimOptions;
use serde_json::json;
use testkit::{Administrator, NotYet, Process, eventually};

const LIMIT: Duration = Duration::from_mins(1);
const USER: &str = "ccm@pve";
const PRIVILEGES: &str = "VM.Audit,Sys.Audit,VM.GuestAgent.Audit";

struct Set {
    stage: Stage,
    root: Administrator,
    ccm: Process,
}

async fn set(name: &str, args: &[&str]) -> Option<Set> {
    let options = StageOptions { sim: SimOptions { vms: 4, ..SimOptions::default() }, ..StageOptions::default() };
    let mut stage = Stage::set(name, options).await.unwrap()?;
    stage.kill_manager().await.unwrap();
    let root = root(&stage.sim).await.unwrap();
    let secret = root.token(USER, "oxmox", PRIVILEGES, &["/"]).await.unwrap();
    let args: Vec<&str> = ["--poll=0.3", "--region=dc1"].iter().chain(args).copied().collect();
    let ccm = stage.role("ccm", &args, ("ccm@pve!oxmox", &secret)).await.unwrap();
    Some(Set { stage, root, ccm })
}

impl Set {
    /// Waits until a Node is as wanted.
    async fn until(&self, name: &str, what: &str, is: impl Fn(&Node) -> bool) {
        let waited = eventually(LIMIT, || async {
            match self.stage.node(name).await.map_err(|why| NotYet::because(why.to_string()))? {
                Some(node) if is(&node) => Ok(()),
                other => Err(NotYet::because(format!("{name} is not {what}: {}", json!(other)))),
            }
        });
        waited.await.unwrap_or_else(|why| panic!("{why}\n{}", self.ccm.tail()));
    }

    async fn until_gone(&self, name: &str) {
        let waited = eventually(LIMIT, || async {
            match self.stage.node(name).await.map_err(|why| NotYet::because(why.to_string()))? {
                None => Ok(()),
                Some(_) => Err(NotYet::because(format!("{name} is still there"))),
            }
        });
        waited.await.unwrap_or_else(|why| panic!("{why}\n{}", self.ccm.tail()));
    }

    async fn until_said(&self, node: &str, reason: &str) {
        let events: Api<Event> = Api::all(self.stage.kube.clone());
        let waited = eventually(LIMIT, || async {
            let all = events.list(&ListParams::default()).await.map_err(|why| NotYet::because(why.to_string()))?;
            let of = |event: &&Event| event.regarding.as_ref().is_some_and(|r| r.name.as_deref() == Some(node));
            let said: Vec<_> = all.items.iter().filter(of).filter_map(|event| event.reason.clone()).collect();
            if said.iter().any(|one| one == reason) { Ok(()) } else { Err(NotYet::because(format!("{said:?}"))) }
        });
        waited.await.unwrap_or_else(|why| panic!("{why}\n{}", self.ccm.tail()));
    }

    async fn kubelet(&self, vmid: u32) -> Kubelet {
        let kubelet = Kubelet::of(&self.stage.sim, vmid).await.unwrap();
        kubelet.register(&self.stage.kube).await.unwrap();
        self.until(&kubelet.name, "initialised", |node| !tainted(node, "uninitialized")).await;
        kubelet
    }

    async fn do_to(&self, path: &str) {
        self.stage.sim.post(path, &json!({})).await.unwrap();
    }

    async fn start(&self, node: &str, vmid: u32) {
        self.root.call("POST", &format!("/nodes/{node}/qemu/{vmid}/status/start"), &[]).await.unwrap();
    }

    async fn end(self) {
        self.ccm.stop(Duration::from_secs(10)).await.unwrap();
        self.stage.strike().await.unwrap();
    }
}

fn tainted(node: &Node, word: &str) -> bool {
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    taints.iter().any(|taint| taint.key.ends_with(&format!("/{word}")))
}

fn label<'a>(node: &'a Node, key: &str) -> &'a str {
    node.metadata.labels.as_ref().and_then(|all| all.get(key)).map(String::as_str).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_led_from_its_registration_to_the_end_of_its_vm() {
    let Some(set) = set("a_node_is_led_from_its_registration_to_the_end_of_its_vm", &[]).await else { return };
    let kube = set.stage.kube.clone();
    // It registers.
    let first = set.kubelet(100).await;
    let node = set.stage.node(&first.name).await.unwrap().unwrap();
    let id = node.spec.as_ref().unwrap().provider_id.clone().unwrap();
    assert_eq!(id, format!("proxmox://{}", first.uuid.to_lowercase()));
    for (key, value) in [
        ("topology.kubernetes.io/region", "dc1"),
        ("topology.kubernetes.io/zone", "pve1"),
        ("topology.proxmox.sinextra.dev/region", "dc1"),
        ("topology.proxmox.sinextra.dev/zone", "pve1"),
        ("node.kubernetes.io/instance-type", "1VCPU-1GB"),
    ] {
        assert_eq!(label(&node, key), value, "{key}");
    }
    assert_eq!(node.metadata.annotations.as_ref().unwrap()["proxmox.sinextra.dev/instance-id"], "100");
    let addresses = node.status.unwrap().addresses.unwrap();
    let addresses: Vec<_> = addresses.iter().map(|one| (one.type_.as_str(), one.address.as_str())).collect();
    assert_eq!(addresses, [("Hostname", first.name.as_str()), ("InternalIP", first.ip.as_str())]);
    // It migrates.
    let form = [("target", "pve2"), ("online", "1"), ("with-local-disks", "1")];
    set.root.call("POST", "/nodes/pve1/qemu/100/migrate", &form).await.unwrap();
    set.until(&first.name, "in its new zone", |node| label(node, "topology.kubernetes.io/zone") == "pve2").await;
    // It is stopped, and started again.
    set.do_to("/sim/vms/100/power-off").await;
    first.report(&kube, "Unknown").await.unwrap();
    set.until(&first.name, "known to be off", |node| tainted(node, "shutdown")).await;
    assert!(!tainted(&set.stage.node(&first.name).await.unwrap().unwrap(), "out-of-service"));
    set.start("pve2", 100).await;
    set.until(&first.name, "known to be on", |node| !tainted(node, "shutdown")).await;
    first.report(&kube, READY).await.unwrap();
    // Another one's Proxmox VE node is lost, and comes back without it.
    let second = set.kubelet(102).await;
    set.do_to("/sim/nodes/pve3/down").await;
    second.report(&kube, "Unknown").await.unwrap();
    set.until_said(&second.name, "ProxmoxNodeLost").await;
    assert!(!tainted(&set.stage.node(&second.name).await.unwrap().unwrap(), "out-of-service"));
    set.do_to("/sim/nodes/pve3/up").await;
    set.until(&second.name, "out of service", |node| tainted(node, "out-of-service") && tainted(node, "shutdown"))
        .await;
    set.start("pve3", 102).await;
    set.until(&second.name, "in service", |node| !tainted(node, "out-of-service") && !tainted(node, "shutdown")).await;
    second.report(&kube, READY).await.unwrap();
    // The first one's VM is gone; only its own Node goes.
    set.do_to("/sim/vms/100/destroy").await;
    first.report(&kube, "Unknown").await.unwrap();
    set.until_gone(&first.name).await;
    assert!(set.stage.node(&second.name).await.unwrap().is_some());
    set.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_lost_delete_no_node() {
    let Some(set) = set("rights_that_are_lost_delete_no_node", &["--provider=default"]).await else { return };
    let kube = set.stage.kube.clone();
    let kubelet = set.kubelet(101).await;
    let node = set.stage.node(&kubelet.name).await.unwrap().unwrap();
    assert_eq!(node.spec.unwrap().provider_id.as_deref(), Some("proxmox://dc1/101"));
    // All that the token sees is gone at once.
    set.root.grant(USER, "oxmox", "/", false).await.unwrap();
    kubelet.report(&kube, "Unknown").await.unwrap();
    set.until_said(&kubelet.name, "AbsenceNotProven").await;
    // Rights come back: the VM runs, and nothing has happened to its Node.
    set.root.grant(USER, "oxmox", "/", true).await.unwrap();
    kubelet.report(&kube, READY).await.unwrap();
    let is = set.stage.node(&kubelet.name).await.unwrap().unwrap();
    assert_eq!(is.metadata.uid, node.metadata.uid);
    // With its rights, and a majority gone, a VM that is really gone is not taken for gone either; then it is.
    set.do_to("/sim/quorum/off").await;
    set.do_to("/sim/vms/101/destroy").await;
    kubelet.report(&kube, "Unknown").await.unwrap();
    let said = eventually(LIMIT, || async {
        if set.ccm.tail().contains("no majority") { Ok(()) } else { Err(NotYet::because(set.ccm.tail())) }
    });
    said.await.unwrap();
    assert!(set.stage.node(&kubelet.name).await.unwrap().is_some());
    set.do_to("/sim/quorum/on").await;
    set.until_gone(&kubelet.name).await;
    set.end().await;
}

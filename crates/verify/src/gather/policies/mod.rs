//! Probing network policies with pods of our own, only where that was asked for.
//!
//! ```text
//! namespaces made ─► pods run ─► for each stage: policies applied ─► callers' rounds read until they agree ─► all removed
//! ```
//!
//! Promises: only objects in namespaces of ours are made (two, three with Cilium), and all are removed, also after a failure; what an earlier
//! run left there is removed first. A round counts only when its caller reached the control in it. Assumes an image with
//! busybox's applets (`sh`, `nc`, `httpd`), and a client that may make namespaces.

mod cilium;
mod objects;
mod words;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, DeleteParams, ListParams, LogParams, PostParams};
use kube::{Client, ResourceExt};
use tokio::time::Instant;

use self::objects::Addresses;
use self::words::Round;
use super::{of_kube, own, pause};
use crate::evidence::{Caller, Cause, Connection, PoliciesSeen, PolicyStage, Read, Target};

/// The namespace of the server and its neighbours.
const HERE: &str = "oxmox-verify-policies";
/// The other namespace.
const THERE: &str = "oxmox-verify-policies-other";
/// The namespace of a pod in the network of its node: made only where Cilium's own policies are probed.
const NODES: &str = "oxmox-verify-policies-node";
/// Pods are pulled and started.
const START: Duration = Duration::from_secs(90);
/// An engine has taken over a policy.
const SETTLE: Duration = Duration::from_secs(15);
/// A namespace goes once its pods have.
const GO: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(250);

/// DaemonSets of engines that enforce network policies.
const ENGINES: [&str; 8] =
    ["cilium", "kube-router", "calico-node", "kube-ovn-cni", "antrea-agent", "weave-net", "canal", "ovnkube-node"];

type Outcome<T> = Result<T, (Cause, String)>;

/// Probes with pods of this image, which also call an address outside of the cluster, if one is named.
pub(super) async fn probe(client: &Client, image: &str, outside: Option<SocketAddr>) -> Read<PoliciesSeen> {
    match Probe::begin(client, image, outside).await {
        Ok(probe) => {
            let stages = probe.stages().await;
            let cilium = probe.cilium(image).await;
            let left = remove(client).await;
            let Probe { engines, server_node, client_node, .. } = probe;
            Read::Known(PoliciesSeen { engines, server_node, client_node, stages, cilium, left })
        }
        Err((cause, why)) => {
            let left = remove(client).await;
            let left =
                if let Read::Unread { why, .. } = left { format!("; and what was made: {why}") } else { String::new() };
            Read::unread(cause, format!("probes of network policies: {why}{left}"))
        }
    }
}

struct Probe<'a> {
    client: &'a Client,
    engines: Vec<String>,
    server_node: String,
    client_node: String,
    to: Addresses,
}

fn known<T>(what: &str, read: Read<T>) -> Outcome<T> {
    match read {
        Read::Known(value) => Ok(value),
        Read::Unread { cause, why } => Err((cause, format!("{what}: {why}"))),
    }
}

impl<'a> Probe<'a> {
    async fn begin(client: &'a Client, image: &str, outside: Option<SocketAddr>) -> Outcome<Self> {
        known("remove what an earlier run left", remove(client).await)?;
        let engines = engines(client).await?;
        let (server_node, client_node) = nodes(client).await?;
        let namespaces: Api<Namespace> = Api::all(client.clone());
        for name in [HERE, THERE] {
            known("make a namespace", of_kube(namespaces.create(&PostParams::default(), &own::namespace(name)).await))?;
        }
        let pods = |namespace| -> Api<Pod> { Api::namespaced(client.clone(), namespace) };
        let create = async |namespace, pod: Pod| {
            known("make a pod", of_kube(pods(namespace).create(&PostParams::default(), &pod).await)).map(drop)
        };
        create(HERE, objects::server("server", image, &server_node)).await?;
        create(THERE, objects::server("control", image, &server_node)).await?;
        let services: Api<Service> = Api::namespaced(client.clone(), HERE);
        known("make a Service", of_kube(services.create(&PostParams::default(), &objects::service()).await))?;
        let server = address(&pods(HERE), "server").await?;
        let control = address(&pods(THERE), "control").await?;
        let to = Addresses { server, control, outside };
        for caller in Caller::ALL {
            let node = if caller == Caller::Stranger { &server_node } else { &client_node };
            create(namespace(caller), objects::caller(caller, image, node, &to)).await?;
        }
        for caller in Caller::ALL {
            address(&pods(namespace(caller)), caller.as_str()).await?;
        }
        Ok(Self { client, engines, server_node, client_node, to })
    }

    async fn stages(&self) -> BTreeMap<PolicyStage, Read<Vec<Connection>>> {
        let mut seen = BTreeMap::new();
        for stage in PolicyStage::ALL {
            // where pods do not reach each other without any policy, no policy can be seen
            let begun: Option<&Read<Vec<Connection>>> = seen.get(&PolicyStage::Connectivity);
            if begun.and_then(Read::known).is_some_and(|all| !settled(all, PolicyStage::Connectivity)) {
                break;
            }
            let read = match self.apply(stage).await {
                Ok(()) => Read::Known(self.look((&Caller::ALL, &Target::ALL), |from, to| stage.opens(from, to)).await),
                Err((cause, why)) => Read::unread(cause, why),
            };
            seen.insert(stage, read);
        }
        seen
    }

    /// Makes the stage's policies the only ones: those that stay are changed in place.
    async fn apply(&self, stage: PolicyStage) -> Outcome<()> {
        let policies: Api<NetworkPolicy> = Api::namespaced(self.client.clone(), HERE);
        let wanted = objects::policies(stage);
        let there = known("read policies", of_kube(policies.list(&ListParams::default()).await))?;
        for old in &there {
            if !wanted.iter().any(|new| new.name_any() == old.name_any()) {
                known(
                    "delete a policy",
                    of_kube(policies.delete(&old.name_any(), &DeleteParams::default()).await).map(drop),
                )?;
            }
        }
        for mut new in wanted {
            let name = new.name_any();
            let old = there.iter().find(|old| old.name_any() == name);
            let written = match old {
                Some(old) => {
                    new.metadata.resource_version = old.resource_version();
                    policies.replace(&name, &PostParams::default(), &new).await
                }
                None => policies.create(&PostParams::default(), &new).await,
            };
            known("write a policy", of_kube(written))?;
        }
        Ok(())
    }

    /// Reads these callers' rounds until these connections are as they should be, or no longer change.
    async fn look(
        &self,
        (callers, targets): (&[Caller], &[Target]),
        opens: impl Fn(Caller, Target) -> bool,
    ) -> Vec<Connection> {
        let begun = Instant::now();
        let mut last = BTreeMap::new();
        let mut first = BTreeMap::new();
        loop {
            for &caller in callers {
                let Some(round) = self.round(caller).await else { continue };
                // The round that was under way when the policy changed says nothing.
                let began = *first.entry(caller).or_insert(round.number);
                if round.number > began + 1 {
                    last.insert(caller, round);
                }
            }
            let all = callers.iter().all(|caller| last.contains_key(caller));
            let connections = connections(&last, callers, targets);
            let settled = all && connections.iter().all(|one| one.open == Some(opens(one.from, one.to)));
            // A round of a caller that reaches little takes seconds: no word of it yet is no silence.
            if settled || begun.elapsed() > if all { SETTLE } else { SETTLE * 2 } {
                return connections;
            }
            pause(LOOK).await;
        }
    }

    async fn round(&self, caller: Caller) -> Option<Round> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace(caller));
        let log = LogParams { tail_lines: Some(24), ..LogParams::default() };
        words::last_round(&pods.logs(caller.as_str(), &log).await.ok()?, self.to.targets().len())
    }
}

/// Whether they are what the stage is about.
fn settled(connections: &[Connection], stage: PolicyStage) -> bool {
    connections.iter().all(|one| one.open == Some(stage.opens(one.from, one.to)))
}

fn connections(rounds: &BTreeMap<Caller, Round>, callers: &[Caller], targets: &[Target]) -> Vec<Connection> {
    let mut all = Vec::new();
    for &from in callers {
        for &to in targets {
            let round = rounds.get(&from).filter(|round| round.control);
            let open = round.map(|round| round.open.contains(&to));
            all.push(Connection { from, to, open });
        }
    }
    all
}

fn namespace(caller: Caller) -> &'static str {
    match caller {
        Caller::Friend | Caller::Foe => HERE,
        Caller::Stranger => THERE,
        Caller::Node => NODES,
    }
}

async fn engines(client: &Client) -> Outcome<Vec<String>> {
    let sets: Api<DaemonSet> = Api::all(client.clone());
    let all = known("look for policy engines", of_kube(sets.list(&ListParams::default()).await))?;
    let names = all.iter().map(|set| format!("{}/{}", set.namespace().unwrap_or_default(), set.name_any()));
    Ok(names.filter(|name| ENGINES.iter().any(|engine| name.ends_with(&format!("/{engine}")))).collect())
}

/// Two nodes that take pods, or one twice.
async fn nodes(client: &Client) -> Outcome<(String, String)> {
    let nodes: Api<Node> = Api::all(client.clone());
    let all = known("read the nodes", of_kube(nodes.list(&ListParams::default()).await))?;
    let takes = |node: &&Node| {
        let spec = node.spec.clone().unwrap_or_default();
        let ready = node.status.as_ref().and_then(|status| status.conditions.as_ref()).is_some_and(|conditions| {
            conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
        });
        let closed = spec.taints.unwrap_or_default().iter().any(|taint| taint.effect != "PreferNoSchedule");
        ready && !closed && spec.unschedulable != Some(true)
    };
    let mut names = all.iter().filter(takes).map(ResourceExt::name_any);
    let server = names.next().ok_or((Cause::Missing, "no node is Ready and takes pods".to_owned()))?;
    let client = names.next().unwrap_or_else(|| server.clone());
    Ok((server, client))
}

/// The address of a pod, once it runs.
async fn address(pods: &Api<Pod>, name: &str) -> Outcome<String> {
    let begun = Instant::now();
    loop {
        let pod = known("read a pod", of_kube(pods.get(name).await))?;
        let status = pod.status.unwrap_or_default();
        let state = status.container_statuses.unwrap_or_default().into_iter().next().and_then(|one| one.state);
        let running = state.as_ref().is_some_and(|state| state.running.is_some());
        if let Some(address) = status.pod_ip.filter(|_| running) {
            return Ok(address);
        }
        if begun.elapsed() > START {
            let waiting = state.and_then(|state| state.waiting).and_then(|waiting| waiting.reason);
            let phase = status.phase.unwrap_or_default();
            let why = format!("pod `{name}` does not run: {phase} {}", waiting.unwrap_or_default());
            return Err((Cause::NoAnswer, why));
        }
        pause(LOOK).await;
    }
}

/// Removes the namespaces with all that is in them, and waits until they are gone. What is left is named.
async fn remove(client: &Client) -> Read<Vec<String>> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let begun = Instant::now();
    loop {
        let mut left = Vec::new();
        for name in [HERE, THERE, NODES] {
            match of_kube(namespaces.get_opt(name).await) {
                Read::Known(None) => {}
                Read::Known(Some(there)) if !own::is_ours(&there) => {
                    return Read::unread(Cause::Refused, format!("there is a namespace `{name}` that is not ours"));
                }
                Read::Known(Some(there)) => {
                    left.push(format!("namespace {name}"));
                    if there.metadata.deletion_timestamp.is_none() {
                        let at_once = DeleteParams::default().grace_period(0);
                        if let Read::Unread { cause, why } = of_kube(namespaces.delete(name, &at_once).await) {
                            return Read::unread(cause, format!("remove namespace `{name}`: {why}"));
                        }
                    }
                }
                Read::Unread { cause, why } => return Read::unread(cause, why),
            }
        }
        if left.is_empty() || begun.elapsed() > GO {
            return Read::Known(left);
        }
        pause(LOOK).await;
    }
}

//! Reading the workload cluster: its nodes, and what answers at its endpoint.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Secret};
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt};

use super::{Clock, Probes, Sources, door, of_kube, policies, volumes, workers};
use crate::evidence::{Cause, EndpointSeen, Management, NodeSeen, Proxmox, Read, Workload};

/// A workload cluster that is well answers in milliseconds.
const CONNECT: Duration = Duration::from_secs(5);
/// A list of all nodes may take a while in a great cluster.
const ANSWER: Duration = Duration::from_secs(20);

/// Reads the workload cluster as the management cluster knows it.
pub(super) async fn read(
    sources: &Sources,
    probes: Probes,
    management: &Management,
    cluster: Option<&str>,
    proxmox: &mut Proxmox,
    clock: Clock,
) -> Workload {
    let (endpoint, client) = tokio::join!(endpoint(management, clock), client(sources, cluster));
    let (version, nodes, policies, workers, volumes) = match client {
        Read::Unread { cause, why } => {
            let again = why.clone();
            (
                Read::unread(cause, again.clone()),
                Read::unread(cause, again.clone()),
                Read::unread(cause, again.clone()),
                Read::unread(cause, again),
                Read::unread(cause, why),
            )
        }
        Read::Known(client) => {
            let nodes: Api<Node> = Api::all(client.clone());
            let (version, nodes) =
                tokio::join!(client.apiserver_version(), async { nodes.list(&ListParams::default()).await });
            let version = of_kube(version).map(|info| info.git_version);
            let policies = match Probes::image(sources, probes.policies, "network policies") {
                Ok(image) => policies::probe(&client, image, sources.outside).await,
                Err(why) => Read::not_asked(why),
            };
            let nodes = of_kube(nodes).map(|all| all.items);
            let workers = workers::read(&client, &nodes).await;
            let probe = Probes::image(sources, probes.volumes, "volumes");
            let volumes = Box::pin(volumes::read(&client, &sources.pve, &nodes, probe, proxmox)).await;
            (version, nodes.map(|all| all.iter().map(node).collect()), policies, workers, Read::Known(volumes))
        }
    };
    Workload { version, nodes, endpoint, policies, workers, volumes }
}

async fn endpoint(management: &Management, clock: Clock) -> Read<EndpointSeen> {
    let cluster = match &management.cluster {
        Read::Known(cluster) => cluster,
        Read::Unread { cause, why } => return Read::unread(*cause, why.clone()),
    };
    let port = |port: i32| u16::try_from(port).ok().filter(|port| *port > 0);
    let endpoint = cluster.spec.control_plane_endpoint.as_ref();
    match endpoint.and_then(|endpoint| port(endpoint.port).map(|port| (endpoint.host.as_str(), port))) {
        Some((host, port)) if !host.is_empty() => {
            let address = format!("{host}:{port}");
            door::look(host, port, None, clock).await.map(|certificate| EndpointSeen { address, certificate })
        }
        _ => Read::unread(Cause::Missing, "the ProxmoxCluster has no `controlPlaneEndpoint` yet"),
    }
}

/// A client by the kubeconfig that Cluster API keeps in the Secret `CLUSTER-kubeconfig`.
async fn client(sources: &Sources, cluster: Option<&str>) -> Read<Client> {
    let (Some(management), Some(cluster)) = (&sources.kube, cluster) else {
        return Read::not_asked("no management cluster, or no cluster, was given");
    };
    let name = format!("{cluster}-kubeconfig");
    let secrets: Api<Secret> = Api::namespaced(management.clone(), &sources.namespace);
    let secret = match of_kube(secrets.get_opt(&name).await) {
        Read::Known(Some(secret)) => secret,
        Read::Known(None) => return Read::unread(Cause::Missing, format!("there is no Secret `{name}` yet")),
        Read::Unread { cause, why } => return Read::unread(cause, format!("Secret `{name}`: {why}")),
    };
    let value = secret.data.unwrap_or_default().remove("value");
    let Some(text) = value.and_then(|value| String::from_utf8(value.0).ok()) else {
        return Read::unread(Cause::Garbled, format!("Secret `{name}` has no text under `value`"));
    };
    // The reason of a kubeconfig that does not read may quote it: only the fact is told.
    let bad = || Read::unread(Cause::Garbled, format!("the kubeconfig in Secret `{name}` does not read"));
    let Ok(kubeconfig) = Kubeconfig::from_yaml(&text) else { return bad() };
    let Ok(mut config) = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await else {
        return bad();
    };
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(ANSWER);
    Client::try_from(config).map_or_else(|_| bad(), Read::Known)
}

fn node(node: &Node) -> NodeSeen {
    let status = node.status.clone().unwrap_or_default();
    let ready = status.conditions.unwrap_or_default().into_iter().find(|condition| condition.type_ == "Ready");
    NodeSeen {
        name: node.name_any(),
        provider_id: node.spec.as_ref().and_then(|spec| spec.provider_id.clone()),
        ready: ready.as_ref().map(|condition| condition.status == "True"),
        message: ready.and_then(|condition| condition.message).unwrap_or_default(),
        kubelet: status.node_info.map(|info| info.kubelet_version).unwrap_or_default(),
    }
}

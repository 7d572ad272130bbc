//! Reads a target: each thing once, whatever collectors want it, and all at the same time.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;

use pve::UsageRow;
use pve_types::NodeName;
use tokio::time::{Instant, timeout_at};

use crate::own::Own;
use crate::settings::{Collector, Nodes, Selection};
use crate::snapshot::{Read, Snapshot};
use crate::target::Target;

/// What collectors read; one that several want is read once.
mod reads {
    use super::Collector;
    use super::Collector::{BackupInfo, Cluster, Config, Node, Qdevice, Replication, Resources, Status, Subscription};

    pub(super) const CLUSTER: [Collector; 8] =
        [Status, Node, Cluster, BackupInfo, Qdevice, Subscription, Config, Replication];
    pub(super) const RESOURCES: [Collector; 3] = [Status, Resources, Config];
}

/// Reads what is selected, until the deadline.
pub async fn collect(target: &Target, selection: Selection, deadline: Instant, own: Option<&Own>) -> Snapshot {
    let client = &target.client;
    let read = Reader { deadline, own };
    let (cluster, resources, version, not_backed_up, qdevice) = tokio::join!(
        read.of(selection.any(&reads::CLUSTER), "/cluster/status", Box::pin(client.cluster_rows())),
        read.of(selection.any(&reads::RESOURCES), "/cluster/resources", Box::pin(client.usage())),
        read.of(selection.has(Collector::Version), "/version", Box::pin(client.version_fields())),
        read.of(
            selection.has(Collector::BackupInfo),
            "/cluster/backup-info/not-backed-up",
            Box::pin(client.not_backed_up())
        ),
        read.of(selection.has(Collector::Qdevice), "/cluster/config/qdevice", Box::pin(client.qdevice())),
    );
    let mut snapshot = Snapshot {
        selection,
        cluster,
        resources,
        version,
        not_backed_up,
        qdevice,
        subscription: Read::NotAsked,
        replication: Read::NotAsked,
        onboot: Read::NotAsked,
    };
    let node: Result<NodeName, String> = match (&snapshot.cluster, snapshot.local_node()) {
        (Read::Failed(why), _) => Err(why.clone()),
        (_, Some(name)) => name.parse().map_err(|why| format!("the node's name: {why}")),
        (_, None) => Err("no node of /cluster/status is the one that answers".into()),
    };
    of_node(target, &read, &mut snapshot, node).await;
    snapshot
}

/// What is about the node that answers.
async fn of_node(target: &Target, read: &Reader<'_>, snapshot: &mut Snapshot, node: Result<NodeName, String>) {
    let has = |collector| snapshot.selection.has(collector);
    let node = match node {
        Ok(node) => node,
        Err(why) => {
            if has(Collector::Subscription) {
                snapshot.subscription = Read::Failed(why.clone());
            }
            if has(Collector::Replication) {
                snapshot.replication = Read::Failed(why.clone());
            }
            if has(Collector::Config) {
                snapshot.onboot = Read::Failed(why);
            }
            return;
        }
    };
    let client = &target.client;
    let (subscription, replication) = tokio::join!(
        read.of(has(Collector::Subscription), "/nodes/{node}/subscription", Box::pin(client.subscription(&node))),
        read.of(has(Collector::Replication), "/nodes/{node}/replication", Box::pin(client.replication(&node))),
    );
    if has(Collector::Config) {
        snapshot.onboot = match &snapshot.resources {
            Read::Got(rows) => {
                let all = snapshot.selection.nodes() == Nodes::All;
                let nodes = if all { nodes(rows) } else { vec![node.as_str()] };
                Read::Got(nodes.into_iter().map(|node| target.configs.of(node, rows)).collect())
            }
            Read::Failed(why) => Read::Failed(why.clone()),
            Read::NotAsked => Read::NotAsked,
        };
    }
    (snapshot.subscription, snapshot.replication) = (subscription, replication);
}

/// All nodes that have guests, in order.
fn nodes(rows: &[UsageRow]) -> Vec<&str> {
    let guests = rows.iter().filter(|row| matches!(row.kind.as_str(), "qemu" | "lxc"));
    let all: BTreeSet<&str> = guests.filter_map(|row| row.node.as_deref()).collect();
    all.into_iter().collect()
}

struct Reader<'a> {
    deadline: Instant,
    own: Option<&'a Own>,
}

impl Reader<'_> {
    async fn of<T>(
        &self,
        wanted: bool,
        path: &'static str,
        call: Pin<Box<dyn Future<Output = Result<T, pve::Error>> + Send + '_>>,
    ) -> Read<T> {
        if !wanted {
            return Read::NotAsked;
        }
        let began = Instant::now();
        let read = match timeout_at(self.deadline, call).await {
            Ok(Ok(thing)) => Read::Got(thing),
            Ok(Err(why)) => {
                let hint = why.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
                Read::Failed(format!("{}{hint}", daemon::chain(&why)))
            }
            Err(_) => Read::Failed(format!("GET {path}: no answer before the scrape's end")),
        };
        if let Some(own) = self.own {
            own.called(path, began.elapsed(), read.failed().is_some());
        }
        read
    }
}

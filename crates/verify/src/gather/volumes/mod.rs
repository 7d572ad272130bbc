//! Reading what Kubernetes says of the driver's volumes, and what Proxmox VE has of them.

mod objects;
mod probe;
mod quantity;
mod seen;
mod stored;

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use futures::stream;
use k8s_openapi::api::core::v1::{Event, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::{CSIDriver, CSINode, StorageClass, VolumeAttachment};
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::{Client, ResourceExt};

use super::of_kube;
use crate::evidence::{
    AttachmentSeen, Cause, ClaimSeen, ClassSeen, DRIVER, DriverSeen, Pending, PersistentSeen, Proxmox, Read,
    VolumesSeen,
};

/// Claims that are pending are asked about at once, so many.
const AT_ONCE: usize = 8;

/// Reads all of it; a probe has pods of this image, or was not asked for, for a reason. `proxmox` is asked for what storages and VMs have of these volumes.
pub(super) async fn read(
    client: &Client,
    pve: &pve::Client,
    nodes: &Read<Vec<Node>>,
    image: Result<&str, String>,
    proxmox: &mut Proxmox,
) -> VolumesSeen {
    let (drivers, plugins, classes) = (Api::all(client.clone()), Api::all(client.clone()), Api::all(client.clone()));
    let (claims, volumes) = (Api::all(client.clone()), Api::<PersistentVolume>::all(client.clone()));
    let drivers: Api<CSIDriver> = drivers;
    let (driver, plugins, classes, claims, volumes, before, snapshots) = tokio::join!(
        drivers.get_opt(DRIVER),
        list::<CSINode>(plugins),
        list::<StorageClass>(classes),
        list::<PersistentVolumeClaim>(claims),
        list(volumes),
        list::<VolumeAttachment>(Api::all(client.clone())),
        snapshots(client),
    );
    let driver = of_kube(driver)
        .map(|driver| driver.map(|driver| DriverSeen { attach_required: driver.spec.attach_required.unwrap_or(true) }));
    let nodes = match (nodes, plugins) {
        (Read::Known(nodes), Read::Known(plugins)) => Read::Known(seen::nodes(nodes, &plugins)),
        (Read::Unread { cause, why }, _) => Read::unread(*cause, why.clone()),
        (_, Read::Unread { cause, why }) => Read::unread(cause, format!("CSINodes: {why}")),
    };
    let classes = classes.map(|all| all.iter().filter_map(seen::class).collect::<Vec<ClassSeen>>());
    let claims = match (&classes, claims) {
        (Read::Known(classes), Read::Known(claims)) => {
            Read::Known(pending(client, seen::claims(&claims, classes)).await)
        }
        (Read::Unread { cause, why }, _) => Read::unread(*cause, format!("StorageClasses: {why}")),
        (_, Read::Unread { cause, why }) => Read::unread(cause, why),
    };
    let volumes = volumes.map(|all| all.iter().filter_map(seen::volume).collect::<Vec<PersistentSeen>>());
    let before = before.map(|all| all.iter().filter_map(seen::attachment).collect::<Vec<AttachmentSeen>>());
    stored::read(pve, &volumes, &before, &nodes, proxmox).await;
    // What was attached while VMs were looked at, or no longer is, says nothing of what was seen there.
    let after = list::<VolumeAttachment>(Api::all(client.clone())).await;
    let after = after.map(|all| all.iter().filter_map(seen::attachment).collect::<Vec<AttachmentSeen>>());
    let attachments = both(before, after);
    let probe = match (image, &classes) {
        (Err(why), _) => Read::not_asked(why),
        (Ok(_), Read::Unread { cause, why }) => Read::unread(*cause, format!("StorageClasses: {why}")),
        (Ok(image), Read::Known(classes)) => match probe::choose(classes, proxmox) {
            None => Read::unread(Cause::Missing, format!("no StorageClass is of the driver `{DRIVER}`")),
            Some(class) => probe::probe(client, pve, image, class, &nodes, proxmox).await,
        },
    };
    VolumesSeen { driver, nodes, classes, claims, volumes, attachments, snapshots, probe }
}

async fn list<K>(api: Api<K>) -> Read<Vec<K>>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    of_kube(api.list(&ListParams::default()).await).map(|all| all.items)
}

/// Those that were there both times; they are attached when they were so both times.
fn both(before: Read<Vec<AttachmentSeen>>, after: Read<Vec<AttachmentSeen>>) -> Read<Vec<AttachmentSeen>> {
    let (before, after) = match (before, after) {
        (Read::Known(before), Read::Known(after)) => (before, after),
        (Read::Known(_), unread @ Read::Unread { .. }) | (unread @ Read::Unread { .. }, _) => return unread,
    };
    let merge = |old: AttachmentSeen| {
        let new = after.iter().find(|new| (&new.name, new.created) == (&old.name, old.created))?.clone();
        let attached = old.attached && new.attached;
        let deleting = old.deleting.or(new.deleting);
        Some(AttachmentSeen { attached, deleting, ..new })
    };
    Read::Known(before.into_iter().filter_map(merge).collect())
}

/// Handles of snapshots; a cluster that knows no snapshots has none.
async fn snapshots(client: &Client) -> Read<Vec<String>> {
    let of = ApiResource {
        group: "snapshot.storage.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "snapshot.storage.k8s.io/v1".to_owned(),
        kind: "VolumeSnapshotContent".to_owned(),
        plural: "volumesnapshotcontents".to_owned(),
    };
    match list::<DynamicObject>(Api::all_with(client.clone(), &of)).await {
        Read::Known(all) => Read::Known(all.iter().filter_map(|one| seen::snapshot(&one.data)).collect()),
        Read::Unread { cause: Cause::Missing, .. } => Read::Known(Vec::new()),
        Read::Unread { cause, why } => Read::unread(cause, why),
    }
}

/// Asks why claims are pending: pods that use them, and their last events.
async fn pending(client: &Client, claims: Vec<ClaimSeen>) -> Vec<ClaimSeen> {
    let is_pending = |claim: &ClaimSeen| claim.phase == "Pending";
    let namespaces: BTreeSet<String> =
        claims.iter().filter(|claim| is_pending(claim)).map(|claim| namespace(claim).to_owned()).collect();
    let pods = stream::iter(namespaces).map(async |namespace: String| {
        let pods = list::<Pod>(Api::namespaced(client.clone(), &namespace)).await;
        (namespace, pods)
    });
    let pods: BTreeMap<String, Read<Vec<Pod>>> = pods.buffer_unordered(AT_ONCE).collect().await;
    let asked = stream::iter(claims).map(async |mut claim: ClaimSeen| {
        if is_pending(&claim) {
            let (namespace, name) = claim.name.split_once('/').unwrap_or_default();
            let users = match pods.get(namespace) {
                Some(Read::Known(pods)) => Read::Known(seen::users(pods, name)),
                Some(Read::Unread { cause, why }) => Read::unread(*cause, why.clone()),
                None => Read::not_asked("pods of that namespace were not read"),
            };
            let events: Api<Event> = Api::namespaced(client.clone(), namespace);
            let of = format!("involvedObject.kind=PersistentVolumeClaim,involvedObject.uid={}", claim.uid);
            let event = of_kube(events.list(&ListParams::default().fields(&of)).await);
            claim.pending = Some(Pending { pods: users, event: event.map(|all| seen::last_event(&all.items)) });
        }
        claim
    });
    asked.buffered(AT_ONCE).collect().await
}

fn namespace(claim: &ClaimSeen) -> &str {
    claim.name.split_once('/').unwrap_or_default().0
}

/// `NAMESPACE/NAME`.
fn full_name(object: &impl ResourceExt) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

//! Proving a volume with pods of our own, only where that was asked for.
//!
//! ```text
//! namespace, claim ─► pod writes ─► it goes ─► another pod reads, elsewhere ─► it goes ─► claim deleted ─► all of it gone?
//! ```
//!
//! Promises: only objects in a namespace of ours are made, and it is removed, also after a failure; what an earlier run left
//! there is removed first. Of what others own only one thing is changed: the PersistentVolume that was made for our claim is
//! told to go with it, where its class would keep it. Assumes an image with busybox's applets, and a scheduler.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kube::api::{Api, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use tokio::time::Instant;

use super::super::{of_kube, of_proxmox, own, pause};
use super::objects::{self, CLAIM};
use super::seen;
use crate::evidence::{Cause, ClassSeen, DRIVER, Handle, NodePlugin, Proxmox, Read, VolumeProbe};

/// The namespace of the probe.
const HERE: &str = "oxmox-verify-volumes";
/// A volume is made, attached, formatted and mounted, an image pulled.
const RUN: Duration = Duration::from_mins(3);
/// A pod, or a namespace without pods, goes.
const GO: Duration = Duration::from_mins(1);
/// A volume is detached and deleted.
const FREE: Duration = Duration::from_mins(2);
const LOOK: Duration = Duration::from_millis(500);

type Outcome<T> = Result<T, (Cause, String)>;

/// The class to try: the default one, else the first by name, of those whose storage is to be seen where there are any.
pub(super) fn choose<'a>(classes: &'a [ClassSeen], proxmox: &Proxmox) -> Option<&'a ClassSeen> {
    classes.iter().min_by_key(|class| (!class.default, !seen_anywhere(class, proxmox), &class.name))
}

/// Whether Proxmox VE shows us the class's storage on any node.
fn seen_anywhere(class: &ClassSeen, proxmox: &Proxmox) -> bool {
    let storage = class.parameters.get("storage");
    let mut rows = proxmox.storages.known().into_iter().flatten();
    rows.any(|row| Some(row.storage.as_str()) == storage.map(String::as_str))
}

/// Probes with pods of this image and a volume of this class.
pub(super) async fn probe(
    client: &Client,
    pve: &pve::Client,
    image: &str,
    class: &ClassSeen,
    nodes: &Read<Vec<NodePlugin>>,
    proxmox: &Proxmox,
) -> Read<VolumeProbe> {
    let mut probe = Probe { client, pve, image, proxmox, volume: None, seen: nothing(&class.name) };
    let ran = probe.run(class, nodes).await;
    let left = probe.remove().await;
    let mut seen = probe.seen;
    seen.left = left;
    match ran {
        Ok(()) => Read::Known(seen),
        Err((cause, why)) => {
            let left = match &seen.left {
                Read::Known(left) if left.is_empty() => String::new(),
                Read::Known(left) => format!("; left are {}", left.join(", ")),
                Read::Unread { why, .. } => format!("; and what is left: {why}"),
            };
            Read::unread(cause, format!("the probe of a volume: {why}{left}"))
        }
    }
}

fn nothing(class: &str) -> VolumeProbe {
    VolumeProbe {
        class: class.to_owned(),
        writer: None,
        reader: None,
        handle: None,
        written: None,
        read: None,
        trouble: None,
        left: Read::not_asked("the probe did not come to its end"),
    }
}

fn known<T>(what: &str, read: Read<T>) -> Outcome<T> {
    match read {
        Read::Known(value) => Ok(value),
        Read::Unread { cause, why } => Err((cause, format!("{what}: {why}"))),
    }
}

struct Probe<'a> {
    client: &'a Client,
    pve: &'a pve::Client,
    image: &'a str,
    proxmox: &'a Proxmox,
    /// The name of the PersistentVolume, once it is bound.
    volume: Option<String>,
    seen: VolumeProbe,
}

impl Probe<'_> {
    fn here<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), HERE)
    }

    fn everywhere<K>(&self) -> Api<K>
    where
        K: kube::Resource,
        K::DynamicType: Default,
    {
        Api::all(self.client.clone())
    }

    /// Until there is trouble, which is noted, or something could not be asked.
    async fn run(&mut self, class: &ClassSeen, nodes: &Read<Vec<NodePlugin>>) -> Outcome<()> {
        let nodes = match nodes {
            Read::Known(nodes) => nodes,
            Read::Unread { cause, why } => return Err((*cause, format!("Nodes and their CSINodes: {why}"))),
        };
        let left = known("remove what an earlier run left", self.remove_namespace().await)?;
        if !left.is_empty() {
            return Err((Cause::Refused, format!("what an earlier run left does not go: {}", left.join(", "))));
        }
        let takers = self.takers(nodes).await?;
        let Some(writer) = self.writer(class, &takers) else {
            let why =
                format!("no Node is Ready, takes pods, has the driver `{DRIVER}` and the storage of `{}`", class.name);
            return Err((Cause::Missing, why));
        };
        self.seen.writer = Some(writer.name.clone());
        let namespaces: Api<Namespace> = self.everywhere();
        let made = namespaces.create(&PostParams::default(), &own::namespace(HERE)).await;
        known("make a namespace", of_kube(made))?;
        let claims: Api<PersistentVolumeClaim> = self.here();
        let made = claims.create(&PostParams::default(), &objects::claim(&class.name)).await;
        known("make a claim", of_kube(made))?;
        let Some(written) = self.say(objects::writer(self.image, &writer.name)).await? else { return Ok(()) };
        self.seen.written = Some(written);
        let Some(handle) = self.bound().await? else { return Ok(()) };
        let reader = reader(&takers, writer, &handle);
        self.seen.reader = Some(reader.to_owned());
        let pod = objects::reader(self.image, reader);
        self.seen.read = self.say(pod).await?;
        Ok(())
    }

    /// Nodes that take pods and have the driver.
    async fn takers<'n>(&self, nodes: &'n [NodePlugin]) -> Outcome<Vec<&'n NodePlugin>> {
        let all: Api<Node> = self.everywhere();
        let all = known("read the Nodes", of_kube(all.list(&ListParams::default()).await))?;
        let closed = |node: &Node| {
            let spec = node.spec.clone().unwrap_or_default();
            let taints = spec.taints.unwrap_or_default();
            spec.unschedulable == Some(true) || taints.iter().any(|taint| taint.effect != "PreferNoSchedule")
        };
        let takes = |node: &&NodePlugin| {
            let open = all.iter().any(|one| one.name_any() == node.name && !closed(one));
            open && node.ready && node.plugin.is_some()
        };
        Ok(nodes.iter().filter(takes).collect())
    }

    /// A Node that the class's storage is at; one of a zone with several is better, for a local volume moves within it.
    fn writer<'n>(&self, class: &ClassSeen, takers: &[&'n NodePlugin]) -> Option<&'n NodePlugin> {
        let storage = class.parameters.get("storage").map(String::as_str).unwrap_or_default();
        let has = |node: &&&NodePlugin| {
            let rows = self.proxmox.storages.known().into_iter().flatten();
            let mut here = rows.filter(|row| row.storage.as_str() == storage);
            here.any(|row| row.available && Some(row.node.as_str()) == node.zone.as_deref())
        };
        // of a storage that is not shown to us the driver may know more
        let unseen = !seen_anywhere(class, self.proxmox);
        let allowed = |node: &&&NodePlugin| {
            let fits = |term: &BTreeMap<String, Vec<String>>| {
                term.iter().all(|(key, values)| {
                    let label = match key.as_str() {
                        crate::evidence::ZONE => node.zone.as_ref(),
                        crate::evidence::REGION => node.region.as_ref(),
                        _ => None,
                    };
                    label.is_some_and(|label| values.contains(label))
                })
            };
            class.allowed.is_empty() || class.allowed.iter().any(fits)
        };
        let fit: Vec<&NodePlugin> = takers.iter().filter(|node| unseen || has(node)).filter(allowed).copied().collect();
        let company = |node: &&NodePlugin| fit.iter().filter(|other| other.zone == node.zone).count();
        fit.iter().copied().max_by_key(|node| (company(node), std::cmp::Reverse(&node.name))).map(|node| {
            // the reference outlives the list of those that fit
            takers.iter().find(|one| one.name == node.name).copied().unwrap_or(node)
        })
    }

    /// Runs a pod to its end, and removes it. `None`: there is trouble, which is noted.
    async fn say(&mut self, pod: Pod) -> Outcome<Option<String>> {
        let pods: Api<Pod> = self.here();
        let name = pod.name_any();
        known("make a pod", of_kube(pods.create(&PostParams::default(), &pod).await))?;
        let begun = Instant::now();
        let phase = loop {
            let pod = known("read a pod", of_kube(pods.get(&name).await))?;
            let phase = pod.status.and_then(|status| status.phase).unwrap_or_default();
            if matches!(phase.as_str(), "Succeeded" | "Failed") || begun.elapsed() > RUN {
                break phase;
            }
            pause(LOOK).await;
        };
        let log = match phase.as_str() {
            "Succeeded" | "Failed" => {
                known("read a pod's log", of_kube(pods.logs(&name, &LogParams::default()).await))?
            }
            _ => String::new(),
        };
        let said = objects::checksum(&log).filter(|_| phase == "Succeeded");
        if said.is_none() {
            let last = log.lines().next_back().map(|line| format!(", saying `{line}`")).unwrap_or_default();
            let events = self.warnings().await;
            let after = if phase == "Failed" || phase == "Succeeded" {
                String::new()
            } else {
                format!(" after {} s", RUN.as_secs())
            };
            self.seen.trouble = Some(format!("pod `{name}` is {phase}{after}{last}{events}"));
            return Ok(None);
        }
        known("delete a pod", of_kube(pods.delete(&name, &DeleteParams::default()).await).map(drop))?;
        let begun = Instant::now();
        while known("read a pod", of_kube(pods.get_opt(&name).await))?.is_some() {
            if begun.elapsed() > GO {
                let events = self.warnings().await;
                self.seen.trouble = Some(format!("pod `{name}` is over and does not go{events}"));
                return Ok(None);
            }
            pause(LOOK).await;
        }
        Ok(said)
    }

    /// What events in our namespace warn of, newest last.
    async fn warnings(&self) -> String {
        let events: Api<Event> = self.here();
        let Ok(all) = events.list(&ListParams::default()).await else { return String::new() };
        match seen::last_event(
            &all.items.into_iter().filter(|one| one.type_.as_deref() == Some("Warning")).collect::<Vec<_>>(),
        ) {
            Some(event) => format!("; last warning: {}", event.message),
            None => "; no event warns".to_owned(),
        }
    }

    /// Notes the volume that the claim is bound to.
    async fn bound(&mut self) -> Outcome<Option<Handle>> {
        let claims: Api<PersistentVolumeClaim> = self.here();
        let claim = known("read the claim", of_kube(claims.get(CLAIM).await))?;
        let Some(name) = claim.spec.and_then(|spec| spec.volume_name).filter(|name| !name.is_empty()) else {
            self.seen.trouble = Some("a pod ran with a claim that has no volume".to_owned());
            return Ok(None);
        };
        self.volume = Some(name.clone());
        let volumes: Api<PersistentVolume> = self.everywhere();
        let volume = known("read the PersistentVolume", of_kube(volumes.get(&name).await))?;
        let spec = volume.spec.unwrap_or_default();
        let text = spec.csi.map(|csi| csi.volume_handle).unwrap_or_default();
        self.seen.handle = Some(text.clone());
        if spec.persistent_volume_reclaim_policy.as_deref() == Some("Retain") {
            let patch = serde_json::json!({"spec": {"persistentVolumeReclaimPolicy": "Delete"}});
            let told = volumes.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
            known("tell the PersistentVolume to go with its claim", of_kube(told))?;
        }
        match Handle::read(&text) {
            Ok(handle) => Ok(Some(handle)),
            Err(why) => {
                self.seen.trouble = Some(format!("its handle `{text}` is none: {why}"));
                Ok(None)
            }
        }
    }

    /// Deletes the claim and the namespace, and waits until nothing of it is left on either side.
    async fn remove(&mut self) -> Read<Vec<String>> {
        if self.volume.is_none() {
            // it may have been bound, though no pod came to run
            let claims: Api<PersistentVolumeClaim> = self.here();
            let claim = claims.get_opt(CLAIM).await.ok().flatten();
            if claim.and_then(|claim| claim.spec?.volume_name).is_some_and(|name| !name.is_empty()) {
                let trouble = self.seen.trouble.take();
                let _noted = self.bound().await;
                self.seen.trouble = trouble;
            }
        }
        let mut left = match self.remove_namespace().await {
            Read::Known(left) => left,
            unread @ Read::Unread { .. } => return unread,
        };
        let Some(name) = self.volume.clone() else { return Read::Known(left) };
        let begun = Instant::now();
        loop {
            let of_volume = match self.of_volume(&name).await {
                Ok(of_volume) => of_volume,
                Err((cause, why)) => return Read::unread(cause, why),
            };
            if of_volume.is_empty() || begun.elapsed() > FREE {
                left.extend(of_volume);
                return Read::Known(left);
            }
            pause(LOOK).await;
        }
    }

    /// What is still there of the volume.
    async fn of_volume(&self, name: &str) -> Outcome<Vec<String>> {
        let mut left = Vec::new();
        let attachments: Api<VolumeAttachment> = self.everywhere();
        let all = known("read the VolumeAttachments", of_kube(attachments.list(&ListParams::default()).await))?;
        let ours = all.iter().filter(|one| one.spec.source.persistent_volume_name.as_deref() == Some(name));
        left.extend(ours.map(|one| format!("VolumeAttachment `{}` to Node `{}`", one.name_any(), one.spec.node_name)));
        let volumes: Api<PersistentVolume> = self.everywhere();
        if known("read the PersistentVolume", of_kube(volumes.get_opt(name).await))?.is_some() {
            left.push(format!("PersistentVolume `{name}`"));
        }
        // Kubernetes' side goes last: as long as it is there, Proxmox VE need not be asked.
        if left.is_empty() && self.at_proxmox().await? {
            left.push(format!("the volume `{}` at Proxmox VE", self.seen.handle.as_deref().unwrap_or_default()));
        }
        Ok(left)
    }

    /// Whether a storage still lists the volume.
    async fn at_proxmox(&self) -> Outcome<bool> {
        let Some(handle) = self.seen.handle.as_deref().and_then(|text| Handle::read(text).ok()) else {
            return Ok(false);
        };
        let rows = known("the storages of Proxmox VE", as_ref(&self.proxmox.storages))?;
        let here = rows.iter().find(|row| {
            row.storage == handle.volume.storage
                && row.available
                && handle.zone.as_ref().is_none_or(|zone| row.node == *zone)
        });
        let Some(row) = here else {
            return Err((Cause::Missing, format!("no node that we may see has storage `{}`", handle.volume.storage)));
        };
        let listed = self.pve.storage_content(&row.node, &row.storage, Some("images"), handle.volume.owner()).await;
        let listed = known(&format!("list `{}` on `{}`", row.storage, row.node), of_proxmox(listed))?;
        Ok(listed.iter().any(|one| one.volid == handle.volume))
    }

    /// Removes the namespace with all that is in it, and waits until it is gone. What is left is named.
    async fn remove_namespace(&self) -> Read<Vec<String>> {
        let namespaces: Api<Namespace> = self.everywhere();
        let begun = Instant::now();
        loop {
            match of_kube(namespaces.get_opt(HERE).await) {
                Read::Known(None) => return Read::Known(Vec::new()),
                Read::Known(Some(there)) if !own::is_ours(&there) => {
                    return Read::unread(Cause::Refused, format!("there is a namespace `{HERE}` that is not ours"));
                }
                Read::Known(Some(there)) if there.metadata.deletion_timestamp.is_none() => {
                    if let Read::Unread { cause, why } =
                        of_kube(namespaces.delete(HERE, &DeleteParams::default()).await)
                    {
                        return Read::unread(cause, format!("remove namespace `{HERE}`: {why}"));
                    }
                }
                Read::Known(Some(_)) => {}
                Read::Unread { cause, why } => return Read::unread(cause, why),
            }
            if begun.elapsed() > GO {
                return Read::Known(vec![format!("namespace `{HERE}`")]);
            }
            pause(LOOK).await;
        }
    }
}

fn as_ref<T>(read: &Read<T>) -> Read<&T> {
    match read {
        Read::Known(value) => Read::Known(value),
        Read::Unread { cause, why } => Read::unread(*cause, why.clone()),
    }
}

/// Another Node that can have the volume, in another zone where there is one; else the writer's own.
fn reader<'a>(takers: &[&'a NodePlugin], writer: &'a NodePlugin, handle: &Handle) -> &'a str {
    let can = |node: &&&NodePlugin| {
        let zone = node.zone.as_deref();
        node.name != writer.name && handle.zone.as_ref().is_none_or(|own| zone == Some(own.as_str()))
    };
    let others = takers.iter().filter(can);
    others.max_by_key(|node| node.zone != writer.zone).map_or(&writer.name, |node| &node.name)
}

#[cfg(test)]
mod test {
    use super::*;

    fn class(name: &str, default: bool) -> ClassSeen {
        ClassSeen { name: name.into(), default, waits: true, parameters: BTreeMap::new(), allowed: Vec::new() }
    }

    #[test]
    fn the_default_class_is_tried_and_else_the_first_whose_storage_is_to_be_seen() {
        let world = crate::fixture::healthy().proxmox;
        let name = |classes: &[ClassSeen]| choose(classes, &world).map(|class| class.name.clone());
        assert_eq!(name(&[class("b", false), class("a", false)]).as_deref(), Some("a"));
        assert_eq!(name(&[class("a", false), class("b", true)]).as_deref(), Some("b"));
        let of = |name: &str, storage: &str| {
            let parameters = [("storage".to_owned(), storage.to_owned())].into();
            ClassSeen { parameters, ..class(name, false) }
        };
        assert_eq!(name(&[of("a", "hidden"), of("b", "shared")]).as_deref(), Some("b"));
        assert_eq!(name(&[]), None);
    }

    #[test]
    fn the_reader_is_elsewhere_where_the_volume_can_go_there() {
        let node = |name: &str, zone: &str| NodePlugin {
            name: name.into(),
            created: None,
            ready: true,
            control_plane: false,
            provider_id: None,
            region: Some("eu".into()),
            zone: Some(zone.into()),
            plugin: None,
        };
        let nodes = [node("w-0", "pve1"), node("w-1", "pve1"), node("w-2", "pve2")];
        let takers: Vec<&NodePlugin> = nodes.iter().collect();
        let of =
            |handle: &str, takers: &[&NodePlugin]| reader(takers, &nodes[0], &Handle::read(handle).unwrap()).to_owned();
        assert_eq!(of("eu//shared/vm-9100-pvc-1", &takers), "w-2");
        assert_eq!(of("eu/pve1/local/vm-9100-pvc-1", &takers), "w-1");
        assert_eq!(of("eu/pve1/local/vm-9100-pvc-1", &[&nodes[0], &nodes[2]]), "w-0");
    }
}

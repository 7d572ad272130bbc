//! Step 5: worlds that break one thing each, and what could not be looked at.

use std::collections::BTreeMap;

use jiff::ToSpan;
use pve_types::NodeName;

use super::broken::World;
use super::{all, check};
use crate::evidence::{
    AttachmentSeen, Cause, ClaimSeen, ClassSeen, Disk, Drive, EventSeen, Evidence, NodePlugin, NodeStorage, Pending,
    PersistentSeen, Read, StoredVolume, VolumeProbe, VolumesSeen,
};
use crate::fixture::{
    DISK, HOLDER, VOLUME, attachment, claim, healthy, listing, node, of, persistent, stored, unread, vmid,
};
use crate::report::Outcome;

fn seen(e: &mut Evidence) -> &mut VolumesSeen {
    of(&mut e.workload.volumes)
}

fn w0(e: &mut Evidence) -> &mut NodePlugin {
    &mut of(&mut seen(e).nodes)[1]
}

fn class(e: &mut Evidence) -> &mut ClassSeen {
    &mut of(&mut seen(e).classes)[0]
}

fn pv(e: &mut Evidence) -> &mut PersistentSeen {
    &mut of(&mut seen(e).volumes)[0]
}

fn attached(e: &mut Evidence) -> &mut AttachmentSeen {
    &mut of(&mut seen(e).attachments)[0]
}

fn probe(e: &mut Evidence) -> &mut VolumeProbe {
    of(&mut seen(e).probe)
}

fn listed(e: &mut Evidence) -> &mut Vec<StoredVolume> {
    of(&mut e.proxmox.listings[0].volumes)
}

fn drives(e: &mut Evidence) -> &mut BTreeMap<String, Drive> {
    of(e.proxmox.drives.get_mut(&vmid(102)).unwrap())
}

fn storages<'a>(e: &'a mut Evidence, on: &str) -> &'a mut Vec<NodeStorage> {
    let on: NodeName = node(on);
    of(e.proxmox.node_storages.get_mut(&on).unwrap())
}

/// A claim beside the other that waits, for an hour, with a pod or without, and with this said of it.
fn waiting<'a>(e: &'a mut Evidence, pod: Option<&str>, warns: bool, message: &str) -> &'a mut ClaimSeen {
    let made = e.finished - 1.hour();
    let event = EventSeen { warns, message: message.into() };
    let pods = pod.map(|pod| (pod.to_owned(), Some(made))).into_iter().collect();
    let pending = Pending { pods: Read::Known(pods), event: Read::Known(Some(event)) };
    let claims = of(&mut seen(e).claims);
    claims.push(ClaimSeen { uid: "another".into(), pending: Some(pending), ..claim("shop/data-1", "Pending") });
    claims.last_mut().unwrap()
}

/// Plugs the volume into a VM of somebody else.
fn plug(e: &mut Evidence, into: u32) {
    let disk = Disk { volume: Some(DISK.parse().unwrap()), cdrom: false };
    of(e.proxmox.settings.get_mut(&vmid(into)).unwrap()).disks.insert("scsi7".into(), disk);
}

/// A snapshot in a drive of the holder, as its notes have it.
fn snapshot(e: &mut Evidence) {
    let volume = "shared:9100/vm-9100-disk-0.raw";
    let holder = of(e.proxmox.settings.get_mut(&vmid(HOLDER)).unwrap());
    holder.disks.insert("scsi1".into(), Disk { volume: Some(volume.parse().unwrap()), cdrom: false });
    holder.copies.insert("scsi1".into(), "snapshot-76".into());
    listed(e).push(stored(volume));
}

const SPARE: &str = "shared:9100/vm-9100-pvc-9c9c9c9c.raw";

pub(super) const ERRORS: &[World] = &[
    ("csi.driver-registered", "there is no CSIDriver `csi.proxmox.sinextra.dev`", |e| {
        seen(e).driver = Read::Known(None);
    }),
    ("csi.driver-registered", "`attachRequired: false`", |e| {
        of(&mut seen(e).driver).as_mut().unwrap().attach_required = false;
    }),
    ("csi.driver-registered", "the driver told no `topology.kubernetes.io/zone`", |e| {
        w0(e).plugin.as_mut().unwrap().topology_keys.pop();
    }),
    ("csi.driver-registered", "told `topology.kubernetes.io/region`, and the Node has no such label", |e| {
        w0(e).region = None;
    }),
    ("csi.driver-registered", "Node `w-0`: the driver says it is VM 300, its provider ID says VM 102", |e| {
        w0(e).plugin.as_mut().unwrap().node_id = "w-0/300".into();
    }),
    ("csi.storage-classes", "no parameter is called `storageName`; there are storage,", |e| {
        class(e).parameters.insert("storageName".into(), "x".into());
    }),
    ("csi.storage-classes", "`storage` is missing", |e| _ = class(e).parameters.remove("storage")),
    ("csi.storage-classes", "node `pve1` has no storage `ceph`; it has shared, local", |e| {
        class(e).parameters.insert("storage".into(), "ceph".into());
    }),
    ("csi.storage-classes", "`local` on node `pve3` takes no `images`", |e| {
        class(e).parameters.insert("storage".into(), "local".into());
        let zones = vec!["pve2".to_owned(), "pve3".to_owned()];
        class(e).allowed = vec![[("topology.kubernetes.io/zone".to_owned(), zones)].into()];
        storages(e, "pve3")[1].content.remove("images");
    }),
    ("csi.storage-classes", "Proxmox VE has no node `eu-1a`", |e| {
        class(e).allowed = vec![[("topology.kubernetes.io/zone".to_owned(), vec!["eu-1a".to_owned()])].into()];
    }),
    ("csi.claims-bound", "claim `shop/data-1` is Pending for 60 min: no room on `shared`", |e| {
        waiting(e, Some("web-1"), true, "no room on `shared`");
    }),
    ("csi.claims-bound", "claim `shop/data-1` is Pending for 60 min: nobody provisions", |e| {
        waiting(e, None, false, "nobody provisions");
        class(e).waits = false;
    }),
    ("csi.claims-bound", "claim `shop/data-0` has lost its volume", |e| {
        of(&mut seen(e).claims)[0].phase = "Lost".into();
    }),
    ("csi.volumes-exist", "Proxmox VE has no `shared:9100/vm-9100-pvc-0b7e", |e| listed(e).clear()),
    ("csi.volumes-exist", "has 536870912 bytes, 1073741824 are promised", |e| listed(e)[0].size = Some(512 << 20)),
    ("csi.volumes-exist", "its handle `pvc-7` is none: it should read REGION/ZONE/STORAGE/DISK", |e| {
        of(&mut seen(e).volumes).push(persistent("pvc-7", "pvc-7"));
    }),
    ("csi.attachments", "is attached to Node `w-0`, but VM 102 does not have `shared:9100/vm-9100-pvc-0b7e", |e| {
        drives(e).remove("scsi1");
    }),
    ("csi.attachments", "waits to leave `scsi1` of VM 102", |e| drives(e).get_mut("scsi1").unwrap().leaving = true),
    ("csi.attachments", "waits to come into `scsi1` of VM 102", |e| {
        let drive = drives(e).get_mut("scsi1").unwrap();
        drive.coming = drive.now.take();
    }),
    ("csi.attachments", "is in VM 102 and VM 300", |e| plug(e, 300)),
    ("csi.attachments", "to Node `w-9`, which does not exist", |e| attached(e).node = "w-9".into()),
    ("csi.attachments", "at Node `w-0` is being detached for 30 min: the guest does not let go", |e| {
        let since = e.finished - 30.minutes();
        let one = attached(e);
        (one.deleting, one.detach_error) = (Some(since), Some("the guest does not let go".into()));
    }),
    ("csi.attachments", "at Node `w-0` is being attached for 59 min: no free slot", |e| {
        let one = attached(e);
        (one.attached, one.attach_error) = (false, Some("no free slot".into()));
    }),
    ("csi.attachments", "VM 9100 holds volumes and runs", |e| {
        of(&mut e.proxmox.guests).get_mut(&vmid(HOLDER)).unwrap().status = Some("running".into());
    }),
    ("csi.probe", "has other data on Node `w-1` than was written on `w-0`", |e| probe(e).read = Some("00".into())),
    ("csi.probe", "pod `writer` is Pending after 180 s; last warning: no room", |e| {
        let probe = probe(e);
        (probe.written, probe.read, probe.reader) = (None, None, None);
        probe.trouble = Some("pod `writer` is Pending after 180 s; last warning: no room".into());
    }),
    ("csi.probe", "PersistentVolume `pvc-1` is still there", |e| {
        of(&mut probe(e).left).push("PersistentVolume `pvc-1`".into());
    }),
];

pub(super) const WARNINGS: &[World] = &[
    ("csi.driver-registered", "Node `w-0` is new", |e| {
        let now = e.finished;
        let node = w0(e);
        (node.plugin, node.created) = (None, Some(now - 1.minute()));
    }),
    ("csi.storage-classes", "no StorageClass is of the driver", |e| {
        of(&mut seen(e).classes).clear();
    }),
    (
        "csi.storage-classes",
        "node `pve2` has no storage `shared`; it has local: workers there get no volume of it",
        |e| {
            storages(e, "pve2").remove(0);
        },
    ),
    ("csi.claims-bound", "(its pod `web-1` is scheduled nowhere)", |e| {
        waiting(e, Some("web-1"), false, "waiting for pod web-1 to be scheduled");
    }),
    ("csi.attachments", "and no VolumeAttachment says so", |e| of(&mut seen(e).attachments).clear()),
    ("csi.attachments", "is not attached yet: try again", |e| {
        let now = e.finished;
        let one = attached(e);
        (one.attached, one.created, one.attach_error) = (false, Some(now - 30.seconds()), Some("try again".into()));
    }),
    (
        "csi.no-orphans",
        "`shared:9100/vm-9100-pvc-9c9c9c9c.raw` of holder VM 9100 (tenant `demo`, node `pve1`, 1024 MiB)",
        |e| {
            listed(e).push(stored(SPARE));
        },
    ),
    ("csi.no-orphans", "`shared:9100/vm-9100-disk-0.raw` of holder VM 9100 (tenant `demo`", |e| {
        snapshot(e);
        of(&mut seen(e).snapshots).push("dc1//shared/vm-9100-snapshot-77".into());
    }),
    ("csi.no-orphans", "has been Released for 59 min and is not deleted", |e| pv(e).phase = "Released".into()),
];

#[test]
fn each_trouble_fails_its_own_check_and_no_other_of_the_step() {
    for (id, says, change) in ERRORS.iter().chain(WARNINGS) {
        let mut evidence = healthy();
        change(&mut evidence);
        let report = all(&evidence);
        let failed: Vec<&str> = report
            .checks()
            .filter(|check| check.outcome == Outcome::Failed && check.id.starts_with("csi."))
            .map(|check| check.id.as_str())
            .collect();
        assert_eq!(failed, [*id], "{says}");
    }
}

#[test]
fn a_driver_that_is_not_installed_passes_nothing() {
    let mut evidence = healthy();
    let volumes = seen(&mut evidence);
    volumes.driver = Read::Known(None);
    of(&mut volumes.classes).clear();
    of(&mut volumes.claims).clear();
    of(&mut volumes.volumes).clear();
    of(&mut volumes.attachments).clear();
    volumes.probe = Read::unread(Cause::Missing, "no StorageClass is of the driver");
    let report = all(&evidence);
    let step: Vec<_> = report.checks().filter(|check| check.id.starts_with("csi.")).collect();
    assert_eq!(step.len(), 7);
    for check in step {
        assert_eq!((check.outcome, check.blocked_by.as_deref()), (Outcome::Blocked, Some("driver")), "{check:?}");
        assert!(check.message.contains("the driver is not installed"), "{}", check.message);
    }
}

#[test]
fn evidence_of_before_these_checks_passes_none_of_them() {
    let mut saved = serde_json::to_value(healthy()).unwrap();
    saved["workload"].as_object_mut().unwrap().remove("volumes");
    for part in ["drives", "listings"] {
        saved["proxmox"].as_object_mut().unwrap().remove(part);
    }
    let evidence: Evidence = serde_json::from_value(saved).unwrap();
    for check in all(&evidence).checks().filter(|check| check.id.starts_with("csi.")) {
        assert_eq!(check.outcome, Outcome::Blocked, "{}: {}", check.id, check.message);
    }
}

type Change = fn(&mut Evidence);

#[test]
fn what_could_not_be_looked_at_is_never_a_pass() {
    let cases: &[(&str, Change)] = &[
        ("csi.driver-registered", |e| seen(e).driver = unread()),
        ("csi.driver-registered", |e| seen(e).nodes = unread()),
        ("csi.driver-registered", |e| _ = e.proxmox.settings.insert(vmid(102), unread())),
        ("csi.driver-registered", |e| w0(e).ready = false),
        ("csi.storage-classes", |e| seen(e).classes = unread()),
        ("csi.storage-classes", |e| _ = e.proxmox.node_storages.insert(node("pve2"), unread())),
        ("csi.storage-classes", |e| storages(e, "pve2").clear()),
        ("csi.storage-classes", |e| {
            // a storage that we may not see is not one that is not there
            class(e).parameters.insert("storage".into(), "hidden".into());
            of(&mut e.proxmox.permissions).get_mut("/storage").unwrap().remove("Datastore.Audit");
        }),
        ("csi.claims-bound", |e| seen(e).claims = unread()),
        ("csi.claims-bound", |e| waiting(e, None, false, "").pending.as_mut().unwrap().pods = unread()),
        ("csi.volumes-exist", |e| seen(e).volumes = unread()),
        ("csi.volumes-exist", |e| e.proxmox.listings[0].volumes = unread()),
        ("csi.volumes-exist", |e| e.proxmox.listings.clear()),
        ("csi.volumes-exist", |e| listed(e)[0].size = None),
        ("csi.volumes-exist", |e| pv(e).capacity = None),
        ("csi.volumes-exist", |e| pv(e).handle = format!("another{}", pv(e).handle.trim_start_matches("dc1"))),
        ("csi.volumes-exist", |e| {
            // nothing is listed of an owner that we may not see
            listed(e).clear();
            of(&mut e.proxmox.guests).remove(&vmid(HOLDER));
            of(&mut e.proxmox.permissions).get_mut("/vms").unwrap().remove("VM.Audit");
        }),
        ("csi.attachments", |e| seen(e).attachments = unread()),
        ("csi.attachments", |e| _ = e.proxmox.drives.insert(vmid(102), unread())),
        ("csi.attachments", |e| _ = e.proxmox.settings.insert(vmid(300), unread())),
        ("csi.no-orphans", |e| e.proxmox.listings[1].volumes = unread()),
        ("csi.no-orphans", |e| _ = e.proxmox.settings.insert(vmid(HOLDER), unread())),
        ("csi.no-orphans", |e| {
            seen(e).snapshots = unread();
            listed(e).push(stored("shared:9100/vm-9100-disk-0.raw"));
        }),
        ("csi.no-orphans", |e| {
            of(&mut seen(e).volumes).clear();
            of(e.proxmox.settings.get_mut(&vmid(300)).unwrap()).holder = Some("another".into());
        }),
        ("csi.probe", |e| seen(e).probe = unread()),
        ("csi.probe", |e| probe(e).left = unread()),
        ("csi.probe", |e| probe(e).read = None),
    ];
    for (at, (id, blind)) in cases.iter().enumerate() {
        let mut evidence = healthy();
        blind(&mut evidence);
        let found = check(&all(&evidence), id);
        assert_eq!(found.outcome, Outcome::Unread, "{at} {id}: {}", found.message);
    }
}

#[test]
fn what_is_on_its_way_is_no_trouble() {
    let cases: &[(&str, Change)] = &[
        ("a claim waits for its first pod", |e| _ = waiting(e, None, false, "waiting for first consumer")),
        ("a claim has just got its pod", |e| {
            let now = e.finished;
            let pending = waiting(e, None, false, "").pending.as_mut().unwrap();
            of(&mut pending.pods).insert("web-1".into(), Some(now - 5.seconds()));
        }),
        ("a volume is being detached", |e| {
            let now = e.finished;
            attached(e).deleting = Some(now - 5.seconds());
            drives(e).remove("scsi1");
        }),
        ("a volume is being attached", |e| {
            let now = e.finished;
            let one = attached(e);
            (one.attached, one.created) = (false, Some(now - 5.seconds()));
        }),
        ("a volume is being deleted", |e| {
            let now = e.finished;
            of(&mut seen(e).attachments).clear();
            drives(e).remove("scsi1");
            let volume = pv(e);
            (volume.phase, volume.since) = ("Released".into(), Some(now - 5.seconds()));
            listed(e).clear();
        }),
        ("a volume was just made", |e| {
            let made = e.finished.as_second() - 5;
            listed(e).push(StoredVolume { made: Some(made), ..stored(SPARE) });
        }),
        ("a volume is being made, on a storage that tells no times", |e| {
            waiting(e, None, false, "").uid = "9c9c9c9c".into();
            listed(e).push(StoredVolume { made: None, ..stored(SPARE) });
        }),
        ("a snapshot has its object", |e| {
            snapshot(e);
            of(&mut seen(e).snapshots).push("dc1//shared/vm-9100-snapshot-76".into());
        }),
        ("another cluster has its own holder", |e| {
            of(e.proxmox.settings.get_mut(&vmid(300)).unwrap()).holder = Some("another".into());
            of(&mut e.proxmox.guests).get_mut(&vmid(300)).unwrap().status = Some("stopped".into());
            let theirs = listing("pve3", "local", false, vec![stored("local:300/vm-300-pvc-1.raw")]);
            e.proxmox.listings.push(crate::evidence::Listing { owner: vmid(300), ..theirs });
        }),
        ("its holder has the volume plugged in, at rest", |e| plug(e, HOLDER)),
        ("the control plane has no driver", |e| of(&mut seen(e).nodes)[0].plugin = None),
        ("a local volume is where its handle says", |e| {
            let handle = "dc1/pve1/local/9100/vm-9100-pvc-2.raw";
            of(&mut seen(e).volumes).push(persistent("pvc-2", handle));
            of(&mut e.proxmox.listings[1].volumes).push(stored("local:9100/vm-9100-pvc-2.raw"));
        }),
    ];
    for (what, change) in cases {
        let mut evidence = healthy();
        change(&mut evidence);
        for check in all(&evidence).checks().filter(|check| check.id.starts_with("csi.")) {
            assert_eq!(check.outcome, Outcome::Passed, "{what}: {}: {}", check.id, check.message);
        }
    }
}

#[test]
fn a_volume_of_the_same_name_on_another_node_is_another() {
    let mut evidence = healthy();
    of(&mut seen(&mut evidence).volumes).push(persistent("pvc-2", "dc1/pve2/local/9100/vm-9100-pvc-2.raw"));
    of(&mut evidence.proxmox.listings[1].volumes).push(stored("local:9100/vm-9100-pvc-2.raw"));
    evidence.proxmox.listings.push(listing("pve2", "local", false, vec![]));
    let found = check(&all(&evidence), "csi.volumes-exist");
    assert_eq!(found.outcome, Outcome::Failed, "{found:?}");
    assert!(found.message.contains("on node `pve2`"), "{}", found.message);
}

#[test]
fn a_volume_in_two_machines_of_the_cluster_is_told_though_both_say_attached() {
    let mut evidence = healthy();
    of(&mut seen(&mut evidence).attachments).push(attachment(VOLUME, "cp-0"));
    plug(&mut evidence, 101);
    let found = check(&all(&evidence), "csi.attachments");
    assert_eq!(found.outcome, Outcome::Failed, "{found:?}");
    assert!(found.message.contains("VM 101 and VM 102"), "{}", found.message);
}

//! Volumes from their making to their end, over the wire on both sides.

use csi_proto::csi as rpc;
use csi_proto::csi::volume_content_source::{SnapshotSource, Type, VolumeSource};
use tonic::Code;

use crate::world::{GIB, SHARED, World, create, delete, expand, node, publish, unpublish, vmid};

#[tokio::test]
async fn a_volume_lives_and_leaves_nothing_behind() {
    let world = World::new().await;
    let w = world.worker(201, 1).await;
    let mut csi = world.controller().await;
    let made = csi.create_volume(create("pvc-1", 1)).await.unwrap().into_inner().volume.unwrap();
    assert_eq!(made.capacity_bytes, GIB);
    let volume = made.volume_id;
    assert!(volume.starts_with("eu//shared/") && volume.ends_with("-pvc-1.raw"), "{volume}");
    let again = csi.create_volume(create("pvc-1", 1)).await.unwrap().into_inner().volume.unwrap();
    assert_eq!(again.volume_id, volume);
    let other = csi.create_volume(create("pvc-1", 2)).await;
    // One that is larger than asked for would do, one that is smaller does not.
    assert_eq!(other.unwrap_err().code(), Code::AlreadyExists);

    let context = csi.controller_publish_volume(publish(&volume, &w)).await.unwrap().into_inner().publish_context;
    assert!(context["DevicePath"].starts_with("/dev/disk/by-id/wwn-0x5"), "{context:?}");
    assert_eq!((context["lun"].as_str(), context["sizeBytes"].as_str()), ("1", "1073741824"));
    let config = world.pve.guest_config(&node(1), vmid(201)).await.unwrap();
    assert_eq!(config.disks["scsi1"].option("serial"), Some(context["serial"].as_str()));
    let same = csi.controller_publish_volume(publish(&volume, &w)).await.unwrap().into_inner().publish_context;
    assert_eq!(same, context);

    let listed = csi.list_volumes(rpc::ListVolumesRequest::default()).await.unwrap().into_inner().entries;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].status.as_ref().unwrap().published_node_ids, std::slice::from_ref(&w));
    let refused = csi.delete_volume(delete(&volume)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("VM 201 (scsi1)"), "{refused}");

    csi.controller_unpublish_volume(unpublish(&volume, &w)).await.unwrap();
    csi.controller_unpublish_volume(unpublish(&volume, &w)).await.unwrap();
    assert!(!world.pve.guest_config(&node(1), vmid(201)).await.unwrap().disks.contains_key("scsi1"));
    csi.delete_volume(delete(&volume)).await.unwrap();
    csi.delete_volume(delete(&volume)).await.unwrap();
    assert_eq!(csi.list_volumes(rpc::ListVolumesRequest::default()).await.unwrap().into_inner().entries, []);
    let row = world.pve.resources().await.unwrap();
    let holder =
        row.guests.values().find(|row| row.name.as_deref().is_some_and(|n| n.starts_with("csi-holder-team-a-")));
    let holder = holder.unwrap();
    let config = world.pve.guest_config(&holder.node, holder.vmid).await.unwrap();
    assert_eq!((config.disks.len(), config.other["protection"].as_str()), (0, "1"));
    world.stop().await;
}

#[tokio::test]
async fn a_volume_in_use_elsewhere_is_refused_and_comes_when_it_is_free() {
    let mut world = World::new().await;
    let (a, b) = (world.worker(201, 1).await, world.worker(202, 2).await);
    let mut csi = world.controller().await;
    let volume = csi.create_volume(create("pvc-1", 1)).await.unwrap().into_inner().volume.unwrap().volume_id;
    csi.controller_publish_volume(publish(&volume, &a)).await.unwrap();
    let refused = csi.controller_publish_volume(publish(&volume, &b)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("VM 201 (scsi1)"), "{refused}");
    // One that remembers nothing sees it too.
    world.restart().await;
    let mut csi = world.controller().await;
    let refused = csi.controller_publish_volume(publish(&volume, &b)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    csi.controller_unpublish_volume(unpublish(&volume, &a)).await.unwrap();
    csi.controller_publish_volume(publish(&volume, &b)).await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn a_volume_grows_attached_or_not() {
    let world = World::new().await;
    let w = world.worker(201, 1).await;
    let mut csi = world.controller().await;
    let volume = csi.create_volume(create("pvc-1", 1)).await.unwrap().into_inner().volume.unwrap().volume_id;
    let grown = csi.controller_expand_volume(expand(&volume, 2)).await.unwrap().into_inner();
    assert_eq!(grown.capacity_bytes, 2 * GIB);
    let context = csi.controller_publish_volume(publish(&volume, &w)).await.unwrap().into_inner().publish_context;
    assert_eq!(context["sizeBytes"], (2 * GIB).to_string());
    let grown = csi.controller_expand_volume(expand(&volume, 5)).await.unwrap().into_inner();
    assert_eq!((grown.capacity_bytes, grown.node_expansion_required), (5 * GIB, true));
    csi.controller_unpublish_volume(unpublish(&volume, &w)).await.unwrap();
    // The holder's own entry still says 2 GiB.
    let grown = csi.controller_expand_volume(expand(&volume, 3)).await.unwrap().into_inner();
    assert_eq!(grown.capacity_bytes, 5 * GIB);
    csi.delete_volume(delete(&volume)).await.unwrap();
    world.stop().await;
}

fn snapshot(name: &str, source: &str) -> rpc::CreateSnapshotRequest {
    rpc::CreateSnapshotRequest {
        name: name.to_owned(),
        source_volume_id: source.to_owned(),
        ..rpc::CreateSnapshotRequest::default()
    }
}

fn from(source: Type, name: &str, gib: i64) -> rpc::CreateVolumeRequest {
    rpc::CreateVolumeRequest {
        volume_content_source: Some(rpc::VolumeContentSource { r#type: Some(source) }),
        ..create(name, gib)
    }
}

#[tokio::test]
async fn snapshots_are_copies_and_volumes_are_made_of_them() {
    let mut world = World::new().await;
    let w = world.worker(201, 1).await;
    let mut csi = world.controller().await;
    let volume = csi.create_volume(create("pvc-1", 1)).await.unwrap().into_inner().volume.unwrap().volume_id;
    csi.controller_publish_volume(publish(&volume, &w)).await.unwrap();
    let refused = csi.create_snapshot(snapshot("snap-1", &volume)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "a running guest may write to it: {refused}");
    csi.controller_unpublish_volume(unpublish(&volume, &w)).await.unwrap();

    let made = csi.create_snapshot(snapshot("snap-1", &volume)).await.unwrap().into_inner().snapshot.unwrap();
    assert!(made.ready_to_use && made.size_bytes == GIB && made.source_volume_id == volume, "{made:?}");
    world.restart().await;
    let mut csi = world.controller().await;
    let again = csi.create_snapshot(snapshot("snap-1", &volume)).await.unwrap().into_inner().snapshot.unwrap();
    assert_eq!(again, made);
    let other = csi.create_volume(create("pvc-2", 1)).await.unwrap().into_inner().volume.unwrap().volume_id;
    let taken = csi.create_snapshot(snapshot("snap-1", &other)).await.unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists, "{taken}");

    let source = Type::Snapshot(SnapshotSource { snapshot_id: made.snapshot_id.clone() });
    let restored = csi.create_volume(from(source.clone(), "pvc-3", 2)).await.unwrap().into_inner().volume.unwrap();
    assert_eq!(restored.capacity_bytes, 2 * GIB, "it is as large as was asked for");
    let same = csi.create_volume(from(source, "pvc-3", 2)).await.unwrap().into_inner().volume.unwrap();
    assert_eq!(same.volume_id, restored.volume_id);
    let source = Type::Volume(VolumeSource { volume_id: volume.clone() });
    let cloned = csi.create_volume(from(source, "pvc-4", 1)).await.unwrap().into_inner().volume.unwrap();
    csi.controller_publish_volume(publish(&cloned.volume_id, &w)).await.unwrap();

    let all = csi.list_snapshots(rpc::ListSnapshotsRequest::default()).await.unwrap().into_inner().entries;
    assert_eq!(
        all.iter().map(|entry| entry.snapshot.clone().unwrap()).collect::<Vec<_>>(),
        std::slice::from_ref(&made)
    );
    let listed = csi.list_volumes(rpc::ListVolumesRequest::default()).await.unwrap().into_inner().entries;
    assert_eq!(listed.len(), 4, "snapshots are no volumes: {listed:?}");

    csi.controller_unpublish_volume(unpublish(&cloned.volume_id, &w)).await.unwrap();
    let id = made.snapshot_id;
    for _ in 0..2 {
        let request = rpc::DeleteSnapshotRequest { snapshot_id: id.clone(), ..rpc::DeleteSnapshotRequest::default() };
        csi.delete_snapshot(request).await.unwrap();
    }
    for volume in [volume, other, restored.volume_id, cloned.volume_id] {
        csi.delete_volume(delete(&volume)).await.unwrap();
    }
    assert_eq!(csi.list_snapshots(rpc::ListSnapshotsRequest::default()).await.unwrap().into_inner().entries, []);
    for row in world.pve.storage_content(&node(1), &SHARED.parse().unwrap(), Some("images"), None).await.unwrap() {
        assert_eq!(row.vmid, Some(vmid(9000)), "left behind: {row:?}");
    }
    world.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_told_by_its_field() {
    let world = World::new().await;
    let mut csi = world.controller().await;
    let with = |key: &str, value: &str| {
        let mut request = create("pvc-1", 1);
        request.parameters.insert(key.to_owned(), value.to_owned());
        request
    };
    for (request, code, says) in [
        (with("storge", "x"), Code::InvalidArgument, "parameters.storge"),
        // it may be made, or shown to our token, any time
        (with("storage", "nowhere"), Code::FailedPrecondition, "parameters.storage"),
        (with("storageFormat", "vmdk"), Code::InvalidArgument, "parameters.storageFormat"),
        (create("", 1), Code::InvalidArgument, "name"),
        (create("pvc-1", -1), Code::InvalidArgument, "required_bytes"),
        (
            rpc::CreateVolumeRequest { volume_capabilities: Vec::new(), ..create("pvc-1", 1) },
            Code::InvalidArgument,
            "volume_capabilities",
        ),
    ] {
        let refused = csi.create_volume(request).await.unwrap_err();
        assert_eq!(refused.code(), code, "{refused}");
        assert!(refused.message().contains(says), "{refused}");
    }
    let lost = csi.controller_publish_volume(publish("eu//shared/999/vm-999-pvc-1.raw", "w/201")).await.unwrap_err();
    assert_eq!(lost.code(), Code::NotFound, "{lost}");
    let foreign = csi.delete_volume(delete("eu//shared/9000/base-9000-disk-0.qcow2")).await.unwrap_err();
    assert_eq!(foreign.code(), Code::FailedPrecondition, "a template is not ours: {foreign}");
    world.stop().await;
}

#[tokio::test]
async fn a_node_whose_vm_is_gone_has_nothing_attached() {
    let world = World::new().await;
    let w = world.worker(201, 1).await;
    let mut csi = world.controller().await;
    let volume = csi.create_volume(create("pvc-1", 1)).await.unwrap().into_inner().volume.unwrap().volume_id;
    csi.controller_publish_volume(publish(&volume, &w)).await.unwrap();
    world.pve.follow(&world.pve.stop(&node(1), vmid(201)).await.unwrap()).await.unwrap();
    world.pve.follow(&world.pve.destroy(&node(1), vmid(201), pve::Purge::Yes).await.unwrap()).await.unwrap();
    csi.controller_unpublish_volume(unpublish(&volume, &w)).await.unwrap();
    let gone = csi.controller_publish_volume(publish(&volume, &w)).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound, "{gone}");
    csi.delete_volume(delete(&volume)).await.unwrap();
    world.stop().await;
}

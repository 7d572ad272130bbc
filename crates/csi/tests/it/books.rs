//! Calls are counted against the aims, on a cluster with many VMs: none of them grows with their number.

use std::collections::BTreeMap;

use csi_proto::csi as rpc;
use futures::future::join_all;
use pve_sim::Options;

use crate::world::{World, create, delete, expand, node, publish, unpublish, vmid};

/// What all operations share.
const SHARED_CALLS: [&str; 2] = ["GET /cluster/resources", "GET /nodes/{node}/tasks"];

fn own(calls: &BTreeMap<String, u64>) -> u64 {
    calls.iter().filter(|(call, _)| !SHARED_CALLS.contains(&call.as_str())).map(|(_, times)| times).sum()
}

#[tokio::test]
async fn no_operation_takes_more_calls_than_it_may() {
    let world = World::with(Options { speed: 200.0, vms: 60, ..Options::default() }).await;
    let w = world.worker(9201, 1).await;
    let mut csi = world.controller().await;
    // The first operation learns what there is, and makes the holder.
    let first = csi.create_volume(create("first", 1)).await.unwrap().into_inner().volume.unwrap().volume_id;
    csi.controller_publish_volume(publish(&first, &w)).await.unwrap();
    world.calls().await;
    let mut book: Vec<(&str, u64, BTreeMap<String, u64>)> = Vec::new();

    let volume = csi.create_volume(create("pvc-1", 1)).await.unwrap().into_inner().volume.unwrap().volume_id;
    book.push(("create", 2, world.calls().await));
    csi.create_volume(create("pvc-1", 1)).await.unwrap();
    book.push(("create again", 2, world.calls().await));
    csi.controller_expand_volume(expand(&volume, 2)).await.unwrap();
    book.push(("expand, not attached", 4, world.calls().await));
    csi.controller_publish_volume(publish(&volume, &w)).await.unwrap();
    book.push(("publish", 4, world.calls().await));
    csi.controller_publish_volume(publish(&volume, &w)).await.unwrap();
    book.push(("publish again", 4, world.calls().await));
    csi.controller_expand_volume(expand(&volume, 3)).await.unwrap();
    book.push(("expand, attached", 4, world.calls().await));
    csi.controller_unpublish_volume(unpublish(&volume, &w)).await.unwrap();
    book.push(("unpublish", 4, world.calls().await));
    csi.delete_volume(delete(&volume)).await.unwrap();
    book.push(("delete", 4, world.calls().await));
    csi.get_capacity(rpc::GetCapacityRequest::default()).await.unwrap();
    book.push(("capacity", 1, world.calls().await));
    csi.list_volumes(rpc::ListVolumesRequest::default()).await.unwrap();
    world.calls().await;
    csi.list_volumes(rpc::ListVolumesRequest::default()).await.unwrap();
    book.push(("list again", 0, world.calls().await));
    for (what, most, calls) in &book {
        assert!(own(calls) <= *most, "{what}: {} calls, {most} are allowed: {calls:?}", own(calls));
    }
    world.stop().await;
}

#[tokio::test]
async fn fifty_volumes_at_once_are_attached_each_once() {
    let world = World::with(Options { speed: 200.0, ..Options::default() }).await;
    let workers: Vec<String> = join_all((0..5).map(|n| world.worker(9201 + n, 1 + n % 3))).await;
    let csi = world.controller().await;
    let volumes = join_all((0..50).map(|n| {
        let mut csi = csi.clone();
        async move {
            csi.create_volume(create(&format!("pvc-{n}"), 1)).await.unwrap().into_inner().volume.unwrap().volume_id
        }
    }))
    .await;
    let attach = |(n, volume): (usize, &String)| {
        let (mut csi, request) = (csi.clone(), publish(volume, &workers[n % 5]));
        async move { csi.controller_publish_volume(request).await.unwrap().into_inner().publish_context }
    };
    join_all(volumes.iter().enumerate().map(attach)).await;
    let mut seen = Vec::new();
    for n in 0..5 {
        let config = world.pve.guest_config(&node(1 + n % 3), vmid(9201 + n)).await.unwrap();
        seen.extend(config.disks.values().filter_map(|disk| disk.volume().cloned()));
    }
    seen.sort();
    let found = seen.len();
    seen.dedup();
    assert_eq!((found, seen.len()), (50, 50));
    world.stop().await;
}

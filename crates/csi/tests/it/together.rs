//! Operations on one VM that overlap, as the attacher makes them when a node is drained.

use csi_proto::csi as rpc;
use pve_sim::Options;

use crate::world::{World, create, node, publish, unpublish, vmid};

#[tokio::test]
async fn a_vm_that_is_being_written_to_is_still_the_node_and_every_volume_leaves_it() {
    let slow = "PUT /nodes/*/qemu/*/config=1000".parse().unwrap();
    let world = World::with(Options { speed: 200.0, latencies: vec![slow], ..Options::default() }).await;
    world.worker(201, 1).await;
    let firmware = world.pve.guest_config(&node(1), vmid(201)).await.unwrap().smbios.unwrap().uuid.unwrap();
    let w = format!("w-201/{firmware}");
    let mut csi = world.controller().await;
    let mut volumes = Vec::new();
    for name in ["pvc-1", "pvc-2"] {
        let made = csi.create_volume(create(name, 1)).await.unwrap().into_inner().volume.unwrap().volume_id;
        csi.controller_publish_volume(publish(&made, &w)).await.unwrap();
        volumes.push(made);
    }
    let (mut first, request) = (csi.clone(), unpublish(&volumes[0], &w));
    let first = tokio::spawn(async move { first.controller_unpublish_volume(request).await });
    // Until the first is on its way, which then takes a second.
    for _ in 0..100 {
        csi.controller_get_capabilities(rpc::ControllerGetCapabilitiesRequest {}).await.unwrap();
    }
    assert!(!first.is_finished(), "it was quicker than the simulator can be");
    csi.controller_unpublish_volume(unpublish(&volumes[1], &w)).await.unwrap();
    first.await.unwrap().unwrap();
    let config = world.pve.guest_config(&node(1), vmid(201)).await.unwrap();
    assert!(!config.disks.keys().any(|key| key.starts_with("scsi")), "{:?}", config.disks);
    world.stop().await;
}

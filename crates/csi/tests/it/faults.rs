//! What goes wrong on the way: answers that are lost, guests that do not let go, slots that spoil, locks, full storages.

use serde_json::json;
use tonic::Code;

use crate::world::{SHARED, World, create, delete, expand, node, publish, unpublish, vmid};

async fn fault(world: &World, rule: serde_json::Value) {
    world.door.ask("POST", "/sim/faults", Some(&rule)).await;
}

#[tokio::test]
async fn a_lost_answer_to_any_write_is_got_over_by_asking_again() {
    for nth in 1..=12 {
        let world = World::new().await;
        let w = world.worker(201, 1).await;
        let mut csi = world.controller().await;
        csi.create_volume(create("first", 1)).await.unwrap();
        fault(&world, json!({"match": {"writes": true}, "nth": nth, "then": "answer_lost"})).await;
        let volume = loop {
            match csi.create_volume(create("pvc-1", 1)).await {
                Ok(made) => break made.into_inner().volume.unwrap().volume_id,
                Err(why) => assert_eq!(why.code(), Code::Unavailable, "{why}"),
            }
        };
        while let Err(why) = csi.controller_expand_volume(expand(&volume, 2)).await {
            assert_eq!(why.code(), Code::Unavailable, "{why}");
        }
        while let Err(why) = csi.controller_publish_volume(publish(&volume, &w)).await {
            assert_eq!(why.code(), Code::Unavailable, "{why}");
        }
        let config = world.pve.guest_config(&node(1), vmid(201)).await.unwrap();
        assert_eq!(config.disks.keys().filter(|key| key.starts_with("scsi")).count(), 1, "once, not twice");
        while let Err(why) = csi.controller_unpublish_volume(unpublish(&volume, &w)).await {
            assert_eq!(why.code(), Code::Unavailable, "{why}");
        }
        while let Err(why) = csi.delete_volume(delete(&volume)).await {
            assert_eq!(why.code(), Code::Unavailable, "{why}");
        }
        let left = world.pve.storage_content(&node(1), &SHARED.parse().unwrap(), Some("images"), None).await.unwrap();
        assert!(!left.iter().any(|row| row.volid.name.contains("pvc-1")), "{left:?}");
        world.stop().await;
    }
}

#[tokio::test]
async fn a_guest_that_does_not_let_go_keeps_its_volume_until_it_does() {
    let world = World::new().await;
    let (w, x) = (world.worker(201, 1).await, world.worker(202, 1).await);
    let mut csi = world.controller().await;
    let volume = csi.create_volume(create("pvc-1", 1)).await.unwrap().into_inner().volume.unwrap().volume_id;
    csi.controller_publish_volume(publish(&volume, &w)).await.unwrap();
    let refuses = json!({"match": {"method": "PUT", "path": "/nodes/*/qemu/201/config"}, "then": "unplug_refused"});
    fault(&world, refuses).await;
    let busy = csi.controller_unpublish_volume(unpublish(&volume, &w)).await.unwrap_err();
    assert_eq!(busy.code(), Code::Unavailable, "{busy}");
    let still = csi.controller_publish_volume(publish(&volume, &x)).await.unwrap_err();
    assert_eq!(still.code(), Code::FailedPrecondition, "the guest has it still: {still}");
    assert!(still.message().contains("being detached"), "{still}");
    csi.controller_unpublish_volume(unpublish(&volume, &w)).await.unwrap();
    csi.controller_publish_volume(publish(&volume, &x)).await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn a_volume_that_cannot_be_plugged_in_is_not_said_to_be_there() {
    let world = World::new().await;
    let w = world.worker(201, 1).await;
    let mut csi = world.controller().await;
    let volume = csi.create_volume(create("pvc-1", 1)).await.unwrap().into_inner().volume.unwrap().volume_id;
    let hotplug = pve::ConfigUpdate {
        set: [("hotplug".to_owned(), "network,usb".to_owned())].into(),
        ..pve::ConfigUpdate::default()
    };
    world.pve.update_config(&node(1), vmid(201), &hotplug).await.unwrap();
    let refused = csi.controller_publish_volume(publish(&volume, &w)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(refused.message().contains("hotplug"), "{refused}");
    let pending = world.pve.guest_pending(&node(1), vmid(201)).await.unwrap();
    assert!(!pending.iter().any(|row| row.key == "scsi1"), "what waited is taken back: {pending:?}");
    world.stop().await;
}

#[tokio::test]
async fn a_full_storage_and_a_locked_holder_are_told_as_what_they_are() {
    let world = World::new().await;
    let mut csi = world.controller().await;
    let volume = csi.create_volume(create("pvc-1", 1)).await.unwrap().into_inner().volume.unwrap().volume_id;
    let full = json!({"match": {"method": "POST", "path": "/nodes/*/storage/*/content"},
        "then": {"refuse": {"status": 500, "message": "unable to create image: No space left on device"}}});
    fault(&world, full).await;
    let refused = csi.create_volume(create("pvc-2", 1)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    let locked = json!({"match": {"method": "PUT", "path": "/nodes/*/qemu/*/config"},
        "then": {"refuse": {"status": 500, "message": "VM is locked (backup)"}}});
    fault(&world, locked).await;
    let refused = csi.delete_volume(delete(&volume)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    csi.delete_volume(delete(&volume)).await.unwrap();
    world.stop().await;
}

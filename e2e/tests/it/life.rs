//! The life of one machine.

use std::time::Duration;

use e2e::{MachineWish, Stage, StageOptions};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_lives_and_leaves_nothing() {
    let Some(stage) = Stage::set("a_machine_lives_and_leaves_nothing", StageOptions::default()).await.unwrap() else {
        return;
    };
    let before = stage.sim.state().await.unwrap();
    stage.cluster(json!({})).await.unwrap();
    stage.machine(&MachineWish::named("w-0")).await.unwrap();
    stage.until_ready("w-0", LIMIT).await.unwrap();
    assert_eq!(stage.vms().await.unwrap().len(), 1);
    let machine = stage.machines().get("w-0").await.unwrap();
    assert!(machine.spec.provider_id.unwrap().starts_with("proxmox://"));
    assert_eq!(machine.status.unwrap().addresses[1].address, "10.10.0.10");
    stage.joined("w-0").await.unwrap();
    stage.delete_machine("w-0").await.unwrap();
    stage.until_gone("w-0", LIMIT).await.unwrap();
    let after = stage.sim.state().await.unwrap();
    for part in ["/guests", "/pools"] {
        assert_eq!(before.pointer(part), after.pointer(part), "{part}");
    }
    stage.strike().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_without_cloud_init_is_not_waited_for() {
    let mut options = StageOptions::default();
    options.sim.guests_lack = vec!["cloud-init".to_owned()];
    let Some(stage) = Stage::set("a_guest_without_cloud_init_is_not_waited_for", options).await.unwrap() else {
        return;
    };
    stage.cluster(json!({})).await.unwrap();
    stage.machine(&MachineWish::named("w-0")).await.unwrap();
    stage.until_ready("w-0", LIMIT).await.unwrap();
    stage.strike().await.unwrap();
}

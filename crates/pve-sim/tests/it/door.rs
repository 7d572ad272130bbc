//! The control door.

use serde_json::json;

use crate::client::World;

#[tokio::test]
async fn calls_are_counted_and_writes_traced_until_reset() {
    let world = World::quick().await;
    world.get("/version").await;
    world.cloned("101").await;
    world.call("GET", "/nosuch", &[]).await;
    let (_, counters) = world.door("GET", "/sim/counters", "").await;
    assert_eq!(counters["calls"]["GET /version"], 1);
    assert_eq!(counters["calls"]["POST /nodes/{node}/qemu/{vmid}/clone"], 1);
    assert_eq!(counters["users"]["capi@pve!oxmox"], counters["total"]);
    assert_eq!(counters["status"]["501"], 1);
    let (_, trace) = world.door("GET", "/sim/trace", "").await;
    assert_eq!(trace.as_array().unwrap().len(), 1);
    assert_eq!(trace[0]["params"], json!(["name", "newid", "pool"]));
    assert_eq!((&trace[0]["user"], &trace[0]["status"]), (&json!("capi@pve!oxmox"), &json!(200)));
    world.door("DELETE", "/sim/counters", "").await;
    assert_eq!(world.door("GET", "/sim/counters", "").await.1["total"], 0);
}

#[tokio::test]
async fn a_saved_state_is_loaded_again() {
    let world = World::quick().await;
    let (_, saved) = world.door("GET", "/sim/state", "").await;
    world.cloned("101").await;
    assert_eq!(world.door("POST", "/sim/load", &saved.to_string()).await, (200, json!({"guests": 1})));
    assert_eq!(world.call("GET", "/nodes/pve1/qemu/101/config", &[]).await.status, 500);
}

#[tokio::test]
async fn a_vm_is_destroyed_and_powered_off_behind_everybodys_back() {
    let world = World::quick().await;
    world.cloned("101").await;
    assert_eq!(world.task("POST", "/nodes/pve1/qemu/101/status/start", &[]).await, "OK");
    assert_eq!(world.door("POST", "/sim/vms/101/power-off", "").await.0, 200);
    assert_eq!(world.get("/nodes/pve1/qemu/101/status/current").await["status"], "stopped");
    assert_eq!(world.door("POST", "/sim/vms/101/destroy", "").await.0, 200);
    assert_eq!(world.door("POST", "/sim/vms/101/destroy", "").await.0, 404);
    let members = world.get("/pools/kubernetes").await;
    assert!(members["members"].as_array().unwrap().iter().all(|m| m["vmid"] != 101));
}

#[tokio::test]
async fn the_same_seed_makes_the_same_world() {
    let (one, two) = (World::quick().await, World::quick().await);
    let id = "capi@pve!oxmox";
    assert_eq!(one.sim.token(id), two.sim.token(id));
    one.cloned("101").await;
    two.cloned("101").await;
    let path = "/nodes/pve1/qemu/101/config";
    let (a, b) = (one.get(path).await, two.get(path).await);
    assert_eq!((&a["net0"], &a["smbios1"]), (&b["net0"], &b["smbios1"]));
}

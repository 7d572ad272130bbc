//! The control door.

use pve_sim::Options;
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

#[tokio::test]
async fn a_jump_of_the_clock_ends_a_task_and_a_frozen_clock_ends_none() {
    let world = World::quick().await;
    world.door("POST", "/sim/clock", r#"{"frozen": true}"#).await;
    let form = [("newid", "101"), ("pool", "kubernetes")];
    let upid = world.call("POST", "/nodes/pve1/qemu/9000/clone", &form).await.data();
    let path = format!("/nodes/pve1/tasks/{}/status", upid.as_str().unwrap());
    assert_eq!(world.get(&path).await["status"], "running");
    let (_, clock) = world.door("POST", "/sim/clock", r#"{"jump": 30}"#).await;
    assert_eq!(clock["frozen"], true);
    assert_eq!(world.get(&path).await["exitstatus"], "OK");
    assert_eq!(world.door("POST", "/sim/clock", r#"{"jump": -1}"#).await.0, 400);
}

#[tokio::test]
async fn metrics_count_calls_by_method_user_and_client() {
    let world = World::quick().await;
    let headers = format!("{}User-Agent: my \"client\"\r\n", world.token());
    world.call_as(&headers, "GET", "/version", &[]).await.unwrap().data();
    let text = world.door_text("/metrics").await;
    assert!(text.contains("pve_sim_calls_total{method=\"GET\",path=\"/version\"} 1\n"), "{text}");
    assert!(text.contains("pve_sim_client_calls_total{client=\"my \\\"client\\\"\"} 1\n"), "{text}");
    assert!(text.contains("pve_sim_guests 1\n"), "{text}");
}

#[tokio::test]
async fn a_budget_is_broken_by_the_call_that_is_too_many() {
    let budgets = vec!["GET /version=1".to_owned(), "writes=5".to_owned()];
    let world = World::start(Options { budgets, ..Options::default() }).await;
    world.get("/version").await;
    assert!(world.sim.broken_budgets().is_empty());
    world.get("/version").await;
    assert_eq!(world.sim.broken_budgets(), ["GET /version=1: 2 calls"]);
}

#[tokio::test]
async fn a_crowd_is_spread_over_the_nodes_and_most_of_it_runs() {
    let world = World::start(Options { vms: 30, nodes: 3, ..Options::default() }).await;
    let rows = world.get("/cluster/resources?type=vm").await;
    let rows: Vec<_> = rows.as_array().unwrap().iter().filter(|r| r["template"] == 0).collect();
    assert_eq!(rows.len(), 30);
    assert_eq!(rows.iter().filter(|r| r["node"] == "pve2").count(), 10);
    assert_eq!(rows.iter().filter(|r| r["status"] == "running").count(), 24);
}

#[tokio::test]
async fn a_dump_that_is_loaded_is_dumped_the_same() {
    let world = World::start(Options { vms: 7, ..Options::default() }).await;
    world.cloned("200").await;
    world.call("POST", "/nodes/pve1/qemu/9000/clone", &[("newid", "201"), ("pool", "kubernetes")]).await.data();
    world.door("POST", "/sim/clock", r#"{"frozen": true}"#).await;
    let saved = world.door("GET", "/sim/state", "").await.1;
    let other = World::start(Options { seed: 99, ..Options::default() }).await;
    other.door("POST", "/sim/clock", r#"{"frozen": true}"#).await;
    assert_eq!(other.door("POST", "/sim/load", &saved.to_string()).await.0, 200);
    assert_eq!(other.door("GET", "/sim/state", "").await.1, saved);
    // Hardly any time passes in it.
    let third = World::start(Options { state: Some(saved.clone()), clock_rate: 1e-6, ..Options::default() }).await;
    let again = third.door("GET", "/sim/state", "").await.1;
    assert_eq!((&again["guests"], &again["access"]), (&saved["guests"], &saved["access"]));
}

#[tokio::test]
async fn a_trace_done_again_ends_in_the_same_state() {
    let world = World::start(Options { vms: 3, ..Options::default() }).await;
    for rule in [
        r#"{"match": {"path": "*/9000/clone"}, "nth": 2, "then": {"task_fails": "no space"}}"#,
        r#"{"match": {"path": "*/start"}, "then": "duplicate"}"#,
        r#"{"match": {"path": "*/config"}, "nth": 2, "then": "answer_lost"}"#,
        r#"{"match": {"path": "*/stop"}, "then": {"node_down": {"node": "pve3", "after": 2}}}"#,
    ] {
        assert_eq!(world.door("POST", "/sim/faults", rule).await.0, 200);
    }
    world.cloned("200").await;
    world.task("POST", "/nodes/pve1/qemu/9000/clone", &[("newid", "201"), ("pool", "kubernetes")]).await;
    world.task("POST", "/nodes/pve1/qemu/200/status/start", &[]).await;
    for tags in ["one", "two"] {
        let form = [("tags", tags)];
        world.call_as(&world.token(), "PUT", "/nodes/pve1/qemu/200/config", &form).await;
    }
    world.task("POST", "/nodes/pve1/qemu/200/status/stop", &[]).await;
    world.door("POST", "/sim/vms/100/power-off", "").await;
    world.door("POST", "/sim/clock", r#"{"jump": 40}"#).await;
    world.call("POST", "/nodes/pve1/qemu/9000/clone", &[("newid", "202"), ("pool", "kubernetes")]).await.data();
    world.door("POST", "/sim/clock", r#"{"frozen": true}"#).await;
    let (_, recording) = world.door("GET", "/sim/recording", "").await;
    let (_, end) = world.door("GET", "/sim/state", "").await;
    assert_eq!(end["guests"]["200"]["config"]["tags"], "two");
    let other = World::start(Options { seed: 5, ..Options::default() }).await;
    let (status, answer) = other.door("POST", "/sim/replay", &recording.to_string()).await;
    assert_eq!((status, &answer["differences"]), (200, &json!([])), "{answer}");
    let (_, again) = other.door("GET", "/sim/state", "").await;
    for key in end.as_object().unwrap().keys() {
        assert_eq!(again[key], end[key], "{key}");
    }
}

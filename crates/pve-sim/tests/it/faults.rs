//! Faults on order.

use serde_json::json;

use crate::client::World;

async fn rule(world: &World, rule: &str) -> u64 {
    let (status, body) = world.door("POST", "/sim/faults", rule).await;
    assert_eq!(status, 200, "{body}");
    body["id"].as_u64().unwrap()
}

#[tokio::test]
async fn an_answer_is_lost_but_the_work_is_done() {
    let world = World::quick().await;
    let id =
        rule(&world, r#"{"match": {"writes": true, "user": "capi@pve!*"}, "nth": 2, "then": "answer_lost"}"#).await;
    let config = "/nodes/pve1/qemu/9000/config";
    world.call("PUT", config, &[("tags", "one")]).await.data();
    let lost = world.call_as(&world.token(), "PUT", config, &[("tags", "two")]).await;
    assert!(lost.is_none());
    assert_eq!(world.get(config).await["tags"], "two");
    let (status, fired) = world.door("GET", &format!("/sim/faults/{id}/wait"), "").await;
    assert_eq!((status, &fired["fired"][0]["path"]), (200, &json!("/nodes/pve1/qemu/9000/config")));
    world.call("PUT", config, &[("tags", "three")]).await.data();
}

#[tokio::test]
async fn a_call_that_is_dropped_before_changes_nothing() {
    let world = World::quick().await;
    rule(&world, r#"{"match": {"method": "PUT", "vmid": 9000}, "then": "drop_before"}"#).await;
    let config = "/nodes/pve1/qemu/9000/config";
    assert!(world.call_as(&world.token(), "PUT", config, &[("tags", "one")]).await.is_none());
    assert_eq!(world.get(config).await["tags"], "kubernetes;ubuntu");
}

#[tokio::test]
async fn a_held_call_ends_when_its_rule_does() {
    let world = World::quick().await;
    let id = rule(&world, r#"{"match": {"path": "/nodes/*/qemu/*/clone"}, "then": "hold"}"#).await;
    let form = [("newid", "101"), ("pool", "kubernetes")];
    let token = world.token();
    let held = world.call_as(&token, "POST", "/nodes/pve1/qemu/9000/clone", &form);
    let release = async {
        assert_eq!(world.door("GET", &format!("/sim/faults/{id}/wait"), "").await.0, 200);
        let there = world.call("GET", "/nodes/pve1/qemu/101/config", &[]).await.status;
        assert_eq!(there, 200, "the clone has begun");
        world.door("DELETE", "/sim/faults", "").await;
    };
    let (answer, ()) = tokio::join!(held, release);
    assert!(answer.is_none());
}

#[tokio::test]
async fn a_refusal_and_a_lost_proxy_look_like_the_real_ones() {
    let world = World::quick().await;
    rule(&world, r#"{"match": {"path": "/version"}, "then": {"refuse": {"status": 500, "message": "no quorum"}}}"#)
        .await;
    assert_eq!(world.call("GET", "/version", &[]).await.refusal(), (500, "no quorum".to_owned()));
    rule(&world, r#"{"match": {"path": "/version"}, "then": {"status": 596}}"#).await;
    let answer = world.call("GET", "/version", &[]).await;
    assert_eq!((answer.status, answer.reason.as_str(), answer.text.as_str()), (596, "Connection timed out", ""));
}

#[tokio::test]
async fn a_task_fails_late_and_a_clone_cleans_up() {
    let world = World::quick().await;
    rule(&world, r#"{"match": {"path": "*/clone"}, "then": {"task_fails": "no space left on device"}}"#).await;
    let form = [("newid", "101"), ("pool", "kubernetes")];
    let exit = world.task("POST", "/nodes/pve1/qemu/9000/clone", &form).await;
    assert_eq!(exit, "clone failed: no space left on device");
    let (_, state) = world.door("GET", "/sim/state", "").await;
    assert_eq!(state["guests"].as_object().unwrap().len(), 1);
    assert_eq!(state["volumes"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_mistake_in_a_rule_is_told() {
    let world = World::quick().await;
    let (status, body) = world.door("POST", "/sim/faults", r#"{"match": {"metod": "PUT"}, "then": "hold"}"#).await;
    assert_eq!(status, 400);
    assert!(body["error"].as_str().unwrap().contains("metod"), "{body}");
}

#[tokio::test]
async fn a_call_done_twice_leaves_what_two_calls_leave() {
    let world = World::quick().await;
    rule(&world, r#"{"match": {"path": "*/start"}, "then": "duplicate"}"#).await;
    world.cloned("101").await;
    world.task("POST", "/nodes/pve1/qemu/101/status/start", &[]).await;
    let (_, state) = world.door("GET", "/sim/state", "").await;
    let made = state["tasks"].as_object().unwrap().values().filter(|t| t["kind"] == "qmstart").count();
    assert_eq!(made, 2);
}

#[tokio::test]
async fn a_lock_that_somebody_holds_fails_the_call_or_the_task_that_takes_it() {
    let world = World::quick().await;
    let text = "can't lock file '/var/lock/qemu-server/lock-9000.conf' - got timeout";
    rule(&world, r#"{"match": {"vmid": 9000}, "times": 2, "then": "lock_held"}"#).await;
    let config = "/nodes/pve1/qemu/9000/config";
    assert_eq!(world.call("PUT", config, &[("tags", "x")]).await.refusal(), (500, text.to_owned()));
    let form = [("newid", "101"), ("pool", "kubernetes")];
    let exit = world.task("POST", "/nodes/pve1/qemu/9000/clone", &form).await;
    assert!(exit.ends_with(text), "{exit}");
}

#[tokio::test]
async fn an_expired_token_and_a_lost_node_look_like_the_real_ones() {
    let world = World::quick().await;
    rule(&world, r#"{"match": {"path": "/version"}, "then": "token_expired"}"#).await;
    let answer = world.call("GET", "/version", &[]).await;
    assert_eq!((answer.status, answer.reason.as_str(), answer.text.as_str()), (401, "Authentication failed!", ""));
    rule(&world, r#"{"match": {"path": "/version"}, "then": {"node_down": "pve2"}}"#).await;
    world.get("/version").await;
    assert_eq!(world.call("GET", "/nodes/pve2/status", &[]).await.status, 595);
    assert_eq!(world.call("GET", "/nodes/pve1/status", &[]).await.status, 200);
}

#[tokio::test]
async fn a_node_lost_during_a_clone_takes_the_task_with_it() {
    let world = World::quick().await;
    world.door("POST", "/sim/clock", r#"{"frozen": true}"#).await;
    let then = r#"{"match": {"path": "*/clone"}, "then": {"node_down": {"node": "pve1", "after": 0.001}}}"#;
    rule(&world, then).await;
    let form = [("newid", "101"), ("pool", "kubernetes")];
    let upid = world.call("POST", "/nodes/pve1/qemu/9000/clone", &form).await.data();
    world.door("POST", "/sim/clock", r#"{"jump": 60}"#).await;
    let (_, state) = world.door("GET", "/sim/state", "").await;
    let task = &state["tasks"][upid.as_str().unwrap()];
    assert!(task["endtime"].is_number() && task["exit"].is_null(), "{task}");
    assert_eq!(state["guests"]["101"]["config"]["lock"], "clone");
}

#[tokio::test]
async fn resources_grow_stale_until_time_has_passed() {
    let world = World::quick().await;
    world.door("POST", "/sim/clock", r#"{"frozen": true}"#).await;
    rule(&world, r#"{"match": {"path": "/version"}, "then": {"stale_resources": 3600}}"#).await;
    world.get("/version").await;
    let form = [("newid", "101"), ("pool", "kubernetes")];
    world.call("POST", "/nodes/pve1/qemu/9000/clone", &form).await.data();
    let status = async || {
        let rows = world.get("/cluster/resources?type=vm").await;
        rows.as_array().unwrap().iter().find(|r| r["vmid"] == 101).unwrap()["status"].clone()
    };
    world.door("POST", "/sim/clock", r#"{"jump": 3000}"#).await;
    assert_eq!(status().await, "unknown");
    world.door("POST", "/sim/clock", r#"{"jump": 700}"#).await;
    assert_eq!(status().await, "stopped");
}

#[tokio::test]
async fn every_strike_is_in_the_trace_even_on_a_call_that_reads() {
    let world = World::quick().await;
    let id = rule(&world, r#"{"match": {"path": "/version"}, "then": {"delay": 1}}"#).await;
    world.get("/version").await;
    world.get("/version").await;
    let (_, trace) = world.door("GET", "/sim/trace", "").await;
    assert_eq!(trace.as_array().unwrap().len(), 1);
    assert_eq!(trace[0]["faults"], json!([{"rule": id, "then": {"delay": 1}}]));
}

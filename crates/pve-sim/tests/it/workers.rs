//! The workers of each node's daemons: who waits for whom, and for how long.

use std::time::Duration;

use pve_sim::Options;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::client::{World, read};

/// A world where a daemon does one call at a time and allocating takes longer than any test.
async fn stalled(patience: Duration) -> World {
    let latencies = vec!["POST /nodes/*/content=3600000".parse().unwrap()];
    World::start(Options { speed: 50.0, workers: 1, patience, latencies, ..Options::default() }).await
}

/// Somebody asks for a volume, and waits for the answer as long as this is kept.
async fn allocate(world: &World) -> TlsStream<TcpStream> {
    let body = "vmid=9000&size=1G&filename=vm-9000-disk-1.raw";
    let headers = format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n", body.len());
    let head = format!(
        "POST /api2/json/nodes/pve1/storage/shared/content HTTP/1.1\r\nHost: x\r\n{}{headers}\r\n{body}",
        world.token()
    );
    let mut stream = world.connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// What the control door says of the workers, once it says so.
async fn workers(world: &World, as_wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let (_, shown) = world.door("GET", "/sim/workers", "").await;
        if as_wanted(&shown) {
            return shown;
        }
        tokio::task::yield_now().await;
    }
}

fn row(busy: u32, waiting: u32) -> Value {
    json!([{"node": "pve1", "daemon": "pvedaemon", "busy": busy, "waiting": waiting}])
}

#[tokio::test]
async fn a_slow_call_stalls_what_needs_root_on_its_node_and_nothing_else() {
    let world = stalled(Duration::from_mins(10)).await;
    let _waiting = allocate(&world).await;
    workers(&world, |w| w["daemons"] == row(1, 0)).await;
    let put = "PUT /api2/json/nodes/pve1/qemu/9000/config HTTP/1.1\r\nHost: x\r\n";
    let kind = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 13\r\n\r\n";
    let mut waiting = world.connect().await;
    waiting.write_all(format!("{put}{}{kind}description=a", world.token()).as_bytes()).await.unwrap();
    workers(&world, |w| w["daemons"] == row(1, 1)).await;
    // The proxy of the node and the daemon of another one have workers of their own.
    assert!(world.get("/nodes/pve1/qemu/9000/config").await["description"].is_null());
    let other = world.call("GET", "/nodes/pve2/storage/local/content", &[]).await;
    assert!(other.status < 500, "{other:?}");
    assert_eq!(world.door("PUT", "/sim/workers", r#"{"count": 2}"#).await.0, 200);
    assert_eq!(read(&mut waiting).await.unwrap().status, 200);
    assert_eq!(world.get("/nodes/pve1/qemu/9000/config").await["description"], "a");
    let (_, state) = world.door("GET", "/sim/state", "").await;
    assert_eq!(state["workers"], 2);
    let (status, why) = world.door("PUT", "/sim/workers", r#"{"number": 2}"#).await;
    assert!(status == 400 && why["error"].as_str().unwrap().contains("number"), "{why}");
}

#[tokio::test]
async fn a_proxy_that_has_waited_too_long_says_596_and_the_work_is_done_all_the_same() {
    let patience = Duration::from_millis(300);
    let world = stalled(patience).await;
    let _waiting = allocate(&world).await;
    workers(&world, |w| w["daemons"] == row(1, 0)).await;
    let answer = world.call("PUT", "/nodes/pve1/qemu/9000/config", &[("description", "late")]).await;
    assert_eq!((answer.status, answer.reason.as_str(), answer.text.as_str()), (596, "Connection timed out", ""));
    assert_eq!(answer.headers["connection"], "close");
    assert_eq!(workers(&world, |w| w["daemons"] == row(1, 1)).await["count"], 1);
    assert!(world.get("/nodes/pve1/qemu/9000/config").await["description"].is_null());
    world.door("PUT", "/sim/workers", r#"{"count": 0}"#).await;
    workers(&world, |w| w["daemons"] == row(1, 0)).await;
    assert_eq!(world.get("/nodes/pve1/qemu/9000/config").await["description"], "late");
    let (_, trace) = world.door("GET", "/sim/trace", "").await;
    let late: Vec<&Value> = trace.as_array().unwrap().iter().filter(|e| e["method"] == "PUT").collect();
    assert_eq!(late.len(), 1, "{late:?}");
    assert!(late[0]["status"] == 596 && late[0]["at"].is_f64(), "{late:?}");
}

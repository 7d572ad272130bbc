//! The state is a value: the same start and the same calls end in the same state, wherever it was put down and taken up.

use pve_sim::Options;
use serde_json::{Value, json};

use crate::client::World;

/// Verb, path and form of one call.
type Asked = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// What is done, with five seconds after each.
const CALLS: [Asked; 16] = [
    ("POST", "/nodes/pve1/qemu/9000/clone", &[("newid", "101"), ("name", "a"), ("pool", "kubernetes")]),
    ("POST", "/nodes/pve1/qemu/9000/clone", &[("newid", "102"), ("pool", "kubernetes"), ("target", "pve2")]),
    ("POST", "/nodes/pve1/qemu/9000/clone", &[("newid", "102"), ("pool", "kubernetes")]),
    ("POST", "/nodes/pve1/qemu/101/config", &[("cores", "2"), ("net1", "virtio,bridge=vmbr0"), ("scsi1", "shared:1")]),
    ("PUT", "/nodes/pve1/qemu/101/config", &[("tags", "b;a"), ("delete", "net1")]),
    ("PUT", "/nodes/pve1/qemu/101/resize", &[("disk", "scsi0"), ("size", "+1G")]),
    ("POST", "/nodes/pve1/qemu/101/status/start", &[]),
    ("POST", "/nodes/pve2/qemu/102/status/start", &[]),
    ("POST", "/nodes/pve1/qemu/101/agent/ping", &[]),
    ("PUT", "/nodes/pve1/qemu/101/config", &[("memory", "4096"), ("delete", "scsi1")]),
    ("DELETE", "/nodes/pve1/qemu/101", &[]),
    ("POST", "/nodes/pve1/qemu/101/status/reboot", &[]),
    ("POST", "/nodes/pve2/qemu/102/status/stop", &[]),
    ("POST", "/nodes/pve1/qemu/101/status/shutdown", &[("timeout", "3"), ("forceStop", "1")]),
    ("DELETE", "/nodes/pve2/qemu/102", &[("purge", "1")]),
    ("POST", "/nodes/pve1/qemu", &[("vmid", "103"), ("pool", "kubernetes"), ("scsi0", "shared:2"), ("start", "1")]),
];

/// What happens between two calls.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Between {
    Nothing,
    SavedAndLoaded,
}

async fn state(world: &World) -> Value {
    let (status, state) = world.door("GET", "/sim/state", "").await;
    assert_eq!(status, 200);
    state
}

async fn session(world: &World, between: Between) -> (Vec<(u16, String)>, Value) {
    let mut answers = Vec::new();
    for (method, path, form) in CALLS {
        let answer = world.call(method, path, form).await;
        answers.push((answer.status, answer.text));
        assert_eq!(world.door("POST", "/sim/clock", r#"{"jump": 5}"#).await.0, 200);
        if between == Between::SavedAndLoaded {
            let saved = state(world).await;
            assert_eq!(world.door("POST", "/sim/load", &saved.to_string()).await.0, 200);
            assert_eq!(saved, state(world).await, "{method} {path}");
        }
    }
    (answers, alike(state(world).await))
}

/// Without what tells one process from another: its certificate.
fn alike(mut value: Value) -> Value {
    match &mut value {
        Value::Object(map) => {
            map.remove("fingerprint");
            for (_, inner) in map.iter_mut() {
                *inner = alike(inner.take());
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|inner| *inner = alike(inner.take())),
        _ => {}
    }
    value
}

/// A world whose clock stands, at its start or at that of a state.
async fn frozen(at: Option<&Value>) -> World {
    let world = World::start(Options { speed: 1.0, seed: 5, ..Options::default() }).await;
    assert_eq!(world.door("POST", "/sim/clock", r#"{"frozen": true}"#).await.0, 200);
    if let Some(state) = at {
        assert_eq!(world.door("POST", "/sim/load", &state.to_string()).await.0, 200);
    }
    world
}

/// The first keys on the way to where two values differ.
fn difference(a: &Value, b: &Value, way: &str) -> Option<String> {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys().filter(|k| !a.contains_key(*k)));
            keys.into_iter().find_map(|k| {
                difference(a.get(k).unwrap_or(&Value::Null), b.get(k).unwrap_or(&Value::Null), &format!("{way}/{k}"))
            })
        }
        _ => (a != b).then(|| format!("{way}: {a} {b}")),
    }
}

#[tokio::test]
async fn the_same_calls_on_the_same_state_end_in_the_same_state() {
    let first = frozen(None).await;
    let start = state(&first).await;
    let second = frozen(Some(&start)).await;
    let third = frozen(Some(&start)).await;
    let (said, ended) = session(&first, Between::Nothing).await;
    assert!(said.iter().filter(|(status, _)| *status == 200).count() > 10, "{said:?}");
    for (world, between) in [(&second, Between::Nothing), (&third, Between::SavedAndLoaded)] {
        let (again, end) = session(world, between).await;
        assert_eq!(said, again);
        assert_eq!(difference(&ended, &end, ""), None);
    }
}

#[tokio::test]
async fn a_seed_decides_ids_and_secrets() {
    let facts = async |seed| {
        let world = World::start(Options { seed, vms: 5, ..Options::default() }).await;
        let state = state(&world).await;
        json!([world.sim.tokens(), world.sim.root_password(), state["guests"]["100"]["config"]["smbios1"]])
    };
    let (one, again, other) = (facts(3).await, facts(3).await, facts(4).await);
    assert_eq!(one, again);
    assert_ne!(one, other);
}

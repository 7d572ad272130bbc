//! The commands, run as people run them.

use std::path::PathBuf;

use pve_sim::Options;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::client::World;

/// Runs the command; its exit status, stdout and stderr.
async fn run(world: &World, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_pve-sim"))
        .args(args)
        .env("PVE_CONTROL_URL", world.sim.control_url())
        .env_remove("PVE_SIM_READY_FILE")
        .output()
        .await
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

async fn json(world: &World, args: &[&str]) -> Value {
    let (status, out, err) = run(world, args).await;
    assert_eq!(status, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

/// A file that is removed with its owner.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("pve-sim-test-{}-{name}", std::process::id())))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_rule_is_added_struck_waited_for_listed_and_removed() {
    let world = World::quick().await;
    let args = ["fault", "add", "--method", "GET", "--path", "/version", "--then", r#"{"delay": 1}"#];
    assert_eq!(json(&world, &args).await["id"], 1);
    let (status, _, _) = run(&world, &["fault", "wait", "1", "--seconds", "0"]).await;
    assert_eq!(status, 2, "not yet");
    world.get("/version").await;
    assert_eq!(json(&world, &["fault", "wait", "1"]).await["fired"][0]["path"], "/version");
    assert_eq!(json(&world, &["fault", "list"]).await[0]["seen"], 1);
    json(&world, &["fault", "remove", "1"]).await;
    assert_eq!(json(&world, &["fault", "list"]).await, json!([]));
    let (status, _, err) = run(&world, &["fault", "add", "--then", "explode"]).await;
    assert!(status == 1 && err.contains("explode"), "{err}");
}

#[tokio::test]
async fn the_clock_the_state_and_the_counters_are_seen_from_a_shell() {
    let world = World::quick().await;
    assert_eq!(json(&world, &["clock", "--freeze", "--jump", "10"]).await["frozen"], true);
    world.get("/version").await;
    assert_eq!(json(&world, &["counters"]).await["total"], 1);
    let saved = File::new("state.json");
    let state = json(&world, &["state", "dump"]).await;
    std::fs::write(&saved.0, state.to_string()).unwrap();
    let form = [("newid", "101"), ("pool", "kubernetes")];
    world.call("POST", "/nodes/pve1/qemu/9000/clone", &form).await.data();
    assert_eq!(json(&world, &["state", "load", saved.path()]).await["guests"], 1);
    assert_eq!(json(&world, &["state", "dump"]).await, state);
}

#[tokio::test]
async fn a_capture_by_a_token_that_only_reads_starts_the_same_world_without_its_secrets() {
    let lived = World::start(Options { vms: 6, nodes: 2, ..Options::default() }).await;
    let root = lived.root().await;
    for (method, path, form) in [
        ("POST", "/access/users", vec![("userid", "looker@pve"), ("comment", "reads")]),
        ("PUT", "/access/acl", vec![("path", "/"), ("users", "looker@pve"), ("roles", "PVEAuditor")]),
        ("PUT", "/nodes/pve1/qemu/100/config", vec![("description", "of Ann"), ("cipassword", "hidden!")]),
    ] {
        lived.call_as(&root, method, path, &form).await.unwrap().data();
    }
    let form = [("privsep", "0")];
    let token = lived.call_as(&root, "POST", "/access/users/looker@pve/token/read", &form).await.unwrap().data();
    let token = format!("looker@pve!read={}", token["value"].as_str().unwrap());
    let file = File::new("capture.json");
    let mut args = vec!["capture", "--url", lived.sim.url(), "--token", &token, "--to", file.path()];
    args.extend(["--fingerprint", lived.sim.fingerprint(), "--seed", "77"]);
    let (status, _, err) = run(&lived, &args).await;
    assert_eq!(status, 0, "{err}");
    let text = std::fs::read_to_string(&file.0).unwrap();
    for secret in ["hidden!", lived.sim.root_password(), lived.sim.token("capi@pve!oxmox").unwrap()] {
        assert!(!text.contains(secret), "{secret}");
    }
    let state = Some(serde_json::from_str(&text).unwrap());
    let again = World::start(Options { state, ..Options::default() }).await;
    for path in ["/nodes/pve1/qemu/100/config", "/nodes/pve2/qemu/101/config", "/pools"] {
        let (mut old, mut new) = (lived.get(path).await, again.get(path).await);
        for one in [&mut old, &mut new].into_iter().filter_map(Value::as_object_mut) {
            one.remove("digest");
            one.remove("cipassword");
        }
        assert_eq!(new, old, "{path}");
    }
    let running = async |world: &World| {
        let rows = world.get("/cluster/resources?type=vm").await;
        rows.as_array().unwrap().iter().filter(|r| r["status"] == "running").count()
    };
    assert_eq!(running(&again).await, running(&lived).await);
    args.push("--anonymous");
    assert_eq!(run(&lived, &args).await.0, 0);
    let text = std::fs::read_to_string(&file.0).unwrap();
    for word in ["looker", "of Ann", "vm-100\"", "ubuntu-2404", "kubernetes"] {
        assert!(!text.contains(word), "{word}");
    }
}

#[tokio::test]
async fn a_broken_budget_is_the_exit_status() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_pve-sim"))
        .args(["-o", "json", "--clusters", "2", "--budget", "GET /version=0"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = tokio::io::BufReader::new(child.stdout.take().unwrap());
    tokio::io::AsyncBufReadExt::read_line(&mut out, &mut line).await.unwrap();
    let facts: Value = serde_json::from_str(&line).unwrap();
    let clusters = facts["clusters"].as_array().unwrap();
    assert_eq!(clusters.len(), 2);
    assert_ne!(clusters[0]["ca"], clusters[1]["ca"]);
    let second = &clusters[1];
    let token = &second["tokens"][0];
    let token = format!("{}={}", token["id"].as_str().unwrap(), token["secret"].as_str().unwrap());
    let file = File::new("second.json");
    // It asks for the version first of all.
    let capture = Command::new(env!("CARGO_BIN_EXE_pve-sim"))
        .args(["capture", "--token", &token, "--to", file.path(), "--url", second["url"].as_str().unwrap()])
        .args(["--fingerprint", second["fingerprint"].as_str().unwrap()])
        .output()
        .await
        .unwrap();
    assert!(capture.status.success(), "{}", String::from_utf8_lossy(&capture.stderr));
    let state: Value = serde_json::from_str(&std::fs::read_to_string(&file.0).unwrap()).unwrap();
    assert_eq!(state["nodes"][0]["name"], "pve1-2");
    let killed = Command::new("kill").arg(child.id().unwrap().to_string()).status().await.unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("over budget: GET /version=0: 1 calls"));
}

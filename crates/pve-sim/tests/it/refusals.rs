//! What goes wrong the way it goes wrong in the recorded flows.

use serde_json::json;

use crate::client::World;

#[tokio::test]
async fn a_pool_token_may_not_tag_at_birth_and_nothing_is_left_over() {
    let world = World::quick().await;
    let root = world.root().await;
    for (method, path, form) in [
        ("POST", "/access/users", vec![("userid", "p@pve")]),
        ("PUT", "/access/acl", vec![("path", "/pool/kubernetes"), ("users", "p@pve"), ("roles", "PVEVMAdmin")]),
        ("PUT", "/access/acl", vec![("path", "/storage/shared"), ("users", "p@pve"), ("roles", "PVEDatastoreUser")]),
        ("PUT", "/access/acl", vec![("path", "/nodes"), ("users", "p@pve"), ("roles", "PVEAuditor")]),
    ] {
        world.call_as(&root, method, path, &form).await.unwrap().data();
    }
    let token = world.call_as(&root, "POST", "/access/users/p@pve/token/t1", &[("privsep", "0")]).await.unwrap().data();
    let header = format!("Authorization: PVEAPIToken=p@pve!t1={}\r\n", token["value"].as_str().unwrap());
    let form = [("vmid", "120"), ("scsi0", "shared:1"), ("pool", "kubernetes"), ("tags", "a")];
    let upid = world.call_as(&header, "POST", "/nodes/pve1/qemu", &form).await.unwrap().data();
    let exit = world.wait(upid.as_str().unwrap()).await;
    assert_eq!(exit, "unable to create VM 120 - 403 Permission check failed (/vms/120, VM.Config.Options)");
    assert_eq!(world.get("/cluster/nextid?vmid=120").await, "120");
    assert_eq!(world.get("/nodes/pve1/storage/shared/content?vmid=120").await, json!([]));
}

#[tokio::test]
async fn starting_at_once_after_a_stop_holds_the_lock_of_the_configuration() {
    let world = World::start(pve_sim::Options {
        speed: 3.0,
        task_seconds: [("start".to_owned(), 0.0)].into(),
        ..pve_sim::Options::default()
    })
    .await;
    world.cloned("101").await;
    let vm = "/nodes/pve1/qemu/101";
    for power in ["start", "stop", "start"] {
        assert_eq!(world.task("POST", &format!("{vm}/status/{power}"), &[]).await, "OK");
    }
    let answer = world.call("PUT", &format!("{vm}/config"), &[("description", "x")]).await;
    let text = "can't lock file '/var/lock/qemu-server/lock-101.conf' - got timeout";
    assert_eq!(answer.refusal(), (500, text.to_owned()));
}

#[tokio::test]
async fn a_clone_that_is_stopped_cleans_up() {
    let world = World::start(pve_sim::Options {
        task_seconds: [("clone".to_owned(), 1000.0)].into(),
        ..pve_sim::Options::default()
    })
    .await;
    let form = [("newid", "101"), ("pool", "kubernetes")];
    let upid = world.call("POST", "/nodes/pve1/qemu/9000/clone", &form).await.data();
    let upid = upid.as_str().unwrap();
    let active = world.get("/nodes/pve1/tasks?source=active").await;
    assert_eq!((&active[0]["upid"], &active[0]["status"]), (&json!(upid), &json!("RUNNING")));
    assert_eq!(world.get("/nodes/pve1/tasks").await, json!([]), "the archive knows only what has ended");
    let path = format!("/nodes/pve1/tasks/{}", crate::client::percent(upid));
    world.call("DELETE", &path, &[]).await.data();
    assert_eq!(world.wait(upid).await, "clone failed: interrupted by signal");
    assert_eq!(world.get("/cluster/nextid?vmid=101").await, "101");
}

#[tokio::test]
async fn a_managed_vm_starts_after_its_task_has_ended_and_is_not_destroyed_without_purge() {
    let world = World::quick().await;
    world.cloned("101").await;
    let root = world.root().await;
    let form = [("sid", "vm:101"), ("state", "stopped")];
    world.call_as(&root, "POST", "/cluster/ha/resources", &form).await.unwrap().data();
    let upid = world.call("POST", "/nodes/pve1/qemu/101/status/start", &[]).await.data();
    assert!(upid.as_str().unwrap().contains(":hastart:101:"));
    assert_eq!(world.wait(upid.as_str().unwrap()).await, "OK");
    loop {
        let seen = world.get("/nodes/pve1/qemu/101/status/current").await;
        assert_eq!(seen["ha"], json!({"managed": 1, "state": "started"}));
        if seen["status"] == "running" {
            break;
        }
        tokio::task::yield_now().await;
    }
    world.door("POST", "/sim/vms/101/power-off", "").await;
    let answer = world.call("DELETE", "/nodes/pve1/qemu/101", &[]).await;
    let text = "unable to remove VM 101 - used in HA resources and purge parameter not set.";
    assert_eq!(answer.refusal(), (500, text.to_owned()));
}

#[tokio::test]
async fn a_json_body_counts_like_a_form_and_its_booleans_are_booleans() {
    let world = World::quick().await;
    world.cloned("101").await;
    let send = async |body: &str| {
        let head = format!(
            "PUT /api2/json/nodes/pve1/qemu/101/config HTTP/1.1\r\nHost: x\r\n{}Content-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            world.token(),
            body.len()
        );
        world.raw(&head, body.as_bytes()).await.unwrap()
    };
    assert_eq!(send(r#"{"cores": 3, "onboot": true, "tags": ["b", "a"]}"#).await.status, 200);
    let config = world.get("/nodes/pve1/qemu/101/config").await;
    assert_eq!((&config["cores"], &config["onboot"], &config["tags"]), (&json!(3), &json!(1), &json!("a;b")));
    let answer = send(r#"{"cores": {"a": 1}}"#).await;
    assert_eq!(answer.json()["errors"], json!({"cores": "type check ('integer') failed - got HASH"}));
    let answer = send(r#"{"cores": 1"#).await;
    assert_eq!((answer.status, answer.headers.contains_key("content-type")), (500, false));
}

#[tokio::test]
async fn deleting_a_volume_needs_more_than_uploading_it() {
    let world = World::quick().await;
    let root = world.root().await;
    let form = [("roleid", "OxmoxCapi"), ("privs", "Datastore.AllocateTemplate,Datastore.Audit,Sys.Audit")];
    let path = "/access/roles/OxmoxCapi";
    world.call_as(&root, "PUT", path, &form[1..]).await.unwrap().data();
    let answer = world.call("DELETE", "/nodes/pve1/storage/shared/content/shared:iso/x.iso", &[]).await;
    let text = "Permission check failed (/storage/shared, Datastore.Allocate)";
    assert_eq!(answer.refusal(), (403, text.to_owned()));
}

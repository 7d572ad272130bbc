//! The life of a machine, as a Cluster API provider leads it.

use std::fmt::Write as _;

use serde_json::json;

use crate::client::World;

#[tokio::test]
async fn a_clone_is_locked_and_nameless_until_its_first_disk_is_there() {
    let slow =
        pve_sim::Options { task_seconds: [("clone".to_owned(), 10_000.0)].into(), ..pve_sim::Options::default() };
    let world = World::start(slow).await;
    let form =
        [("newid", "101"), ("name", "w-0"), ("pool", "kubernetes"), ("description", "uid-1"), ("target", "pve2")];
    let upid = world.call("POST", "/nodes/pve1/qemu/9000/clone", &form).await.data();
    let task = format!("/sim/tasks/{}", crate::client::percent(upid.as_str().unwrap()));
    let mut config = world.get("/nodes/pve1/qemu/101/config").await;
    config.as_object_mut().unwrap().remove("digest");
    assert_eq!(config, json!({"lock": "clone", "description": "qmclone temporary file"}));
    world.door("POST", &format!("{task}/step"), "").await;
    let config = world.get("/nodes/pve1/qemu/101/config").await;
    assert_eq!(
        (&config["lock"], &config["name"], &config["description"]),
        (&json!("clone"), &json!("w-0"), &json!("uid-1"))
    );
    let members = async || world.get("/pools/kubernetes").await["members"].as_array().unwrap().len();
    let before = members().await;
    world.door("POST", &format!("{task}/finish"), "").await;
    assert_eq!(world.wait(upid.as_str().unwrap()).await, "OK");
    assert_eq!(members().await, before + 1);
    let config = world.get("/nodes/pve2/qemu/101/config").await;
    assert_eq!(config["lock"], json!(null));
    assert_eq!(config["scsi0"], "shared:9000/base-9000-disk-0.qcow2/101/vm-101-disk-0.qcow2,size=8G");
    assert!(config["net0"].as_str().unwrap().starts_with("virtio=BC:24:11:"));
    let answer = world.call("GET", "/nodes/pve1/qemu/101/config", &[]).await;
    let text = "Configuration file 'nodes/pve1/qemu-server/101.conf' does not exist";
    assert_eq!(answer.refusal(), (500, text.to_owned()));
}

#[tokio::test]
async fn a_taken_number_is_refused_on_its_node_and_fails_the_task_elsewhere() {
    let world = World::quick().await;
    let form = [("newid", "101"), ("pool", "kubernetes"), ("target", "pve2")];
    assert_eq!(world.task("POST", "/nodes/pve1/qemu/9000/clone", &form).await, "OK");
    let exit = world.task("POST", "/nodes/pve1/qemu/9000/clone", &form).await;
    assert_eq!(exit, "close (rename) atomic file '/etc/pve/nodes/pve1/qemu-server/101.conf' failed: File exists");
    world.cloned("102").await;
    let answer = world.call("POST", "/nodes/pve1/qemu/9000/clone", &[("newid", "102"), ("pool", "kubernetes")]).await;
    assert_eq!(answer.refusal(), (500, "unable to create VM 102: config file already exists".to_owned()));
    let answer = world.call("GET", "/cluster/nextid", &[("vmid", "102")]).await;
    assert_eq!(answer.refusal().0, 400);
    assert_eq!(answer.json()["errors"], json!({"vmid": "VM 102 already exists"}));
    assert_eq!(world.get("/cluster/nextid").await, "100");
}

#[tokio::test]
async fn configuration_is_normalised_and_guarded_by_its_digest() {
    let world = World::quick().await;
    world.cloned("101").await;
    let path = "/nodes/pve1/qemu/101/config";
    let digest = world.get(path).await["digest"].as_str().unwrap().to_owned();
    let form = [
        ("cores", "4"),
        ("memory", "4096"),
        ("tags", "b;A,c b"),
        ("net0", "bridge=vmbr0,model=virtio"),
        ("digest", digest.as_str()),
    ];
    assert_eq!(world.call("PUT", path, &form).await.data(), json!(null));
    let config = world.get(path).await;
    assert_eq!((&config["cores"], &config["memory"], &config["tags"]), (&json!(4), &json!("4096"), &json!("a;b;c")));
    assert!(config["net0"].as_str().unwrap().ends_with(",bridge=vmbr0"), "{config}");
    let answer = world.call("PUT", path, &form).await;
    assert_eq!(answer.refusal(), (500, "checksum mismatch (file change by other user?)".to_owned()));
    assert_eq!(world.call("PUT", path, &[("args", "-foo")]).await.refusal().1, "only root can set 'args' config");
    assert_eq!(world.call("PUT", path, &[]).await.refusal().1, "no options specified");
    let answer = world.call("PUT", path, &[("boot", "order=scsi0;scsi9")]).await;
    assert_eq!(answer.refusal().1, "invalid bootorder: device 'scsi9' does not exist'");
    let answer = world.call("PUT", path, &[("delete", "cores"), ("cores", "2")]).await;
    assert_eq!(answer.json()["errors"]["delete"], "you can't use '-cores' and -delete cores' at the same time");
}

#[tokio::test]
async fn a_disk_that_is_removed_becomes_unused_and_then_goes_for_good() {
    let world = World::quick().await;
    world.cloned("101").await;
    let path = "/nodes/pve1/qemu/101/config";
    world.call("PUT", path, &[("scsi1", "shared:2,format=qcow2,discard=on,ssd=yes")]).await.data();
    assert_eq!(world.get(path).await["scsi1"], "shared:101/vm-101-disk-1.qcow2,discard=on,size=2G,ssd=1");
    world.call("PUT", path, &[("delete", "scsi1")]).await.data();
    assert_eq!(world.get(path).await["unused0"], "shared:101/vm-101-disk-1.qcow2");
    world.call("PUT", path, &[("scsi2", "shared:101/vm-101-disk-1.qcow2")]).await.data();
    let config = world.get(path).await;
    assert_eq!(
        (&config["unused0"], &config["scsi2"]),
        (&json!(null), &json!("shared:101/vm-101-disk-1.qcow2,size=2G"))
    );
    world.call("PUT", "/nodes/pve1/qemu/101/unlink", &[("idlist", "scsi2"), ("force", "1")]).await.data();
    let content = world.get("/nodes/pve1/storage/shared/content?vmid=101").await;
    assert_eq!(content.as_array().unwrap().len(), 1, "{content}");
}

#[tokio::test]
async fn what_cannot_be_plugged_into_a_running_vm_waits() {
    let world = World::quick().await;
    world.cloned("101").await;
    assert_eq!(world.task("POST", "/nodes/pve1/qemu/101/status/start", &[]).await, "OK");
    let path = "/nodes/pve1/qemu/101/config";
    world.call("PUT", path, &[("cores", "1"), ("name", "renamed")]).await.data();
    let rows = world.get("/nodes/pve1/qemu/101/pending").await;
    let row = |key: &str| rows.as_array().unwrap().iter().find(|r| r["key"] == key).unwrap().clone();
    assert_eq!(row("cores"), json!({"key": "cores", "value": 2, "pending": 1}));
    assert_eq!(row("name"), json!({"key": "name", "value": "renamed"}));
    assert_eq!(world.get("/nodes/pve1/qemu/101/config?current=1").await["cores"], 2);
    let answer = world.call("PUT", path, &[("delete", "scsi0")]).await;
    assert_eq!(answer.json()["errors"], json!({"scsi0": "hotplug problem - can't unplug bootdisk 'scsi0'\n"}));
    world.call("PUT", path, &[("revert", "scsi0,boot")]).await.data();
    assert_eq!(world.task("POST", "/nodes/pve1/qemu/101/status/stop", &[]).await, "OK");
    assert_eq!(world.get("/nodes/pve1/qemu/101/config?current=1").await["cores"], 1);
}

#[tokio::test]
async fn power_fails_in_the_task_and_destroying_what_runs_at_once() {
    let world = World::quick().await;
    world.cloned("101").await;
    let vm = "/nodes/pve1/qemu/101";
    let start = format!("{vm}/status/start");
    assert_eq!(world.task("POST", &start, &[]).await, "OK");
    assert_eq!(world.task("POST", &start, &[]).await, "VM 101 already running");
    assert_eq!(world.call("DELETE", vm, &[]).await.refusal().1, "VM 101 is running - destroy failed");
    assert_eq!(world.task("POST", &format!("{vm}/status/shutdown"), &[("timeout", "20")]).await, "OK");
    assert_eq!(world.task("POST", &format!("{vm}/status/stop"), &[]).await, "OK", "off already: nothing to do");
    let exit = world.task("POST", "/nodes/pve1/qemu/9000/status/start", &[]).await;
    assert_eq!(exit, "you can't start a vm if it's a template");
    let exit = world.task("POST", "/nodes/pve1/qemu/999/status/start", &[]).await;
    assert_eq!(exit, "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist");
    let exit = world.task("DELETE", "/nodes/pve1/qemu/9000", &[("purge", "1")]).await;
    assert_eq!(exit, "base volume 'shared:9000/base-9000-disk-0.qcow2' is still in use by linked cloned");
    assert_eq!(world.task("DELETE", vm, &[("purge", "1"), ("destroy-unreferenced-disks", "1")]).await, "OK");
    assert_eq!(world.get("/cluster/nextid?vmid=101").await, "101");
}

#[tokio::test]
async fn a_disk_grows_and_never_shrinks() {
    let world = World::quick().await;
    world.cloned("101").await;
    let path = "/nodes/pve1/qemu/101/resize";
    assert_eq!(world.task("PUT", path, &[("disk", "scsi0"), ("size", "+2G")]).await, "OK");
    let exit = world.task("PUT", path, &[("disk", "scsi0"), ("size", "1G")]).await;
    assert_eq!(exit, "shrinking disks is not supported");
    assert_eq!(world.task("PUT", path, &[("disk", "scsi7"), ("size", "1G")]).await, "disk 'scsi7' does not exist");
    let config = world.get("/nodes/pve1/qemu/101/config").await;
    assert!(config["scsi0"].as_str().unwrap().ends_with(",size=10G"), "{config}");
}

#[tokio::test]
async fn resources_are_as_old_as_the_last_round() {
    let world = World::start(pve_sim::Options { tick: 100_000.0, ..pve_sim::Options::default() }).await;
    world.cloned("101").await;
    let rows = world.get("/cluster/resources?type=vm").await;
    let fresh = json!({
        "id": "qemu/101", "node": "pve1", "pool": "kubernetes", "status": "unknown", "tags": "kubernetes;ubuntu",
        "type": "qemu", "vmid": 101,
    });
    assert_eq!(rows[0], fresh);
    assert_eq!(rows[1]["template"], 1);
    world.door("POST", "/sim/tick", "").await;
    let rows = world.get("/cluster/resources?type=vm").await;
    assert_eq!((&rows[0]["name"], &rows[0]["status"]), (&json!("w-0"), &json!("stopped")));
}

fn upload(content: &str, checksum: &str, name: &str, bytes: &str) -> String {
    let field = |n: &str, v: &str| format!("--B\r\nContent-Disposition: form-data; name=\"{n}\"\r\n\r\n{v}\r\n");
    let mut body = field("content", content);
    if !checksum.is_empty() {
        body.push_str(&field("checksum-algorithm", "sha256"));
        body.push_str(&field("checksum", checksum));
    }
    let _ = write!(
        body,
        "--B\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"{name}\"\r\n\r\n{bytes}\r\n--B--\r\n"
    );
    body
}

#[tokio::test]
async fn an_iso_is_uploaded_attached_and_deleted() {
    let world = World::quick().await;
    world.cloned("101").await;
    let send = async |body: String| {
        let head = format!(
            "POST /api2/json/nodes/pve1/storage/shared/upload HTTP/1.1\r\nHost: x\r\n{}Content-Type: \
             multipart/form-data; boundary=B\r\nContent-Length: {}\r\n\r\n",
            world.token(),
            body.len()
        );
        world.raw(&head, body.as_bytes()).await.unwrap()
    };
    let answer = send(upload("iso", "", "../../bad name.iso", "12345")).await;
    assert_eq!(answer.headers["connection"], "close");
    assert_eq!(world.wait(answer.data().as_str().unwrap()).await, "OK");
    let wrong = send(upload("iso", &"0".repeat(64), "bad_name.iso", "other")).await.data();
    assert!(world.wait(wrong.as_str().unwrap()).await.starts_with("checksum mismatch: got '"));
    let answer = send(upload("iso", "", "x.txt", "1")).await;
    assert_eq!(answer.json()["errors"], json!({"filename": "wrong file extension"}));
    let answer = send(upload("snippets", "", "x.yaml", "1")).await;
    let text = "value 'snippets' does not have a value in the enumeration 'iso, vztmpl, import'";
    assert_eq!(answer.json()["errors"], json!({"content": text}));
    let volume = world.get("/nodes/pve1/storage/shared/content/shared:iso/bad_name.iso").await;
    assert_eq!((&volume["size"], &volume["format"]), (&json!(512), &json!("raw")));
    let config = "/nodes/pve1/qemu/101/config";
    let answer = world.call("PUT", config, &[("ide0", "shared:iso/bad_name.iso")]).await;
    assert_eq!(answer.json()["errors"], json!({"ide0": "explicit 'media=cdrom' is required for iso images"}));
    world.call("PUT", config, &[("ide0", "shared:iso/bad_name.iso,media=cdrom")]).await.data();
    let seen = world.get(config).await;
    assert_eq!(
        (&seen["ide0"], &seen["boot"]),
        (&json!("shared:iso/bad_name.iso,media=cdrom,size=512"), &json!("order=scsi0;ide0"))
    );
    let exit = world.task("DELETE", "/nodes/pve1/storage/shared/content/shared:iso/bad_name.iso", &[]).await;
    assert_eq!(exit, "OK");
    let exit = world.task("POST", "/nodes/pve1/qemu/101/status/start", &[]).await;
    assert_eq!(exit, "volume 'shared:iso/bad_name.iso' does not exist");
}

#[tokio::test]
async fn a_token_sees_its_own_tasks_and_no_others() {
    let world = World::quick().await;
    world.cloned("101").await;
    let root = world.root().await;
    let upid = world.call_as(&root, "POST", "/nodes/pve1/qemu/101/status/start", &[]).await.unwrap().data();
    let mine = world.get("/nodes/pve1/tasks?source=all").await;
    assert_eq!(mine.as_array().unwrap().len(), 2, "Sys.Audit on the node shows all: {mine}");
    assert_eq!(world.get("/cluster/tasks").await, json!([]), "a token is never the plain user of a task");
    assert_eq!(world.wait(upid.as_str().unwrap()).await, "OK");
    let answer = world.call("GET", "/nodes/pve1/tasks/UPID:bogus/status", &[]).await;
    assert_eq!(answer.json()["errors"], json!({"upid": "unable to parse worker upid"}));
}

#[tokio::test]
async fn a_paper_guest_answers_like_an_agent() {
    let world = World::quick().await;
    world.cloned("101").await;
    let vm = "/nodes/pve1/qemu/101";
    let ping = format!("{vm}/agent/ping");
    assert_eq!(world.call("POST", &ping, &[]).await.refusal().1, "VM 101 is not running");
    world.call("PUT", &format!("{vm}/config"), &[("ipconfig0", "ip=10.1.2.3/24,gw=10.1.2.1")]).await.data();
    assert_eq!(world.task("POST", &format!("{vm}/status/start"), &[]).await, "OK");
    assert_eq!(world.call("POST", &ping, &[]).await.data(), json!({"result": {}}));
    let seen = world.get(&format!("{vm}/agent/network-get-interfaces")).await;
    assert_eq!(seen["result"][0]["name"], "lo");
    assert_eq!(seen["result"][1]["ip-addresses"][0]["ip-address"], "10.1.2.3");
    world.call("PUT", &format!("{vm}/config"), &[("agent", "0")]).await.data();
    assert_eq!(world.task("POST", &format!("{vm}/status/stop"), &[]).await, "OK");
    assert_eq!(world.task("POST", &format!("{vm}/status/start"), &[]).await, "OK");
    assert_eq!(world.call("POST", &ping, &[]).await.refusal().1, "No QEMU guest agent configured");
}

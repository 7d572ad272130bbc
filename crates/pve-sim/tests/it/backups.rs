//! Backups: made, pruned, restored; jobs that make them.

use pve_sim::Options;
use serde_json::{Value, json};

use crate::client::percent;
use crate::containers::Root;

const VZDUMP: &str = "/nodes/pve1/vzdump";

/// The backups on `local`.
async fn backups(root: &Root) -> Vec<Value> {
    let path = "/nodes/pve1/storage/local/content";
    root.call("GET", path, &[("content", "backup")]).await.data().as_array().unwrap().clone()
}

async fn vm(root: &Root, vmid: &str) {
    let form = [
        ("vmid", vmid),
        ("name", "db"),
        ("scsi0", "local:1"),
        ("scsi1", "local:1,backup=0"),
        ("net0", "virtio,bridge=vmbr0"),
    ];
    assert_eq!(root.task("POST", "/nodes/pve1/qemu", &form).await, "OK");
}

#[tokio::test]
async fn a_guest_is_locked_while_it_is_backed_up_and_its_archive_tells_guest_and_time() {
    let slow = Options { task_seconds: [("vzdump".to_owned(), 10_000.0)].into(), ..Options::default() };
    let root = Root::new(slow).await;
    vm(&root, "310").await;
    let notes = ("notes-template", "{{guestname}} {{vmid}}");
    let form = [("vmid", "310"), ("storage", "local"), ("compress", "zstd"), notes];
    let upid = root.call("POST", VZDUMP, &form).await.data();
    let upid = upid.as_str().unwrap();
    let task = format!("/sim/tasks/{}", percent(upid));
    loop {
        if root.get("/nodes/pve1/qemu/310/config").await["lock"] == "backup" {
            break;
        }
        root.world.door("POST", &format!("{task}/step"), "").await;
    }
    let locked = root.call("PUT", "/nodes/pve1/qemu/310/config", &[("cores", "2")]).await.refusal().1;
    assert_eq!(locked, "VM is locked (backup)");
    root.world.door("POST", &format!("{task}/finish"), "").await;
    assert_eq!(root.wait(upid).await, "OK");
    assert_eq!(root.get("/nodes/pve1/qemu/310/config").await["lock"], json!(null));
    let log = root.log(upid).await;
    assert!(log.iter().any(|l| l.starts_with("INFO: include disk 'scsi0' 'local:310/")), "{log:?}");
    assert!(log.iter().any(|l| l.starts_with("INFO: exclude disk 'scsi1' 'local:310/")), "{log:?}");
    let made = backups(&root).await;
    let volid = made[0]["volid"].as_str().unwrap();
    assert!(volid.starts_with("local:backup/vzdump-qemu-310-20") && volid.ends_with(".vma.zst"), "{volid}");
    let text = root.call("GET", "/nodes/pve1/vzdump/extractconfig", &[("volume", volid)]).await.data();
    let text = text.as_str().unwrap();
    assert!(text.contains("\nname: db\n") && !text.contains("lock:"), "{text}");
    assert!(text.ends_with("#qmdump#map:scsi0:drive-scsi0:local:raw:\n"), "{text}");
}

#[tokio::test]
async fn what_can_not_be_backed_up_fails_the_task_and_guests_of_other_nodes_need_none() {
    let root = Root::quick().await;
    vm(&root, "310").await;
    let run = async |form: &[(&str, &str)]| root.task("POST", VZDUMP, form).await;
    assert_eq!(run(&[("vmid", "310,777")]).await, "job errors");
    assert_eq!(backups(&root).await.len(), 1);
    let wrong = run(&[("vmid", "310"), ("storage", "shared")]).await;
    let text = "could not get storage information for 'shared': can't use storage 'shared' for backups - wrong \
                content type";
    assert_eq!(wrong, text);
    let elsewhere = root.call("POST", "/nodes/pve2/vzdump", &[("vmid", "310")]).await.data();
    assert_eq!(elsewhere, "OK");
    let errors = async |form: &[(&str, &str)]| root.call("POST", VZDUMP, form).await.json()["errors"].clone();
    assert_eq!(errors(&[]).await, json!({"vmid": "property is missing"}));
    let both = errors(&[("vmid", "310"), ("all", "1")]).await;
    assert_eq!(both, json!({"all": "option conflicts with option 'vmid'"}));
}

#[tokio::test]
async fn a_backup_by_somebody_else_needs_the_storage_and_the_guest() {
    let root = Root::quick().await;
    vm(&root, "310").await;
    let call = async |form: &[(&str, &str)]| root.world.call("POST", VZDUMP, form).await;
    let storage = call(&[("vmid", "310")]).await.refusal();
    let text = "Permission check failed (/storage/local, Datastore.AllocateSpace)";
    assert_eq!(storage, (403, text.to_owned()));
    for who in ["users", "tokens"] {
        let name = if who == "users" { "capi@pve" } else { "capi@pve!oxmox" };
        let form = [("path", "/storage/local"), ("roles", "PVEDatastoreUser"), (who, name)];
        root.call("PUT", "/access/acl", &form).await.data();
    }
    let upid = call(&[("vmid", "310")]).await.data();
    let exit = root.wait(upid.as_str().unwrap()).await;
    assert_eq!(exit, "403 Permission check failed (/vms/310, VM.Backup)");
    let limited = call(&[("vmid", "310"), ("bwlimit", "5")]).await.refusal();
    assert_eq!(limited, (403, "Permission check failed (/, Sys.Modify)".to_owned()));
}

#[tokio::test]
async fn a_vm_comes_back_from_its_backup_beside_itself_or_over_itself() {
    let root = Root::quick().await;
    vm(&root, "310").await;
    assert_eq!(root.task("POST", VZDUMP, &[("vmid", "310")]).await, "OK");
    let volid = backups(&root).await[0]["volid"].as_str().unwrap().to_owned();
    let archive = ("archive", volid.as_str());
    let taken = root.call("POST", "/nodes/pve1/qemu", &[("vmid", "310"), archive]).await.refusal().1;
    assert_eq!(taken, "unable to restore VM 310 - VM 310 already exists on node 'pve1'");
    let disk = root.call("POST", "/nodes/pve1/qemu", &[("vmid", "311"), archive, ("scsi3", "local:1")]).await;
    assert_eq!(disk.json()["errors"], json!({"scsi3": "option conflicts with option 'archive'"}));
    let gone = [("vmid", "311"), ("archive", "local:backup/vzdump-qemu-310-2020_01_01-00_00_00.vma")];
    let gone = root.call("POST", "/nodes/pve1/qemu", &gone).await.refusal().1;
    assert_eq!(gone, "volume 'local:backup/vzdump-qemu-310-2020_01_01-00_00_00.vma' does not exist");
    let form = [("vmid", "311"), archive, ("unique", "1"), ("storage", "shared")];
    assert_eq!(root.task("POST", "/nodes/pve1/qemu", &form).await, "OK");
    let (old, new) = (root.get("/nodes/pve1/qemu/310/config").await, root.get("/nodes/pve1/qemu/311/config").await);
    assert_eq!((&new["name"], &new["scsi1"]), (&json!("db"), &json!(null)));
    assert!(new["scsi0"].as_str().unwrap().starts_with("shared:311/vm-311-disk-0."), "{new}");
    for key in ["net0", "smbios1", "vmgenid"] {
        assert_ne!(old[key], new[key], "{key}");
    }
    root.call("PUT", "/nodes/pve1/qemu/310/config", &[("name", "other")]).await.data();
    root.task("POST", "/nodes/pve1/qemu/310/status/start", &[]).await;
    let over = [("vmid", "310"), archive, ("force", "1")];
    let running = root.call("POST", "/nodes/pve1/qemu", &over).await.refusal().1;
    assert_eq!(running, "unable to restore VM 310 - vm is running");
    root.task("POST", "/nodes/pve1/qemu/310/status/stop", &[]).await;
    assert_eq!(root.task("POST", "/nodes/pve1/qemu", &over).await, "OK");
    let again = root.get("/nodes/pve1/qemu/310/config").await;
    assert_eq!((&again["name"], &again["net0"]), (&json!("db"), &old["net0"]));
}

#[tokio::test]
async fn a_container_comes_back_from_its_backup() {
    let root = Root::quick().await;
    root.container("320").await;
    assert_eq!(root.task("POST", VZDUMP, &[("vmid", "320"), ("compress", "gzip")]).await, "OK");
    let volid = backups(&root).await[0]["volid"].as_str().unwrap().to_owned();
    assert!(volid.starts_with("local:backup/vzdump-lxc-320-") && volid.ends_with(".tar.gz"), "{volid}");
    let form = [("vmid", "321"), ("ostemplate", volid.as_str()), ("restore", "1"), ("hostname", "again")];
    assert_eq!(root.task("POST", "/nodes/pve1/lxc", &form).await, "OK");
    let config = root.get("/nodes/pve1/lxc/321/config").await;
    assert_eq!((&config["hostname"], &config["unprivileged"]), (&json!("again"), &json!(1)));
    assert_eq!(config["rootfs"], "local:321/vm-321-disk-0.raw,size=2G");
    assert_eq!(config["net0"], root.get("/nodes/pve1/lxc/320/config").await["net0"]);
}

#[tokio::test]
async fn old_backups_go_as_the_rules_say() {
    let root = Root::quick().await;
    vm(&root, "310").await;
    for _ in 0..3 {
        // Each of another second.
        root.world.door("POST", "/sim/clock", r#"{"jump": 2}"#).await;
        assert_eq!(root.task("POST", VZDUMP, &[("vmid", "310")]).await, "OK");
    }
    let path = "/nodes/pve1/storage/local/prunebackups";
    let bare = root.call("GET", path, &[]).await.refusal().1;
    assert_eq!(bare, "no prune-backups options configured for storage 'local'");
    let rows = root.call("GET", path, &[("prune-backups", "keep-last=2")]).await.data();
    let marks: Vec<&Value> = rows.as_array().unwrap().iter().map(|r| &r["mark"]).collect();
    assert_eq!(marks, ["keep", "keep", "remove"]);
    assert_eq!(backups(&root).await.len(), 3);
    assert_eq!(root.task("DELETE", path, &[("prune-backups", "keep-last=2")]).await, "OK");
    assert_eq!(backups(&root).await.len(), 2);
    let form = [("vmid", "310"), ("prune-backups", "keep-last=1")];
    root.world.door("POST", "/sim/clock", r#"{"jump": 2}"#).await;
    assert_eq!(root.task("POST", VZDUMP, &form).await, "OK");
    assert_eq!(backups(&root).await.len(), 1);
    let full = [("vmid", "310"), ("prune-backups", "keep-last=1"), ("remove", "0")];
    assert_eq!(root.task("POST", VZDUMP, &full).await, "job errors");
}

#[tokio::test]
async fn backup_jobs_have_a_schedule_and_say_what_they_take() {
    let root = Root::quick().await;
    vm(&root, "310").await;
    let jobs = "/cluster/backup";
    let errors = async |form: &[(&str, &str)]| root.call("POST", jobs, form).await.json()["errors"].clone();
    let when = errors(&[("vmid", "310")]).await;
    assert_eq!(when, json!({"schedule": "neither 'starttime' nor 'schedule' were set"}));
    let form = [("id", "nightly"), ("vmid", "310"), ("schedule", "22:30"), ("prune-backups", "keep-last=3")];
    assert_eq!(root.call("POST", jobs, &form).await.data(), json!(null));
    assert_eq!(root.call("POST", jobs, &form).await.refusal().1, "Job 'nightly' already exists");
    let job = root.get("/cluster/backup/nightly").await;
    assert_eq!((&job["enabled"], &job["prune-backups"]), (&json!(1), &json!({"keep-last": "3"})));
    assert_eq!(job["next-run"].as_i64().unwrap() % 86_400, 22 * 3600 + 30 * 60);
    let taken = root.get("/cluster/backup/nightly/included_volumes").await;
    let included: Vec<&Value> =
        taken["children"][0]["children"].as_array().unwrap().iter().map(|v| &v["included"]).collect();
    assert_eq!(included, [true, false]);
    let missed = root.get("/cluster/backup-info/not-backed-up").await;
    assert_eq!(missed, json!([{"vmid": 9000, "type": "qemu", "name": "ubuntu-2404-kube-v1.36.3"}]));
    root.call("PUT", "/cluster/backup/nightly", &[("all", "1")]).await.data();
    assert_eq!(root.get("/cluster/backup/nightly").await["vmid"], json!(null));
    assert_eq!(root.call("DELETE", "/cluster/backup/nightly", &[]).await.data(), json!(null));
    let gone = root.call("GET", "/cluster/backup/nightly", &[]).await;
    assert_eq!(gone.json()["errors"], json!({"id": "No such job 'nightly'"}));
}

#[tokio::test]
async fn only_what_can_be_replicated_gets_a_replication_job() {
    let root = Root::quick().await;
    vm(&root, "310").await;
    let create = async |id: &str, target: &str| {
        let form = [("id", id), ("type", "local"), ("target", target)];
        root.call("POST", "/cluster/replication", &form).await.refusal().1
    };
    assert_eq!(create("777-0", "pve2").await, "Guest '777' does not exist.");
    assert_eq!(create("310-0", "pve9").await, "Target 'pve9' does not exist.");
    assert_eq!(create("310-0", "pve1").await, "Source and target must not be identical");
    assert!(create("310-0", "pve2").await.starts_with("missing replicate feature on volume 'local:310/"));
    assert_eq!(create("9000-0", "pve2").await, "No replicatable volumes found");
    assert_eq!(root.get("/nodes/pve1/replication").await, json!([]));
}

#[tokio::test]
async fn a_backup_job_runs_when_its_time_has_come() {
    let root = Root::quick().await;
    vm(&root, "310").await;
    let form = [("id", "often"), ("all", "1"), ("exclude", "9000"), ("schedule", "*:*")];
    root.call("POST", "/cluster/backup", &form).await.data();
    assert_eq!(backups(&root).await, Vec::<Value>::new());
    root.world.door("POST", "/sim/clock", r#"{"jump": 60}"#).await;
    while backups(&root).await.is_empty() {
        tokio::task::yield_now().await;
    }
    let tasks = root.get("/nodes/pve1/tasks").await;
    let mine = tasks.as_array().unwrap().iter().find(|t| t["type"] == "vzdump").unwrap().clone();
    assert_eq!((&mine["id"], &mine["user"]), (&json!("310"), &json!("root@pam")));
}

#[tokio::test]
async fn a_vm_that_is_purged_leaves_the_jobs_that_named_it() {
    let root = Root::quick().await;
    vm(&root, "310").await;
    let form = [("id", "one"), ("vmid", "310,9000"), ("schedule", "daily")];
    root.call("POST", "/cluster/backup", &form).await.data();
    assert_eq!(root.task("DELETE", "/nodes/pve1/qemu/310", &[("purge", "1")]).await, "OK");
    assert_eq!(root.get("/cluster/backup/one").await["vmid"], "9000");
}

//! Storages: their configuration, what is allocated and refused, what fills up, what comes from outside.

use serde_json::{Value, json};

use crate::client::{World, percent};
use pve_sim::Options;

async fn world(kinds: &[&str]) -> (World, String) {
    let storages = kinds.iter().map(|k| (*k).to_owned()).collect();
    let world = World::start(Options { storages, speed: 50.0, ..Options::default() }).await;
    let root = world.root().await;
    (world, root)
}

async fn root(world: &World, root: &str, method: &str, path: &str, form: &[(&str, &str)]) -> crate::client::Answer {
    world.call_as(root, method, path, form).await.expect("an answer")
}

#[tokio::test]
async fn a_storage_is_made_changed_and_removed() {
    let (world, who) = world(&[]).await;
    let form = [("storage", "fast"), ("type", "lvmthin"), ("vgname", "vg1"), ("thinpool", "tp")];
    let made = root(&world, &who, "POST", "/storage", &form).await.data();
    assert_eq!(made, json!({"storage": "fast", "type": "lvmthin"}));
    let twice = root(&world, &who, "POST", "/storage", &form).await.refusal();
    assert_eq!(twice, (500, "create storage failed: storage ID 'fast' already defined".to_owned()));
    let seen = root(&world, &who, "GET", "/storage/fast", &[]).await.data();
    assert_eq!((&seen["content"], &seen["path"]), (&json!("images,rootdir"), &Value::Null));
    let digest = seen["digest"].as_str().unwrap().to_owned();
    let change = [("nodes", "pve2"), ("digest", digest.as_str())];
    root(&world, &who, "PUT", "/storage/fast", &change).await.data();
    let stale = root(&world, &who, "PUT", "/storage/fast", &change).await.refusal().1;
    assert!(stale.starts_with("update storage failed: detected modified configuration"), "{stale}");
    let elsewhere = root(&world, &who, "GET", "/nodes/pve1/storage/fast/content", &[]).await.refusal().1;
    assert_eq!(elsewhere, "storage 'fast' is not available on node 'pve1'");
    let gone = root(&world, &who, "PUT", "/storage/fast", &[("delete", "vgname")]).await.refusal().1;
    assert_eq!(gone, "update storage failed: unable to delete required option 'vgname'");
    root(&world, &who, "DELETE", "/storage/fast", &[]).await.data();
    root(&world, &who, "DELETE", "/storage/local", &[]).await.data();
    assert_eq!(root(&world, &who, "GET", "/storage/local", &[]).await.data()["path"], "/var/lib/vz");
}

#[tokio::test]
async fn names_sizes_and_refusals_are_those_of_the_type() {
    let (world, who) = world(&["lvmthin", "zfspool", "rbd", "lvm", "pbs"]).await;
    let alloc = async |storage: &str, name: &str, size: &str| {
        let path = format!("/nodes/pve1/storage/{storage}/content");
        let form = [("vmid", "700"), ("filename", name), ("size", size)];
        root(&world, &who, "POST", &path, &form).await
    };
    assert_eq!(alloc("local-lvm", "vm-700-data", "5M").await.data(), "local-lvm:vm-700-data");
    let twice = alloc("local-lvm", "vm-700-data", "5M").await.refusal().1;
    assert!(twice.contains("Logical Volume \"vm-700-data\" already exists in volume group \"pve\""), "{twice}");
    let size = root(&world, &who, "GET", "/nodes/pve1/storage/local-lvm/content/vm-700-data", &[]).await.data();
    assert_eq!((&size["size"], &size["path"]), (&json!(8 << 20), &json!("/dev/pve/vm-700-data")));
    let other = alloc("rbd", "vm-701-data", "1G").await.refusal().1;
    assert_eq!(other, "illegal name 'vm-701-data' - should be 'vm-700-*'");
    assert_eq!(alloc("local-zfs", "vm-700-data", "1000").await.data(), "local-zfs:vm-700-data");
    let full = alloc("lvm", "vm-700-data", "2000G").await.refusal().1;
    assert!(full.contains("insufficient free space"), "{full}");
    assert_eq!(alloc("pbs", "vm-700-data", "1G").await.refusal().1, "can't allocate space in pbs storage");
    let used = root(&world, &who, "GET", "/nodes/pve1/storage/lvm/status", &[]).await.data()["used"].clone();
    alloc("lvm", "vm-700-data", "3G").await.data();
    let now = root(&world, &who, "GET", "/nodes/pve1/storage/lvm/status", &[]).await.data();
    assert_eq!(now["used"].as_u64().unwrap() - used.as_u64().unwrap(), 3 << 30);
    assert_eq!(now["avail"].as_u64().unwrap(), now["total"].as_u64().unwrap() - now["used"].as_u64().unwrap());
}

#[tokio::test]
async fn deleting_waits_as_long_as_it_is_told_to() {
    let (world, who) = world(&[]).await;
    let form = [("vmid", "700"), ("filename", "vm-700-a.raw"), ("size", "1M")];
    root(&world, &who, "POST", "/nodes/pve1/storage/shared/content", &form).await.data();
    let path = "/nodes/pve1/storage/shared/content/700/vm-700-a.raw";
    assert_eq!(root(&world, &who, "DELETE", path, &[("delay", "5")]).await.data(), Value::Null);
    let missing = root(&world, &who, "GET", path, &[]).await.refusal().1;
    assert_eq!(missing, "volume_size_info on 'shared:700/vm-700-a.raw' failed - no format");
    let mixed = root(&world, &who, "GET", "/nodes/pve1/storage/shared/content/local:iso/a.iso", &[]).await.json();
    assert_eq!(mixed["errors"], json!({"volume": "storage ID mismatch (local != shared)\n"}));
}

#[tokio::test]
async fn downloads_are_what_the_fixtures_say() {
    let (world, who) = world(&[]).await;
    let url = "https://download.invalid/a.iso";
    let fixture = json!({"downloads": {url: {"text": "bytes", "mimetype": "application/x-iso"}}});
    assert_eq!(world.door("PUT", "/sim/fixtures", &fixture.to_string()).await.0, 200);
    let path = format!("/nodes/pve1/query-url-metadata?url={}", percent(url));
    let known = root(&world, &who, "GET", &path, &[]).await.data();
    assert_eq!(known, json!({"filename": "a.iso", "mimetype": "application/x-iso", "size": 5}));
    let form = [("url", url), ("content", "iso"), ("filename", "b.iso")];
    let fetch = async |form: &[(&str, &str)]| {
        let upid = root(&world, &who, "POST", "/nodes/pve1/storage/local/download-url", form).await.data();
        world.wait(upid.as_str().unwrap()).await
    };
    assert_eq!(fetch(&form).await, "OK");
    let again = fetch(&form).await;
    assert_eq!(again, "refusing to override existing file '/var/lib/vz/template/iso/b.iso'");
    let unknown = [("url", "https://nowhere.invalid/c.iso"), ("content", "iso"), ("filename", "c.iso")];
    assert_eq!(fetch(&unknown).await, "download failed: exit code 4");
}

#[tokio::test]
async fn a_storage_that_can_not_be_reached_is_listed_without_numbers() {
    let (world, who) = world(&[]).await;
    assert_eq!(world.door("POST", "/sim/storages/shared", r#"{"offline": ["pve2"]}"#).await.0, 200);
    let dead = root(&world, &who, "GET", "/nodes/pve2/storage/shared/status", &[]).await.data();
    assert_eq!((&dead["active"], &dead["enabled"], &dead["total"]), (&json!(0), &json!(1), &json!(0)));
    let refused = root(&world, &who, "GET", "/nodes/pve2/storage/shared/content", &[]).await.refusal().1;
    assert_eq!(refused, "storage 'shared' is not online");
    assert_eq!(root(&world, &who, "GET", "/nodes/pve1/storage/shared/status", &[]).await.data()["active"], 1);
}

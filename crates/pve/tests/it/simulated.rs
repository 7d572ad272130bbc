//! The client against the simulator: two readings of Proxmox that meet only on the wire.

use std::time::Duration;

use pve::{
    Allocation, Auth, Changed, Client, ClientConfig, CloneRequest, ConfigUpdate, Error, Freed, GuestStatus,
    Idempotency, PendingRow, Poller, PollerOptions, Proxy, Purge, Refusal, TaskSeen, TaskStatus, Trust, retry_after,
};
use pve_sim::{Options, Running, Sim};
use pve_types::{DiskSize, NetDevice, NodeName, StorageId, Upid, Vmid, VolumeId};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

const TOKEN: &str = "capi@pve!oxmox";
const TEMPLATE: u32 = 9000;

fn node() -> NodeName {
    "pve1".parse().unwrap()
}

fn vmid(n: u32) -> Vmid {
    n.try_into().unwrap()
}

async fn sim() -> Running {
    Sim::start(Options { speed: 200.0, ..Options::default() }).await.unwrap()
}

fn config(sim: &Running, auth: Auth) -> ClientConfig {
    ClientConfig {
        trust: Trust::Ca(sim.ca_pem().to_owned()),
        proxy: Proxy::None,
        ..ClientConfig::new(vec![sim.url().parse().unwrap()], auth)
    }
}

fn by_token(sim: &Running) -> Client {
    let secret = sim.token(TOKEN).unwrap().to_owned().into();
    Client::new(config(sim, Auth::Token { id: TOKEN.to_owned(), secret })).unwrap()
}

/// Orders a fault at the control door.
async fn fault(sim: &Running, rule: &Value) {
    let authority = sim.control_url().strip_prefix("http://").unwrap();
    let body = rule.to_string();
    let mut stream = TcpStream::connect(authority).await.unwrap();
    let head = format!(
        "POST /sim/faults HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

fn request(newid: Vmid) -> CloneRequest {
    CloneRequest {
        name: Some("worker-1".to_owned()),
        description: Some("first line\nwith = & ; % and ü".to_owned()),
        pool: Some("kubernetes".parse().unwrap()),
        ..CloneRequest::new(newid)
    }
}

#[tokio::test]
async fn a_machine_lives_and_leaves_nothing_behind() {
    let sim = sim().await;
    let client = by_token(&sim);
    assert_eq!(client.version().await.unwrap().major(), 9);
    assert_eq!(client.nodes().await.unwrap().len(), 3);
    let new = client.next_vmid().await.unwrap();
    assert!(client.vmid_is_free(new).await.unwrap());
    assert!(!client.vmid_is_free(vmid(TEMPLATE)).await.unwrap());

    let upid = client.clone_guest(&node(), vmid(TEMPLATE), &request(new)).await.unwrap();
    assert_eq!((upid.kind.as_str(), upid.vmid(), upid.user.as_str()), ("qmclone", Some(vmid(TEMPLATE)), TOKEN));
    assert!(client.follow(&upid).await.unwrap().is_ok());

    let cloned = client.guest_config(&node(), new).await.unwrap();
    assert_eq!(cloned.name.as_deref(), Some("worker-1"));
    assert_eq!(cloned.description.as_deref().map(str::trim), Some("first line\nwith = & ; % and ü"));
    assert!(!cloned.template && cloned.smbios_uuid().is_some());
    let (key, disk) = cloned.boot_disk().unwrap();
    assert_eq!(disk.volume().unwrap().owner(), Some(new));
    let key = key.to_owned();

    let storage: StorageId = "shared".parse().unwrap();
    let image = vec![7_u8; 374_784];
    let uploaded = client.upload_iso(&node(), &storage, "worker-1.iso", &image).await.unwrap();
    client.follow(&uploaded).await.unwrap();
    let volume: VolumeId = "shared:iso/worker-1.iso".parse().unwrap();

    let mut card = NetDevice { firewall: true, ..cloned.nets[&0].clone() };
    card.mtu = Some(1400);
    let update = ConfigUpdate {
        set: [
            ("cores", "4".to_owned()),
            ("memory", "4096".to_owned()),
            ("net0", card.to_string()),
            ("ide2", format!("{volume},media=cdrom")),
            ("tags", "b;a".to_owned()),
        ]
        .map(|(k, v)| (k.to_owned(), v))
        .into(),
        delete: vec!["serial0".to_owned()],
        digest: cloned.digest.clone(),
        ..ConfigUpdate::default()
    };
    client.update_config(&node(), new, &update).await.unwrap();
    let stale = client.update_config(&node(), new, &update).await.unwrap_err();
    assert_eq!(stale.refusal(), Some(&Refusal::DigestConflict));
    let changed = client.guest_config(&node(), new).await.unwrap();
    assert_eq!((changed.cores, changed.memory, &changed.nets[&0]), (Some(4), Some(4096), &card));
    assert_eq!(changed.disks["ide2"].volume(), Some(&volume));
    assert_eq!(changed.tags.to_string(), "a;b");

    let bigger = DiskSize::from_gib(20);
    let resized = client.resize(&node(), new, &key, bigger).await.unwrap();
    client.follow(&resized).await.unwrap();
    assert_eq!(client.guest_config(&node(), new).await.unwrap().disks[&key].size, Some(bigger));

    client.follow(&client.start(&node(), new).await.unwrap()).await.unwrap();
    assert_eq!(client.guest_status(&node(), new).await.unwrap().status, GuestStatus::Running);
    let running = client.destroy(&node(), new, Purge::Yes).await.unwrap_err();
    assert_eq!(running.refusal(), Some(&Refusal::StillRunning));
    client.follow(&client.stop(&node(), new).await.unwrap()).await.unwrap();
    client.follow(&client.destroy(&node(), new, Purge::Yes).await.unwrap()).await.unwrap();
    if let Some(upid) = client.delete_volume(&node(), &volume).await.unwrap() {
        client.follow(&upid).await.unwrap();
    }

    assert!(!client.resources().await.unwrap().guests.contains_key(&new));
    assert!(client.vmid_is_free(new).await.unwrap());
    let left = client.storage_content(&node(), &storage, None, None).await.unwrap();
    assert!(left.iter().all(|row| row.volid.owner() == Some(vmid(TEMPLATE))), "{left:?}");
    sim.stop().await;
}

fn keys<const N: usize>(pairs: [(&str, String); N]) -> std::collections::BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

async fn set(client: &Client, guest: Vmid, update: ConfigUpdate) {
    client.update_config(&node(), guest, &update).await.unwrap();
}

#[tokio::test]
async fn a_volume_is_made_attached_grown_copied_and_freed_through_a_holder() {
    let sim = sim().await;
    let client = by_token(&sim);
    let (holder, storage): (_, StorageId) = (vmid(9100), "shared".parse().unwrap());
    let made = keys([
        ("name", "csi-holder".to_owned()),
        ("pool", "kubernetes".to_owned()),
        ("memory", "16".to_owned()),
        ("protection", "1".to_owned()),
        ("description", "text\n\noxmox: holder=t".to_owned()),
    ]);
    client.follow(&client.create_guest(&node(), holder, &made).await.unwrap()).await.unwrap();
    let order = Allocation {
        vmid: holder,
        filename: "vm-9100-pvc-1.raw".to_owned(),
        size: DiskSize::from_gib(1),
        format: Some("raw".to_owned()),
    };
    let volume = client.allocate(&node(), &storage, &order).await.unwrap();
    assert_eq!(volume.to_string(), "shared:9100/vm-9100-pvc-1.raw");
    let taken = client.allocate(&node(), &storage, &order).await.unwrap_err();
    assert_eq!(taken.refusal(), Some(&Refusal::VolumeExists));
    assert_eq!(client.volume(&node(), &volume).await.unwrap().size, 1 << 30);
    assert!(client.storage_room(&node(), &storage).await.unwrap() > 0);

    let worker = vmid(200);
    let hardware = keys([("name", "w".to_owned()), ("pool", "kubernetes".to_owned())]);
    client.follow(&client.create_guest(&node(), worker, &hardware).await.unwrap()).await.unwrap();
    client.follow(&client.start(&node(), worker).await.unwrap()).await.unwrap();
    let plug = ConfigUpdate { set: keys([("scsi1", format!("{volume},serial=s1"))]), ..ConfigUpdate::default() };
    set(&client, worker, plug).await;
    let row = |rows: Vec<PendingRow>, key: &str| rows.into_iter().find(|row| row.key == key);
    let plugged = row(client.guest_pending(&node(), worker).await.unwrap(), "scsi1").unwrap();
    assert!(plugged.value.unwrap().starts_with(&volume.to_string()) && plugged.pending.is_none() && !plugged.delete);
    assert!(client.guest_status(&node(), worker).await.unwrap().blocks().unwrap().contains("scsi1"));
    let digest = row(client.guest_pending(&node(), worker).await.unwrap(), "digest").and_then(|row| row.value);
    let stale = client.resize_if(&node(), worker, "scsi1", DiskSize::from_gib(2), Some("0")).await.unwrap();
    assert!(client.follow(&stale).await.is_err(), "the digest is another");
    let grown = client.resize_if(&node(), worker, "scsi1", DiskSize::from_gib(2), digest.as_deref()).await.unwrap();
    client.follow(&grown).await.unwrap();
    set(&client, worker, ConfigUpdate { delete: vec!["scsi1".to_owned()], ..ConfigUpdate::default() }).await;
    assert!(!client.guest_status(&node(), worker).await.unwrap().blocks().unwrap().contains("scsi1"));
    assert_eq!(client.guest_status(&node(), holder).await.unwrap().blocks(), None);

    let from = format!("{storage}:0,import-from={volume},serial=copy");
    let copy = ConfigUpdate { set: keys([("scsi4", from)]), ..ConfigUpdate::default() };
    let task = client.update_config_task(&node(), holder, &copy).await.unwrap().unwrap();
    client.follow(&task).await.unwrap();
    let copied = client.guest_config(&node(), holder).await.unwrap().disks["scsi4"].clone();
    assert_eq!((copied.option("serial"), copied.size), (Some("copy"), Some(DiskSize::from_gib(2))));

    let free = |keys: &[&str]| ConfigUpdate {
        delete: keys.iter().map(|key| (*key).to_owned()).collect(),
        freed: Freed::Yes,
        ..ConfigUpdate::default()
    };
    let refused = client.update_config(&node(), holder, &free(&["scsi4"])).await.unwrap_err();
    assert_eq!(refused.refusal(), Some(&Refusal::Protected));
    let offer = keys([("protection", "0".to_owned()), ("unused0", volume.to_string())]);
    set(&client, holder, ConfigUpdate { set: offer, ..ConfigUpdate::default() }).await;
    let both = ConfigUpdate { set: keys([("protection", "1".to_owned())]), ..free(&["scsi4", "unused0"]) };
    set(&client, holder, both).await;
    for gone in [&volume, copied.volume().unwrap()] {
        assert_eq!(client.volume(&node(), gone).await.unwrap_err().refusal(), Some(&Refusal::NoSuchVolume));
    }
    let left = client.guest_config(&node(), holder).await.unwrap();
    assert!(left.disks.is_empty() && left.other.get("protection").is_some_and(|p| p == "1"), "{left:?}");
    sim.stop().await;
}

#[tokio::test]
async fn everything_that_is_only_read_reads() {
    let sim = sim().await;
    let client = by_token(&sim);
    let seen = client.resources().await.unwrap();
    assert!(seen.guests[&vmid(TEMPLATE)].template && seen.nodes[&node()].online);
    assert!(seen.storage(&node(), &"shared".parse().unwrap()).unwrap().content.contains("iso"));
    assert!(client.permissions().await.unwrap().has("/pool/kubernetes", "VM.Allocate"));
    let pool = client.pool(&"kubernetes".parse().unwrap()).await.unwrap();
    assert!(pool.members.iter().any(|m| m.vmid == Some(vmid(TEMPLATE))));
    assert!(client.node_network(&node()).await.unwrap().iter().any(|i| i.iface == "vmbr0" && i.is_bridge()));
    assert!(client.node_storages(&node()).await.unwrap().iter().any(|s| s.content().contains("images")));
    assert!(client.tasks(&node(), 0, 10).await.unwrap().is_empty());
    sim.stop().await;
}

#[tokio::test]
async fn a_password_and_a_fingerprint_do_as_well() {
    let sim = sim().await;
    let password = sim.root_password().to_owned().into();
    let mut config = config(&sim, Auth::Password { user: "root@pam".to_owned(), password });
    config.trust = Trust::Fingerprint(sim.fingerprint().parse().unwrap());
    let client = Client::new(config).unwrap();
    let upid = client.start(&node(), vmid(TEMPLATE)).await.unwrap();
    let Err(Error::TaskFailed(failed)) = client.follow(&upid).await else { panic!("a template cannot start") };
    assert!(failed.exit_status.contains("template"), "{}", failed.exit_status);
    assert!(failed.log_tail.iter().any(|line| line.contains("TASK ERROR")), "{:?}", failed.log_tail);
    assert!(client.ha_resources().await.unwrap().is_empty());
    sim.stop().await;
}

#[tokio::test]
async fn a_wrong_secret_is_told_as_such() {
    let sim = sim().await;
    let auth = Auth::Token { id: TOKEN.to_owned(), secret: "00000000-0000-0000-0000-000000000000".to_owned().into() };
    let error = Client::new(config(&sim, auth)).unwrap().version().await.unwrap_err();
    assert_eq!(error.refusal(), Some(&Refusal::AuthFailed));
    assert!(error.hint().is_some());
    sim.stop().await;
}

#[tokio::test]
async fn a_guest_on_another_node_is_not_found_here() {
    let sim = sim().await;
    let client = by_token(&sim);
    let elsewhere: NodeName = "pve2".parse().unwrap();
    assert!(client.guest_config(&elsewhere, vmid(TEMPLATE)).await.unwrap_err().is_not_found());
    sim.stop().await;
}

#[tokio::test]
async fn a_lost_answer_to_a_clone_is_unanswered_and_the_clone_is_there() {
    let sim = sim().await;
    let client = by_token(&sim);
    for then in [json!("answer_lost"), json!({"status": 596})] {
        let new = client.next_vmid().await.unwrap();
        fault(&sim, &json!({"match": {"method": "POST", "path": "/nodes/*/qemu/*/clone"}, "then": then})).await;
        let error = client.clone_guest(&node(), vmid(TEMPLATE), &request(new)).await.unwrap_err();
        assert_eq!(error.category(), "Unanswered", "{error:?}");
        assert_eq!(retry_after(&error, Idempotency::Once), None);
        assert!(!client.vmid_is_free(new).await.unwrap(), "it happened all the same");
    }
    sim.stop().await;
}

#[tokio::test]
async fn the_poller_sees_a_clone_from_order_to_guest() {
    let sim = sim().await;
    let client = by_token(&sim);
    let pace = PollerOptions { idle: Duration::from_mins(10), ..PollerOptions::default() };
    let stop = CancellationToken::new();
    let poller = Poller::spawn(client.clone(), pace, stop.clone());
    poller.reading(1).await;
    let mut changes = poller.changes();
    let new = client.next_vmid().await.unwrap();
    let upid = client.clone_guest(&node(), vmid(TEMPLATE), &request(new)).await.unwrap();
    poller.watch_task(upid.clone());
    let told = changes.recv().await.unwrap();
    assert!(told.tasks.contains(&upid) && matches!(told.what, Changed::These { .. }));
    assert!(matches!(poller.task(&upid), TaskSeen::Ended { status: TaskStatus::Ok, .. }));
    let snapshot = poller.reading(poller.refresh_now()).await;
    assert!(snapshot.resources.as_ref().unwrap().guests.contains_key(&new));
    assert!(changes.recv().await.unwrap().concerns(new));
    assert_eq!(client.calls()["GET /cluster/resources"], 2);
    stop.cancel();
    sim.stop().await;
}

#[tokio::test]
async fn a_task_that_fails_is_told_with_its_reason() {
    let sim = sim().await;
    let client = by_token(&sim);
    fault(
        &sim,
        &json!({"match": {"method": "POST", "path": "/nodes/*/qemu/*/clone"}, "then": {"task_fails": "clone failed: no space left, not enough free space"}}),
    )
    .await;
    let stop = CancellationToken::new();
    let poller = Poller::spawn(client.clone(), PollerOptions::default(), stop.clone());
    let upid = client.clone_guest(&node(), vmid(TEMPLATE), &request(vmid(500))).await.unwrap();
    let error = until_failed(&poller, &upid).await;
    assert_eq!(error.refusal(), Some(&Refusal::NoSpace), "{error}");
    stop.cancel();
    sim.stop().await;
}

async fn until_failed(poller: &Poller, upid: &Upid) -> Error {
    let mut changes = poller.changes();
    poller.watch_task(upid.clone());
    loop {
        if let Some(error) = poller.task(upid).failure(upid) {
            return error;
        }
        changes.recv().await.unwrap();
    }
}

//! One test for each kind of failure, and the words that tell them apart.

use std::time::Duration;

use pve::{Client, Error, Idempotency, Refusal, Timeouts, UnsentCause, retry_after};
use pve_types::{NodeName, Vmid};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::stub::{Reply, Stub, client, config, dead_url};

fn node() -> NodeName {
    "pve1".parse().unwrap()
}

fn vmid() -> Vmid {
    "101".parse().unwrap()
}

#[tokio::test]
async fn a_closed_port_is_unsent_and_may_be_tried_again() {
    let url = dead_url().await;
    let error = client(vec![url.clone()]).start(&node(), vmid()).await.unwrap_err();
    let Error::Unsent(unsent) = &error else { panic!("{error:?}") };
    let UnsentCause::NoConnection { tried } = &unsent.cause else { panic!("{error:?}") };
    assert_eq!(tried[0].url, url.to_string());
    assert!(tried[0].why.contains("refused"), "{}", tried[0].why);
    assert_eq!(error.category(), "Unsent");
    assert!(retry_after(&error, Idempotency::Once).is_some());
    assert!(error.hint().unwrap().contains("8006"));
}

#[tokio::test]
async fn a_no_is_read_from_the_body_then_the_reason_then_the_status() {
    let words = "VM is locked (backup)";
    for (reply, read) in [
        (Reply::fails(500, words), words),
        (Reply::fails_old(500, words), words),
        (Reply::fails_bare(500, words), words),
        (Reply::raw(500, "Error", None, "VM is locked (backup)\n"), words),
        (Reply::raw(500, words, Some("text/html"), "<html>no</html>"), words),
        (Reply::raw(500, "Internal Server Error", Some("text/html"), "<html>"), "Internal Server Error"),
    ] {
        let stub = Stub::start(move |_| reply.clone()).await;
        let error = stub.client().start(&node(), vmid()).await.unwrap_err();
        let Error::Refused(refused) = &error else { panic!("{error:?}") };
        assert_eq!((refused.status, refused.message.as_str()), (500, read));
        assert_eq!(stub.calls().len(), 1, "a no is not argued with");
    }
}

#[tokio::test]
async fn parameters_at_fault_are_named() {
    let stub = Stub::start(|_| {
        let errors = json!({"cores": "type check ('integer') failed - got 'abc'"});
        let message = "Parameter verification failed.";
        Reply::json(400, message, &json!({"data": null, "message": message, "errors": errors}))
    })
    .await;
    let error = stub.client().start(&node(), vmid()).await.unwrap_err();
    assert_eq!(error.refusal(), Some(&Refusal::Validation));
    assert_eq!(
        error.to_string(),
        "Proxmox refused `POST /nodes/pve1/qemu/101/status/start` (400): Parameter verification failed.; \
         `cores`: type check ('integer') failed - got 'abc'"
    );
}

#[tokio::test]
async fn a_broken_connection_is_unanswered_and_a_clone_is_not_sent_twice() {
    let stub = Stub::start(|_| Reply::Drop).await;
    let other = Stub::start(|_| Reply::data("never")).await;
    let client = client(vec![stub.url(), other.url()]);
    let error = client.start(&node(), vmid()).await.unwrap_err();
    assert!(matches!(&error, Error::Unanswered(u) if u.status.is_none()), "{error:?}");
    assert_eq!(retry_after(&error, Idempotency::Once), None);
    assert!(retry_after(&error, Idempotency::Repeatable).is_some());
    assert_eq!((stub.calls().len(), other.calls().len()), (1, 0));
}

#[tokio::test]
async fn words_of_go_betweens_are_unanswered() {
    for (status, words) in [
        (595, "Connection refused"),
        (596, "Connection timed out"),
        (599, "Too many redirections"),
        (504, "Gateway Timeout"),
    ] {
        let stub = Stub::start(move |_| Reply::fails_bare(status, words)).await;
        let error = stub.client().start(&node(), vmid()).await.unwrap_err();
        let Error::Unanswered(unanswered) = &error else { panic!("{error:?}") };
        assert_eq!((unanswered.status, unanswered.why.as_str()), (Some(status), words));
    }
}

#[tokio::test]
async fn silence_is_unanswered() {
    let never = std::sync::Arc::new(Semaphore::new(0));
    let stub = Stub::start(move |_| Reply::When(never.clone(), Box::new(Reply::Drop))).await;
    let mut config = config(vec![stub.url()]);
    config.timeouts = Timeouts { answer: Duration::from_millis(50), ..config.timeouts };
    let error = Client::new(config).unwrap().start(&node(), vmid()).await.unwrap_err();
    assert_eq!(error.category(), "Unanswered", "{error:?}");
    assert!(error.to_string().contains("took too long"), "{error}");
}

#[tokio::test]
async fn what_is_not_proxmox_is_garbled() {
    for reply in [
        Reply::raw(200, "OK", Some("text/html"), "<html>welcome</html>"),
        Reply::raw(200, "OK", Some("application/json"), "{\"data\":"),
        Reply::raw(301, "Moved Permanently", None, ""),
        Reply::data(json!({"no": "version"})),
        Reply::data("UPID:pve1:what:"),
    ] {
        let stub = Stub::start(move |_| reply.clone()).await;
        let error = stub.client().version().await.unwrap_err();
        assert_eq!(error.category(), "Garbled", "{error:?}");
        assert_eq!(retry_after(&error, Idempotency::Repeatable), None);
        assert!(error.hint().unwrap().contains("URL"));
    }
}

#[tokio::test]
async fn each_no_is_known_by_its_words() {
    let forbidden = |path: &str, privilege: &str| Refusal::Forbidden {
        path: Some(path.to_owned()),
        privilege: Some(privilege.to_owned()),
    };
    let bare = || Refusal::Forbidden { path: None, privilege: None };
    let table = [
        (500, "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist", Refusal::NotFound),
        (500, "unable to find configuration file for VM 999 on node 'pve1'", Refusal::NotFound),
        (500, "unable to create VM 101 - VM 101 already exists on node 'pve2'", Refusal::VmidTaken),
        (500, "unable to create VM 101: config file already exists", Refusal::VmidTaken),
        (500, "VM is locked (backup)", Refusal::Locked("backup".to_owned())),
        (
            500,
            "unable to create VM 101 - VM is locked (snapshot-delete)",
            Refusal::Locked("snapshot-delete".to_owned()),
        ),
        (500, "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout", Refusal::LockTimeout),
        (500, "cfs-lock 'storage-x' error: got lock request timeout", Refusal::LockTimeout),
        (500, "cfs-lock 'file-user_cfg' error: no quorum!", Refusal::NoQuorum),
        (500, "cluster not ready - no quorum?", Refusal::NoQuorum),
        (403, "Permission check failed (/vms/101, VM.Audit)", forbidden("/vms/101", "VM.Audit")),
        (
            403,
            "Permission check failed (/storage/x, Datastore.Audit|Datastore.AllocateSpace)",
            forbidden("/storage/x", "Datastore.Audit|Datastore.AllocateSpace"),
        ),
        (403, "Permission check failed", bare()),
        (403, "Permission check failed (user != root@pam)", bare()),
        (403, "Permission check failed (pool 'x' does not exist)", Refusal::NoSuchPool),
        (500, "pool 'x' does not exist", Refusal::NoSuchPool),
        (401, "authentication failure", Refusal::AuthFailed),
        (401, "No ticket", Refusal::AuthFailed),
        (500, "unable to remove VM 101 - used in HA resources and purge parameter not set.", Refusal::NeedsPurge),
        (500, "There is a replication job '101-0' for guest '101' - Please remove that first.", Refusal::NeedsPurge),
        (500, "VM 101 is running - destroy failed", Refusal::StillRunning),
        (500, "VM 101 already running", Refusal::AlreadyRunning),
        (500, "VM 101 not running", Refusal::NotRunning),
        (500, "VM 101 is not running", Refusal::NotRunning),
        (500, "can't remove VM 101 - protection mode enabled", Refusal::Protected),
        (500, "QEMU guest agent is not running", Refusal::AgentUnavailable),
        (500, "No QEMU guest agent configured", Refusal::AgentUnavailable),
        (500, "VM 101 qga command 'guest-ping' failed - got timeout", Refusal::AgentUnavailable),
        (500, "checksum mismatch (file change by other user?)", Refusal::DigestConflict),
        (500, "storage 'x' does not exist", Refusal::StorageInvalid),
        (500, "storage 's' does not support 'import' content", Refusal::StorageInvalid),
        (500, "storage 'x' is not available on node 'n'", Refusal::StorageInvalid),
        (500, "not enough free space (1 < 2)", Refusal::NoSpace),
        (500, "disk image '/x/vm-9999-x.raw' already exists", Refusal::VolumeExists),
        (500, "rbd create 'vm-9999-x' error: x (17) File exists", Refusal::VolumeExists),
        (500, "base volume 'x' is still in use by linked clones", Refusal::VolumeInUse),
        (500, "  Logical volume pve/vm-101-disk-0 in use.", Refusal::VolumeInUse),
        (500, "Can't use string (\"x\") as a HASH ref while \"strict refs\" in use at x.pm line 1.", Refusal::Other),
        (500, "volume 'local:iso/x.iso' does not exist", Refusal::NoSuchVolume),
        (500, "unable to create VM 103 - volume 'data:103/vm-103-disk-9.raw' does not exist", Refusal::NoSuchVolume),
        (500, "shrinking disks is not supported", Refusal::InvalidSize),
        (500, "hostname lookup 'n' failed - failed to get address info", Refusal::NoSuchNode),
        (501, "Method 'GET /nope' not implemented", Refusal::Unsupported),
        (501, "for data too large", Refusal::Other),
        (500, "something else entirely", Refusal::Other),
    ];
    for (status, words, meant) in table {
        let stub = Stub::start(move |_| Reply::fails(status, words)).await;
        let error = stub.client().start(&node(), vmid()).await.unwrap_err();
        assert_eq!(error.refusal(), Some(&meant), "{words}");
    }
}

#[tokio::test]
async fn a_no_about_one_parameter_is_known_by_it() {
    for (key, text, meant) in [
        ("vmid", "VM 101 already exists", Refusal::VmidTaken),
        ("upid", "no such task", Refusal::NoSuchTask),
        ("storage", "No such storage.", Refusal::StorageInvalid),
        (
            "scsi1",
            "hotplug problem - error on hot-unplugging device 'scsi1' - still busy in guest?",
            Refusal::DetachBusy,
        ),
        ("virtio1", "hotplug problem - error on hotplug device 'virtio1'", Refusal::HotplugFailed),
    ] {
        let stub = Stub::start(move |_| {
            let message = "Parameter verification failed.";
            Reply::json(400, message, &json!({"data": null, "message": message, "errors": {key: text}}))
        })
        .await;
        let error = stub.client().start(&node(), vmid()).await.unwrap_err();
        assert_eq!(error.refusal(), Some(&meant), "{text}");
    }
}

#[tokio::test]
async fn a_missing_privilege_comes_with_the_next_move() {
    let stub = Stub::start(|_| Reply::fails(403, "Permission check failed (/pool/dev, VM.Clone|VM.Audit)")).await;
    let error = stub.client().start(&node(), vmid()).await.unwrap_err();
    assert_eq!(error.hint().unwrap(), "give the token (and its user) the privilege VM.Clone or VM.Audit on /pool/dev");
    assert_eq!(retry_after(&error, Idempotency::Repeatable), None);
}

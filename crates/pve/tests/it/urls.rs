//! URLs as people paste them, and paths that cannot lead astray.

use pve::{BaseUrl, Client, ConfigError, Error, UnsentCause};
use pve_types::{DiskSize, NodeName, StorageId, Upid, Vmid, VolumeId};

use crate::stub::{Reply, Stub, client, config, dead_url};

#[test]
fn a_base_url_reads_in_all_its_spellings() {
    for given in [
        "https://pve1:8006",
        "https://pve1:8006/",
        "https://pve1:8006/api2/json",
        "https://pve1:8006/api2/json/",
        "https://pve1:8006/api2",
        "  https://pve1:8006  ",
        "pve1:8006",
    ] {
        let url: BaseUrl = given.parse().unwrap();
        assert_eq!(url.to_string(), "https://pve1:8006", "`{given}`");
    }
    for given in ["https://gw/pve/dc1", "https://gw/pve/dc1/", "https://gw/pve/dc1/api2/json/"] {
        assert_eq!(given.parse::<BaseUrl>().unwrap().to_string(), "https://gw/pve/dc1");
    }
    assert!("http://127.0.0.1:8006".parse::<BaseUrl>().is_ok());
    assert!("http://[::1]:8006".parse::<BaseUrl>().is_ok());
}

#[test]
fn what_is_no_base_url_is_named() {
    for given in [
        "",
        "   ",
        "https://",
        "https:///api2/json",
        "https://:8006",
        "ftp://pve1",
        "http://pve1:8006",
        "https://pve1:8006/?x=1",
        "https://pve1:8006/#x",
        "https://pve1:port",
        "https://gw//pve",
        "https://a b",
    ] {
        let error = given.parse::<BaseUrl>().unwrap_err();
        assert_eq!(error.given, given);
        assert!(error.to_string().contains(&format!("`{given}`")), "{error}");
    }
    let error = "https://root:hunter2@pve1:8006".parse::<BaseUrl>().unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn settings_that_cannot_work_are_refused_before_the_first_call() {
    assert!(matches!(Client::new(config(vec![])), Err(ConfigError::NoUrl)));
    let url: BaseUrl = "https://pve1:8006".parse().unwrap();
    for id in ["", "capi", "capi@pve", "capi@pve!", "capi@pve!t=1234", "capi!t"] {
        let mut config = config(vec![url.clone()]);
        config.auth = pve::Auth::Token { id: id.to_owned(), secret: "x".to_owned().into() };
        let error = Client::new(config).unwrap_err();
        assert!(matches!(&error, ConfigError::TokenId { id: given } if given == id), "{error}");
    }
    let mut config = config(vec![url]);
    config.auth = pve::Auth::Token { id: "capi@pve!t".to_owned(), secret: " ".to_owned().into() };
    assert!(matches!(Client::new(config), Err(ConfigError::EmptySecret { .. })));
}

#[tokio::test]
async fn a_prefix_stands_before_every_path() {
    let stub = Stub::start(|_| Reply::data("100")).await;
    let url = format!("{}/pve/dc1/api2/json/", stub.text_url()).parse().unwrap();
    client(vec![url]).next_vmid().await.unwrap();
    assert_eq!(stub.asked()[0].target, "/pve/dc1/api2/json/cluster/nextid");
}

#[tokio::test]
async fn a_task_id_is_escaped_in_a_path() {
    let stub = Stub::start(|_| Reply::data(serde_json::json!({"status": "running"}))).await;
    let upid: Upid = "UPID:pve2:0001F4A2:00A3B1C4:6741B2F0:qmmove:1-a>2-b:capi@pve!t:".parse().unwrap();
    stub.client().task_status(&upid).await.unwrap();
    assert_eq!(
        stub.asked()[0].target,
        "/api2/json/nodes/pve2/tasks/UPID%3Apve2%3A0001F4A2%3A00A3B1C4%3A6741B2F0%3Aqmmove%3A1-a%3E2-b%3Acapi%40pve%21t%3A/status"
    );
}

#[tokio::test]
async fn no_path_has_an_empty_segment() {
    let client = client(vec![dead_url().await]);
    let node: NodeName = "pve1".parse().unwrap();
    let storage: StorageId = "local".parse().unwrap();
    for name in ["iso//x.iso", "/x", "x/", "../x", "iso/./x.iso", "iso/.."] {
        let volume = VolumeId { storage: storage.clone(), name: name.to_owned() };
        let error = client.delete_volume(&node, &volume).await.unwrap_err();
        let Error::Unsent(unsent) = &error else { panic!("`{name}`: {error:?}") };
        assert!(
            matches!(&unsent.cause, UnsentCause::BadSegment { name, .. } if name == "volume"),
            "`{name}`: {error:?}"
        );
    }
    for name in ["", "a/b.iso", "a b.iso", "a\"b.iso", "a\r\n.iso"] {
        let error = client.upload_iso(&node, &storage, name, b"x").await.unwrap_err();
        assert!(matches!(&error, Error::Unsent(u) if matches!(u.cause, UnsentCause::BadSegment { .. })), "{error:?}");
    }
    assert!(client.calls().is_empty(), "nothing was sent");
}

#[tokio::test]
async fn an_empty_value_is_an_error_for_proxmox_would_ignore_it() {
    let client = client(vec![dead_url().await]);
    let node: NodeName = "pve1".parse().unwrap();
    let vmid: Vmid = "101".parse().unwrap();
    let error = client.resize(&node, vmid, "", DiskSize::from_gib(1)).await.unwrap_err();
    let Error::Unsent(unsent) = &error else { panic!("{error:?}") };
    assert!(matches!(&unsent.cause, UnsentCause::EmptyValue { key } if key == "disk"));
}

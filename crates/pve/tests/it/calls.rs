//! Each call's shape on the wire, and what is read from its answer.

use std::time::Duration;

use pve::{CloneRequest, ConfigUpdate, GuestKind, GuestStatus, Late, Purge, Refusal};
use pve_types::{DiskSize, NodeName, StorageId, Vmid, VolumeId};
use serde_json::json;

use crate::stub::{Reply, Stub};

const UPID: &str = "UPID:pve1:0001F4A2:00A3B1C4:6741B2F0:qmclone:9000:capi@pve!t:";

fn node() -> NodeName {
    "pve1".parse().unwrap()
}

fn vmid(n: u32) -> Vmid {
    n.try_into().unwrap()
}

#[tokio::test]
async fn resources_read_numbers_and_strings_alike() {
    let stub = Stub::start(|_| {
        Reply::data(json!([
            {"id": "qemu/101", "type": "qemu", "vmid": 101, "node": "pve1", "name": "a", "status": "running",
             "template": 0, "tags": "b;a", "maxmem": 536_870_912, "maxcpu": 2, "cpu": 0.01, "pool": "dev", "new-key": [1]},
            {"id": "qemu/102", "type": "qemu", "vmid": "102", "node": "pve2", "status": "stopped",
             "template": "1", "maxmem": "1024", "maxcpu": "2.5", "lock": "clone", "hastate": "started"},
            {"id": "qemu/103", "type": "qemu", "vmid": 103, "node": "pve2", "status": "unknown"},
            {"id": "lxc/200", "type": "lxc", "vmid": 200, "node": "pve1", "status": "humming"},
            {"id": "node/pve1", "type": "node", "node": "pve1", "status": "online", "maxmem": 8, "mem": "4", "maxcpu": 4},
            {"id": "node/pve2", "type": "node", "node": "pve2", "status": "offline"},
            {"id": "storage/pve1/data", "type": "storage", "storage": "data", "node": "pve1", "shared": 1,
             "content": "iso,images", "plugintype": "nfs", "status": "available", "disk": 5, "maxdisk": 10},
            {"id": "storage/pve2/data", "type": "storage", "storage": "data", "node": "pve2", "status": "unknown"},
            {"id": "/pool/dev", "type": "pool", "pool": "dev"},
            {"id": "sdn/pve1/localnetwork", "type": "sdn", "node": "pve1"},
            {"id": "network/pve1/zone/x", "type": "network"},
        ]))
    })
    .await;
    let seen = stub.client().resources().await.unwrap();
    assert_eq!(seen.guests.len(), 4);
    let first = &seen.guests[&vmid(101)];
    assert_eq!((first.name.as_deref(), &first.status), (Some("a"), &Some(GuestStatus::Running)));
    assert!(first.tags.contains("a") && !first.template);
    let second = &seen.guests[&vmid(102)];
    assert!(second.template && second.maxmem == Some(1024) && second.maxcpu == Some(2.5));
    assert_eq!(second.lock.as_deref(), Some("clone"));
    let third = &seen.guests[&vmid(103)];
    assert_eq!((&third.name, &third.status), (&None, &Some(GuestStatus::Unknown)));
    let fourth = &seen.guests[&vmid(200)];
    assert_eq!((fourth.kind, &fourth.status), (GuestKind::Lxc, &Some(GuestStatus::Other("humming".to_owned()))));
    assert!(seen.nodes[&node()].online && seen.nodes[&node()].mem == Some(4));
    assert!(!seen.nodes[&"pve2".parse::<NodeName>().unwrap()].online);
    let data: StorageId = "data".parse().unwrap();
    let row = seen.storage(&node(), &data).unwrap();
    assert!(row.shared && row.available && row.content.contains("iso"));
    assert!(!seen.storage(&"pve2".parse().unwrap(), &data).unwrap().available);
    assert_eq!(seen.pools.len(), 1);
}

#[tokio::test]
async fn a_guest_row_that_does_not_read_spoils_the_answer_rather_than_hiding_the_guest() {
    let stub =
        Stub::start(|_| Reply::data(json!([{"id": "qemu/101", "type": "qemu", "vmid": "many", "node": "pve1"}]))).await;
    let error = stub.client().resources().await.unwrap_err();
    assert_eq!(error.category(), "Garbled");
    assert!(error.to_string().contains("qemu/101"), "{error}");
}

#[tokio::test]
async fn a_number_is_free_unless_proxmox_says_taken() {
    let stub = Stub::start(|asked| match asked.target.as_str() {
        "/api2/json/cluster/nextid" => Reply::data("105"),
        "/api2/json/cluster/nextid?vmid=100" => {
            let message = "Parameter verification failed.";
            Reply::json(
                400,
                message,
                &json!({"data": null, "message": message, "errors": {"vmid": "VM 100 already exists"}}),
            )
        }
        "/api2/json/cluster/nextid?vmid=101" => Reply::data(101),
        _ => Reply::unknown(asked),
    })
    .await;
    let client = stub.client();
    assert_eq!(client.next_vmid().await.unwrap(), vmid(105));
    assert!(!client.vmid_is_free(vmid(100)).await.unwrap());
    assert!(client.vmid_is_free(vmid(101)).await.unwrap());
    assert_eq!(client.vmid_is_free(vmid(102)).await.unwrap_err().refusal(), Some(&Refusal::Unsupported));
}

#[tokio::test]
async fn a_clone_is_ordered_as_a_form_with_its_length() {
    let stub = Stub::start(|_| Reply::data(UPID)).await;
    let request = CloneRequest {
        name: Some("n1".to_owned()),
        description: Some("oxmox=1; a&b\nc+d %".to_owned()),
        pool: Some("dev".parse().unwrap()),
        full: Some(true),
        ..CloneRequest::new(vmid(101))
    };
    let upid = stub.client().clone_guest(&node(), vmid(9000), &request).await.unwrap();
    assert_eq!(upid.to_string(), UPID);
    let asked = &stub.asked()[0];
    assert_eq!(asked.call(), "POST /nodes/pve1/qemu/9000/clone");
    assert_eq!(asked.body_text(), "newid=101&name=n1&description=oxmox%3D1%3B%20a%26b%0Ac%2Bd%20%25&pool=dev&full=1");
    assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(asked.header("content-length"), Some(asked.body.len().to_string().as_str()));
    assert_eq!(asked.header("transfer-encoding"), None);
}

#[tokio::test]
async fn a_post_without_parameters_still_has_a_length_and_a_delete_has_no_body() {
    let stub = Stub::start(|_| Reply::data(UPID)).await;
    let client = stub.client();
    client.start(&node(), vmid(101)).await.unwrap();
    client.stop(&node(), vmid(101)).await.unwrap();
    client.shutdown(&node(), vmid(101), Duration::from_secs(30), Late::Stop).await.unwrap();
    client.destroy(&node(), vmid(101), Purge::Yes).await.unwrap();
    client.destroy(&node(), vmid(101), Purge::No).await.unwrap();
    let asked = stub.asked();
    assert_eq!(asked[0].header("content-length"), Some("0"));
    assert_eq!(asked[2].body_text(), "timeout=30&forceStop=1");
    assert_eq!(asked[3].target, "/api2/json/nodes/pve1/qemu/101?purge=1");
    assert_eq!(asked[3].header("content-length"), None);
    assert_eq!(asked[4].target, "/api2/json/nodes/pve1/qemu/101");
}

#[tokio::test]
async fn a_configuration_is_read_and_changed_under_its_digest() {
    let stub = Stub::start(|asked| match asked.method.as_str() {
        "GET" => Reply::data(json!({"name": "a", "memory": "512", "cores": 2, "digest": "d1",
                                    "net0": "virtio=BC:24:11:10:8E:60,bridge=vmbr0"})),
        _ => Reply::data(json!(null)),
    })
    .await;
    let client = stub.client();
    let config = client.guest_config(&node(), vmid(101)).await.unwrap();
    assert_eq!((config.memory, config.cores), (Some(512), Some(2)));
    let update = ConfigUpdate {
        set: [("cores".to_owned(), "4".to_owned())].into(),
        delete: vec!["ide2".to_owned(), "net1".to_owned()],
        digest: config.digest,
        ..ConfigUpdate::default()
    };
    client.update_config(&node(), vmid(101), &update).await.unwrap();
    assert_eq!(stub.asked()[1].call(), "PUT /nodes/pve1/qemu/101/config");
    assert_eq!(stub.asked()[1].body_text(), "cores=4&delete=ide2%2Cnet1&digest=d1");
    client.resize(&node(), vmid(101), "scsi0", DiskSize::from_gib(20)).await.unwrap_err();
    assert_eq!(stub.asked()[2].body_text(), "disk=scsi0&size=20G");
}

#[tokio::test]
async fn a_state_reads_with_its_high_availability() {
    let stub = Stub::start(|_| {
        Reply::data(json!({"vmid": 101, "status": "running", "qmpstatus": "paused", "uptime": "5",
                           "agent": 1, "ha": {"managed": 1, "state": "started"}, "cpu": 0}))
    })
    .await;
    let state = stub.client().guest_status(&node(), vmid(101)).await.unwrap();
    assert_eq!((state.status.clone(), state.uptime), (GuestStatus::Running, Some(5)));
    assert!(state.agent && state.ha_managed());
}

#[tokio::test]
async fn an_image_is_uploaded_in_proxmox_s_own_order() {
    let stub = Stub::start(|_| Reply::data("UPID:pve2:0001F4A2:00A3B1C4:6741B2F0:imgcopy::capi@pve!t:")).await;
    let image = b"\x00\x01--CD001\r\n--\xff";
    let upid = stub.client().upload_iso(&node(), &"local".parse().unwrap(), "a.iso", image).await.unwrap();
    assert_eq!(upid.node.as_str(), "pve2", "the task runs where we knocked");
    let asked = &stub.asked()[0];
    assert_eq!(asked.call(), "POST /nodes/pve1/storage/local/upload");
    let kind = asked.header("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
    let text = String::from_utf8_lossy(&asked.body).into_owned();
    let names: Vec<&str> =
        text.split("Content-Disposition: form-data; name=\"").skip(1).map(|p| p.split('"').next().unwrap()).collect();
    assert_eq!(names, ["content", "checksum-algorithm", "checksum", "filename"]);
    assert!(
        text.starts_with(&format!("--{boundary}\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\niso\r\n--"))
    );
    assert!(text.contains("name=\"filename\"; filename=\"a.iso\"\r\n"));
    let tail = [b"\r\n\r\n".as_slice(), image, format!("\r\n--{boundary}--\r\n").as_bytes()].concat();
    assert!(asked.body.ends_with(&tail), "the image is whole and last");
    assert_eq!(asked.header("content-length"), Some(asked.body.len().to_string().as_str()));
}

#[tokio::test]
async fn a_volume_is_deleted_by_its_full_name() {
    let stub = Stub::start(|asked| {
        if asked.target.contains("gone") {
            Reply::data(json!(null))
        } else {
            Reply::data("UPID:pve1:0001F4A2:00A3B1C4:6741B2F0:imgdel:101@local:capi@pve!t:")
        }
    })
    .await;
    let client = stub.client();
    let volume: VolumeId = "local:iso/a.iso".parse().unwrap();
    assert_eq!(client.delete_volume(&node(), &volume).await.unwrap().unwrap().kind, "imgdel");
    assert_eq!(stub.asked()[0].target, "/api2/json/nodes/pve1/storage/local/content/local%3Aiso/a.iso");
    let gone: VolumeId = "local:iso/gone.iso".parse().unwrap();
    assert_eq!(client.delete_volume(&node(), &gone).await.unwrap(), None);
}

#[tokio::test]
async fn the_agent_tells_addresses_and_its_failures_with_status_200_are_failures() {
    let stub = Stub::start(|asked| match asked.call().as_str() {
        "GET /nodes/pve1/qemu/101/agent/network-get-interfaces" => Reply::data(json!({"result": [
            {"name": "lo", "hardware-address": "00:00:00:00:00:00",
             "ip-addresses": [{"ip-address": "127.0.0.1", "ip-address-type": "ipv4", "prefix": 8}]},
            {"name": "eth0", "hardware-address": "bc:24:11:10:8e:60", "statistics": {"rx-bytes": 1},
             "ip-addresses": [{"ip-address": "10.0.0.5", "ip-address-type": "ipv4", "prefix": "24"},
                              {"ip-address": "fe80::1%eth0", "ip-address-type": "ipv6", "prefix": 64}]},
            {"name": "tun0"},
        ]})),
        "GET /nodes/pve1/qemu/102/agent/network-get-interfaces" => {
            Reply::data(json!({"result": {"error": {"class": "CommandNotFound", "desc": "no such command"}}}))
        }
        "POST /nodes/pve1/qemu/101/agent/ping" => Reply::data(json!({"result": {}})),
        "POST /nodes/pve1/qemu/102/agent/ping" => Reply::fails(500, "QEMU guest agent is not running"),
        "POST /nodes/pve1/qemu/101/agent/exec" => Reply::data(json!({"pid": 7})),
        "GET /nodes/pve1/qemu/101/agent/exec-status" => {
            Reply::data(json!({"exited": 1, "exitcode": 3, "out-data": "hi\n"}))
        }
        _ => Reply::unknown(asked),
    })
    .await;
    let client = stub.client();
    let seen = client.agent_interfaces(&node(), vmid(101)).await.unwrap();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[1].mac.unwrap().to_string(), "BC:24:11:10:8E:60");
    assert_eq!(seen[1].addresses[0].address.to_string(), "10.0.0.5");
    assert_eq!(seen[1].addresses[1].address.to_string(), "fe80::1");
    assert!(seen[2].mac.is_none() && seen[2].addresses.is_empty());
    let error = client.agent_interfaces(&node(), vmid(102)).await.unwrap_err();
    assert_eq!(error.refusal(), Some(&Refusal::AgentUnavailable));
    client.agent_ping(&node(), vmid(101)).await.unwrap();
    let error = client.agent_ping(&node(), vmid(102)).await.unwrap_err();
    assert_eq!(error.refusal(), Some(&Refusal::AgentUnavailable));
    assert_eq!(client.agent_exec(&node(), vmid(101), &["echo", "a b"], Some("in")).await.unwrap(), 7);
    assert_eq!(stub.asked()[4].body_text(), "command=echo&command=a%20b&input-data=in");
    let done = client.agent_exec_status(&node(), vmid(101), 7).await.unwrap();
    assert_eq!((done.exited, done.exit_code, done.out.as_str()), (true, Some(3), "hi\n"));
}

#[tokio::test]
async fn privileges_are_handed_down_where_proxmox_says_so() {
    let stub = Stub::start(|_| {
        Reply::data(json!({
            "/": {"Sys.Audit": 1},
            "/pool/dev": {"VM.Clone": 1, "VM.Audit": 0},
            "/vms/101": {"VM.Audit": "1"},
        }))
    })
    .await;
    let may = stub.client().permissions().await.unwrap();
    assert!(may.has("/nodes/pve1", "Sys.Audit"));
    assert!(!may.has("/nodes/pve1", "Sys.Modify"));
    assert!(may.has("/pool/dev/sub", "VM.Clone"));
    assert!(!may.has("/pool/dev/sub", "Sys.Audit"), "a nearer entry replaces a farther one");
    assert!(may.has("/vms/101", "VM.Audit") && !may.has("/vms/102", "VM.Audit"));
}

#[tokio::test]
async fn lists_read_with_what_matters() {
    let stub = Stub::start(|asked| match asked.call().as_str() {
        "GET /nodes" => Reply::data(json!([{"node": "pve1", "status": "online", "ssl_fingerprint": "AA:BB"}])),
        "GET /pools/dev" => Reply::data(json!({"comment": "x", "members": [
            {"id": "qemu/101", "type": "qemu", "vmid": 101, "node": "pve1"},
            {"id": "storage/pve1/data", "type": "storage", "storage": "data", "node": "pve1"}]})),
        "GET /pools" => Reply::data(json!([{"poolid": "dev/a", "members": []}])),
        "GET /cluster/ha/resources" => Reply::data(json!([{"sid": "vm:101", "state": "started", "type": "vm"}])),
        "DELETE /cluster/ha/resources/vm%3A101" => Reply::data(json!(null)),
        "GET /nodes/pve1/network" => Reply::data(json!([
            {"iface": "vmbr0", "type": "bridge", "active": 1, "bridge_vlan_aware": 1, "cidr": "10.0.0.1/24"},
            {"iface": "eno1", "type": "eth"}])),
        "GET /nodes/pve1/storage" => Reply::data(json!([
            {"storage": "local", "type": "dir", "content": "iso,vztmpl", "active": 1, "enabled": 1, "avail": 5}])),
        "GET /nodes/pve1/storage/local/content" => Reply::data(json!([
            {"volid": "local:iso/a.iso", "content": "iso", "size": 5, "ctime": 1, "format": "iso"}])),
        _ => Reply::unknown(asked),
    })
    .await;
    let client = stub.client();
    assert_eq!(client.nodes().await.unwrap()[0].ssl_fingerprint.as_deref(), Some("AA:BB"));
    let pool = client.pool(&"dev".parse().unwrap()).await.unwrap();
    assert_eq!(pool.members[0].vmid, Some(vmid(101)));
    assert!(client.pool(&"dev/a".parse().unwrap()).await.unwrap().members.is_empty());
    assert!(stub.asked()[2].target.ends_with("/pools?poolid=dev%2Fa"));
    assert_eq!(client.ha_resources().await.unwrap()[0].vmid(), Some(vmid(101)));
    client.remove_ha_resource(vmid(101), GuestKind::Qemu).await.unwrap();
    let network = client.node_network(&node()).await.unwrap();
    assert!(network[0].is_bridge() && network[0].bridge_vlan_aware && !network[1].is_bridge());
    let storages = client.node_storages(&node()).await.unwrap();
    assert!(storages[0].content().contains("iso") && storages[0].active);
    let rows = client.storage_content(&node(), &"local".parse().unwrap(), Some("iso"), None).await.unwrap();
    assert_eq!(rows[0].volid.to_string(), "local:iso/a.iso");
    assert_eq!(client.calls()["GET /nodes/{node}/storage/{storage}/content"], 1, "counted by template");
}

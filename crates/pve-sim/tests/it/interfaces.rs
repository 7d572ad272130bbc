//! A node's interfaces, from a change to its application.

use serde_json::{Value, json};

use crate::client::World;

const NETWORK: &str = "/nodes/pve2/network";

fn named<'a>(rows: &'a Value, name: &str) -> Option<&'a Value> {
    rows.as_array().unwrap().iter().find(|row| row["iface"] == name)
}

#[tokio::test]
async fn a_bridge_waits_until_it_is_applied_and_machines_can_use_it_then() {
    let world = World::quick().await;
    let root = world.root().await;
    let call =
        async |method: &str, path: &str, form: &[(&str, &str)]| world.call_as(&root, method, path, form).await.unwrap();
    let form = [("iface", "vmbr31"), ("type", "bridge"), ("autostart", "1"), ("bridge_vlan_aware", "1")];
    call("POST", NETWORK, &form).await.data();
    let answer = call("GET", NETWORK, &[]).await.json();
    assert!(answer["changes"].as_str().unwrap().contains("+auto vmbr31\n"), "{answer}");
    let row = named(&answer["data"], "vmbr31").unwrap();
    assert_eq!((&row["active"], &row["bridge_vids"]), (&Value::Null, &json!("2-4094")));
    let upid = call("PUT", NETWORK, &[]).await.data();
    assert!(upid.as_str().unwrap().contains(":srvreload:networking:"), "{upid}");
    assert_eq!(world.wait(upid.as_str().unwrap()).await, "OK");
    let answer = call("GET", NETWORK, &[]).await.json();
    assert_eq!((&answer["changes"], &named(&answer["data"], "vmbr31").unwrap()["active"]), (&Value::Null, &json!(1)));
}

#[tokio::test]
async fn a_change_can_be_thrown_away_and_an_update_keeps_what_it_does_not_say() {
    let world = World::quick().await;
    let root = world.root().await;
    let call =
        async |method: &str, path: &str, form: &[(&str, &str)]| world.call_as(&root, method, path, form).await.unwrap();
    let bridge = format!("{NETWORK}/vmbr0");
    call("PUT", &bridge, &[("type", "bridge"), ("comments", "uplink")]).await.data();
    let shown = call("GET", &bridge, &[]).await.data();
    assert_eq!((&shown["comments"], &shown["method"]), (&json!("uplink\n"), &json!("manual")));
    assert_eq!((&shown["address"], &shown["bridge_ports"]), (&json!("192.0.2.12"), &json!("eno1")));
    call("DELETE", NETWORK, &[]).await.data();
    assert_eq!(call("GET", &bridge, &[]).await.data()["method"], "static");
}

#[tokio::test]
async fn ports_gateways_and_switches_are_guarded() {
    let world = World::quick().await;
    let root = world.root().await;
    let post = async |form: &[(&str, &str)]| world.call_as(&root, "POST", NETWORK, form).await.unwrap();
    let port = post(&[("iface", "vmbr41"), ("type", "bridge"), ("bridge_ports", "eno1")]).await;
    assert_eq!(port.json()["errors"]["bridge_ports"], "eno1 is already used on interface 'vmbr0'.");
    post(&[("iface", "vmbr41"), ("type", "bridge"), ("cidr", "198.51.100.2/24"), ("gateway", "198.51.100.1")])
        .await
        .data();
    let gateway = post(&[("iface", "vmbr42"), ("type", "bridge"), ("gateway", "203.0.113.1")]).await;
    assert_eq!(gateway.json()["errors"]["gateway"], "Default gateway already exists on interface 'vmbr41'.");
    let both = post(&[
        ("iface", "vmbr42"),
        ("type", "bridge"),
        ("cidr", "10.0.0.2/24"),
        ("address", "10.0.0.3"),
        ("netmask", "24"),
    ])
    .await;
    assert_eq!(both.json()["errors"]["address"], "address conflicts with cidr");
    let open = post(&[("iface", "vmbr43"), ("type", "OVSBridge")]).await;
    let text = "Open VSwitch is not installed (need package 'openvswitch-switch')";
    assert_eq!(open.refusal(), (500, text.to_owned()));
    let lost = post(&[("iface", "eno9.7"), ("type", "vlan")]).await;
    assert_eq!(lost.refusal(), (500, "vlan 'eno9.7' - unable to find parent 'eno9'".to_owned()));
}

#[tokio::test]
async fn bridges_show_to_those_who_may_use_them() {
    let world = World::quick().await;
    let root = world.root().await;
    let form = [("userid", "guest@pve"), ("password", "secret-of-guest")];
    world.call_as(&root, "POST", "/access/users", &form).await.unwrap().data();
    let token =
        world.call_as(&root, "POST", "/access/users/guest@pve/token/tok", &[("privsep", "0")]).await.unwrap().data();
    let header = format!("Authorization: PVEAPIToken=guest@pve!tok={}\r\n", token["value"].as_str().unwrap());
    let rows = world.call_as(&header, "GET", NETWORK, &[]).await.unwrap().data();
    assert!(named(&rows, "eno1").is_some() && named(&rows, "vmbr0").is_none(), "{rows}");
    let form = [("path", "/sdn/zones/localnetwork/vmbr0"), ("users", "guest@pve"), ("roles", "PVESDNUser")];
    world.call_as(&root, "PUT", "/access/acl", &form).await.unwrap().data();
    let rows = world.call_as(&header, "GET", NETWORK, &[("type", "any_bridge")]).await.unwrap().data();
    assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
}

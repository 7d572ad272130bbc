//! Zones, vnets and subnets: written, applied, used by machines.

use serde_json::{Value, json};

use crate::client::{Answer, World};

const SDN: &str = "/cluster/sdn";

struct Root {
    world: World,
    header: String,
}

impl Root {
    async fn new() -> Self {
        let world = World::quick().await;
        let header = world.root().await;
        Self { world, header }
    }

    async fn call(&self, method: &str, path: &str, form: &[(&str, &str)]) -> Answer {
        self.world.call_as(&self.header, method, path, form).await.unwrap()
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.call("POST", &format!("{SDN}{path}"), form).await
    }

    async fn get(&self, path: &str) -> Value {
        self.call("GET", path, &[]).await.data()
    }

    async fn apply(&self) {
        let upid = self.call("PUT", SDN, &[]).await.data();
        assert_eq!(self.world.wait(upid.as_str().unwrap()).await, "OK");
        for node in ["pve1", "pve2", "pve3"] {
            loop {
                let running = self.get(&format!("/nodes/{node}/tasks?source=active")).await;
                if running == json!([]) {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    }
}

#[tokio::test]
async fn a_vnet_is_a_bridge_of_its_nodes_once_it_is_applied() {
    let root = Root::new().await;
    root.post("/zones", &[("zone", "blue"), ("type", "simple"), ("nodes", "pve1,pve2")]).await.data();
    root.post("/vnets", &[("vnet", "blue7"), ("zone", "blue"), ("alias", "seven")]).await.data();
    let pending = root.get(&format!("{SDN}/vnets?pending=1")).await;
    assert_eq!(pending[0]["state"], "new");
    assert_eq!(pending[0]["pending"], json!({"zone": "blue", "alias": "seven"}));
    assert_eq!(root.get(&format!("{SDN}/vnets?running=1")).await, json!([]));
    let any = async |node: &str| root.get(&format!("/nodes/{node}/network?type=any_bridge")).await;
    assert_eq!(any("pve1").await.as_array().unwrap().len(), 1);
    root.apply().await;
    let bridges = any("pve1").await;
    let vnet = bridges.as_array().unwrap().iter().find(|row| row["iface"] == "blue7").unwrap();
    assert_eq!((&vnet["type"], &vnet["comments"]), (&json!("vnet"), &json!("seven")));
    assert_eq!(any("pve3").await.as_array().unwrap().len(), 1, "the zone is not on this node");
    let zones = root.get("/nodes/pve2/sdn/zones").await;
    assert!(zones.as_array().unwrap().contains(&json!({"zone": "blue", "status": "available"})), "{zones}");
    assert_eq!(root.get(&format!("{SDN}/vnets?pending=1")).await[0]["state"], Value::Null);
    let resources = root.get("/cluster/resources").await;
    let of_zone = resources.as_array().unwrap().iter().filter(|row| row["network"] == "blue");
    assert_eq!(of_zone.count(), 2, "{resources}");
    root.world.cloned("140").await;
    let vm = "/nodes/pve1/qemu/140";
    root.call("PUT", &format!("{vm}/config"), &[("net0", "virtio,bridge=blue7")]).await.data();
    assert_eq!(root.world.task("POST", &format!("{vm}/status/start"), &[]).await, "OK");
}

#[tokio::test]
async fn a_vnet_of_a_zone_is_used_by_those_who_may_use_that_zone() {
    let root = Root::new().await;
    root.post("/zones", &[("zone", "red"), ("type", "vlan"), ("bridge", "vmbr0")]).await.data();
    root.post("/vnets", &[("vnet", "red9"), ("zone", "red"), ("tag", "9")]).await.data();
    root.apply().await;
    root.world.cloned("141").await;
    let config = "/nodes/pve1/qemu/141/config";
    let form = [("net1", "virtio,bridge=red9")];
    let refused = root.world.call("PUT", config, &form).await;
    assert_eq!(refused.refusal(), (403, "Permission check failed (/sdn/zones/red/red9, SDN.Use)".to_owned()));
    for who in [("users", "capi@pve"), ("tokens", "capi@pve!oxmox")] {
        let acl = [("path", "/sdn/zones/red"), who, ("roles", "PVESDNUser")];
        root.call("PUT", "/access/acl", &acl).await.data();
    }
    root.world.call("PUT", config, &form).await.data();
}

#[tokio::test]
async fn what_a_type_asks_for_is_asked_before_and_under_the_lock() {
    let root = Root::new().await;
    let zone = async |form: &[(&str, &str)]| root.post("/zones", form).await.refusal();
    let lacks = zone(&[("zone", "green"), ("type", "vlan")]).await;
    assert_eq!(lacks, (500, "missing value for required option 'bridge'".to_owned()));
    let odd = zone(&[("zone", "green"), ("type", "simple"), ("peers", "10.0.0.1")]).await;
    assert_eq!(odd, (500, "unexpected property 'peers'".to_owned()));
    let lost = root.post("/zones", &[("zone", "green"), ("type", "simple"), ("ipam", "far")]).await;
    let text = "create sdn zone object failed: 400 Parameter verification failed.";
    assert_eq!(lost.refusal(), (500, text.to_owned()));
    assert_eq!(lost.json()["message"], format!("{text}\nipam: far not existing\n"));
    root.post("/zones", &[("zone", "green"), ("type", "vxlan"), ("peers", "10.0.0.1")]).await.data();
    let twice = zone(&[("zone", "green"), ("type", "simple")]).await;
    assert_eq!(twice.1, "create sdn zone object failed: sdn zone object ID 'green' already defined");
    root.post("/vnets", &[("vnet", "g1"), ("zone", "green"), ("tag", "77")]).await.data();
    let taken = root.post("/vnets", &[("vnet", "g2"), ("zone", "green"), ("tag", "77")]).await;
    assert!(taken.json()["message"].as_str().unwrap().contains("tag: vxlan tag 77 already exist in vnet g1"));
    let used = root.call("DELETE", &format!("{SDN}/zones/green"), &[]).await;
    assert!(used.refusal().1.starts_with("delete sdn zone object failed: zone green is used by vnet g1 at "));
    let none = root.call("GET", &format!("{SDN}/vnets/nobody"), &[]).await;
    assert_eq!(none.refusal(), (500, "sdn vnet 'nobody' does not exist".to_owned()));
}

#[tokio::test]
async fn addresses_are_handed_out_of_running_subnets_and_keep_their_network() {
    let root = Root::new().await;
    root.post("/zones", &[("zone", "dhcp"), ("type", "simple"), ("ipam", "pve"), ("dhcp", "dnsmasq")]).await.data();
    root.post("/vnets", &[("vnet", "home"), ("zone", "dhcp")]).await.data();
    let subnets = "/vnets/home/subnets";
    let outside = [("subnet", "10.66.0.0/16"), ("type", "subnet"), ("gateway", "10.67.0.1")];
    let outside = root.post(subnets, &outside).await.json()["message"].as_str().unwrap().to_owned();
    assert!(outside.ends_with("gateway: 10.67.0.1 is not in subnet 10.66.0.0/16\n"), "{outside}");
    let range = "start-address=10.66.1.1,end-address=10.66.1.9";
    let form = [("subnet", "10.66.0.0/16"), ("type", "subnet"), ("gateway", "10.66.0.1"), ("dhcp-range", range)];
    root.post(subnets, &form).await.data();
    let subnet = &root.get(&format!("{SDN}{subnets}")).await[0];
    assert_eq!((&subnet["subnet"], &subnet["cidr"]), (&json!("dhcp-10.66.0.0-16"), &json!("10.66.0.0/16")));
    assert_eq!(subnet["dhcp-range"], json!([{"start-address": "10.66.1.1", "end-address": "10.66.1.9"}]));
    let ips = "/vnets/home/ips";
    let form = [("zone", "dhcp"), ("ip", "10.66.1.5"), ("mac", "BC:24:11:00:00:66")];
    assert!(root.post(ips, &form).await.refusal().1.starts_with("can't find any subnet for ip 10.66.1.5"));
    root.apply().await;
    root.post(ips, &form).await.data();
    assert_eq!(root.post(ips, &form).await.refusal(), (500, "IP '10.66.1.5' already exist".to_owned()));
    let leases = root.get(&format!("{SDN}/ipams/pve/status")).await;
    assert_eq!(leases.as_array().unwrap().len(), 2, "with the gateway: {leases}");
    let full = root.call("DELETE", &format!("{SDN}{subnets}/dhcp-10.66.0.0-16"), &[]).await;
    let text = "delete sdn subnet object failed: cannot delete subnet '10.66.0.0/16', not empty";
    assert_eq!(full.refusal(), (500, text.to_owned()));
    let vnet = root.call("DELETE", &format!("{SDN}/vnets/home"), &[]).await;
    assert!(vnet.json()["message"].as_str().unwrap().ends_with("vnet: Can't delete vnet if subnets exists\n"));
}

#[tokio::test]
async fn who_has_the_lock_writes_and_can_go_back() {
    let root = Root::new().await;
    root.post("/zones", &[("zone", "kept"), ("type", "simple")]).await.data();
    let early = root.post("/lock", &[]).await;
    assert!(early.refusal().1.ends_with("configuration has pending changes"));
    root.apply().await;
    let token = root.post("/lock", &[]).await.data();
    let token = token.as_str().unwrap();
    let refused = root.post("/zones", &[("zone", "other"), ("type", "simple")]).await;
    assert_eq!(refused.refusal(), (500, "create sdn zone object failed: invalid lock token provided!".to_owned()));
    root.post("/zones", &[("zone", "other"), ("type", "simple"), ("lock-token", token)]).await.data();
    root.post("/rollback", &[("lock-token", token)]).await.data();
    let zones = root.get(&format!("{SDN}/zones")).await;
    assert_eq!(zones.as_array().unwrap().len(), 1, "{zones}");
    root.post("/zones", &[("zone", "third"), ("type", "simple")]).await.data();
}

#[tokio::test]
async fn the_rules_of_a_vnet_are_for_what_it_forwards() {
    let root = Root::new().await;
    root.post("/zones", &[("zone", "fwd"), ("type", "simple")]).await.data();
    root.post("/vnets", &[("vnet", "fwd1"), ("zone", "fwd")]).await.data();
    let rules = "/vnets/fwd1/firewall/rules";
    root.post(rules, &[("type", "forward"), ("action", "DROP")]).await.data();
    let inward = root.post(rules, &[("type", "in"), ("action", "DROP")]).await;
    assert_eq!(inward.status, 400, "{inward:?}");
    let lost = root.call("GET", &format!("{SDN}/vnets/none1/firewall/rules"), &[]).await;
    assert_eq!(lost.refusal(), (500, "invalid vnet specified".to_owned()));
}

//! Firewalls of the cluster, nodes and guests.

use serde_json::json;

use crate::client::{Answer, World};

const CLUSTER: &str = "/cluster/firewall";

fn complaint(answer: &Answer, parameter: &str) -> String {
    assert_eq!(answer.status, 400, "{answer:?}");
    answer.json()["errors"][parameter].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

async fn rule(world: &World, root: &str, form: &[(&str, &str)]) -> Answer {
    world.call_as(root, "POST", &format!("{CLUSTER}/rules"), form).await.unwrap()
}

async fn get(world: &World, root: &str, path: &str) -> serde_json::Value {
    world.call_as(root, "GET", path, &[]).await.unwrap().data()
}

#[tokio::test]
async fn a_new_rule_comes_first_and_is_off_and_moves_before_the_one_it_is_moved_to() {
    let world = World::quick().await;
    let root = world.root().await;
    for port in ["1001", "1002", "1003"] {
        let form = [("type", "in"), ("action", "DROP"), ("proto", "udp"), ("dport", port)];
        rule(&world, &root, &form).await.data();
    }
    let path = format!("{CLUSTER}/rules");
    let rules = get(&world, &root, &path).await;
    assert_eq!((&rules[0]["dport"], &rules[0]["enable"], &rules[0]["pos"]), (&json!("1003"), &json!(0), &json!(0)));
    world.call_as(&root, "PUT", &format!("{path}/0"), &[("moveto", "2")]).await.unwrap().data();
    let rules = get(&world, &root, &path).await;
    let ports: Vec<_> = rules.as_array().unwrap().iter().map(|r| r["dport"].as_str().unwrap()).collect();
    assert_eq!(ports, ["1002", "1003", "1001"]);
    let stale = world.call_as(&root, "DELETE", &format!("{path}/1"), &[("digest", "0123")]).await.unwrap();
    let text = "detected modified configuration - file changed by other user? Try again.";
    assert_eq!(stale.refusal(), (500, text.to_owned()));
    assert_eq!(get(&world, &root, &format!("{path}/2")).await["pos"], "2", "what was asked for, a text");
    let beyond = world.call_as(&root, "GET", &format!("{path}/3"), &[]).await.unwrap();
    assert_eq!(beyond.refusal(), (500, "no rule at position 3".to_owned()));
}

#[tokio::test]
async fn a_rule_that_makes_no_sense_is_refused_with_its_first_fault() {
    let world = World::quick().await;
    let root = world.root().await;
    for (form, parameter, text) in [
        (vec![("action", "SHRUG")], "action", "unknown action 'SHRUG'"),
        (vec![("macro", "Teleport")], "macro", "unknown macro 'Teleport'"),
        (
            vec![("macro", "https"), ("dport", "8443"), ("proto", "tcp")],
            "dport",
            "parameter 'dport' already define in macro (value = '443')",
        ),
        (vec![("sport", "99")], "proto", "missing property - 'sport' requires this property"),
        (vec![("proto", "esp"), ("sport", "99")], "sport", "protocol 'esp' does not support ports"),
        (
            vec![("proto", "icmp"), ("icmp-type", "no-route")],
            "icmp-type",
            "invalid icmp-type 'no-route' for proto 'icmp'",
        ),
        (vec![("source", "10.1.1.1"), ("dest", "fd00::1")], "dest", "detected mixed ipv4/ipv6 addresses in rule"),
        (vec![("dest", "+nowhere")], "dest", "no such ipset 'nowhere'"),
        (vec![("dest", "nobody")], "dest", "no such alias 'nobody'"),
    ] {
        let mut whole = vec![("type", "in")];
        if form[0].0 != "action" {
            whole.push(("action", "ACCEPT"));
        }
        whole.extend(form);
        assert_eq!(complaint(&rule(&world, &root, &whole).await, parameter), text);
    }
    let nested = format!("{CLUSTER}/groups");
    world.call_as(&root, "POST", &nested, &[("group", "web")]).await.unwrap().data();
    let form = [("type", "group"), ("action", "web")];
    let answer = world.call_as(&root, "POST", &format!("{nested}/web"), &form).await.unwrap();
    assert_eq!(complaint(&answer, "type"), "security groups not allowed");
    let vm = "/nodes/pve1/qemu/9000/firewall/rules";
    let form = [("type", "in"), ("action", "ACCEPT"), ("iface", "eth0")];
    let answer = world.call_as(&root, "POST", vm, &form).await.unwrap();
    assert_eq!(complaint(&answer, "iface"), "value does not match the regex pattern 'net\\d+'");
}

#[tokio::test]
async fn a_rule_whose_alias_is_gone_shows_what_is_wrong_with_it() {
    let world = World::quick().await;
    let root = world.root().await;
    let aliases = format!("{CLUSTER}/aliases");
    world.call_as(&root, "POST", &aliases, &[("name", "Desk"), ("cidr", "10.9.0.7/32")]).await.unwrap().data();
    let twice = world.call_as(&root, "POST", &aliases, &[("name", "desk"), ("cidr", "10.9.0.8")]).await.unwrap();
    assert_eq!(complaint(&twice, "name"), "alias 'desk' already exists");
    rule(&world, &root, &[("type", "out"), ("action", "REJECT"), ("dest", "desk")]).await.data();
    let path = format!("{CLUSTER}/rules/0");
    let shown = get(&world, &root, &path).await;
    assert_eq!((&shown["ipversion"], &shown["errors"]), (&json!(4), &json!(null)));
    world.call_as(&root, "DELETE", &format!("{aliases}/DESK"), &[]).await.unwrap().data();
    assert_eq!(get(&world, &root, &path).await["errors"], json!({"dest": "no such alias 'desk'"}));
}

#[tokio::test]
async fn the_members_of_a_set_are_single_and_networks_keep_their_slash() {
    let world = World::quick().await;
    let root = world.root().await;
    let sets = "/nodes/pve1/qemu/9000/firewall/ipset";
    world.call_as(&root, "POST", sets, &[("name", "office")]).await.unwrap().data();
    let set = format!("{sets}/office");
    let add = async |form: &[(&str, &str)]| world.call_as(&root, "POST", &set, form).await.unwrap();
    add(&[("cidr", "10.8.0.0/16"), ("nomatch", "1")]).await.data();
    assert_eq!(complaint(&add(&[("cidr", "10.8.0.0/16")]).await, "cidr"), "address '10.8.0.0/16' already exists");
    assert_eq!(
        complaint(&add(&[("cidr", "0.0.0.0/0")]).await, "cidr"),
        "a zero prefix is not allowed in ipset entries"
    );
    assert_eq!(add(&[("cidr", "ghost")]).await.refusal(), (500, "no such alias 'ghost'".to_owned()));
    let member = get(&world, &root, &format!("{set}/10.8.0.0%2F16")).await;
    assert_eq!((&member["cidr"], &member["nomatch"]), (&json!("10.8.0.0/16"), &json!(1)));
    let full = world.call_as(&root, "DELETE", &set, &[]).await.unwrap();
    assert_eq!(full.refusal(), (500, "IPSet 'office' is not empty".to_owned()));
    let refs = get(&world, &root, "/nodes/pve1/qemu/9000/firewall/refs").await;
    assert_eq!(refs, json!([{"type": "ipset", "name": "office", "ref": "+guest/office", "scope": "guest"}]));
    world.call_as(&root, "DELETE", &set, &[("force", "1")]).await.unwrap().data();
    assert_eq!(get(&world, &root, sets).await, json!([]));
}

#[tokio::test]
async fn a_guests_firewall_goes_with_the_guest() {
    let world = World::quick().await;
    let root = world.root().await;
    world.cloned("131").await;
    let options = "/nodes/pve1/qemu/131/firewall/options";
    world.call_as(&root, "PUT", options, &[("enable", "1"), ("policy_in", "REJECT")]).await.unwrap().data();
    let shown = get(&world, &root, options).await;
    assert_eq!((&shown["enable"], &shown["policy_in"]), (&json!(1), &json!("REJECT")));
    let unknown = world.call_as(&root, "PUT", options, &[("delete", "vmid")]).await.unwrap();
    assert_eq!(complaint(&unknown, "delete"), "no such option 'vmid'");
    assert_eq!(world.task("DELETE", "/nodes/pve1/qemu/131", &[]).await, "OK");
    assert_eq!(get(&world, &root, options).await.as_object().unwrap().len(), 1, "only a digest");
}

#[tokio::test]
async fn a_group_that_is_renamed_takes_the_rules_with_it_that_refer_to_it() {
    let world = World::quick().await;
    let root = world.root().await;
    let groups = format!("{CLUSTER}/groups");
    world.call_as(&root, "POST", &groups, &[("group", "old"), ("comment", "c")]).await.unwrap().data();
    let rules = "/nodes/pve1/qemu/9000/firewall/rules";
    world.call_as(&root, "POST", rules, &[("type", "group"), ("action", "old")]).await.unwrap().data();
    world.call_as(&root, "POST", &groups, &[("group", "new"), ("rename", "old")]).await.unwrap().data();
    assert_eq!(get(&world, &root, rules).await[0]["action"], "new");
    assert_eq!(get(&world, &root, &groups).await[0]["comment"], "c");
    let lost = world.call_as(&root, "POST", &groups, &[("group", "x1"), ("rename", "old")]).await.unwrap();
    assert_eq!(complaint(&lost, "group"), "Security group 'old' does not exist");
    world.cloned("132").await;
    assert_eq!(
        get(&world, &root, "/nodes/pve1/qemu/132/firewall/rules").await[0]["action"],
        "new",
        "a clone has it too"
    );
}

#[tokio::test]
async fn a_node_without_ceph_says_which_program_is_missing() {
    let world = World::quick().await;
    let root = world.root().await;
    for (method, path, form, program) in [
        ("GET", "/cluster/ceph/status", vec![], "ceph-mon"),
        ("GET", "/nodes/pve2/ceph/osd", vec![], "ceph-mon"),
        ("POST", "/nodes/pve2/ceph/init", vec![], "ceph"),
        ("POST", "/nodes/pve2/ceph/mgr/a", vec![], "ceph-mgr"),
    ] {
        let answer = world.call_as(&root, method, path, &form).await.unwrap();
        assert_eq!(answer.refusal(), (500, format!("binary not installed: /usr/bin/{program}")), "{path}");
    }
    let odd = world.call_as(&root, "GET", "/cluster/ceph/flags/nonsense", &[]).await.unwrap();
    assert_eq!(odd.status, 400, "parameters are looked at first");
}

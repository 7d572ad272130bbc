//! The HA manager over time.

use serde_json::Value;

use crate::calls::ask::{ask, refused, world};
use crate::state::World;
use crate::state::guest::{Config, Guest};

/// A VM without disks, so that it can be anywhere.
fn vm(world: &mut World, vmid: u32, node: &str) {
    world.guests.insert(vmid, Guest::new(vmid, node, Config::from([("name".to_owned(), format!("g{vmid}"))])));
}

fn manage(world: &mut World, vmid: u32, form: &[(&str, &str)]) {
    let sid = vmid.to_string();
    let mut all = vec![("sid", sid.as_str())];
    all.extend(form);
    ask(world, "POST", "/cluster/ha/resources", &all).unwrap();
}

fn pass(world: &mut World, seconds: f64) {
    let until = world.now + seconds;
    world.advance(until);
}

fn place(world: &World, vmid: u32) -> (String, bool) {
    let guest = &world.guests[&vmid];
    (guest.node.clone(), guest.running())
}

fn row(world: &mut World, id: &str) -> Value {
    let rows = ask(world, "GET", "/cluster/ha/status/current", &[]).unwrap();
    rows.as_array().unwrap().iter().find(|r| r["id"] == id).cloned().unwrap_or_default()
}

#[test]
fn a_new_resource_is_queued_then_started_by_the_manager() {
    let mut world = world("9.2");
    vm(&mut world, 501, "pve2");
    manage(&mut world, 501, &[]);
    assert_eq!(row(&mut world, "service:vm:501")["state"], "queued");
    pass(&mut world, 60.0);
    assert_eq!(place(&world, 501), ("pve2".to_owned(), true));
    let service = row(&mut world, "service:vm:501");
    assert_eq!((&service["state"], &service["crm_state"]), (&"started".into(), &"started".into()));
    assert!(row(&mut world, "master")["status"].as_str().unwrap().starts_with("pve1 (active, "));
    assert!(row(&mut world, "lrm:pve2")["status"].as_str().unwrap().starts_with("pve2 (active, "));
    assert!(row(&mut world, "lrm:pve3")["status"].as_str().unwrap().starts_with("pve3 (idle, "));
}

#[test]
fn a_silent_node_is_fenced_after_a_minute_and_its_services_are_recovered_a_minute_later() {
    let mut world = world("9.2");
    vm(&mut world, 501, "pve2");
    vm(&mut world, 502, "pve3");
    manage(&mut world, 501, &[]);
    pass(&mut world, 60.0);
    assert!(world.node_down("pve2") && world.node_down("pve2"));
    pass(&mut world, 40.0);
    assert_eq!(row(&mut world, "service:vm:501")["state"], "started", "nobody may touch it yet");
    pass(&mut world, 40.0);
    assert_eq!(row(&mut world, "service:vm:501")["state"], "fence");
    assert_eq!(place(&world, 501).0, "pve2");
    pass(&mut world, 120.0);
    let (node, running) = place(&world, 501);
    assert!(node != "pve2" && running, "{node} {running}");
    assert_eq!(place(&world, 502), ("pve3".to_owned(), false), "what is not managed is left alone");
}

#[test]
fn a_node_that_returns_in_time_keeps_its_services() {
    let mut world = world("9.2");
    vm(&mut world, 501, "pve2");
    manage(&mut world, 501, &[]);
    pass(&mut world, 60.0);
    world.node_down("pve2");
    pass(&mut world, 30.0);
    world.node_up("pve2");
    pass(&mut world, 60.0);
    assert_eq!(place(&world, 501), ("pve2".to_owned(), true));
}

#[test]
fn without_a_majority_nothing_is_recovered_or_written_but_all_can_be_read() {
    let mut world = world("9.2");
    vm(&mut world, 501, "pve2");
    manage(&mut world, 501, &[]);
    pass(&mut world, 60.0);
    world.node_down("pve2");
    world.node_down("pve3");
    pass(&mut world, 600.0);
    assert_eq!(place(&world, 501), ("pve2".to_owned(), false));
    assert_eq!(row(&mut world, "quorum")["status"], "No quorum on node 'pve1'!");
    let text = refused(&mut world, "POST", "/cluster/ha/resources", &[("sid", "vm:501")]);
    assert_eq!(text, "cluster not ready - no quorum?");
    assert_eq!(refused(&mut world, "POST", "/pools", &[("poolid", "p")]), "cfs-lock 'file-user_cfg' error: no quorum!");
    let status = ask(&mut world, "GET", "/cluster/status", &[]).unwrap();
    assert_eq!((&status[0]["quorate"], &status[2]["online"]), (&0.into(), &0.into()));
    world.node_up("pve3");
    pass(&mut world, 60.0);
    let (node, running) = place(&world, 501);
    assert!(node != "pve2" && running, "the majority is back: {node}");
}

#[test]
fn what_cannot_be_started_is_tried_again_then_elsewhere_and_is_then_an_error() {
    let mut world = world("9.2");
    vm(&mut world, 501, "pve2");
    let nowhere = "virtio=BC:24:11:00:00:99,bridge=vmbr77".to_owned();
    world.guests.get_mut(&501).unwrap().config.insert("net0".to_owned(), nowhere);
    manage(&mut world, 501, &[("max_restart", "1"), ("max_relocate", "1")]);
    pass(&mut world, 300.0);
    assert_eq!(row(&mut world, "service:vm:501")["state"], "error");
    assert_eq!(world.tasks.values().filter(|t| t.kind == "qmstart" && t.id == "501").count(), 4);
    let text = refused(&mut world, "PUT", "/cluster/ha/resources/vm:501", &[("state", "started")]);
    assert_eq!(text, "service 'vm:501' in error state, must be disabled and fixed first");
    ask(&mut world, "PUT", "/cluster/ha/resources/vm:501", &[("state", "disabled")]).unwrap();
    pass(&mut world, 30.0);
    assert_eq!(row(&mut world, "service:vm:501")["state"], "disabled");
}

#[test]
fn maintenance_moves_services_away_and_back() {
    let mut world = world("9.2");
    vm(&mut world, 501, "pve2");
    manage(&mut world, 501, &[]);
    pass(&mut world, 60.0);
    assert!(world.maintain("pve2", "on"));
    pass(&mut world, 60.0);
    let (node, running) = place(&world, 501);
    assert!(node != "pve2" && running, "{node}");
    assert!(row(&mut world, "lrm:pve2")["status"].as_str().unwrap().starts_with("pve2 (maintenance mode, "));
    assert!(world.maintain("pve2", "off"));
    pass(&mut world, 60.0);
    assert_eq!(place(&world, 501), ("pve2".to_owned(), true));
}

#[test]
fn rules_decide_where_services_go() {
    let mut world = world("9.2");
    for (vmid, node) in [(501, "pve1"), (502, "pve1"), (503, "pve1")] {
        vm(&mut world, vmid, node);
        manage(&mut world, vmid, &[]);
    }
    let rule = |world: &mut World, form: &[(&str, &str)]| ask(world, "POST", "/cluster/ha/rules", form).map(|_| ());
    let near = [("rule", "near"), ("type", "node-affinity"), ("resources", "vm:501"), ("nodes", "pve3:2,pve2:1")];
    rule(&mut world, &near).unwrap();
    let apart = [("rule", "apart"), ("type", "resource-affinity"), ("resources", "vm:502,vm:503")];
    rule(&mut world, &[&apart[..], &[("affinity", "negative")]].concat()).unwrap();
    pass(&mut world, 120.0);
    assert_eq!(place(&world, 501), ("pve3".to_owned(), true));
    assert_ne!(place(&world, 502).0, place(&world, 503).0);
    let target = place(&world, 503).0;
    let path = "/cluster/ha/resources/vm:502/migrate";
    let answer = ask(&mut world, "POST", path, &[("node", &target)]).unwrap();
    assert_eq!(answer["blocking-resources"][0]["sid"], "vm:503");
    let many = [("rule", "many"), ("type", "node-affinity"), ("resources", "vm:501"), ("nodes", "pve1")];
    let text = rule(&mut world, &many).unwrap_err().line();
    assert!(text.ends_with("resources: resource 'vm:501' is already used in another node affinity rule"), "{text}");
    let stranger = [("rule", "far"), ("type", "node-affinity"), ("resources", "vm:9"), ("nodes", "pve1")];
    let text = rule(&mut world, &stranger).unwrap_err().line();
    assert_eq!(text, "create ha rule failed: cannot use unmanaged resource(s) vm:9.");
    ask(&mut world, "DELETE", "/cluster/ha/resources/vm:501", &[]).unwrap();
    let rules = ask(&mut world, "GET", "/cluster/ha/rules", &[]).unwrap();
    assert_eq!(rules.as_array().unwrap().len(), 1, "a rule without resources goes with the last of them");
}

#[test]
fn groups_are_of_8_and_rules_of_9() {
    let mut old = world("8.4");
    ask(&mut old, "POST", "/cluster/ha/groups", &[("group", "racks"), ("nodes", "pve2:3,pve1"), ("restricted", "1")])
        .unwrap();
    vm(&mut old, 501, "pve3");
    manage(&mut old, 501, &[("group", "racks")]);
    pass(&mut old, 120.0);
    assert_eq!(place(&old, 501), ("pve2".to_owned(), true));
    let text = refused(&mut old, "DELETE", "/cluster/ha/groups/racks", &[]);
    assert_eq!(text, "delete ha group failed: group is used by resources");
    let mut new = world("9.2");
    vm(&mut new, 501, "pve3");
    let moved = "ha groups have been migrated to rules";
    assert_eq!(refused(&mut new, "GET", "/cluster/ha/groups", &[]), format!("cannot index groups: {moved}"));
    let form = [("sid", "vm:501"), ("group", "racks")];
    let text = refused(&mut new, "POST", "/cluster/ha/resources", &form);
    assert_eq!(text, format!("invalid parameter 'group': {moved}"));
}

#[test]
fn containers_are_looked_after_too() {
    let mut world = world("9.2");
    vm(&mut world, 701, "pve2");
    world.guests.get_mut(&701).unwrap().kind = crate::state::guest::GuestKind::Lxc;
    manage(&mut world, 701, &[]);
    pass(&mut world, 60.0);
    assert_eq!(place(&world, 701), ("pve2".to_owned(), true));
    ask(&mut world, "POST", "/cluster/ha/resources/ct:701/migrate", &[("node", "pve3")]).unwrap();
    pass(&mut world, 60.0);
    assert_eq!(place(&world, 701), ("pve3".to_owned(), true), "restarted there");
    ask(&mut world, "PUT", "/cluster/ha/resources/ct:701", &[("state", "stopped")]).unwrap();
    pass(&mut world, 60.0);
    assert_eq!(place(&world, 701), ("pve3".to_owned(), false));
}

#[test]
fn where_no_manager_runs_all_stays_queued() {
    let mut world = world("9.2");
    for node in &mut world.nodes {
        node.settings.insert("service-pve-ha-crm".to_owned(), "dead".to_owned());
    }
    vm(&mut world, 501, "pve2");
    manage(&mut world, 501, &[]);
    pass(&mut world, 300.0);
    assert_eq!(row(&mut world, "service:vm:501")["state"], "queued");
    assert_eq!(row(&mut world, "master"), Value::Null);
}

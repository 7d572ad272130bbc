//! What the cluster keeps: options, mappings, metric servers, jobs, pools.

use serde_json::json;

use crate::calls::ask::{ask, ask_as, refused, world};
use crate::perm::{Entry, Subject, User};

#[test]
fn options_are_shown_taken_apart_and_only_whole_to_those_who_may() {
    let mut world = world("9.2");
    let form = [("migration", "insecure,network=10.1.0.0/24"), ("console", "html5"), ("registered-tags", "b;a;b")];
    ask(&mut world, "PUT", "/cluster/options", &form).unwrap();
    let seen = ask(&mut world, "GET", "/cluster/options", &[]).unwrap();
    assert_eq!(seen["migration"], json!({"type": "insecure", "network": "10.1.0.0/24"}));
    assert_eq!(seen["registered-tags"], json!(["a", "b"]));
    let little = ask_as(&mut world, "capi@pve!oxmox", "GET", "/cluster/options", &[]).unwrap();
    assert_eq!(little, json!({"console": "html5", "allowed-tags": ["kubernetes", "ubuntu"]}));
    let access = [("user-tag-access", "user-allow=list,user-allow-list=x;y"), ("delete", "console")];
    ask(&mut world, "PUT", "/cluster/options", &access).unwrap();
    let little = ask_as(&mut world, "capi@pve!oxmox", "GET", "/cluster/options", &[]).unwrap();
    assert_eq!(little, json!({"allowed-tags": ["x", "y"]}));
}

#[test]
fn a_mapping_is_kept_with_its_list_and_seen_by_those_who_may() {
    let mut world = world("9.2");
    let path = "/cluster/mapping/usb";
    ask(&mut world, "POST", path, &[("id", "key"), ("map", "node=pve1,id=1234:5678")]).unwrap();
    let text = refused(&mut world, "POST", path, &[("id", "key"), ("map", "node=pve1,id=1:1")]);
    assert_eq!(text, "create hardware mapping failed: usb ID 'key' already defined");
    let one = ask(&mut world, "GET", "/cluster/mapping/usb/key", &[]).unwrap();
    assert_eq!(one["map"], json!(["node=pve1,id=1234:5678"]));
    let checked = ask(&mut world, "GET", path, &[("check-node", "pve2")]).unwrap();
    assert_eq!(checked[0]["checks"][0]["message"], "No mapping for node pve2.");
    assert_eq!(ask_as(&mut world, "capi@pve", "GET", path, &[]).unwrap(), json!([]));
    assert_eq!(refused(&mut world, "GET", "/cluster/mapping/usb/none", &[]), "mapping 'none' not found");
}

#[test]
fn a_metric_server_takes_only_what_belongs_to_its_type() {
    let mut world = world("9.2");
    let path = "/cluster/metrics/server/one";
    let form = [("type", "graphite"), ("server", "192.0.2.9"), ("port", "2003")];
    let text = refused(&mut world, "POST", path, &[&form[..], &[("bucket", "b")]].concat());
    assert_eq!(text, "unexpected property 'bucket'");
    ask(&mut world, "POST", path, &[&form[..], &[("path", "lab")]].concat()).unwrap();
    let list = ask(&mut world, "GET", "/cluster/metrics/server", &[]).unwrap();
    let row = json!([{"id": "one", "type": "graphite", "server": "192.0.2.9", "port": 2003, "disable": 0}]);
    assert_eq!(list, row);
    let text = refused(&mut world, "PUT", path, &[("server", "a"), ("port", "1"), ("delete", "port")]);
    assert!(text.contains("port") || text.contains("server"), "{text}");
    let form = [("server", "192.0.2.8"), ("port", "2003"), ("delete", "path")];
    ask(&mut world, "PUT", path, &form).unwrap();
    let one = ask(&mut world, "GET", path, &[]).unwrap();
    assert_eq!((&one["server"], one.get("path")), (&json!("192.0.2.8"), None));
    assert_eq!(
        refused(&mut world, "GET", "/cluster/metrics/server/two", &[]),
        "status server entry 'two' does not exist"
    );
}

#[test]
fn exported_metrics_come_by_time_and_only_of_nodes_that_are_up() {
    let mut world = world("9.2");
    world.node_down("pve3");
    let start = (world.seconds() - 25).to_string();
    let form = [("history", "1"), ("start-time", start.as_str())];
    let data = ask(&mut world, "GET", "/cluster/metrics/export", &form).unwrap();
    let rows = data["data"].as_array().unwrap();
    let times: Vec<i64> = rows.iter().map(|r| r["timestamp"].as_i64().unwrap()).collect();
    assert!(times.is_sorted() && times.iter().any(|t| *t < *times.last().unwrap()), "{times:?}");
    assert!(rows.iter().any(|r| r["id"] == "node/pve1") && !rows.iter().any(|r| r["id"] == "node/pve3"));
    let local = ask(&mut world, "GET", "/cluster/metrics/export", &[("local-only", "1")]).unwrap();
    assert!(local["data"].as_array().unwrap().iter().all(|r| r["id"] != "node/pve2"));
}

#[test]
fn a_schedule_is_explained() {
    let mut world = world("9.2");
    let form = [("schedule", "2026-1-1 0:0"), ("iterations", "3"), ("starttime", "1750000000")];
    let rows = ask(&mut world, "GET", "/cluster/jobs/schedule-analyze", &form).unwrap();
    assert_eq!(rows, json!([{"timestamp": 1_767_225_600, "utc": "2026-01-01 00:00:00"}]));
    let text = refused(&mut world, "GET", "/cluster/jobs/schedule-analyze", &[("schedule", "soon")]);
    assert!(text.contains("schedule"), "{text}");
}

#[test]
fn pools_nest_and_are_deleted_when_empty_with_their_permissions() {
    let mut world = world("9.2");
    let text = refused(&mut world, "POST", "/pools", &[("poolid", "a/b")]);
    assert_eq!(text, "create pool failed: parent 'a' of pool 'a/b' does not exist");
    for pool in ["a", "a/b"] {
        ask(&mut world, "POST", "/pools", &[("poolid", pool)]).unwrap();
    }
    assert_eq!(
        refused(&mut world, "DELETE", "/pools/a", &[]),
        "delete pool failed: pool 'a' is not empty (contains pool 'a/b')"
    );
    let text = refused(&mut world, "PUT", "/pools", &[("poolid", "a/b"), ("vms", "9000")]);
    assert!(text.ends_with("VM 9000 belongs already to pool 'kubernetes' and 'allow-move' is not set"), "{text}");
    ask(&mut world, "PUT", "/pools", &[("poolid", "a/b"), ("vms", "9000"), ("allow-move", "1")]).unwrap();
    let seen = ask(&mut world, "GET", "/pools", &[("poolid", "a/b")]).unwrap();
    assert_eq!(seen[0]["members"][0]["vmid"], 9000);
    let text = refused(&mut world, "DELETE", "/pools", &[("poolid", "a/b")]);
    assert_eq!(text, "delete pool failed: pool 'a/b' is not empty (contains VM 9000)");
    ask(&mut world, "PUT", "/pools", &[("poolid", "a/b"), ("vms", "9000"), ("delete", "1")]).unwrap();
    ask(&mut world, "DELETE", "/pools", &[("poolid", "a/b")]).unwrap();
    ask(&mut world, "DELETE", "/pools/a", &[]).unwrap();
    assert!(!world.pools.keys().any(|p| p.starts_with('a')));
}

#[test]
fn whoever_may_not_move_a_vm_out_of_its_pool_is_refused_within_the_lock() {
    let mut world = world("9.2");
    ask(&mut world, "POST", "/pools", &[("poolid", "mine")]).unwrap();
    world.access.users.insert("eve@pve".to_owned(), User::default());
    for (path, role) in [("/pool/mine", "PVEPoolAdmin"), ("/vms/9000", "PVEVMAdmin")] {
        world.access.acl.push(Entry {
            path: path.to_owned(),
            subject: Subject::User,
            ugid: "eve@pve".to_owned(),
            roleid: role.to_owned(),
            propagate: true,
        });
    }
    let form = [("poolid", "mine"), ("vms", "9000"), ("allow-move", "1")];
    let fail = ask_as(&mut world, "eve@pve", "PUT", "/pools", &form).unwrap_err();
    let text = "update pools failed: 403 Permission check failed (/pool/kubernetes, Pool.Allocate)";
    assert_eq!((fail.status, fail.line()), (500, text.to_owned()));
}

#[test]
fn the_node_of_a_bulk_action_starts_what_it_was_told_to_start() {
    let mut world = world("9.2");
    for vmid in [601, 602] {
        let config = [("name".to_owned(), format!("g{vmid}"))].into();
        world.guests.insert(vmid, crate::state::guest::Guest::new(vmid, "pve2", config));
    }
    world.guests.get_mut(&602).unwrap().config.insert("onboot".to_owned(), "1".to_owned());
    let upid = ask(&mut world, "POST", "/nodes/pve2/startall", &[]).unwrap();
    let until = world.now + 30.0;
    world.advance(until);
    assert!(!world.guests[&601].running() && world.guests[&602].running(), "only what starts at boot");
    assert_eq!(world.tasks[upid.as_str().unwrap()].exitstatus(), "OK");
    ask(&mut world, "POST", "/cluster/bulk-action/guest/start", &[("vms", "601")]).unwrap();
    let until = world.now + 30.0;
    world.advance(until);
    assert!(world.guests[&601].running());
    let text = refused(&mut world, "POST", "/nodes/pve2/migrateall", &[("target", "pve2")]);
    assert!(text.contains("target is local node."), "{text}");
}

#[test]
fn a_node_that_reboots_is_back_after_a_minute() {
    let mut world = world("9.2");
    ask(&mut world, "POST", "/nodes/pve3/status", &[("command", "reboot")]).unwrap();
    assert!(!world.node("pve3").unwrap().online);
    let until = world.now + 61.0;
    world.advance(until);
    assert!(world.node("pve3").unwrap().online);
    ask(&mut world, "POST", "/nodes/pve3/status", &[("command", "shutdown")]).unwrap();
    let until = world.now + 600.0;
    world.advance(until);
    assert!(!world.node("pve3").unwrap().online);
    let text = refused(&mut world, "POST", "/nodes/pve3/wakeonlan", &[]);
    assert!(text.contains("No wake on LAN MAC address defined for 'pve3'!"), "{text}");
}

//! Little transcripts, and what they start from.

use serde_json::{Value, json};

use super::*;

const TOKEN: &str = "PVEAPIToken=u@pve!t=<secret>";

#[expect(clippy::needless_pass_by_value, reason = "values are written where they are used")]
fn exchange(method: &str, path: &str, form: Value, status: u16, body: Value) -> Value {
    let reason = body["message"].as_str().unwrap_or("OK").to_owned();
    let cookie = "PVEAuthCookie=PVE:root@pam:<time>::<signature>";
    json!({"request": {"method": method, "path": format!("/api2/json{path}"), "headers": {"Cookie": cookie}, "form": form},
        "response": {"status": status, "reason": reason, "body": body}})
}

#[expect(clippy::needless_pass_by_value, reason = "values are written where they are used")]
fn get(path: &str, data: Value) -> Value {
    let mut item = exchange("GET", path, Value::Null, 200, json!({"data": data}));
    item["request"].as_object_mut().unwrap().remove("form");
    item
}

fn by_token(mut item: Value) -> Value {
    item["request"]["headers"] = json!({"Authorization": TOKEN});
    item
}

fn planned(items: &[Value]) -> Plan {
    let fresh = json!({"storages": {"local": {}}, "nodes": [{}], "access": {"users": {"root@pam": {}}, "roles": {}}, "tasks": {}});
    plan("a name without fixture", items, fresh).unwrap()
}

fn calls(plan: &Plan) -> Vec<String> {
    plan.setup.iter().map(|c| format!("{} {}", c.method, c.path)).collect()
}

#[test]
fn a_guest_that_is_read_was_there_with_its_disk() {
    let config = json!({"name": "a", "scsi0": "data:7/vm-7-disk-0.raw,size=2G", "digest": "x"});
    let plan = planned(&[get("/nodes/pve1/qemu/7/config", config)]);
    assert_eq!(plan.state["guests"]["7"]["config"]["name"], "a");
    assert!(plan.state["guests"]["7"]["config"]["digest"].is_null());
    assert_eq!(plan.state["volumes"][0]["name"], "7/vm-7-disk-0.raw");
    assert_eq!(plan.state["volumes"][0]["size"], 2_147_483_648_u64);
}

#[test]
fn what_the_transcript_has_changed_before_it_is_read_was_not_so() {
    let set = exchange("PUT", "/nodes/pve1/qemu/7/config", json!({"lock": "backup"}), 200, json!({"data": null}));
    let plan = planned(&[set, get("/nodes/pve1/qemu/7/config", json!({"lock": "backup", "cores": 1}))]);
    assert_eq!(plan.state["guests"]["7"]["config"], json!({"cores": "1"}));
}

#[test]
fn what_the_transcript_makes_itself_was_not_there() {
    let made = exchange("POST", "/nodes/pve1/qemu", json!({"vmid": 7}), 200, json!({"data": "UPID:x"}));
    let plan = planned(&[made, get("/nodes/pve1/qemu/7/config", json!({"cores": 1}))]);
    assert!(plan.state["guests"]["7"].is_null());
}

#[test]
fn a_token_that_is_let_in_exists_and_may_do_what_it_is_told() {
    let told = get("/access/permissions", json!({"/vms": {"VM.Audit": 1}}));
    let plan = planned(&[by_token(told)]);
    let calls = calls(&plan);
    assert!(calls.contains(&"POST /access/users/u@pve/token/t".to_owned()), "{calls:?}");
    assert_eq!(calls.iter().filter(|c| *c == "PUT /access/acl").count(), 2, "for the token and its user");
}

#[test]
fn a_refusal_that_is_lifted_was_lifted_after_it() {
    let refused =
        || exchange("GET", "/x", json!({}), 403, json!({"message": "Permission check failed (/vms/7, VM.Audit)"}));
    let told = get("/access/permissions", json!({}));
    let items =
        [by_token(told), by_token(refused()), by_token(exchange("GET", "/x", json!({}), 200, json!({"data": 1})))];
    let plan = planned(&items);
    let granted = &plan.before[&2];
    assert!(granted.iter().any(|c| c.form.get("path").is_some_and(|p| p == "/vms/7")), "{granted:?}");
}

#[test]
fn an_expiry_comes_when_it_came_for_its_owner() {
    let set =
        exchange("PUT", "/access/users/u@pve/token/t", json!({"expire": 1_795_465_918}), 200, json!({"data": {}}));
    let ok = by_token(get("/version", json!({})));
    let refused = by_token(exchange("GET", "/version", json!({}), 401, Value::Null));
    assert_eq!(planned(&[set.clone(), ok.clone(), refused.clone()]).expiries[&0], 1);
    assert_eq!(planned(&[set.clone(), refused]).expiries[&0], -60);
    assert_eq!(planned(&[set, ok]).expiries[&0], 86_400);
}

#[test]
fn an_agent_that_is_asked_is_configured_until_it_is_not() {
    let ask = |text: &str| exchange("POST", "/nodes/pve1/qemu/7/agent/ping", json!({}), 500, json!({"message": text}));
    let start = exchange("POST", "/nodes/pve1/qemu/7/status/start", json!({}), 200, json!({"data": "UPID:y"}));
    let plan = planned(&[ask("QEMU guest agent is not running"), start, ask("No QEMU guest agent configured")]);
    assert_eq!(plan.state["guests"]["7"]["config"]["agent"], "1");
    assert_eq!(plan.before[&1][0].form["delete"], "agent");
}

#[test]
fn tasks_that_are_listed_have_ended_before() {
    let upid = "UPID:pve1:0000002A:0000000B:60000000:qmstart:7:root@pam:";
    let row = json!({"upid": upid, "starttime": 5, "endtime": 6, "status": "no such bridge"});
    let plan = planned(&[get("/nodes/pve1/tasks", json!([row]))]);
    assert_eq!(plan.state["tasks"][upid]["exit"], "no such bridge");
    assert_eq!(plan.state["tasks"][upid]["pid"], 42);
}

#[test]
fn a_volume_that_is_attached_without_having_been_made_is_made_just_before() {
    let config = get("/nodes/pve1/qemu/7/config", json!({"cores": 1}));
    let form = json!({"scsi1": "data:9/vm-9-claim.raw,serial=a"});
    let attached = exchange("PUT", "/nodes/pve1/qemu/7/config", form, 200, json!({"data": null}));
    let plan = planned(&[config, attached.clone(), attached]);
    let made = &plan.before[&1][0];
    assert_eq!(made.path, "/nodes/pve1/storage/data/content");
    assert_eq!(made.form["filename"], "vm-9-claim.raw");
    assert_eq!(plan.before.len(), 1);
}

#[test]
fn a_guest_that_is_made_twice_was_destroyed_between() {
    let made = exchange("POST", "/nodes/pve1/qemu", json!({"vmid": 7}), 200, json!({"data": "UPID:x"}));
    let plan = planned(&[made.clone(), made]);
    let last = plan.before[&1].last().unwrap();
    assert_eq!((last.method.as_str(), last.path.as_str()), ("DELETE", "/nodes/pve1/qemu/7"));
}

#[test]
fn a_guest_that_is_not_running_any_more_was_stopped_by_somebody() {
    let started = exchange("POST", "/nodes/pve1/qemu/7/status/start", json!({}), 200, json!({"data": "UPID:x"}));
    let refused = json!({"message": "VM 7 is not running", "data": null});
    let asked = exchange("POST", "/nodes/pve1/qemu/7/agent/ping", json!({}), 500, refused);
    let plan = planned(&[get("/nodes/pve1/qemu/7/config", json!({"agent": "1"})), started, asked]);
    assert_eq!(plan.before[&2][0].path, "/nodes/pve1/qemu/7/status/stop");
}

#[test]
fn a_guest_that_was_backed_up_was_there_as_its_archive_says_and_the_archive_was_not() {
    let mut backup = exchange("POST", "/nodes/pve1/vzdump", json!({"vmid": 7}), 200, json!({"data": "UPID:x:y"}));
    backup["response"]["body"]["data"] = json!("UPID:pve1:1:2:3:vzdump:7:root@pam:");
    let end = get(
        "/nodes/pve1/tasks/UPID:pve1:1:2:3:vzdump:7:root@pam:/status",
        json!({"upid": "UPID:pve1:1:2:3:vzdump:7:root@pam:", "exitstatus": "OK"}),
    );
    let archive = "local:backup/vzdump-qemu-7-2026_01_01-00_00_00.vma";
    let extract = format!("/nodes/pve1/vzdump/extractconfig?volume={archive}");
    let told = get(&extract, json!("cores: 3\n#a note\nscsi0: data:7/vm-7-disk-0.raw,size=2G\n"));
    let restore =
        exchange("POST", "/nodes/pve1/qemu", json!({"vmid": 8, "archive": archive}), 200, json!({"data": "UPID:z"}));
    let plan = planned(&[backup, end, told, restore]);
    assert_eq!(plan.state["guests"]["7"]["config"]["cores"], "3");
    let names: Vec<&Value> = plan.state["volumes"].as_array().unwrap().iter().map(|v| &v["name"]).collect();
    assert_eq!(names, ["7/vm-7-disk-0.raw"]);
}

//! Each fault script does what it says, on a simulator as it starts.

use std::collections::BTreeMap;

use pve_sim::{Options, scripts};
use serde_json::{Value, json};

use crate::client::{World, percent};

/// One line of a script's `calls`.
struct Step<'a> {
    script: &'a str,
    line: &'a Value,
}

impl Step<'_> {
    fn text(&self, key: &str) -> Option<&str> {
        self.line[key].as_str()
    }

    /// The words of a call, with the tasks that it names.
    fn target(&self, key: &str, tasks: &BTreeMap<String, String>) -> (String, String) {
        let (verb, path) = self.text(key).unwrap().split_once(' ').unwrap();
        let mut path = path.to_owned();
        for (name, upid) in tasks {
            path = path.replace(&format!("{{{name}}}"), &percent(upid));
        }
        (verb.to_owned(), path)
    }

    fn form(&self) -> Vec<(String, String)> {
        let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
        self.line["with"].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), text(v))).collect()
    }
}

/// Whether `all` has what `part` asks for.
fn has(all: &Value, part: &Value) -> bool {
    match part {
        Value::Object(wanted) => wanted.iter().all(|(k, v)| has(&all[k], v)),
        _ => all == part,
    }
}

async fn run(name: &str) {
    let faults = scripts::rules(name).unwrap();
    let world = World::start(Options { speed: 50.0, faults, ..Options::default() }).await;
    let (token, root) = (world.token(), world.root().await);
    let script: Value = serde_json::from_str(scripts::text(name).unwrap()).unwrap();
    let mut tasks = BTreeMap::new();
    for line in script["calls"].as_array().unwrap() {
        let step = Step { script: name, line };
        let who = if step.text("as") == Some("root") { &root } else { &token };
        if step.text("call").is_some() {
            call(&world, who, &step, &mut tasks).await;
        } else if step.text("door").is_some() {
            let (verb, path) = step.target("door", &tasks);
            let body = if line["with"].is_null() { String::new() } else { line["with"].to_string() };
            assert_eq!(world.door(&verb, &path, &body).await.0, 200, "{name}: {line}");
        } else if let Some(kind) = step.text("find") {
            let rows = world.call_as(who, "GET", "/cluster/tasks", &[]).await.unwrap().data();
            let found = rows.as_array().unwrap().iter().find(|r| r["type"] == kind);
            let upid = found.unwrap_or_else(|| panic!("{name}: {line}: {rows}"))["upid"].as_str().unwrap();
            tasks.insert(step.text("task").unwrap().to_owned(), upid.to_owned());
        } else {
            let exit = world.wait(&tasks[step.text("wait").unwrap()]).await;
            let right = step.text("exit").is_none_or(|e| e == exit)
                && step.text("ends").is_none_or(|e| exit.ends_with(e))
                && step.text("has").is_none_or(|e| exit.contains(e));
            assert!(right, "{name}: {line}: {exit}");
        }
    }
    // A script whose rules strike nothing shows nothing.
    let (_, rules) = world.door("GET", "/sim/faults", "").await;
    for rule in rules.as_array().unwrap() {
        assert_ne!(rule["fired"], json!([]), "{name}");
    }
}

async fn call(world: &World, who: &str, step: &Step<'_>, tasks: &mut BTreeMap<String, String>) {
    let Step { script, line } = step;
    let (verb, path) = step.target("call", tasks);
    let form = step.form();
    let form: Vec<(&str, &str)> = form.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let answer = world.call_as(who, &verb, &path, &form).await;
    if line["lost"] == true {
        assert!(answer.is_none(), "{script}: {line}: {answer:?}");
        return;
    }
    let answer = answer.unwrap_or_else(|| panic!("{script}: {line}: no answer"));
    assert_eq!(u64::from(answer.status), line["status"].as_u64().unwrap_or(200), "{script}: {line}: {answer:?}");
    if let Some(says) = step.text("says") {
        assert_eq!(answer.reason, says, "{script}: {line}");
    }
    if answer.status != 200 {
        return;
    }
    let data = answer.data();
    assert!(line["gives"].is_null() || has(&data, &line["gives"]), "{script}: {line}: {data}");
    if let Some(key) = step.text("lacks") {
        assert!(data[key].is_null(), "{script}: {line}: {data}");
    }
    if !line["lists"].is_null() {
        assert!(data.as_array().unwrap().iter().any(|r| has(r, &line["lists"])), "{script}: {line}: {data}");
    }
    if let Some(task) = step.text("task") {
        tasks.insert(task.to_owned(), data.as_str().unwrap().to_owned());
    }
}

#[tokio::test]
async fn two_clusters_race_for_one_number() {
    run("vmid-race").await;
}

#[tokio::test]
async fn a_delete_is_accepted_and_the_vm_runs_on() {
    run("delete-of-running").await;
}

#[tokio::test]
async fn parallel_clones_do_not_get_the_lock() {
    run("lock-timeout").await;
}

#[tokio::test]
async fn a_disk_is_accepted_and_not_plugged() {
    run("hotplug-fails").await;
}

#[tokio::test]
async fn a_vm_under_ha_is_not_destroyed_without_a_purge() {
    run("ha-managed").await;
}

#[tokio::test]
async fn a_node_is_lost_while_it_clones() {
    run("node-lost").await;
}

#[tokio::test]
async fn an_answer_is_lost_after_the_commit() {
    run("answer-lost").await;
}

#[test]
fn every_script_is_explained() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/pve-sim/faults.md");
    let page = std::fs::read_to_string(page).unwrap();
    for name in scripts::names() {
        assert!(page.contains(&format!("## `{name}`")), "{name} is not explained");
    }
}

//! Whatever happens to a write, and to the manager after it, ends in the same state.
//!
//! A life is create, join, delete. Each write of it goes wrong in turn: the manager is killed before it hears the answer,
//! the answer is lost, or the write never arrives.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use e2e::{MachineWish, Rule, Stage, StageOptions, World, chance, say};
use serde_json::json;

/// A life that has not come so far by then never will.
const LIMIT: Duration = Duration::from_mins(1);
/// No life has as many writes.
const MANY: usize = 30;

/// How far a life has come.
#[derive(Debug, Clone, Copy)]
enum Act {
    Create,
    Join,
    Delete,
}

const LIFE: [Act; 3] = [Act::Create, Act::Join, Act::Delete];

async fn begin(stage: &Stage, name: &str, act: Act) {
    match act {
        Act::Create => stage.machine(&MachineWish::named(name)).await.unwrap(),
        Act::Join => stage.joined(name).await.unwrap(),
        Act::Delete => stage.delete_machine(name).await.unwrap(),
    }
}

async fn until(stage: &Stage, name: &str, act: Act) {
    match act {
        Act::Create => stage.until_ready(name, LIMIT).await.unwrap(),
        Act::Join => stage.until_ejected(name, LIMIT).await.unwrap(),
        Act::Delete => stage.until_gone(name, LIMIT).await.unwrap(),
    }
}

/// Exactly the wanted VM, made and started once.
async fn check(stage: &Stage, name: &str, act: Act, before: &World, what: &str) {
    let now = stage.sim.world().await.unwrap();
    let old: BTreeSet<String> = before.tasks();
    if matches!(act, Act::Delete) {
        assert_eq!(now.holdings(), before.holdings(), "{what}: something is left");
        assert_eq!(now.succeeded("qmdestroy", &old), 1, "{what}: destroyed more than once");
    } else {
        let machine = stage.machines().get(name).await.unwrap();
        let vms: Vec<_> = now.vms().collect();
        assert_eq!(vms.len(), 1, "{what}: {:?}", now.holdings());
        assert_eq!(World::config(vms[0], "name"), name, "{what}");
        assert_eq!(vms[0]["vmid"].as_i64(), machine.spec.virtual_machine_id, "{what}");
        let uuid = machine.spec.provider_id.unwrap().trim_start_matches("proxmox://").to_owned();
        assert!(World::config(vms[0], "smbios1").contains(&uuid), "{what}: {uuid}");
        assert!(!vms[0]["run"].is_null(), "{what}: the VM does not run");
        // the usual cores, memory and disk, whatever was interrupted
        assert_eq!(World::config(vms[0], "cores"), "4", "{what}");
        assert_eq!(World::config(vms[0], "memory"), "4096", "{what}");
        assert!(World::config(vms[0], "scsi0").contains("size=20G"), "{what}: {}", World::config(vms[0], "scsi0"));
    }
    if matches!(act, Act::Join) {
        assert_eq!(now.isos(), Vec::<String>::new(), "{what}: the bootstrap data is left");
    }
    for kind in ["qmclone", "qmstart"] {
        assert_eq!(now.succeeded(kind, &old), 1, "{what}: {kind} more or less than once");
    }
}

async fn set(name: &str) -> Option<Stage> {
    let stage = Stage::set(name, StageOptions::default()).await.unwrap()?;
    stage.cluster(json!({})).await.unwrap();
    Some(stage)
}

/// Waits until a write was struck, or the act is over; whether it was struck.
async fn struck(stage: &Stage, rule: &Rule, name: &str, act: Act) -> bool {
    tokio::select! {
        fired = stage.sim.fired(rule, LIMIT.as_secs()) => fired,
        () = until(stage, name, act) => false,
    }
}

/// A life in which the manager is killed when the rule has struck. The act in which it was; none: it never struck.
async fn killed(stage: &mut Stage, name: &str, rule: Rule, what: &str) -> Option<Act> {
    let began = Instant::now();
    let before = stage.sim.world().await.unwrap();
    let (mut rule, mut killed) = (Some(rule), None);
    for act in LIFE {
        begin(stage, name, act).await;
        if let Some(held) = rule.take() {
            if struck(stage, &held, name, act).await {
                stage.kill_manager().await.unwrap();
                stage.sim.lift(held).await.unwrap();
                stage.start_manager().unwrap();
                killed = Some(act);
            } else {
                rule = Some(held);
            }
        }
        until(stage, name, act).await;
        check(stage, name, act, &before, &format!("{what} ({killed:?})")).await;
    }
    if let Some(rule) = rule {
        stage.sim.lift(rule).await.unwrap();
    }
    say(&format!("{what} ({killed:?}): {:.1} s", began.elapsed().as_secs_f32()));
    killed
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manager_may_be_killed_after_each_of_its_writes() {
    let Some(mut stage) = set("the_manager_may_be_killed_after_each_of_its_writes").await else { return };
    let mut writes = 0;
    loop {
        let nth = writes + 1;
        assert!(nth < MANY, "a life of one machine never ends");
        let rule = stage.sim.hold_write(nth).await.unwrap();
        if killed(&mut stage, &format!("k-{nth}"), rule, &format!("killed after write {nth}")).await.is_none() {
            break;
        }
        writes = nth;
    }
    // clone, upload, configure, resize, start, exec, eject, delete the ISO, stop, destroy
    assert!(writes >= 9, "a life has {writes} writes only: were they seen?");
    stage.strike().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manager_may_be_killed_during_any_call() {
    let name = "the_manager_may_be_killed_during_any_call";
    let Some(mut stage) = set(name).await else { return };
    for nth in chance::sample((1..=40).collect(), 3, chance::seed(name)) {
        let rule = stage.sim.hold_call(nth).await.unwrap();
        killed(&mut stage, &format!("c-{nth}"), rule, &format!("killed during call {nth}")).await;
    }
    stage.strike().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_may_be_lost_on_their_way_there_or_back() {
    let name = "writes_may_be_lost_on_their_way_there_or_back";
    let Some(stage) = set(name).await else { return };
    let all = (1..=10).flat_map(|nth| ["answer_lost", "drop_before"].map(|then| (nth, then))).collect();
    for (number, (nth, then)) in chance::sample(all, 4, chance::seed(name)).into_iter().enumerate() {
        let (name, what) = (format!("l-{number}"), format!("write {nth}: {then}"));
        let began = Instant::now();
        let before = stage.sim.world().await.unwrap();
        let rule = stage.sim.wrong_write(nth, then).await.unwrap();
        for act in LIFE {
            begin(&stage, &name, act).await;
            until(&stage, &name, act).await;
            check(&stage, &name, act, &before, &what).await;
        }
        say(&format!("{what}: {:.1} s", began.elapsed().as_secs_f32()));
        assert!(stage.sim.fired(&rule, 0).await, "{what}: there was no such write");
        stage.sim.lift(rule).await.unwrap();
    }
    stage.strike().await.unwrap();
}

//! One reader for everybody: what it sees, and how little it asks.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pve::{Changed, Poller, PollerOptions, Refusal, TaskSeen, TaskStatus};
use pve_types::{Upid, Vmid};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::stub::{Reply, Stub};

const RESOURCES: &str = "GET /cluster/resources";
const LIST: &str = "GET /nodes/pve1/tasks";

/// Small times, so that the tests are quick; the bounds are of counts.
const PACE: PollerOptions = PollerOptions {
    idle: Duration::from_millis(400),
    busy: Duration::from_millis(40),
    tasks: Duration::from_millis(20),
};

/// What the fake cluster shows; tests change it as they go.
#[derive(Default)]
struct World {
    guests: Vec<Value>,
    broken: bool,
    listed: Vec<Value>,
    own: Option<Value>,
}

struct Scene {
    stub: Stub,
    world: Arc<Mutex<World>>,
    poller: Poller,
    _stop: tokio_util::sync::DropGuard,
}

fn guest(vmid: u32, status: &str) -> Value {
    json!({"id": format!("qemu/{vmid}"), "type": "qemu", "vmid": vmid, "node": "pve1", "status": status})
}

fn upid(pid: u32) -> Upid {
    format!("UPID:pve1:{pid:08X}:00A3B1C4:6741B2F0:qmstart:{pid}:capi@pve!t:").parse().unwrap()
}

fn row(pid: u32, status: &str) -> Value {
    let end = if status == "RUNNING" { Value::Null } else { json!(1_732_358_900) };
    json!({"upid": upid(pid).to_string(), "status": status, "endtime": end})
}

async fn scene(world: World, pace: PollerOptions) -> Scene {
    let world = Arc::new(Mutex::new(world));
    let shown = world.clone();
    let stub = Stub::start(move |asked| {
        let world = shown.lock().unwrap();
        let path = asked.path();
        if asked.call() == RESOURCES {
            if world.broken {
                Reply::fails(500, "cluster not ready - no quorum?")
            } else {
                Reply::data(world.guests.clone())
            }
        } else if asked.call() == LIST {
            Reply::data(world.listed.clone())
        } else if path.ends_with("/status") {
            match &world.own {
                Some(own) => Reply::data(own.clone()),
                None => Reply::json(
                    400,
                    "Parameter verification failed.",
                    &json!({"data": null, "errors": {"upid": "no such task"}}),
                ),
            }
        } else if path.ends_with("/log") {
            Reply::json(
                200,
                "OK",
                &json!({"data": [{"n": 1, "t": "it began"}, {"n": 2, "t": "TASK ERROR: it broke"}], "total": 2}),
            )
        } else {
            Reply::unknown(asked)
        }
    })
    .await;
    let stop = CancellationToken::new();
    let poller = Poller::spawn(stub.client(), pace, stop.clone());
    Scene { stub, world, poller, _stop: stop.drop_guard() }
}

/// Waits until the task has ended, at most a few seconds.
async fn ended(scene: &Scene, upid: &Upid) -> TaskSeen {
    let mut changes = scene.poller.changes();
    tokio::time::timeout(Duration::from_secs(10), async {
        while scene.poller.task(upid) == TaskSeen::Running {
            let _ = changes.recv().await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("`{upid}` is still said to run"));
    scene.poller.task(upid)
}

fn these(guests: &[u32]) -> Changed {
    Changed::These {
        guests: guests.iter().map(|n| Vmid::try_from(*n).unwrap()).collect(),
        nodes: BTreeSet::new(),
        storages: BTreeSet::new(),
    }
}

#[tokio::test]
async fn before_the_first_reading_nothing_is_said_to_be_absent() {
    let scene = scene(World { broken: true, ..World::default() }, PACE).await;
    assert!(scene.poller.snapshot().resources.is_err());
    let snapshot = scene.poller.reading(1).await;
    let error = snapshot.resources.as_ref().unwrap_err();
    assert_eq!(error.refusal(), Some(&Refusal::NoQuorum));
    scene.world.lock().unwrap().broken = false;
    let healed = scene.poller.reading(scene.poller.refresh_now()).await;
    assert!(healed.resources.is_ok(), "it heals by itself");
}

#[tokio::test]
async fn changes_name_the_guests_that_came_went_or_differ() {
    let scene =
        scene(World { guests: vec![guest(101, "stopped"), guest(102, "stopped")], ..World::default() }, PACE).await;
    let mut changes = scene.poller.changes();
    assert_eq!(changes.recv().await.unwrap().what, Changed::Everything, "the first reading");
    scene.world.lock().unwrap().guests = vec![guest(101, "running"), guest(102, "stopped"), guest(103, "unknown")];
    scene.poller.refresh_now();
    let change = changes.recv().await.unwrap();
    assert_eq!(change.what, these(&[101, 103]));
    assert!(change.concerns(101.try_into().unwrap()) && !change.concerns(102.try_into().unwrap()));
    scene.world.lock().unwrap().guests.remove(1);
    scene.poller.refresh_now();
    assert_eq!(changes.recv().await.unwrap().what, these(&[102]));
    scene.world.lock().unwrap().broken = true;
    scene.poller.refresh_now();
    assert_eq!(changes.recv().await.unwrap().what, Changed::Everything, "we are blind");
    scene.world.lock().unwrap().broken = false;
    assert_eq!(changes.recv().await.unwrap().what, Changed::Everything, "we see again");
}

#[tokio::test]
async fn a_reading_that_was_asked_for_was_begun_after_the_question() {
    let scene = scene(World::default(), PACE).await;
    scene.poller.reading(1).await;
    let asked = Instant::now();
    let number = scene.poller.refresh_now();
    let snapshot = scene.poller.reading(number).await;
    assert!(snapshot.asked_at >= asked && snapshot.sequence >= number);
}

#[tokio::test]
async fn an_idle_poller_reads_at_its_idle_pace_however_many_guests_there_are() {
    let guests = (100..1100).map(|n| guest(n, "running")).collect();
    let scene = scene(World { guests, ..World::default() }, PACE).await;
    let began = Instant::now();
    let snapshot = scene.poller.reading(4).await;
    assert_eq!(snapshot.resources.as_ref().unwrap().guests.len(), 1000);
    assert!(began.elapsed() >= PACE.idle * 3, "three pauses lie between four readings");
    assert_eq!(scene.stub.calls(), vec![RESOURCES; 4], "and nothing else is asked");
    assert!(PollerOptions::default().idle >= Duration::from_secs(10), "six calls a minute");
}

#[tokio::test]
async fn somebody_at_work_quickens_the_pace_until_they_are_done() {
    // Long enough that a slow machine does not take the busy pace for the idle one.
    let pace = PollerOptions { idle: Duration::from_secs(2), ..PACE };
    let scene = scene(World::default(), pace).await;
    scene.poller.reading(1).await;
    let began = Instant::now();
    let guard = scene.poller.busy();
    scene.poller.set_busy("machine-a", true);
    scene.poller.reading(4).await;
    assert!(began.elapsed() < pace.idle, "three readings within one idle pause: {:?}", began.elapsed());
    assert!(began.elapsed() >= PACE.busy * 2);
    drop(guard);
    let still = scene.poller.reading(scene.poller.snapshot().sequence + 1).await;
    scene.poller.set_busy("machine-a", false);
    let before = Instant::now();
    // One reading may still be due at the busy pace.
    scene.poller.reading(still.sequence + 2).await;
    assert!(before.elapsed() >= pace.idle / 2, "back to the idle pace: {:?}", before.elapsed());
}

#[tokio::test]
async fn a_crowd_that_asks_at_once_is_served_by_one_reading() {
    let pace = PollerOptions { idle: Duration::from_mins(10), ..PACE };
    let scene = scene(World::default(), pace).await;
    scene.poller.reading(1).await;
    let numbers: BTreeSet<u64> = (0..500).map(|_| scene.poller.refresh_now()).collect();
    assert_eq!(numbers.len(), 1);
    scene.poller.reading(*numbers.first().unwrap()).await;
    assert_eq!(scene.stub.count(RESOURCES), 2);
}

#[tokio::test]
async fn a_proxmox_in_trouble_is_asked_less() {
    let pace = PollerOptions { idle: Duration::from_mins(10), ..PACE };
    let scene = scene(World { broken: true, ..World::default() }, pace).await;
    let _busy = scene.poller.busy();
    let began = Instant::now();
    scene.poller.reading(4).await;
    assert!(began.elapsed() >= PACE.busy * (2 + 4 + 8), "each pause is twice the last: {:?}", began.elapsed());
}

#[tokio::test]
async fn a_hundred_tasks_of_a_node_share_one_list() {
    let pace = PollerOptions { idle: Duration::from_mins(10), ..PACE };
    let scene = scene(World::default(), pace).await;
    {
        let mut world = scene.world.lock().unwrap();
        world.listed = (100..200).map(|n| row(n, "OK")).collect();
    }
    scene.poller.reading(1).await;
    for n in 100..200 {
        scene.poller.watch_task(upid(n));
    }
    for n in 100..200 {
        assert_eq!(ended(&scene, &upid(n)).await, TaskSeen::Ended { status: TaskStatus::Ok, log_tail: vec![] });
    }
    assert_eq!(scene.stub.count(LIST), 1);
    assert_eq!(scene.stub.calls().len(), 2, "that and one reading: {:?}", scene.stub.calls());
    let list = scene.stub.asked().into_iter().find(|a| a.call() == LIST).unwrap();
    assert!(list.target.contains("source=all") && list.target.contains("since=1732358895"), "{}", list.target);
    assert_eq!(scene.poller.recent_tasks(150.try_into().unwrap())[0].upid, upid(150));
}

#[tokio::test]
async fn nothing_is_asked_of_nodes_where_no_task_of_ours_runs() {
    let scene = scene(World { listed: vec![row(100, "OK")], ..World::default() }, PACE).await;
    scene.poller.watch_task(upid(100));
    ended(&scene, &upid(100)).await;
    let lists = scene.stub.count(LIST);
    scene.poller.reading(scene.poller.snapshot().sequence + 2).await;
    assert_eq!(scene.stub.count(LIST), lists, "two idle readings later, no list more");
}

#[tokio::test]
async fn a_task_that_the_list_misses_is_asked_for_by_itself() {
    let own = json!({"status": "stopped", "exitstatus": "OK"});
    let scene = scene(World { own: Some(own), ..World::default() }, PACE).await;
    scene.poller.watch_task(upid(100));
    assert_eq!(ended(&scene, &upid(100)).await, TaskSeen::Ended { status: TaskStatus::Ok, log_tail: vec![] });
}

#[tokio::test]
async fn a_list_that_stays_behind_does_not_hold_a_task_up_for_ever() {
    let own = json!({"status": "stopped", "exitstatus": "OK"});
    let scene = scene(World { own: Some(own), listed: vec![row(100, "RUNNING")], ..World::default() }, PACE).await;
    scene.poller.watch_task(upid(100));
    assert_eq!(ended(&scene, &upid(100)).await, TaskSeen::Ended { status: TaskStatus::Ok, log_tail: vec![] });
    assert!(scene.stub.count(LIST) > 1, "the list was believed for some rounds first");
}

#[tokio::test]
async fn a_failed_task_is_told_with_the_end_of_its_log() {
    let scene = scene(World { listed: vec![row(100, "it broke")], ..World::default() }, PACE).await;
    let mut changes = scene.poller.changes();
    scene.poller.watch_task(upid(100));
    let seen = ended(&scene, &upid(100)).await;
    let error = seen.failure(&upid(100)).unwrap();
    assert_eq!(error.category(), "TaskFailed");
    assert!(error.to_string().contains("TASK ERROR: it broke"), "{error}");
    let told = loop {
        let change = changes.recv().await.unwrap();
        if !change.tasks.is_empty() {
            break change;
        }
    };
    assert_eq!(told.tasks, BTreeSet::from([upid(100)]));
}

#[tokio::test]
async fn a_task_nobody_remembers_has_failed() {
    let scene = scene(World::default(), PACE).await;
    scene.poller.watch_task(upid(100));
    let TaskSeen::Ended { status: TaskStatus::Failed(why), .. } = ended(&scene, &upid(100)).await else {
        panic!("it should have ended");
    };
    assert!(why.contains("no such task"), "{why}");
    assert_eq!(scene.poller.task(&upid(999)), TaskSeen::Unknown);
}

#[tokio::test]
async fn an_unexpected_status_in_the_list_is_asked_about_again() {
    let own = json!({"status": "stopped", "exitstatus": "OK"});
    let world = World { listed: vec![row(100, "unexpected status")], own: Some(own), ..World::default() };
    let scene = scene(world, PACE).await;
    scene.poller.watch_task(upid(100));
    assert_eq!(ended(&scene, &upid(100)).await, TaskSeen::Ended { status: TaskStatus::Ok, log_tail: vec![] });
}

#[tokio::test]
async fn a_poller_stops_when_told_to() {
    let stub = Stub::start(|_| Reply::data(json!([]))).await;
    let stop = CancellationToken::new();
    let poller = Poller::spawn(stub.client(), PACE, stop.clone());
    let last = poller.reading(1).await;
    stop.cancel();
    assert!(poller.reading(u64::MAX).await.sequence >= last.sequence, "nobody waits for ever");
}

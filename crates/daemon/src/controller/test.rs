//! Controllers against an API in a closure. The paused clock jumps over every wait.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::channel::mpsc;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Client;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::*;
use crate::fake_api::{Answer, Call, Calls, client, refusal};

fn map(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "dev", "uid": format!("uid-of-{name}"), "resourceVersion": "1"}})
}

fn list(items: &[Value]) -> Answer {
    Answer::Json(200, json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items}))
}

/// Lists what it is given, and has no changes to tell.
fn fixed(items: Vec<Value>) -> impl Fn(&Call) -> Answer {
    move |call| match call.target.as_str() {
        watch if watch.contains("watch=true") => Answer::Never,
        _ if call.method == http::Method::POST => Answer::Json(201, call.body.clone()),
        maps if maps.contains("/configmaps") => list(&items),
        _ => refusal(404, "NotFound", "the server could not find the requested resource"),
    }
}

/// How often each object was reconciled, and when.
#[derive(Default)]
struct Seen(Mutex<BTreeMap<String, Vec<Duration>>>);

impl Seen {
    fn note(&self, map: &ConfigMap, since: tokio::time::Instant) -> usize {
        let mut all = self.0.lock().unwrap();
        let times = all.entry(map.metadata.name.clone().unwrap()).or_default();
        times.push(since.elapsed());
        times.len()
    }

    fn counts(&self) -> Vec<(String, usize)> {
        self.0.lock().unwrap().iter().map(|(name, times)| (name.clone(), times.len())).collect()
    }
}

fn controller(client: &Client) -> Controller<ConfigMap> {
    Controller::new("map", Api::all(client.clone()), watcher::Config::default())
}

/// Runs `built` for this long of the paused clock; `fail` says which try of which object fails.
async fn run_for(
    time: Duration,
    built: Controller<ConfigMap>,
    registry: &Registry,
    fail: fn(&str, usize) -> bool,
) -> Arc<Seen> {
    let start = tokio::time::Instant::now();
    let token = CancellationToken::new();
    let seen = Arc::new(Seen::default());
    let reconcile = move |map: Arc<ConfigMap>, seen: Arc<Seen>| async move {
        let times = seen.note(&map, start);
        if fail(map.metadata.name.as_deref().unwrap(), times) {
            Err(io::Error::other("no"))
        } else {
            Ok(Action::await_change())
        }
    };
    let running = built.run(reconcile, Arc::clone(&seen), registry, token.clone());
    tokio::join!(running, async {
        let _ = timeout(time, std::future::pending::<()>()).await;
        token.cancel();
    });
    seen
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_stops_nobody_and_is_told_of() {
    let mut bad = map("bad");
    bad["data"] = json!("not a map");
    let (client, calls) = client(fixed(vec![map("a"), bad, map("b")]));
    let registry = Registry::new();
    let built = controller(&client).events(Recorder::new(client.clone(), "test", "test"));
    let seen = run_for(SECOND * 5, built, &registry, |_, _| false).await;
    assert_eq!(seen.counts(), [("a".to_owned(), 1), ("b".to_owned(), 1)]);
    let [event] = calls.writes().try_into().unwrap();
    assert_eq!(event.body["regarding"]["name"], "bad");
    assert_eq!(event.body["reason"], "Unreadable");
    let note = event.body["note"].as_str().unwrap();
    assert!(note.contains("not a map") && note.contains("kubectl explain configmap"), "{note}");
    let text = registry.text().unwrap();
    for line in [
        r#"controller_reconciles_total{controller="map",outcome="Done"} 2"#,
        r#"controller_reconciles_total{controller="map",outcome="Unreadable"} 1"#,
        r#"controller_reconcile_duration_seconds_count{controller="map"} 3"#,
    ] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_object_waits_longer_each_time_and_a_success_ends_it() {
    let (client, _) = client(fixed(vec![map("a"), map("bad")]));
    let registry = Registry::new();
    let seen = run_for(SECOND * 200, controller(&client), &registry, |name, times| name == "bad" && times < 9).await;
    let all = seen.0.lock().unwrap();
    assert_eq!(all["a"].len(), 1);
    let gaps: Vec<u64> = all["bad"].windows(2).map(|pair| pair[1].abs_diff(pair[0]).as_secs()).collect();
    assert_eq!(gaps, [1, 2, 4, 8, 16, 32, 60, 60]);
    let text = registry.text().unwrap();
    assert!(text.contains(r#"controller_reconciles_total{controller="map",outcome="Failed"} 8"#), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_trigger_reconciles_the_object_that_it_names_and_no_other() {
    let (client, _) = client(fixed(vec![map("a"), map("b")]));
    let (sender, triggers) = mpsc::unbounded();
    let built = controller(&client).triggered_by(triggers);
    let late = tokio::spawn(async move {
        let _ = timeout(SECOND * 5, std::future::pending::<()>()).await;
        sender.unbounded_send(ObjectRef::new("b").within("dev")).unwrap();
        sender.unbounded_send(ObjectRef::new("nobody").within("dev")).unwrap();
        sender
    });
    let seen = run_for(SECOND * 10, built, &Registry::new(), |_, _| false).await;
    assert_eq!(seen.counts(), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
    drop(late);
}

#[tokio::test(start_paused = true)]
async fn a_watch_of_a_kind_that_is_not_installed_delays_nobody() {
    let (client, calls) = client(fixed(vec![map("a")]));
    let built = controller(&client)
        .owns::<Secret>(Api::all(client.clone()), watcher::Config::default())
        .watches::<Secret, Vec<ObjectRef<ConfigMap>>>(Api::all(client.clone()), watcher::Config::default(), |_, _| {
            Vec::new()
        });
    let seen = run_for(SECOND * 120, built, &Registry::new(), |_, times| times > 1).await;
    let all = seen.0.lock().unwrap();
    assert!(all["a"].iter().all(|at| *at < SECOND), "{:?}", all["a"]);
    let tries = calls.all().iter().filter(|call| call.target.contains("/secrets")).count();
    assert!((4..60).contains(&tries), "tried again, with a backoff: {tries}");
}

#[tokio::test(start_paused = true)]
async fn an_owned_or_mapped_object_reconciles_what_it_belongs_to() {
    let answer = fixed(vec![map("a"), map("b"), map("c")]);
    let mut owned = map("s");
    owned["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "b", "uid": "uid-of-b", "controller": true}]);
    let listed = AtomicUsize::new(0);
    let (client, _) = client(move |call| {
        if call.target.contains("/secrets") && !call.target.contains("watch=true") {
            // The second list comes from a watch that is late: after everybody's first reconcile.
            listed.fetch_add(1, Ordering::SeqCst);
            return list(std::slice::from_ref(&owned));
        }
        answer(call)
    });
    let late = futures::stream::once(async {
        let _ = timeout(SECOND * 5, std::future::pending::<()>()).await;
        ObjectRef::new("c").within("dev")
    });
    let built = controller(&client)
        .debounce(Duration::from_millis(1))
        .triggered_by(late)
        .owns::<Secret>(Api::all(client.clone()), watcher::Config::default())
        .watches::<Secret, Vec<ObjectRef<ConfigMap>>>(
            Api::all(client.clone()),
            watcher::Config::default(),
            |secret, store| {
                assert_eq!(secret.metadata.name.as_deref(), Some("s"));
                assert!(store.len() <= 3);
                vec![ObjectRef::new("a").within("dev")]
            },
        );
    let seen = run_for(SECOND * 10, built, &Registry::new(), |_, _| false).await;
    let counts: BTreeMap<_, _> = seen.counts().into_iter().collect();
    assert_eq!(counts["c"], 2, "{counts:?}");
    assert!((1..=2).contains(&counts["a"]) && (1..=2).contains(&counts["b"]), "{counts:?}");
}

#[test]
fn the_owner_is_the_one_that_controls_and_is_of_the_kind() {
    let owner = |kind: &str, controls: bool| json!({"apiVersion": "v1", "kind": kind, "name": "o", "uid": "u", "controller": controls});
    let named = |owner: Value| {
        let meta =
            serde_json::from_value(json!({"name": "s", "namespace": "dev", "ownerReferences": [owner]})).unwrap();
        controlling::<ConfigMap>(&meta).map(|object| (object.name, object.namespace))
    };
    assert_eq!(named(owner("ConfigMap", true)), Some(("o".to_owned(), Some("dev".to_owned()))));
    assert_eq!(named(owner("ConfigMap", false)), None);
    assert_eq!(named(owner("Secret", true)), None);
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_a_running_reconcile_end() {
    let (client, _) = client(fixed(vec![map("a")]));
    let token = CancellationToken::new();
    let ended = Arc::new(AtomicUsize::new(0));
    let stop = token.clone();
    let reconcile = move |_: Arc<ConfigMap>, ended: Arc<AtomicUsize>| {
        let stop = stop.clone();
        async move {
            stop.cancel();
            let _ = timeout(SECOND * 30, std::future::pending::<()>()).await;
            ended.fetch_add(1, Ordering::SeqCst);
            Ok::<_, io::Error>(Action::await_change())
        }
    };
    controller(&client).run(reconcile, Arc::clone(&ended), &Registry::new(), token).await;
    assert_eq!(ended.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_heard_while_the_api_has_not_answered_yet() {
    let (client, calls): (Client, Calls) = client(|_| Answer::Never);
    let seen =
        timeout(SECOND * 60, run_for(SECOND * 20, controller(&client), &Registry::new(), |_, _| false)).await.unwrap();
    assert_eq!(seen.counts(), []);
    assert_eq!(calls.all().len(), 1);
}

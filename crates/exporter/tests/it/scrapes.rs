//! Scrapes that go well, and scrapes that do not.

use std::time::Duration;

use pve_sim::Options;
use serde_json::json;
use testkit::{NotYet, eventually};

use crate::world::World;

const LIMIT: Duration = Duration::from_secs(30);

/// Scrapes until all guests' configurations are known.
async fn warm(world: &World) {
    let known = eventually(LIMIT, || async {
        let answer = world.scrape("&cluster=0&node=all").await;
        let value = |name: &str| answer.value(&format!("{name}{{node=\"pve3\"}}"));
        match (value("oxmox_exporter_guest_configs_known"), value("oxmox_exporter_guest_configs")) {
            (Some(known), Some(all)) if known >= all => Ok(()),
            (known, all) => Err(NotYet::because(format!("{known:?} of {all:?}"))),
        }
    });
    known.await.unwrap();
}

#[tokio::test]
async fn a_scrape_of_everything_costs_seven_calls_however_many_guests_there_are() {
    let world = World::start(Options { vms: 200, ..Options::default() }).await;
    warm(&world).await;
    world.calls().await;
    let answer = world.scrape("&node=all").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let calls = world.calls().await;
    assert_eq!(calls.values().sum::<u64>(), 7, "{calls:?}");
    assert!(calls.values().all(|times| *times == 1), "{calls:?}");
    assert_eq!(answer.value("pve_up{id=\"qemu/100\"}"), Some(1.0));
    world.end().await;
}

#[tokio::test]
async fn what_fails_is_told_and_fails_nothing_else() {
    let world = World::start(Options { vms: 4, ..Options::default() }).await;
    let refuse = json!({"status": 500, "message": "no"});
    let rule = json!({"match": {"path": "/cluster/backup-info/*"}, "times": 0, "then": {"refuse": refuse}});
    world.door("POST", "/sim/faults", &rule).await;
    let answer = world.scrape("").await;
    assert_eq!(answer.status, 200);
    let well =
        |collector: &str| answer.value(&format!("oxmox_exporter_collector_success{{collector=\"{collector}\"}}"));
    assert_eq!(well("backup-info"), Some(0.0));
    for other in
        ["status", "resources", "version", "cluster", "node", "qdevice", "subscription", "replication", "config"]
    {
        assert_eq!(well(other), Some(1.0), "{other}");
    }
    assert!(!answer.text.contains("pve_not_backed_up_total") && answer.text.contains("pve_up{"));
    world.end().await;
}

#[tokio::test]
async fn what_is_slow_is_left_out_when_the_scrape_ends() {
    let world = World::start(Options { vms: 4, ..Options::default() }).await;
    let rule = json!({"match": {"path": "/cluster/config/qdevice"}, "times": 0, "then": {"delay": 20_000}});
    world.door("POST", "/sim/faults", &rule).await;
    let path = format!("/pve?target={}", world.target());
    let answer = world.get(&path, "x-prometheus-scrape-timeout-seconds: 2\r\n").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.value("oxmox_exporter_collector_success{collector=\"qdevice\"}"), Some(0.0));
    assert_eq!(answer.value("oxmox_exporter_collector_success{collector=\"status\"}"), Some(1.0));
    world.end().await;
}

#[tokio::test]
async fn a_target_that_is_down_is_an_error_and_the_others_answer() {
    let world = World::with(Options::default(), |mut settings| {
        settings.default_target = Some(String::new());
        settings
    })
    .await;
    let down = world.get("/pve?target=127.0.0.1:1", "").await;
    assert_eq!(down.status, 500);
    assert!(down.text.contains("127.0.0.1:1") || down.text.contains("connect"), "{}", down.text);
    assert_eq!(world.scrape("").await.status, 200);
    let own = world.get("/metrics", "").await;
    assert_eq!(own.value("pve_request_errors_total{module=\"default\"}"), Some(1.0), "{}", own.text);
    assert!(own.value("pve_collection_duration_seconds_count{module=\"default\"}").unwrap() >= 1.0);
    assert_eq!(own.value("pve_up{id=\"node/pve1\"}"), Some(1.0), "the default target is told of");
    world.end().await;
}

#[tokio::test]
async fn only_allowed_targets_and_known_modules_are_asked() {
    let world = World::with(Options::default(), |mut settings| {
        settings.allowed_targets = vec!["127.0.0.1".into()];
        settings
    })
    .await;
    assert_eq!(world.scrape("").await.status, 200);
    let other = world.get("/pve?target=192.0.2.1", "").await;
    assert_eq!((other.status, other.text.contains("--allowed-target")), (403, true));
    let module = world.scrape("&module=nobody").await;
    assert_eq!((module.status, module.text.contains("`nobody`")), (400, true));
    world.end().await;
}

#[tokio::test]
async fn parameters_choose_collectors_as_the_peers_do() {
    let world = World::start(Options { vms: 2, ..Options::default() }).await;
    let cluster = world.scrape("&node=0").await;
    assert!(cluster.text.contains("pve_up{") && !cluster.text.contains("pve_subscription_info{"));
    let node = world.scrape("&cluster=false").await;
    assert!(!node.text.contains("pve_up{") && node.text.contains("pve_subscription_info{"));
    world.end().await;
}

#[tokio::test]
async fn openmetrics_is_answered_to_who_asks_for_it() {
    let world = World::start(Options { vms: 2, ..Options::default() }).await;
    let accept = "accept: application/openmetrics-text; version=1.0.0\r\n";
    let classic = world.get(&format!("/pve?target={}", world.target()), accept).await;
    assert!(classic.head.contains("content-type: text/plain; version=0.0.4"));
    assert!(classic.text.contains("# TYPE pve_network_receive_bytes gauge\n"), "old dashboards need it");
    let open = world.scrape("&format=openmetrics").await;
    assert!(open.head.contains("application/openmetrics-text"));
    assert!(open.text.ends_with("# EOF\n") && !open.text.contains("# TYPE pve_network_receive_bytes gauge"));
    for path in ["/metrics", "/-/healthy", "/-/ready", "/"] {
        assert_eq!(world.get(path, accept).await.status, 200, "{path}");
    }
    assert_eq!(world.get("/metrics", accept).await.text.matches("# EOF").count(), 1);
    world.end().await;
}

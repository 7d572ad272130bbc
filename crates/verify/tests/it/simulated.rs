//! A simulator, its own world, no Kubernetes.

use jiff::Timestamp;
use pve::{Auth, ClientConfig, Trust};
use pve_sim::{Options, Running, Sim};
use verify::{Evidence, Outcome, Report, Selection, Sources, gather, judge};

pub(crate) const TOKEN: &str = "capi@pve!oxmox";

pub(crate) fn sources(url: &str, trust: Trust, secret: &str) -> Sources {
    let urls = vec![url.parse().unwrap()];
    let auth = Auth::Token { id: TOKEN.to_owned(), secret: secret.to_owned().into() };
    let mut config = ClientConfig::new(urls.clone(), auth);
    config.proxy = pve::Proxy::None;
    let seen = (&trust).into();
    config.trust = trust;
    Sources {
        pve: pve::Client::new(config).unwrap(),
        urls,
        trust: seen,
        kube: None,
        namespace: "default".to_owned(),
        cluster: None,
        probe: None,
        outside: None,
        metrics: None,
        logs: None,
    }
}

#[expect(clippy::disallowed_methods, reason = "a real certificate and a real clock are looked at")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

pub(crate) async fn sim() -> Running {
    Sim::start(Options::default()).await.unwrap()
}

pub(crate) fn trusting(sim: &Running) -> Trust {
    Trust::Fingerprint(sim.fingerprint().parse().unwrap())
}

async fn look(sources: &Sources) -> (Evidence, Report) {
    let evidence = gather(sources, now()).await;
    let report = judge(&evidence, &Selection::all());
    (evidence, report)
}

fn outcome(report: &Report, id: &str) -> (Outcome, String) {
    let check = report.checks().find(|check| check.id == id).unwrap();
    (check.outcome, check.message.clone())
}

#[tokio::test]
async fn proxmox_alone_is_judged_and_the_rest_is_blocked() {
    let sim = sim().await;
    let (evidence, report) = look(&sources(sim.url(), trusting(&sim), sim.token(TOKEN).unwrap())).await;
    for check in report.checks() {
        let message = &check.message;
        match check.id.as_str() {
            "network-storage.iso-storage" | "network-storage.free-space" => {
                assert_eq!(check.outcome, Outcome::Passed, "{}: {message}", check.id);
            }
            id if id.starts_with("api.") => assert_eq!(check.outcome, Outcome::Passed, "{id}: {message}"),
            "vm-management.no-duplicates" => assert_eq!(check.outcome, Outcome::Passed, "{message}"),
            id => assert_eq!(check.outcome, Outcome::Blocked, "{id}: {message}"),
        }
    }
    assert_eq!(report.exit_code(), 1, "what is blocked has not passed");
    let saved = serde_json::to_string(&evidence).unwrap();
    assert!(!saved.contains(sim.token(TOKEN).unwrap()), "the secret is in the evidence");
    let back: Evidence = serde_json::from_str(&saved).unwrap();
    assert_eq!(judge(&back, &Selection::all()), report);
}

#[tokio::test]
async fn a_wrong_secret_is_named_as_such() {
    let sim = sim().await;
    let wrong = "00000000-0000-0000-0000-000000000000";
    let (_, report) = look(&sources(sim.url(), trusting(&sim), wrong)).await;
    assert_eq!(outcome(&report, "api.reachable").0, Outcome::Passed);
    assert_eq!(outcome(&report, "api.tls-chain").0, Outcome::Passed);
    let (failed, message) = outcome(&report, "api.authenticated");
    assert_eq!(failed, Outcome::Failed, "{message}");
    assert_eq!(outcome(&report, "api.version-supported").0, Outcome::Blocked);
    assert_eq!(report.exit_code(), 2);
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_named_with_its_fingerprint() {
    let sim = sim().await;
    let other = Trust::Fingerprint("00".repeat(32).parse().unwrap());
    let (_, report) = look(&sources(sim.url(), other, sim.token(TOKEN).unwrap())).await;
    assert_eq!(outcome(&report, "api.reachable").0, Outcome::Passed);
    let (failed, message) = outcome(&report, "api.tls-chain");
    assert_eq!(failed, Outcome::Failed);
    assert!(message.contains(sim.fingerprint()), "{message}");
    assert_eq!(outcome(&report, "api.authenticated").0, Outcome::Blocked);
}

#[tokio::test]
async fn where_nobody_listens_nothing_can_be_read() {
    let sim = sim().await;
    let url = sim.url().to_owned();
    let (trust, secret) = (trusting(&sim), sim.token(TOKEN).unwrap().to_owned());
    sim.stop().await;
    let (_, report) = look(&sources(&url, trust, &secret)).await;
    assert_eq!(outcome(&report, "api.reachable").0, Outcome::Failed);
    assert_eq!(report.exit_code(), 3);
}

#[tokio::test]
async fn the_clock_is_read_without_a_refusal_that_would_take_its_time() {
    let delay = std::time::Duration::from_hours(1);
    let sim = Sim::start(Options { login_delay: delay, ..Options::default() }).await.unwrap();
    let (evidence, _) = look(&sources(sim.url(), trusting(&sim), sim.token(TOKEN).unwrap())).await;
    let seen = evidence.proxmox.doors[0].certificate.known().unwrap();
    assert!(seen.clock_ahead_ms.is_some(), "{seen:?}");
}

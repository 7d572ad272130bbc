//! Elections against an API in a closure, on a clock that only moves when everybody waits.

mod clocks;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::Lease;
use crate::fake_api::{Answer, Calls, OneLease, client, refusal};

fn lease(store: &OneLease, identity: &str) -> (Lease, Calls) {
    let store = store.clone();
    let (client, calls) = client(move |call| store.answer(call));
    (Lease::new(client, "dev", "l", identity), calls)
}

/// Lets the paused clock run for this long.
async fn pass(time: Duration) {
    assert!(timeout(time, std::future::pending::<()>()).await.is_err());
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_free_lease_is_taken_at_once() {
    let store = OneLease::default();
    let (lease, calls) = lease(&store, "a");
    let held = lease.acquire(&CancellationToken::new()).await.unwrap();
    assert_eq!(store.spec()["holderIdentity"], "a");
    assert_eq!(store.spec()["leaseDurationSeconds"], 15);
    assert_eq!(calls.writes().len(), 1);
    held.release().await;
}

#[tokio::test(start_paused = true)]
async fn a_held_lease_is_renewed_with_one_write_a_period_and_nothing_else() {
    let store = OneLease::default();
    let (lease, calls) = lease(&store, "a");
    let held = lease.acquire(&CancellationToken::new()).await.unwrap();
    let before = calls.all().len();
    pass(SECOND * 61).await;
    let since = &calls.all()[before..];
    assert_eq!(since.len(), 30, "one call each 2 s: {since:?}");
    assert!(since.iter().all(|call| call.method == http::Method::PUT));
    assert!(timeout(Duration::ZERO, held.lost()).await.is_err(), "still held");
    held.release().await;
}

#[tokio::test(start_paused = true)]
async fn a_release_is_one_write_that_clears_the_holder_and_ends_renewing() {
    let store = OneLease::default();
    let (lease, calls) = lease(&store, "a");
    let held = lease.acquire(&CancellationToken::new()).await.unwrap();
    let lost = held.lost();
    let before = calls.all().len();
    held.release().await;
    pass(SECOND * 60).await;
    assert_eq!(calls.all().len(), before + 1);
    assert_eq!(store.spec()["holderIdentity"], Value::Null);
    lost.await;
}

#[tokio::test(start_paused = true)]
async fn after_a_release_the_next_one_starts_at_its_next_look() {
    let store = OneLease::default();
    let first = lease(&store, "a").0.acquire(&CancellationToken::new()).await.unwrap();
    let next = lease(&store, "b").0;
    let waiting = tokio::spawn(async move { next.acquire(&CancellationToken::new()).await });
    pass(SECOND * 30).await;
    assert!(!waiting.is_finished(), "a renewed lease is never taken");
    first.release().await;
    let free = Instant::now();
    let second = waiting.await.unwrap().unwrap();
    assert!(free.elapsed() <= SECOND * 2, "{:?}", free.elapsed());
    assert_eq!(store.spec()["holderIdentity"], "b");
    assert_eq!(store.spec()["leaseTransitions"], 1);
    second.release().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_vanished_is_followed_after_its_duration_as_we_saw_it_whatever_its_clock_said() {
    let store = OneLease::default();
    // The vanished leader's clock was years ahead, and it asked for 20 s.
    store.edit(|lease| {
        let spec =
            json!({"holderIdentity": "gone", "leaseDurationSeconds": 20, "renewTime": "2999-01-01T00:00:00.000000Z"});
        *lease = Some(json!({"metadata": {"name": "l", "namespace": "dev", "resourceVersion": "7"}, "spec": spec}));
    });
    let start = Instant::now();
    let held = lease(&store, "a").0.acquire(&CancellationToken::new()).await.unwrap();
    assert!((SECOND * 20..SECOND * 22).contains(&start.elapsed()), "{:?}", start.elapsed());
    held.release().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_calls_hang_knows_that_it_lost_before_another_may_start() {
    let store = OneLease::default();
    let (cut, stored) = (Arc::new(AtomicBool::new(false)), store.clone());
    let seen = Arc::clone(&cut);
    let (client, _) = client(move |call| if seen.load(Ordering::SeqCst) { Answer::Never } else { stored.answer(call) });
    let held = Lease::new(client, "dev", "l", "a").acquire(&CancellationToken::new()).await.unwrap();
    let next = lease(&store, "b").0;
    let waiting = tokio::spawn(async move {
        let held = next.acquire(&CancellationToken::new()).await;
        (held, Instant::now())
    });
    pass(SECOND * 5).await;
    cut.store(true, Ordering::SeqCst);
    held.lost().await;
    let lost = Instant::now();
    let (second, taken) = waiting.await.unwrap();
    assert!(taken >= lost + SECOND * 4, "lost {lost:?}, taken {taken:?}");
    second.unwrap().release().await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_another_took_is_lost_at_the_next_renewal_and_not_released() {
    let store = OneLease::default();
    let (lease, _) = lease(&store, "a");
    let held = lease.acquire(&CancellationToken::new()).await.unwrap();
    store.edit(|lease| {
        let lease = lease.as_mut().unwrap();
        lease["spec"]["holderIdentity"] = json!("thief");
        lease["metadata"]["resourceVersion"] = json!("99");
    });
    timeout(SECOND * 3, held.lost()).await.unwrap();
    held.release().await;
    assert_eq!(store.spec()["holderIdentity"], "thief");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lease_is_lost() {
    let store = OneLease::default();
    let held = lease(&store, "a").0.acquire(&CancellationToken::new()).await.unwrap();
    store.edit(|lease| *lease = None);
    timeout(SECOND * 3, held.lost()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_was_lost_is_found_and_followed() {
    let store = OneLease::default();
    let (stored, first) = (store.clone(), AtomicBool::new(true));
    let (client, calls) = client(move |call| {
        let answer = stored.answer(call);
        let lose = call.method == http::Method::POST && first.swap(false, Ordering::SeqCst);
        if lose { Answer::Never } else { answer }
    });
    let held = Lease::new(client, "dev", "l", "a").acquire(&CancellationToken::new()).await.unwrap();
    assert_eq!(calls.writes().len(), 2, "created without an answer, then taken again");
    assert_eq!(store.spec()["leaseTransitions"], 0, "it did not change hands");
    held.release().await;
}

#[tokio::test(start_paused = true)]
async fn an_api_that_refuses_is_asked_again_each_period_until_told_to_stop() {
    let (client, calls) = client(|_| refusal(403, "Forbidden", "leases is forbidden"));
    let token = CancellationToken::new();
    let (lease, stop) = (Lease::new(client, "dev", "l", "a"), token.clone());
    let waiting = tokio::spawn(async move { lease.acquire(&stop).await.is_none() });
    pass(SECOND * 9).await;
    token.cancel();
    assert!(waiting.await.unwrap());
    assert_eq!(calls.all().len(), 5);
}

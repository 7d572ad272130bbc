//! Several URLs, one cluster; and never too many calls at once.

use std::num::NonZeroUsize;
use std::sync::Arc;

use futures::future::join_all;
use pve::{Client, Error, UnsentCause};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::stub::{Reply, Stub, client, config, dead_url};

fn version() -> Reply {
    Reply::data(json!({"version": "9.1.4", "release": "9.1"}))
}

#[tokio::test]
async fn a_dead_url_is_passed_over_and_remembered() {
    let stub = Stub::start(|_| version()).await;
    let client = client(vec![dead_url().await, stub.url()]);
    assert_eq!(client.version().await.unwrap().major(), 9);
    assert_eq!(client.calls()["GET /version"], 2, "one to each");
    client.version().await.unwrap();
    assert_eq!(client.calls()["GET /version"], 3, "the living one first");
    assert_eq!(stub.calls(), ["GET /version", "GET /version"]);
}

#[tokio::test]
async fn when_all_are_dead_each_is_named() {
    let urls = vec![dead_url().await, dead_url().await];
    let error = client(urls.clone()).version().await.unwrap_err();
    let Error::Unsent(unsent) = &error else { panic!("{error:?}") };
    let UnsentCause::NoConnection { tried } = &unsent.cause else { panic!("{error:?}") };
    let named: Vec<_> = tried.iter().map(|t| t.url.clone()).collect();
    assert_eq!(named, urls.iter().map(ToString::to_string).collect::<Vec<_>>());
}

#[tokio::test]
async fn after_a_lost_answer_the_next_call_knocks_elsewhere() {
    let silent = Stub::start(|_| Reply::Drop).await;
    let stub = Stub::start(|_| version()).await;
    let client = client(vec![silent.url(), stub.url()]);
    assert_eq!(client.version().await.unwrap_err().category(), "Unanswered");
    assert!(client.version().await.is_ok());
}

#[tokio::test]
async fn calls_in_flight_are_bounded() {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let stub = Stub::start(move |_| Reply::When(held.clone(), Box::new(version()))).await;
    let mut config = config(vec![stub.url()]);
    config.calls_in_flight = NonZeroUsize::new(2).unwrap();
    let client = Client::new(config).unwrap();
    let calls = join_all((0..7).map(|_| client.version()));
    let release = async {
        for _ in 0..7 {
            gate.add_permits(1);
            tokio::task::yield_now().await;
        }
    };
    let (answers, ()) = tokio::join!(calls, release);
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(stub.calls().len(), 7);
    assert!(stub.most_at_once() <= 2, "{} at once", stub.most_at_once());
}

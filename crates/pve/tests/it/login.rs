//! Tokens and tickets.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use pve::{Auth, Client, Error, Refusal, Timeouts};
use serde_json::json;

use crate::stub::{Asked, Reply, SECRET, Stub, TOKEN, config, dead_url};

const PASSWORD: &str = "hunter2&=;+%";

fn by_password(stub: &Stub) -> pve::ClientConfig {
    let mut config = config(vec![stub.url()]);
    config.auth = Auth::Password { user: "root@pam".to_owned(), password: PASSWORD.to_owned().into() };
    config
}

/// Grants tickets `PVE:root@pam:1`, `…:2`, and takes what `takes` says.
async fn ticketed(takes: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) -> Stub {
    let granted = AtomicUsize::new(0);
    Stub::start(move |asked| {
        if asked.call() == "POST /access/ticket" {
            let n = granted.fetch_add(1, Ordering::SeqCst) + 1;
            return Reply::data(json!({
                "ticket": format!("PVE:root@pam:{n}::sig/+=="), "CSRFPreventionToken": format!("csrf:{n}"),
                "username": "root@pam",
            }));
        }
        takes(asked, granted.load(Ordering::SeqCst))
    })
    .await
}

#[tokio::test]
async fn a_token_goes_with_every_call_and_needs_nothing_else() {
    let stub = Stub::start(|_| Reply::data("100")).await;
    stub.client().next_vmid().await.unwrap();
    let asked = &stub.asked()[0];
    assert_eq!(asked.header("authorization"), Some(format!("PVEAPIToken={TOKEN}={SECRET}").as_str()));
    assert_eq!(asked.header("cookie"), None);
    assert_eq!(asked.header("csrfpreventiontoken"), None);
}

#[tokio::test]
async fn a_refused_token_is_not_tried_twice() {
    let stub = Stub::start(|_| Reply::fails_bare(401, "Authentication failed!")).await;
    let error = stub.client().version().await.unwrap_err();
    assert_eq!(error.refusal(), Some(&Refusal::AuthFailed));
    assert!(error.to_string().contains("Authentication failed!"), "{error}");
    assert_eq!(stub.calls().len(), 1);
}

#[tokio::test]
async fn many_calls_wait_for_one_ticket() {
    let stub = ticketed(|_, _| Reply::data("100")).await;
    let client = Client::new(by_password(&stub)).unwrap();
    for answer in join_all((0..5).map(|_| client.next_vmid())).await {
        answer.unwrap();
    }
    assert_eq!(stub.count("POST /access/ticket"), 1);
    let login = &stub.asked()[0];
    assert_eq!(login.body_text(), "username=root%40pam&password=hunter2%26%3D%3B%2B%25");
    assert_eq!(stub.asked()[1].header("cookie"), Some("PVEAuthCookie=PVE%3Aroot%40pam%3A1%3A%3Asig%2F%2B%3D%3D"));
}

#[tokio::test]
async fn only_writes_carry_the_csrf_token() {
    let stub = ticketed(|_, _| Reply::data("UPID:pve1:0001F4A2:00A3B1C4:6741B2F0:qmstart:101:root@pam:")).await;
    let client = Client::new(by_password(&stub)).unwrap();
    client.start(&"pve1".parse().unwrap(), 101.try_into().unwrap()).await.unwrap();
    let _ = client.next_vmid().await;
    let asked = stub.asked();
    assert_eq!(asked[0].header("csrfpreventiontoken"), None, "the login itself");
    assert_eq!(asked[1].header("csrfpreventiontoken"), Some("csrf:1"));
    assert_eq!(asked[2].header("csrfpreventiontoken"), None);
}

#[tokio::test]
async fn a_ticket_that_is_refused_is_renewed_once() {
    let stub = ticketed(|asked, _| {
        if asked.header("cookie").unwrap().contains("%3A1%3A") {
            Reply::fails_bare(401, "permission denied - invalid PVE ticket")
        } else {
            Reply::data("100")
        }
    })
    .await;
    let client = Client::new(by_password(&stub)).unwrap();
    client.next_vmid().await.unwrap();
    client.next_vmid().await.unwrap();
    assert_eq!(stub.count("POST /access/ticket"), 2);
    assert_eq!(stub.count("GET /cluster/nextid"), 3);
}

#[tokio::test]
async fn a_server_that_takes_no_ticket_is_not_asked_for_ever() {
    let stub = ticketed(|_, _| Reply::fails_bare(401, "No ticket")).await;
    let error = Client::new(by_password(&stub)).unwrap().next_vmid().await.unwrap_err();
    assert_eq!(error.refusal(), Some(&Refusal::AuthFailed));
    assert_eq!(stub.calls().len(), 4, "login, call, login, call: {:?}", stub.calls());
}

#[tokio::test]
async fn an_old_ticket_is_renewed_before_it_is_refused() {
    let stub = ticketed(|_, _| Reply::data("100")).await;
    let mut config = by_password(&stub);
    config.timeouts = Timeouts { ticket: Duration::ZERO, ..config.timeouts };
    let client = Client::new(config).unwrap();
    client.next_vmid().await.unwrap();
    client.next_vmid().await.unwrap();
    assert_eq!(stub.count("POST /access/ticket"), 2);
    assert!(stub.asked()[3].header("cookie").unwrap().contains("%3A2%3A"));
    assert!(Timeouts::default().ticket < Duration::from_hours(2));
}

#[tokio::test]
async fn a_wrong_password_is_a_no_and_the_call_is_not_sent() {
    let stub = Stub::start(|_| Reply::fails(401, "authentication failure")).await;
    let error = Client::new(by_password(&stub)).unwrap().next_vmid().await.unwrap_err();
    assert_eq!(error.refusal(), Some(&Refusal::AuthFailed));
    assert_eq!(stub.calls(), ["POST /access/ticket"]);
}

#[tokio::test]
async fn a_lost_login_leaves_the_call_unsent() {
    let stub = Stub::start(|_| Reply::Drop).await;
    let error = Client::new(by_password(&stub)).unwrap().next_vmid().await.unwrap_err();
    assert!(matches!(&error, Error::Unsent(u) if matches!(&u.cause, pve::UnsentCause::Login(_))), "{error:?}");
}

#[tokio::test]
async fn a_second_factor_is_asked_for_in_plain_words() {
    let stub = Stub::start(|_| Reply::data(json!({"ticket": "PVE:!tfa!x", "NeedTFA": 1}))).await;
    let error = Client::new(by_password(&stub)).unwrap().next_vmid().await.unwrap_err();
    assert!(error.to_string().contains("use an API token"), "{error}");
}

#[tokio::test]
async fn tasks_are_started_under_our_name() {
    assert_eq!(Client::new(config(vec![dead_url().await])).unwrap().name(), TOKEN);
}

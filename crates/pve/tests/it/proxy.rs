//! A proxy between us and Proxmox.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pve::{Client, Proxy};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use crate::stub::{Reply, Stub, config};

/// A plain HTTP proxy for plain HTTP: it takes the absolute URL, and counts.
async fn proxy() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut inward, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut head = vec![0; 4096];
                let read = inward.read(&mut head).await.unwrap();
                let text = String::from_utf8_lossy(&head[..read]).into_owned();
                let authority = text.split("//").nth(1).unwrap().split('/').next().unwrap().to_owned();
                let mut outward = TcpStream::connect(authority.replace("localhost", "127.0.0.1")).await.unwrap();
                outward.write_all(&head[..read]).await.unwrap();
                let _ = copy_bidirectional(&mut inward, &mut outward).await;
            });
        }
    });
    (url, count)
}

#[tokio::test]
async fn a_named_proxy_stands_between() {
    let stub = Stub::start(|_| Reply::data(json!({"version": "9.1.4"}))).await;
    let (url, count) = proxy().await;
    let mut config = config(vec![stub.url()]);
    config.proxy = Proxy::Url(url);
    Client::new(config).unwrap().version().await.unwrap();
    assert_eq!((count.load(Ordering::SeqCst), stub.calls().len()), (1, 1));
}

/// The environment is a process's own, so a child of the test makes the call; here it is told where.
const TARGET: &str = "OXMOX_TEST_TARGET";

#[tokio::test]
#[ignore = "the child of the tests below"]
#[expect(clippy::disallowed_methods, reason = "the parent names the target in the environment")]
async fn child() {
    let mut config = config(vec![std::env::var(TARGET).unwrap().parse().unwrap()]);
    config.proxy = Proxy::FromEnv;
    Client::new(config).unwrap().version().await.unwrap();
}

/// How often the proxy was asked when the environment held these.
async fn through_child(variables: &[(&str, Option<&str>)]) -> usize {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let stub = Stub::start_with(Some(acceptor(&key)), |_| Reply::data(json!({"version": "9.1.4"}))).await;
    let (url, count) = tunnel().await;
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "proxy::child", "--ignored"]).env(TARGET, stub.text_url());
    for name in
        ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy"]
    {
        command.env_remove(name);
    }
    for (name, value) in variables {
        command.env(name, value.unwrap_or(&url));
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(stub.calls(), ["GET /version"]);
    count.load(Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environments_proxy_is_honoured_and_so_are_its_exceptions() {
    assert_eq!(through_child(&[("HTTPS_PROXY", None)]).await, 1);
    assert_eq!(through_child(&[("HTTPS_PROXY", None), ("NO_PROXY", Some("localhost,10.0.0.0/8"))]).await, 0);
    assert_eq!(through_child(&[]).await, 0);
}

fn acceptor(key: &rcgen::CertifiedKey<rcgen::KeyPair>) -> tokio_rustls::TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let der = rustls::pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], der.into())
        .unwrap();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

/// A proxy that tunnels TLS, and counts.
async fn tunnel() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut inward, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(inward.read_u8().await.unwrap());
                }
                let text = String::from_utf8(head).unwrap();
                let authority = text.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap().to_owned();
                let mut outward = TcpStream::connect(authority.replace("localhost", "127.0.0.1")).await.unwrap();
                inward.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let _ = copy_bidirectional(&mut inward, &mut outward).await;
            });
        }
    });
    (url, count)
}

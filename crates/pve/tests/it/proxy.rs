//! A proxy between us and Proxmox.

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

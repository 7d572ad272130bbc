//! The door for probes and Prometheus.
//!
//! * What it is: HTTP on `/healthz`, `/readyz` and `/metrics`.
//! * What it promises: 200 or 503 with the reason in the body; it answers until the token is
//!   cancelled and then lets running answers end.
//! * What it assumes: a network that only the cluster reaches: there is no authentication.

use std::{io, net::SocketAddr};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{
    health::{Health, Stale},
    metrics::{self, Registry},
};

/// Why the door is not open.
#[derive(Debug, thiserror::Error)]
#[error("listen on `{addr}` for probes and metrics")]
pub struct Error {
    addr: SocketAddr,
    #[source]
    source: io::Error,
}

/// Listens on `addr` (port 0: any free one) until `token` is cancelled; returns the address taken.
pub async fn serve(
    addr: SocketAddr,
    health: Health,
    registry: Registry,
    token: CancellationToken,
) -> Result<SocketAddr, Error> {
    let refused = |source| Error { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    let routes = Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .with_state(health)
        .merge(Router::new().route("/metrics", get(scrape)).with_state(registry));
    tokio::spawn(async move {
        if let Err(why) = axum::serve(listener, routes).with_graceful_shutdown(token.cancelled_owned()).await {
            error!(%why, "probes and metrics are no longer served");
        }
    });
    Ok(bound)
}

async fn alive(State(health): State<Health>) -> (StatusCode, String) {
    let stale = health.stale();
    if stale.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, lines(&stale))
}

async fn ready(State(health): State<Health>) -> (StatusCode, String) {
    if health.is_ready() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let stale = lines(&health.stale());
    (StatusCode::SERVICE_UNAVAILABLE, if stale.is_empty() { "not ready yet\n".to_owned() } else { stale })
}

fn lines(stale: &[Stale]) -> String {
    stale.iter().flat_map(|check| [check.to_string(), "\n".to_owned()]).collect()
}

async fn scrape(State(registry): State<Registry>) -> Response {
    match registry.text() {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(why) => (StatusCode::INTERNAL_SERVER_ERROR, format!("write the metrics: {why}\n")).into_response(),
    }
}

#[cfg(test)]
mod test {
    use std::time::Duration;

    use prometheus_client::metrics::counter::Counter;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
        time::timeout,
    };

    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    async fn get(addr: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn probes_say_alive_before_ready_and_why_not() {
        let health = Health::new();
        let addr = serve(ANY, health.clone(), Registry::new(), CancellationToken::new()).await.unwrap();
        assert!(get(addr, "/healthz").await.starts_with("HTTP/1.1 200"));
        let answer = get(addr, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("not ready yet\n"), "{answer}");
        health.set_ready(true);
        assert!(get(addr, "/readyz").await.starts_with("HTTP/1.1 200"));
        health.expect("poller", Duration::ZERO);
        let answer = get(addr, "/healthz").await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("poller: last beat"), "{answer}");
        assert!(get(addr, "/readyz").await.contains("poller: last beat"));
    }

    #[tokio::test]
    async fn metrics_are_what_was_registered() {
        let registry = Registry::new();
        let counter = Counter::<u64>::default();
        registry.register(|into| into.register("clones", "Clones made", counter.clone()));
        counter.inc();
        let addr = serve(ANY, Health::new(), registry, CancellationToken::new()).await.unwrap();
        let answer = get(addr, "/metrics").await;
        assert!(answer.contains("clones_total 1\n"), "{answer}");
        assert!(answer.contains("content-type: application/openmetrics-text"), "{answer}");
    }

    #[tokio::test]
    async fn a_taken_port_is_named_and_a_stop_frees_it() {
        let token = CancellationToken::new();
        let addr = serve(ANY, Health::new(), Registry::new(), token.clone()).await.unwrap();
        let error = serve(addr, Health::new(), Registry::new(), token.clone()).await.unwrap_err();
        assert_eq!(error.to_string(), format!("listen on `{addr}` for probes and metrics"));
        token.cancel();
        timeout(Duration::from_secs(10), async {
            while TcpStream::connect(addr).await.is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }
}

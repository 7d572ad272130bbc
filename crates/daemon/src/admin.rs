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
    health::Health,
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
    let taken = listener.local_addr().map_err(refused)?;
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
    Ok(taken)
}

async fn alive(State(health): State<Health>) -> (StatusCode, String) {
    let stale = health.stale();
    if stale.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, stale.iter().map(|check| format!("{check}\n")).collect())
}

async fn ready(State(health): State<Health>) -> (StatusCode, String) {
    if health.is_ready() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let stale: String = health.stale().iter().map(|check| format!("{check}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, if stale.is_empty() { "not ready yet\n".to_owned() } else { stale })
}

async fn scrape(State(registry): State<Registry>) -> Response {
    match registry.text() {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(why) => (StatusCode::INTERNAL_SERVER_ERROR, format!("write the metrics: {why}\n")).into_response(),
    }
}

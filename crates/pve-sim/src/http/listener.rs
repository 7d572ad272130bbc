//! The HTTPS listener.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::envelope::{Body, plain};
use super::heads::Heads;
use super::serve;
use crate::shared::Shared;

/// Requests that one connection may carry.
const REQUESTS: u32 = 100;
/// How long a connection may be idle.
const IDLE: Duration = Duration::from_secs(5);

/// Accepts connections until it is told to stop.
pub(crate) async fn run(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let _ = stream.set_nodelay(true);
        let (tls, shared, stop) = (tls.clone(), Arc::clone(&shared), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = connection(stream, tls, shared) => {}
            }
        });
    }
}

fn builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(IDLE).title_case_headers(true).max_headers(100);
    builder
}

async fn connection(stream: TcpStream, tls: TlsAcceptor, shared: Arc<Shared>) {
    let mut first = [0u8; 1];
    match tokio::time::timeout(IDLE, stream.peek(&mut first)).await {
        Ok(Ok(1)) if first[0] == 0x16 => {}
        Ok(Ok(1)) => {
            let _ = builder().serve_connection(TokioIo::new(stream), service_fn(redirect)).await;
            return;
        }
        _ => return,
    }
    let Ok(stream) = tls.accept(stream).await else { return };
    let count = AtomicU32::new(0);
    let service = service_fn(|request: Request<Incoming>| {
        let last = count.fetch_add(1, Ordering::Relaxed) + 1 >= REQUESTS;
        let shared = Arc::clone(&shared);
        async move { serve::request(&shared, request, last).await }
    });
    let _ = builder().serve_connection(TokioIo::new(Heads::new(stream)), service).await;
}

/// Plain HTTP on this port: somebody forgot the `s`.
async fn redirect(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let read = request.method() == http::Method::GET || request.method() == http::Method::HEAD;
    let (status, text) = if read {
        (StatusCode::MOVED_PERMANENTLY, "Moved Permanently")
    } else {
        (StatusCode::PERMANENT_REDIRECT, "Permanent Redirect")
    };
    let mut response = plain(status.as_u16(), text);
    let host = request.headers().get("host").and_then(|h| h.to_str().ok()).unwrap_or("localhost");
    if let Ok(location) = HeaderValue::from_str(&format!("https://{host}{}", request.uri())) {
        response.headers_mut().insert("location", location);
    }
    Ok(response)
}

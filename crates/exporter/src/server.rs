//! The door: `/pve` for targets, `/metrics` for the exporter itself and its default target.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use daemon::metrics::Registry;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::collect::collect;
use crate::families::families;
use crate::family::{Format, text};
use crate::kubernetes::Reader;
use crate::own::{Own, Scrape};
use crate::settings::{Nodes, Selection, Settings};
use crate::target::{BadTarget, LEAST, Targets};

/// What Prometheus waits for by default.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is left for writing the answer.
const SPARE: Duration = Duration::from_millis(500);
/// In which Prometheus says how long it waits.
const TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";

/// Why the exporter stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not listen.
    #[error("listen on `{addr}` (--web.listen-address)")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It could not go on.
    #[error("answer scrapes")]
    Serve(#[source] io::Error),
}

struct Door {
    settings: Arc<Settings>,
    targets: Targets,
    own: Own,
    registry: Registry,
    kubernetes: Option<Reader>,
}

/// Answers scrapes until the token is cancelled. `ready` is told the address that was taken.
pub async fn run(
    settings: Settings,
    clusters: Vec<kube::Client>,
    token: CancellationToken,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), Error> {
    let settings = Arc::new(settings);
    let addr = settings.listen;
    let listen = |source| Error::Listen { addr, source };
    let listener = TcpListener::bind(addr).await.map_err(listen)?;
    let bound = listener.local_addr().map_err(listen)?;
    let registry = Registry::new();
    let door = Arc::new(Door {
        own: Own::register(&settings, &registry),
        targets: Targets::new(settings.clone(), token.clone()),
        registry: registry.clone(),
        kubernetes: (!clusters.is_empty()).then(|| Reader::spawn(clusters, token.clone())),
        settings,
    });
    let of = door.clone();
    let figures = pve::Measures(move || vec![(Vec::new(), of.targets.figures())]);
    registry.register(|into| into.register_collector(Box::new(figures)));
    let routes = Router::new()
        .route("/", get(index))
        .route("/pve", get(pve))
        .route("/metrics", get(metrics))
        .route("/-/healthy", get(|| async { "alive\n" }))
        .route("/-/ready", get(|| async { "ready\n" }))
        .with_state(door);
    tracing::info!(addr = %bound, "answering scrapes");
    ready(bound);
    axum::serve(listener, routes).with_graceful_shutdown(token.cancelled_owned()).await.map_err(Error::Serve)
}

async fn index() -> Html<&'static str> {
    Html(
        "<!doctype html><title>oxmox exporter</title><h1>oxmox exporter</h1>\
         <p><a href=\"pve?target=localhost\">/pve?target=HOST</a>: a Proxmox VE; further parameters: module, cluster, node</p>\
         <p><a href=\"metrics\">/metrics</a>: the exporter itself, and its default target</p>",
    )
}

/// What a scrape asks for, by the peer's parameters.
#[derive(Debug, Default, Deserialize)]
struct Asked {
    module: Option<String>,
    target: Option<String>,
    cluster: Option<String>,
    node: Option<String>,
    format: Option<String>,
}

fn yes(text: Option<&str>) -> bool {
    text.is_none_or(|text| !matches!(text.to_lowercase().as_str(), "" | "0" | "false"))
}

async fn pve(State(door): State<Arc<Door>>, Query(asked): Query<Asked>, headers: HeaderMap) -> Response {
    let format = match asked.format.as_deref() {
        Some("openmetrics") => Format::OpenMetrics,
        None if door.settings.negotiate => negotiated(&headers),
        _ => Format::Classic,
    };
    match scrape(&door, &asked, deadline(&headers), format).await {
        Ok(text) => ([(header::CONTENT_TYPE, format.content_type())], text).into_response(),
        Err((status, why)) => (status, format!("{why}\n")).into_response(),
    }
}

/// One scrape as text.
async fn scrape(door: &Door, asked: &Asked, deadline: Instant, format: Format) -> Result<String, (StatusCode, String)> {
    let module = asked.module.as_deref().unwrap_or("default");
    let name = asked.target.as_deref().unwrap_or("localhost");
    let cluster = yes(asked.cluster.as_deref());
    let nodes = match asked.node.as_deref() {
        Some("all") => Nodes::All,
        other if yes(other) => Nodes::Local,
        _ => Nodes::None,
    };
    let target = door.targets.get(module, name).map_err(|why| {
        let status = match &why {
            BadTarget::NoModule(_) | BadTarget::NoAddress { .. } => StatusCode::BAD_REQUEST,
            BadTarget::Forbidden(_) => StatusCode::FORBIDDEN,
            BadTarget::TooMany => StatusCode::TOO_MANY_REQUESTS,
            BadTarget::Config { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, daemon::chain(&why))
    })?;
    let selection = Selection::new(&door.settings.collectors, cluster, nodes);
    let began = Instant::now();
    let snapshot = collect(&target, selection, deadline, Some(&door.own)).await;
    let failed = snapshot.all_failed();
    let took = began.elapsed();
    let node = nodes != Nodes::None;
    door.own.scraped(&Scrape { module, target: name, cluster, node, took, failed: failed.is_some() });
    if let Some(why) = failed {
        tracing::warn!(target = name, why, "nothing could be read");
        return Err((StatusCode::INTERNAL_SERVER_ERROR, why.to_owned()));
    }
    let mut families = families(&snapshot);
    let objects = door.kubernetes.as_ref().map(Reader::last);
    families.extend(objects.iter().flat_map(|objects| objects.families()));
    Ok(text(&families, format))
}

/// The exporter itself, and its default target.
async fn metrics(State(door): State<Arc<Door>>, headers: HeaderMap) -> Response {
    let format = negotiated(&headers);
    let Ok(own) = door.registry.text() else {
        return (StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n").into_response();
    };
    let mut out = match format {
        Format::Classic => classic(&own),
        Format::OpenMetrics => own.trim_end().trim_end_matches("# EOF").to_owned(),
    };
    out.push_str(&door.own.summary(door.settings.modules.keys().cloned()));
    if let Some(target) = &door.settings.default_target {
        let asked = Asked { target: Some(target.clone()), node: Some("all".to_owned()), ..Asked::default() };
        // One that does not answer is seen in what is missing, and in pve_request_errors_total.
        if let Ok(text) = scrape(&door, &asked, deadline(&headers), format).await {
            out.push_str(text.trim_end_matches("# EOF\n"));
        }
    }
    if format == Format::OpenMetrics {
        out.push_str("# EOF\n");
    }
    ([(header::CONTENT_TYPE, format.content_type())], out).into_response()
}

/// OpenMetrics as the classic text: counters are named as their samples, and there is neither unit nor end.
fn classic(open: &str) -> String {
    let mut out = String::with_capacity(open.len());
    let counters: Vec<&str> =
        open.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    for line in open.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT ")) {
        let head = ["# HELP ", "# TYPE "].into_iter().find_map(|head| Some((head, line.strip_prefix(head)?)));
        match head.and_then(|(head, rest)| Some((head, rest.split_once(' ')?))) {
            Some((head, (name, rest))) if counters.contains(&name) => {
                out.push_str(head);
                out.push_str(name);
                out.push_str("_total ");
                out.push_str(rest);
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

/// What the asker likes better.
fn negotiated(headers: &HeaderMap) -> Format {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("application/openmetrics-text") { Format::OpenMetrics } else { Format::Classic }
}

/// Until when a scrape may take.
fn deadline(headers: &HeaderMap) -> Instant {
    let said = headers.get(TIMEOUT).and_then(|value| value.to_str().ok()?.parse::<f64>().ok());
    let patience = said.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(PATIENCE);
    Instant::now() + patience.saturating_sub(SPARE).max(LEAST)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_counter_is_named_as_its_samples_in_the_classic_text() {
        let open = "# HELP calls Calls.\n# TYPE calls counter\ncalls_total{a=\"b\"} 1\n# HELP rss Bytes.\n# TYPE rss gauge\n# UNIT rss bytes\nrss 2\n# EOF\n";
        let text = "# HELP calls_total Calls.\n# TYPE calls_total counter\ncalls_total{a=\"b\"} 1\n# HELP rss Bytes.\n# TYPE rss gauge\nrss 2\n";
        assert_eq!(classic(open), text);
    }

    #[test]
    fn parameters_are_read_as_the_peer_reads_them() {
        for (text, is) in [
            (None, true),
            (Some("1"), true),
            (Some("0"), false),
            (Some("False"), false),
            (Some(""), false),
            (Some("x"), true),
        ] {
            assert_eq!(yes(text), is, "{text:?}");
        }
    }

    #[test]
    fn a_scrape_ends_before_who_asks_gives_up() {
        let mut headers = HeaderMap::new();
        headers.insert(TIMEOUT, "3".parse().unwrap());
        let left = deadline(&headers) - Instant::now();
        assert!(left <= Duration::from_millis(2500) && left > Duration::from_secs(2));
    }
}

//! One request, from its head to its answer.
//!
//! The order of checks is that of Proxmox VE: method, credentials, path, token allowed, permission, node,
//! parameters, handler.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method as Verb, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::auth::{self, Via};
use super::envelope::{self, Body, Connection, Format};
use super::fail::Fail;
use super::forms::{self, Raw};
use crate::calls::qemu::agent;
use crate::calls::{self, Call, Done, Stop, needs};
use crate::faults::{Fired, Seen, Then};
use crate::perm::Who;
use crate::record::Answered;
use crate::schema::{Found, verify};
use crate::shared::{Shared, pause};
use crate::state::World;

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped on order")]
pub(crate) struct Dropped;

/// Bytes that a body may have.
const BODY_LIMIT: u64 = 512 << 10;

/// How long the rest of a refused upload is read.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// How long a guest's agent may take to answer.
const AGENT_LIMIT: Duration = Duration::from_secs(5);

/// What an answer is made of.
struct Answer {
    format: Option<Format>,
    result: Result<(Value, Option<usize>), Fail>,
    close: bool,
}

/// Answers one request; `last` closes the connection afterwards.
pub(crate) async fn request(
    shared: &Arc<Shared>,
    request: Request<Incoming>,
    last: bool,
) -> Result<Response<Body>, Dropped> {
    let (parts, body) = request.into_parts();
    let verb = parts.method.as_str().to_owned();
    let raw_path = parts.uri.path().to_owned();
    let path = api_path(&raw_path);
    let user = auth::claimed(&parts.headers);
    let fired = {
        let now = shared.now();
        shared.faults().strike(&Seen { method: &verb, path: &path, user: &user, now })
    };
    let mut doom = None;
    for fault in &fired {
        match &fault.then {
            Then::DropBefore => {
                record(shared, &verb, &path, &user, Vec::new(), 0, None);
                return Err(Dropped);
            }
            Then::Refuse { status, message } => {
                record(shared, &verb, &path, &user, Vec::new(), *status, None);
                return Ok(envelope::failure(Some(Format::Json), &Fail::with(*status, message.clone())));
            }
            Then::Delay(milliseconds) => pause(Duration::from_millis(*milliseconds)).await,
            Then::TaskFails(text) => doom = Some(text.clone()),
            Then::AnswerLost | Then::Hold | Then::Status(_) => {}
        }
    }
    if !shared.latency.is_zero() {
        pause(shared.latency).await;
    }
    let mut params = Vec::new();
    let answer = answer(shared, &parts, body, doom, &mut params).await;
    let status = answer.result.as_ref().map_or_else(|f| f.status, |_| 200);
    let upid = match &answer.result {
        Ok((Value::String(text), _)) if text.starts_with("UPID:") => Some(text.clone()),
        _ => None,
    };
    record(shared, &verb, &path, &user, params, status, upid);
    shared.changed.notify_waiters();
    if let Some(response) = withhold(fired).await? {
        return Ok(response);
    }
    let connection = if last || answer.close { Connection::Close } else { Connection::Keep };
    Ok(match answer.result {
        Ok((data, total)) => envelope::success(answer.format.unwrap_or(Format::Json), &data, total, connection),
        Err(fail) => envelope::failure(answer.format, &fail),
    })
}

/// The faults that eat an answer which is there.
async fn withhold(fired: Vec<Fired>) -> Result<Option<Response<Body>>, Dropped> {
    for fault in fired {
        match fault.then {
            Then::AnswerLost => return Err(Dropped),
            Then::Hold => {
                let mut gone = fault.gone;
                // Ends when the rule is removed, which drops the sender.
                while gone.changed().await.is_ok() {}
                return Err(Dropped);
            }
            Then::Status(status) => {
                let text = if status == 596 { "Connection timed out" } else { "Broken pipe" };
                return Ok(Some(envelope::failure(None, &Fail::bare(status, text))));
            }
            Then::DropBefore | Then::Refuse { .. } | Then::Delay(_) | Then::TaskFails(_) => {}
        }
    }
    Ok(None)
}

fn record(shared: &Shared, verb: &str, path: &str, user: &str, params: Vec<String>, status: u16, upid: Option<String>) {
    let segments = segments(path);
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    let template = shared.schema.find(verb, &words).map_or("(unknown)", |f| f.method.path.as_str());
    let now = shared.now();
    shared.record().add(Answered { method: verb, template, path, user, params, status, now, upid });
}

/// The path after the format, as rules and traces show it.
fn api_path(raw: &str) -> String {
    let rest = raw.strip_prefix("/api2/").unwrap_or(raw);
    let rest = rest.split_once('/').map_or("", |(_, r)| r);
    let decoded = percent_decode_str(rest).decode_utf8_lossy();
    format!("/{}", decoded.split('/').filter(|s| !s.is_empty()).collect::<Vec<_>>().join("/"))
}

fn segments(path: &str) -> Vec<String> {
    path.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect()
}

async fn answer(
    shared: &Arc<Shared>,
    parts: &Parts,
    body: Incoming,
    doom: Option<String>,
    names: &mut Vec<String>,
) -> Answer {
    let refuse = |format: Option<Format>, fail: Fail| Answer { format, result: Err(fail), close: true };
    let verb = parts.method.clone();
    if ![Verb::GET, Verb::POST, Verb::PUT, Verb::DELETE].contains(&verb) {
        return refuse(None, Fail { message: format!("method '{verb}' not available"), ..silent(501) });
    }
    if let Some(encoding) = parts.headers.get("transfer-encoding").and_then(|v| v.to_str().ok()) {
        let text = if encoding.eq_ignore_ascii_case("chunked") {
            "chunked transfer encoding not supported".to_owned()
        } else {
            format!("Unknown transfer encoding '{encoding}'")
        };
        return refuse(None, Fail::bare(501, text));
    }
    let raw_path = parts.uri.path();
    let Some(after) = raw_path.strip_prefix("/api2/").filter(|a| !a.is_empty()) else {
        return refuse(None, Fail::bare(501, "no such uri"));
    };
    let (format_name, rest) = after.split_once('/').unwrap_or((after, ""));
    let format = Format::from_name(format_name);
    let path = api_path(raw_path);
    let world_free = ["/access/domains", "/access/ticket"].contains(&path.as_str());
    let upload = verb == Verb::POST && path.starts_with("/nodes/") && path.ends_with("/upload");
    let who = if world_free {
        (Who("nobody".to_owned()), Via::Ticket)
    } else {
        let result = {
            let mut world = shared.world();
            world.advance(shared.now());
            auth::authenticate(&world, &parts.headers, verb.as_str(), upload)
        };
        match result {
            Ok(who) => who,
            Err(fail) => {
                shared.punish().await;
                return refuse(None, fail);
            }
        }
    };
    let Some(format) = format else {
        return refuse(None, Fail::bare(501, format!("no formatter for uri /{rest}, {format_name}")));
    };
    if upload && let Err(fail) = may_upload(shared, &path, &who.0) {
        shared.punish().await;
        // Clients that are still sending would see a broken connection, not an answer.
        let _ = tokio::time::timeout(DRAIN_LIMIT, body.collect()).await;
        return refuse(None, fail);
    }
    let (raw, file) = match parameters(parts, body, upload).await {
        Ok(read) => read,
        Err(fail) => return refuse(None, fail),
    };
    names.extend(raw.keys().cloned());
    let outcome = dispatch(shared, &verb, &path, who, raw, file, doom).await;
    let failed_login = path == "/access/ticket" && outcome.as_ref().is_err_and(|f| f.status == 401);
    if failed_login {
        shared.punish().await;
    }
    Answer { format: Some(format), result: outcome, close: upload }
}

/// The right to upload is looked at before the file is read, and refused without a body.
fn may_upload(shared: &Shared, path: &str, who: &Who) -> Result<(), Fail> {
    let words: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    let Some(Found { method, uri }) = shared.schema.find("POST", &words) else { return Ok(()) };
    let world = shared.world();
    needs::check(&world, who, &method.needs, &uri).map_err(|fail| Fail::bare(fail.status, fail.message.trim_end()))
}

fn silent(status: u16) -> Fail {
    Fail { status, message: String::new(), errors: crate::schema::Errors::new(), bare: true }
}

/// Parameters out of the query and the body.
async fn parameters(parts: &Parts, body: Incoming, upload: bool) -> Result<(Raw, Option<Bytes>), Fail> {
    let length: u64 =
        parts.headers.get("content-length").and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok()).unwrap_or(0);
    if length > 0 && (parts.method == Verb::GET || parts.method == Verb::DELETE) {
        return Err(Fail::bare(501, format!("Unexpected content for method '{}'", parts.method)));
    }
    let kind = parts.headers.get("content-type").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let (essence, _) = kind.split_once(';').unwrap_or((&kind, ""));
    let multipart = upload && essence == "multipart/form-data";
    if length > BODY_LIMIT && !multipart {
        return Err(Fail::bare(501, "for data too large"));
    }
    let (mut raw, mut file) = (Raw::new(), None);
    let has_body = parts.method == Verb::POST || parts.method == Verb::PUT;
    if has_body && (length > 0 || essence == "application/json") {
        let bytes = body.collect().await.map_err(|_| Fail::bare(500, "connection lost"))?.to_bytes();
        match essence.trim() {
            "" | "application/x-www-form-urlencoded" => raw = forms::urlencoded(&String::from_utf8_lossy(&bytes)),
            "application/json" => raw = forms::json_body(&bytes)?,
            "multipart/form-data" if multipart => {
                let boundary = kind.split("boundary=").nth(1).unwrap_or_default().trim_matches('"');
                (raw, file) = forms::multipart(boundary, &bytes)?;
            }
            _ => return Err(Fail::bare(506, format!("upload 'Content-Type '{kind}' not implemented"))),
        }
    }
    raw.extend(forms::urlencoded(parts.uri.query().unwrap_or_default()));
    Ok((raw, file))
}

/// Texts of raw parameters, for permission checks that come before verification.
fn texts(raw: &Raw, uri: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut out: BTreeMap<String, String> = raw
        .iter()
        .filter(|(_, v)| !v.is_null())
        .map(|(k, v)| (k.clone(), v.as_str().map_or_else(|| v.to_string(), str::to_owned)))
        .collect();
    out.extend(uri.clone());
    out
}

async fn dispatch(
    shared: &Arc<Shared>,
    verb: &Verb,
    path: &str,
    (who, via): (Who, Via),
    mut raw: Raw,
    file: Option<Bytes>,
    doom: Option<String>,
) -> Result<(Value, Option<usize>), Fail> {
    if path == "/" && *verb == Verb::GET {
        return Ok((calls::names("subdir", &["version", "cluster", "nodes", "storage", "access", "pools"]), None));
    }
    let owned = segments(path);
    let words: Vec<&str> = owned.iter().map(String::as_str).collect();
    let unknown = || Fail::exact(501, format!("Method '{verb} {path}' not implemented"));
    let Found { method, uri } = shared.schema.find(verb.as_str(), &words).ok_or_else(unknown)?;
    for (key, value) in &uri {
        if raw.get(key).is_some_and(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned) != *value) {
            let text = "duplicate parameter (already defined in URI) with conflicting values!";
            return Err(Fail::param(key, text));
        }
    }
    if via == Via::Token && !method.token_allowed {
        let text = format!("URI '{path}' not available with API token, need proper ticket.\n");
        return Err(Fail::forbidden(&text));
    }
    let given = texts(&raw, &uri);
    let down = {
        let mut world = shared.world();
        world.advance(shared.now());
        needs::check(&world, &who, &method.needs, &given)?;
        let node = uri.get("node").filter(|_| method.proxied);
        node_state(&world, node.map(String::as_str))?
    };
    if down {
        pause(shared.scaled(3.0)).await;
        return Err(Fail::bare(595, "No route to host"));
    }
    for (key, value) in uri {
        let value = if key == "node" && value == "localhost" { local(&shared.world()) } else { value };
        raw.insert(key, json!(value));
    }
    let params = verify(shared.schema, method, &raw).map_err(Fail::params)?;
    // A method that is known but not simulated has been checked as far as the tables go.
    let handler = calls::handler(&method.verb, &method.path).ok_or_else(unknown)?;
    let call = Call { schema: shared.schema, method, who: &who, params, file };
    let started = shared.now();
    loop {
        let outcome = {
            let mut world = shared.world();
            world.advance(shared.now());
            world.doomed.clone_from(&doom);
            let outcome = handler(&mut world, &call);
            world.doomed = None;
            outcome
        };
        shared.changed.notify_waiters();
        match outcome {
            Ok(done) => return finish(done).await,
            Err(Stop::Fail(fail)) => return Err(fail),
            Err(Stop::Retry(limit, fail)) => {
                if shared.now() - started >= limit / shared.speed {
                    return Err(fail);
                }
                pause(Duration::from_millis(50)).await;
            }
        }
    }
}

fn local(world: &World) -> String {
    world.nodes.first().map_or_else(String::new, |n| n.name.clone())
}

/// Whether the node of a call is down; unknown nodes fail.
fn node_state(world: &World, node: Option<&str>) -> Result<bool, Fail> {
    let Some(name) = node.filter(|n| *n != "localhost") else { return Ok(false) };
    match world.node(name) {
        Some(node) => Ok(!node.online),
        None => Err(Fail::die(format!(
            "hostname lookup '{name}' failed - failed to get address info for: {name}: Name or service not known"
        ))),
    }
}

/// Does the waiting that a handler asked for.
async fn finish(done: Done) -> Result<(Value, Option<usize>), Fail> {
    match done {
        Done::Now(value) => Ok((value, None)),
        Done::Total(value, total) => Ok((value, Some(total))),
        Done::After(seconds, result) => {
            pause(Duration::from_secs_f64(seconds.max(0.0))).await;
            result.map(|value| (value, None))
        }
        Done::Agent(receiver, asked) => {
            if let Ok(Ok(answer)) = tokio::time::timeout(AGENT_LIMIT, receiver).await {
                return agent::finish(&answer, asked.shape).map(|value| (value, None));
            }
            Err(Fail::die(format!("VM {} qga command '{}' failed - got timeout", asked.vmid, asked.command)))
        }
    }
}

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
use super::encoding::encoded;
use super::envelope::{self, Beside, Body, Connection, Format};
use super::fail::Fail;
use super::forms::{self, Raw};
use super::heads::{NO_REQUEST, NO_VERSION};
use super::note::Note;
use super::struck::{self, Before, Ordered};
use super::work::Work;
use crate::calls::{self, needs};
use crate::faults::Seen;
use crate::perm::Who;
use crate::record::Witness;
use crate::schema::{Found, Method, Schema, verify};
use crate::shared::{Shared, pause};
use crate::state::{World, Writable};

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped on order")]
pub(crate) struct Dropped;

/// What is said of a parameter that a release doesn't know.
const UNDEFINED: &str = "property is not defined in schema and the schema does not allow additional properties";

/// Bytes that a body may have.
const BODY_LIMIT: u64 = 512 << 10;

/// How long the rest of a refused upload is read.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// What an answer is made of.
struct Answer {
    format: Option<Format>,
    result: Result<(Value, Beside), Fail>,
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
    let client = parts.headers.get("user-agent").and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let method = {
        let words: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
        shared.schema.lookup(&verb, &words)
    };
    let mut note = Note {
        shared: Arc::clone(shared),
        verb: verb.clone(),
        method,
        path: path.clone(),
        user,
        client,
        witness: Witness::default(),
    };
    let fired = shared.faults().strike(&Seen { method: &verb, path: &path, user: &note.user, now: &|| shared.now() });
    let mut ordered = match struck::before(shared, &fired, &verb, &path, &mut note.witness).await {
        Before::Go(ordered) => ordered,
        Before::Drop => {
            note.write(0, None);
            return Err(Dropped);
        }
        Before::Fail(fail) => {
            note.write(fail.status, None);
            return Ok(envelope::failure(Some(Format::Json), &fail));
        }
    };
    let latency = shared.latencies().of(&verb, &path);
    if !latency.way.is_zero() {
        pause(latency.way).await;
    }
    ordered.takes = latency.work;
    let mut note = Some(note);
    let answer = answer(shared, &parts, &path, body, ordered, &mut note).await;
    if let Some(note) = note {
        note.end(&answer.result);
    }
    if let Some(response) = struck::withhold(fired).await? {
        return Ok(response);
    }
    let connection = if last || answer.close { Connection::Close } else { Connection::Keep };
    let response = match answer.result {
        Ok((data, beside)) => envelope::success(answer.format.unwrap_or(Format::Json), &data, beside, connection),
        Err(fail) => envelope::failure(answer.format, &fail),
    };
    Ok(encoded(response, &parts.headers).await)
}

/// The path after the format, as rules and traces show it.
fn api_path(raw: &str) -> String {
    let rest = raw.strip_prefix("/api2/").unwrap_or(raw);
    let rest = rest.split_once('/').map_or("", |(_, r)| r);
    let decoded = percent_decode_str(rest).decode_utf8_lossy();
    format!("/{}", decoded.split('/').filter(|s| !s.is_empty()).collect::<Vec<_>>().join("/"))
}

async fn answer(
    shared: &Arc<Shared>,
    parts: &Parts,
    path: &str,
    body: Incoming,
    ordered: Ordered,
    note: &mut Option<Note>,
) -> Answer {
    let refuse = |format: Option<Format>, fail: Fail| Answer { format, result: Err(fail), close: true };
    let verb = parts.method.clone();
    match verb.as_str() {
        NO_REQUEST => return refuse(None, Fail::bare(400, "bad request")),
        NO_VERSION => {
            let version = parts.uri.path().trim_start_matches('/');
            return refuse(None, Fail::bare(506, format!("http protocol version {version} not supported")));
        }
        _ => {}
    }
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
    let world_free = ["/access/domains", "/access/ticket"].contains(&path);
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
    if upload && let Err(fail) = may_upload(shared, path, &who.0) {
        shared.punish().await;
        // Clients that are still sending would see a broken connection, not an answer.
        let _ = tokio::time::timeout(DRAIN_LIMIT, body.collect()).await;
        return refuse(None, fail);
    }
    let (raw, file) = match parameters(parts, body, upload).await {
        Ok(read) => read,
        Err(fail) => return refuse(None, fail),
    };
    if let Some(note) = note.as_mut().filter(|_| verb != Verb::GET) {
        note.witness.params.clone_from(&raw);
        note.witness.file.clone_from(&file);
    }
    let outcome = dispatch(shared, &verb, path, who, (raw, file), ordered, note).await;
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
    (mut raw, file): (Raw, Option<Bytes>),
    mut ordered: Ordered,
    note: &mut Option<Note>,
) -> Result<(Value, Beside), Fail> {
    if path == "/" && *verb == Verb::GET {
        return Ok((
            calls::names("subdir", &["version", "cluster", "nodes", "storage", "access", "pools"]),
            Beside::Nothing,
        ));
    }
    let words: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    let unknown = || Fail::exact(501, format!("Method '{verb} {path}' not implemented"));
    let known = note.as_ref().and_then(|note| note.method);
    let Found { method, uri } = known.map(|method| method.at(&words)).ok_or_else(unknown)?;
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
    let checked = {
        let mut world = shared.world();
        world.advance(shared.now());
        if !world.offers(method) {
            return Err(unknown());
        }
        needs::check(&world, &who, &method.needs, &given)?;
        let node = uri.get("node").filter(|_| method.proxied);
        if node_state(&world, node.map(String::as_str))? { None } else { Some(settled(&world, method, uri, &mut raw)?) }
    };
    let Some(Settled { params, writable, here }) = checked else {
        pause(shared.scaled(3.0)).await;
        return Err(Fail::bare(595, "No route to host"));
    };
    // A method that is known but not simulated has been checked as far as the tables go.
    let handler = calls::handler_of(method).ok_or_else(unknown)?;
    if let Writable::FailsLater(text) = writable? {
        ordered.orders.task_fails = Some(text.to_owned());
    }
    let undefined = raw.iter().filter(|(_, v)| v.is_null()).map(|(name, _)| name.clone()).collect();
    let node = params.get("node").filter(|_| method.proxied).cloned();
    let (local, node) = (node.as_ref().is_none_or(|n| *n == here), node.unwrap_or(here));
    let shared = Arc::clone(shared);
    let work = Work { shared, method, handler, who, params, undefined, file, ordered, node, local, turn: 0 };
    work.done(note).await
}

/// What is known of a call that may be made.
struct Settled {
    params: BTreeMap<String, String>,
    writable: Result<Writable, Fail>,
    /// The node that is spoken to.
    here: String,
}

/// Verifies the parameters; those of the path are added to the raw ones.
fn settled(world: &World, method: &Method, uri: BTreeMap<String, String>, raw: &mut Raw) -> Result<Settled, Fail> {
    let here = world.local_node();
    for (key, value) in uri {
        let value = if key == "node" && value == "localhost" { here.clone() } else { value };
        raw.insert(key, json!(value));
    }
    let params = verify(Schema::get(), method, raw).map_err(Fail::params)?;
    if let Some(name) = params.keys().find(|name| !world.offers_parameter(method, name)) {
        return Err(Fail::param(name, UNDEFINED));
    }
    Ok(Settled { params, writable: world.writable(method), here })
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

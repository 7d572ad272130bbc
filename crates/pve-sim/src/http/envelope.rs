//! Answers: status line with its reason, headers, the envelope of each format.

use std::cell::RefCell;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use hyper::ext::ReasonPhrase;
use serde_json::{Value, json};

use super::fail::Fail;
use super::page::{DOT, escaped, page, viewer};
use crate::shared::clock;

/// The bodies that we send.
pub(crate) type Body = Full<Bytes>;

/// The formats of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    ExtJs,
    HtmlJs,
    Html,
    Png,
    SpiceConfig,
}

impl Format {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "json" => Some(Self::Json),
            "extjs" => Some(Self::ExtJs),
            "htmljs" => Some(Self::HtmlJs),
            "html" => Some(Self::Html),
            "png" => Some(Self::Png),
            "spiceconfig" => Some(Self::SpiceConfig),
            _ => None,
        }
    }
}

/// Whether the connection stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connection {
    Keep,
    Close,
}

fn answer(status: u16, reason: &str, body: Option<(&str, String)>, connection: Connection) -> Response<Body> {
    let (kind, text) = body.map_or(("", String::new()), |(kind, text)| (kind, text));
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let line: Vec<u8> = reason.lines().next().unwrap_or_default().bytes().filter(|b| *b >= 0x20).collect();
    if status != 200
        && let Ok(phrase) = ReasonPhrase::try_from(line)
    {
        response.extensions_mut().insert(phrase);
    }
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set("cache-control", "max-age=0");
    set("pragma", "no-cache");
    set("server", "pve-api-daemon/3.0");
    set("connection", if connection == Connection::Keep { "Keep-Alive" } else { "close" });
    if let Some(date) = date() {
        headers.insert("expires", date);
    }
    if !kind.is_empty()
        && let Ok(kind) = HeaderValue::from_str(kind)
    {
        headers.insert("content-type", kind);
    }
    response
}

/// The time of day as headers have it; written once a second.
fn date() -> Option<HeaderValue> {
    thread_local! {
        static LAST: RefCell<(i64, Option<HeaderValue>)> = const { RefCell::new((0, None)) };
    }
    #[expect(clippy::cast_possible_truncation, reason = "seconds since the epoch fit")]
    let now = clock() as i64;
    LAST.with_borrow_mut(|(second, date)| {
        if *second != now {
            let written = jiff::Timestamp::from_second(now).unwrap_or_default().strftime("%a, %d %b %Y %H:%M:%S GMT");
            (*second, *date) = (now, HeaderValue::from_str(&written.to_string()).ok());
        }
        date.clone()
    })
}

const JSON: &str = "application/json;charset=UTF-8";
const HTML: &str = "text/html;charset=UTF-8";
const VIEWER: &str = "application/x-virt-viewer;charset=UTF-8";

/// What stands beside the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Beside {
    Nothing,
    Total(usize),
    /// What waits to be applied, as a diff.
    Changes(String),
    /// The data is the text of a file with this name.
    File(String),
    /// The data is this, written as JSON already.
    Written(String),
}

/// A good answer.
pub(crate) fn success(format: Format, data: &Value, beside: Beside, connection: Connection) -> Response<Body> {
    if let Beside::File(name) = &beside {
        let text = data.as_str().unwrap_or_default().to_owned();
        let mut response = answer(200, "OK", Some(("text/plain", text)), connection);
        if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
            response.headers_mut().insert("content-disposition", value);
        }
        return response;
    }
    if format == Format::Json && matches!(beside, Beside::Nothing | Beside::Written(_)) {
        // The usual answer is written without a copy of the data.
        let data = if let Beside::Written(text) = beside { text } else { data.to_string() };
        return answer(200, "OK", Some((JSON, format!("{{\"data\":{data}}}"))), connection);
    }
    let written = if let Beside::Written(text) = &beside { serde_json::from_str(text).ok() } else { None };
    let data = written.as_ref().unwrap_or(data);
    let mut body = json!({"data": data});
    match beside {
        Beside::Nothing | Beside::Total(0) | Beside::File(_) | Beside::Written(_) => {}
        Beside::Total(total) => body["total"] = json!(total),
        Beside::Changes(changes) => body["changes"] = json!(changes),
    }
    match format {
        Format::Json => answer(200, "OK", Some((JSON, body.to_string())), connection),
        Format::Html => answer(200, "OK", Some((HTML, page(data, None))), connection),
        Format::SpiceConfig => answer(200, "OK", Some((VIEWER, viewer(data))), connection),
        Format::Png => {
            let mut response = answer(200, "OK", Some(("image/png", String::new())), connection);
            *response.body_mut() = Full::new(Bytes::from_static(DOT));
            response
        }
        Format::ExtJs | Format::HtmlJs => {
            body["success"] = json!(1);
            wrapped(format, &body, connection)
        }
    }
}

fn wrapped(format: Format, body: &Value, connection: Connection) -> Response<Body> {
    if format == Format::HtmlJs {
        let text = escaped(&body.to_string());
        return answer(200, "OK", Some((HTML, text)), connection);
    }
    answer(200, "OK", Some((JSON, body.to_string())), connection)
}

/// A failure. Bare ones have their text as body, those of credentials none.
pub(crate) fn failure(format: Option<Format>, fail: &Fail) -> Response<Body> {
    let Some(format) = format.filter(|_| !fail.bare) else {
        let unknown_verb = fail.message.starts_with("method '");
        let silent = fail.status == 401 || fail.status == 403 || (595..600).contains(&fail.status) || unknown_verb;
        let body = (!silent).then(|| ("", fail.message.clone()));
        return answer(fail.status, &fail.message, body, Connection::Close);
    };
    let mut body = json!({"data": null, "message": fail.message});
    if !fail.errors.is_empty() {
        body["errors"] = json!(fail.errors);
    }
    match format {
        Format::Html => {
            let page = page(&json!(fail.errors), Some(&fail.message));
            return answer(fail.status, &fail.message, Some((HTML, page)), Connection::Close);
        }
        Format::Png => {
            return answer(fail.status, &fail.message, Some(("image/png", String::new())), Connection::Close);
        }
        Format::SpiceConfig => {
            let text = fail.message.clone();
            return answer(fail.status, &fail.message, Some(("text/plain", text)), Connection::Close);
        }
        Format::Json | Format::ExtJs | Format::HtmlJs => {}
    }
    if format == Format::Json {
        return answer(fail.status, &fail.message, Some((JSON, body.to_string())), Connection::Close);
    }
    body["success"] = json!(0);
    // Complaints about parameters carry the status as text.
    body["status"] = if fail.errors.is_empty() { json!(fail.status) } else { json!(fail.status.to_string()) };
    wrapped(format, &body, Connection::Keep)
}

/// A short plain answer outside of all formats.
pub(crate) fn plain(status: u16, text: &str) -> Response<Body> {
    let body = if text.is_empty() { None } else { Some(("", text.to_owned())) };
    answer(status, text, body, Connection::Close)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_reason_is_the_first_line_of_the_message() {
        let response = failure(Some(Format::Json), &Fail::die("VM 101 not running"));
        let phrase = response.extensions().get::<ReasonPhrase>().unwrap();
        assert_eq!(phrase.as_bytes(), b"VM 101 not running");
        assert_eq!(response.headers()["connection"], "close");
    }

    #[test]
    fn extjs_fails_with_status_200() {
        assert_eq!(failure(Some(Format::ExtJs), &Fail::die("no")).status(), 200);
    }
}

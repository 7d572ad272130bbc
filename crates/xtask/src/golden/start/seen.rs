//! A transcript as facts: who asked what of what, and what became of it.

use std::collections::{BTreeMap, HashMap};

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

/// One exchange, read once.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: String,
    /// Segments of the path below the format, decoded.
    pub(super) path: Vec<String>,
    pub(super) query: BTreeMap<String, String>,
    pub(super) form: BTreeMap<String, String>,
    pub(super) status: i64,
    pub(super) reason: String,
    pub(super) note: String,
    pub(super) data: Value,
    /// `user@realm` or `user@realm!token`, empty without credentials.
    pub(super) who: String,
    /// Of a call that started a task: how the task ended, if that was recorded.
    pub(super) exit: Option<String>,
}

fn decoded(s: &str) -> String {
    percent_decode_str(s).decode_utf8_lossy().into_owned()
}

fn word(v: &Value) -> String {
    match v {
        Value::String(s) => s.clone(),
        Value::Array(list) => list.iter().map(word).collect::<Vec<_>>().join(","),
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => v.to_string(),
    }
}

fn words(map: &Map<String, Value>) -> BTreeMap<String, String> {
    map.iter().map(|(k, v)| (k.clone(), word(v))).collect()
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    let plain = |s: &str| decoded(&s.replace('+', " "));
    let split = text.split('&').filter(|p| !p.is_empty()).map(|p| p.split_once('=').unwrap_or((p, "")));
    split.map(|(k, v)| (plain(k), plain(v))).collect()
}

fn who(headers: &Value) -> String {
    let Some(headers) = headers.as_object() else { return String::new() };
    for (name, value) in headers {
        let value = value.as_str().unwrap_or_default();
        if name.eq_ignore_ascii_case("authorization")
            && let Some(rest) = value.strip_prefix("PVEAPIToken")
        {
            let id = rest.trim_start_matches(['=', ' ']);
            return id.split('=').next().unwrap_or_default().to_owned();
        }
        if let Some(user) = super::super::ids::Ids::ticket_users(value).into_iter().next() {
            return user;
        }
    }
    String::new()
}

/// What a request's body says, whatever its form.
fn fields(request: &Value) -> BTreeMap<String, String> {
    if let Some(form) = request["form"].as_object().or(request["json"].as_object()) {
        return words(form);
    }
    let body = request["body"].as_str().unwrap_or_default();
    if let Ok(Value::Object(map)) = serde_json::from_str(body) {
        return words(&map);
    }
    if body.contains("Content-Disposition: form-data") {
        return multipart(body);
    }
    pairs(body)
}

fn multipart(body: &str) -> BTreeMap<String, String> {
    let quoted = |s: &str, key: &str| {
        let (_, rest) = s.split_once(&format!(" {key}=\""))?;
        rest.split_once('"').map(|(v, _)| v.to_owned())
    };
    let part = |p: &str| {
        let (head, value) = p.split_once("\r\n\r\n")?;
        let value =
            quoted(head, "filename").unwrap_or_else(|| value.split("\r\n--").next().unwrap_or_default().to_owned());
        Some((quoted(head, "name")?, value))
    };
    body.split("Content-Disposition: form-data;").skip(1).filter_map(part).collect()
}

impl Seen {
    fn new(item: &Value) -> Self {
        let (request, response) = (&item["request"], &item["response"]);
        let path = request["path"].as_str().unwrap_or_default();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let below = path.strip_prefix("/api2/").and_then(|p| p.split_once('/')).map_or("", |(_, rest)| rest);
        let str_of = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let body = &response["body"];
        let (mut status, mut reason) = (response["status"].clone(), str_of(&response["reason"]));
        if body["success"] == 0 {
            // In this envelope a failure is a good answer.
            let told = &body["status"];
            status = told.as_str().and_then(|t| t.parse::<i64>().ok()).map_or_else(|| told.clone(), Value::from);
            let message = body["message"].as_str().unwrap_or_default();
            message.lines().next().unwrap_or_default().clone_into(&mut reason);
        }
        Self {
            method: str_of(&request["method"]),
            path: below.split('/').filter(|s| !s.is_empty()).map(decoded).collect(),
            query: pairs(query),
            form: fields(request),
            status: status.as_i64().unwrap_or(0),
            reason,
            note: str_of(&item["note"]),
            data: response["body"]["data"].clone(),
            who: who(&request["headers"]),
            exit: None,
        }
    }

    pub(super) fn is(&self, method: &str) -> bool {
        self.method == method
    }

    pub(super) fn ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// It was answered well, and the task that it started did not fail as far as is known.
    pub(super) fn done(&self) -> bool {
        self.ok() && self.exit.as_deref().is_none_or(|e| e == "OK" || e.starts_with("WARNINGS"))
    }

    pub(super) fn part(&self, at: usize) -> &str {
        self.path.get(at).map_or("", String::as_str)
    }

    /// The path below the node, for guests and storages: `qemu/100/config`.
    pub(super) fn on_node(&self) -> Option<&[String]> {
        (self.part(0) == "nodes").then(|| self.path.get(2..)).flatten()
    }

    /// The guest that the path names, and what below it is meant.
    pub(super) fn guest(&self) -> Option<(&str, u32, &[String])> {
        let rest = self.on_node()?;
        let kind = rest.first().map(String::as_str).filter(|k| matches!(*k, "qemu" | "lxc"))?;
        Some((kind, rest.get(1)?.parse().ok()?, rest.get(2..).unwrap_or_default()))
    }

    /// What the server said when it refused.
    pub(super) fn refusal(&self) -> String {
        self.exit.clone().filter(|e| e != "OK").unwrap_or_else(|| self.reason.clone())
    }
}

/// All exchanges, with the ends of their tasks.
pub(super) fn read(items: &[Value]) -> Vec<Seen> {
    let mut seen: Vec<Seen> = items.iter().map(Seen::new).collect();
    let mut ends: HashMap<String, String> = HashMap::new();
    for one in &seen {
        if let (Some(upid), Some(exit)) = (one.data["upid"].as_str(), one.data["exitstatus"].as_str()) {
            ends.insert(upid.to_owned(), exit.to_owned());
        }
    }
    for one in &mut seen {
        one.exit = one.data.as_str().and_then(|upid| ends.get(upid)).cloned();
    }
    seen
}

//! One request and its answer, in comparable form.

use std::collections::HashMap;
use std::sync::OnceLock;

use percent_encoding::percent_decode_str;
use regex_lite::Regex;
use serde_json::{Value, json};

use super::plain::{UPID, canonical, text};

/// By what exchanges are aligned.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) note: String,
    pub(super) form: String,
}

/// One exchange.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(super) note: String,
    pub(super) method: String,
    pub(super) path: String,
    form: Value,
    pub(super) status: Option<i64>,
    pub(super) reason: String,
    body: Value,
    text: String,
    /// Of a task's status or log: where the call that started it stands.
    pub(super) starter: Option<usize>,
    pub(super) words: String,
    pub(super) key: Key,
}

/// What went wrong, as the answer tells it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trouble {
    pub(super) errors: Value,
    pub(super) message: String,
}

pub(super) fn unquote(s: &str) -> String {
    percent_decode_str(s).decode_utf8_lossy().into_owned()
}

fn str_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A value as the recordings' own tools print it in texts.
pub(super) fn printed(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(s) => s.clone(),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn pattern(cell: &'static OnceLock<Option<Regex>>, pattern: &str) -> Option<&'static Regex> {
    cell.get_or_init(|| Regex::new(pattern).ok()).as_ref()
}

/// The first task's id in a text.
pub(super) fn upid_in(s: &str) -> Option<&str> {
    static UPIDS: OnceLock<Option<Regex>> = OnceLock::new();
    if !s.contains("UPID:") {
        return None;
    }
    pattern(&UPIDS, UPID)?.find(s).map(|m| m.as_str())
}

/// The first answer of a raw socket, taken apart.
fn from_raw(raw: &str) -> Value {
    let (head, body) = raw.split_once("\r\n\r\n").unwrap_or((raw, ""));
    let line = head.split("\r\n").next().unwrap_or_default();
    let status = line.strip_prefix("HTTP/").and_then(|rest| {
        let (version, rest) = rest.split_once(' ')?;
        let (major, minor) = version.split_once('.')?;
        let number = |s: &str| s.len() == 1 && s.bytes().all(|b| b.is_ascii_digit());
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let status: i64 = rest[..digits].parse().ok()?;
        let reason = rest[digits..].strip_prefix(' ').unwrap_or(&rest[digits..]);
        (number(major) && number(minor)).then(|| (status, reason.to_owned()))
    });
    let length = head.split("\r\n").skip(1).find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
    });
    let body: String = length.map_or_else(|| body.to_owned(), |n| body.chars().take(n).collect());
    let mut out = match status {
        Some((status, reason)) => json!({"status": status, "reason": reason}),
        None => json!({"status": null, "reason": "no answer"}),
    };
    match serde_json::from_str::<Value>(&body) {
        Ok(value) => out["body"] = value,
        Err(_) => out["body_text"] = json!(body),
    }
    out
}

impl Exchange {
    fn new(item: &Value) -> Self {
        let note = text(item["note"].as_str().unwrap_or_default());
        let (mut request, mut response) = (item["request"].clone(), item["response"].clone());
        if let Some(observed) = item.get("observed") {
            // Only the entry of one guest was kept.
            let entry = &observed["cluster_resources_entry"];
            let empty = entry.is_null() || entry.as_object().is_some_and(serde_json::Map::is_empty);
            let data = if empty { json!([]) } else { json!([entry]) };
            request = json!({"method": "GET", "path": "/api2/json/cluster/resources?type=vm"});
            response = json!({"status": 200, "reason": "OK", "body": {"data": data}});
        }
        if request.get("raw").is_some() {
            response = from_raw(response["raw"].as_str().unwrap_or_default());
            request = json!({"method": "RAW", "path": note});
        }
        let form = ["form", "json", "body"].iter().find_map(|k| request.get(*k)).cloned().unwrap_or_default();
        let (method, path) = (str_of(&request["method"]), str_of(&request["path"]));
        let empty = match &form {
            Value::Null => true,
            Value::String(s) => s.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::Array(list) => list.is_empty(),
            Value::Bool(b) => !b,
            Value::Number(n) => n.as_f64() == Some(0.0),
        };
        let words = format!("{} {}", unquote(&path), if empty { String::new() } else { form.to_string() });
        Self {
            status: response["status"].as_i64(),
            reason: text(response["reason"].as_str().unwrap_or_default()),
            body: response["body"].clone(),
            text: str_of(&response["body_text"]),
            starter: None,
            words: without_ranges(&words),
            key: Key { method: method.clone(), path: String::new(), note: String::new(), form: String::new() },
            note,
            method,
            path,
            form,
        }
    }

    fn data(&self) -> &Value {
        &self.body["data"]
    }

    /// The task that the answer names.
    pub(super) fn upid(&self) -> Option<&str> {
        let data = self.data().as_str()?;
        data.starts_with("UPID:").then(|| upid_in(data)).flatten().filter(|found| data.starts_with(found)).map(|_| data)
    }

    pub(super) fn failed(&self) -> bool {
        self.status.is_none_or(|s| s >= 400)
    }

    pub(super) fn trouble(&self) -> Trouble {
        let Value::Object(body) = &self.body else {
            return Trouble { errors: Value::Null, message: text(&self.text) };
        };
        let errors = match body.get("errors") {
            Some(Value::Object(errors)) => json!(errors.keys().collect::<Vec<_>>()),
            other => other.cloned().unwrap_or_default(),
        };
        Trouble { errors, message: text(body.get("message").and_then(Value::as_str).unwrap_or_default()) }
    }

    /// The body without its error part; a text that is not JSON counts as there or not.
    pub(super) fn rest(&self) -> Value {
        match &self.body {
            Value::Object(body) => {
                let kept = body.iter().filter(|(k, _)| !matches!(k.as_str(), "errors" | "message"));
                Value::Object(kept.map(|(k, v)| (k.clone(), v.clone())).collect())
            }
            Value::Null if self.text.is_empty() => Value::Null,
            Value::Null => json!("text"),
            other => other.clone(),
        }
    }

    pub(super) fn is_task_status(&self) -> bool {
        let mut parts = self.path.rsplit('/');
        let named = parts.next() == Some("status") && parts.next().is_some_and(|p| !p.is_empty());
        named && parts.next() == Some("tasks") && self.data().is_object()
    }

    /// How the task ended.
    pub(super) fn exit(&self) -> Option<String> {
        self.data().is_object().then(|| text(&printed(&self.data()["exitstatus"])))
    }

    pub(super) fn status_text(&self) -> String {
        self.status.map_or_else(|| "None".to_owned(), |s| s.to_string())
    }

    pub(super) fn label(&self) -> String {
        let note = if self.note.is_empty() { String::new() } else { format!(" # {}", self.note) };
        format!("{} {}{note}", self.method, unquote(&self.path))
    }

    pub(super) fn outcome(&self) -> String {
        format!("{} => {} {}", self.label(), self.status_text(), self.reason)
    }
}

/// The range in which a free number is asked for names no guest.
fn without_ranges(words: &str) -> String {
    static RANGES: OnceLock<Option<Regex>> = OnceLock::new();
    if !words.contains("er=") {
        return words.to_owned();
    }
    pattern(&RANGES, r"\b(lower|upper)=\d+").map_or_else(|| words.to_owned(), |r| r.replace_all(words, "").into_owned())
}

/// The exchanges of a transcript, each with the key by which it is aligned.
pub(super) fn load(items: &[Value]) -> Vec<Exchange> {
    let mut items = in_order(items.iter().map(Exchange::new).collect());
    let mut started: HashMap<String, usize> = HashMap::new();
    for at in 0..items.len() {
        let whole = unquote(&items[at].path);
        let (base, query) = whole.split_once('?').unwrap_or((&whole, ""));
        let mut base = base.to_owned();
        if let Some(found) = upid_in(&base).map(str::to_owned) {
            let starter = started.get(&found).copied();
            let name = starter.map_or_else(|| "UPID".to_owned(), |s| joined(&items[s].key));
            base = base.replace(&found, &format!("<{name}>"));
            items[at].starter = starter;
        }
        let query = sorted_query(query);
        let x = &items[at];
        let form = match &x.form {
            _ if x.note.starts_with("concurrent") => String::new(),
            Value::String(s) => s.clone(),
            form => canonical(form, None).to_string(),
        };
        let path = text(&if query.is_empty() { base } else { format!("{base}?{query}") });
        let key = Key { method: x.method.clone(), path, note: without_brackets(&x.note), form: text(&form) };
        if let Some(upid) = x.upid().filter(|_| x.method != "GET") {
            started.entry(upid.to_owned()).or_insert(at);
        }
        items[at].key = key;
    }
    items
}

fn joined(key: &Key) -> String {
    [key.method.as_str(), &key.path, &key.note, &key.form].join(" ")
}

/// Remarks in brackets were edited after recording.
fn without_brackets(note: &str) -> String {
    match (note.find(" ("), note.rfind(')')) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &note[..from], &note[to + 1..]),
        _ => note.to_owned(),
    }
}

fn sorted_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|p| !p.is_empty())
        .map(|p| p.split_once('=').unwrap_or((p, "")))
        .map(|(k, v)| (unquote(&k.replace('+', " ")), unquote(&v.replace('+', " "))))
        .collect();
    pairs.sort();
    let value = |k: &str, v: &str| {
        if k == "pid" && v.bytes().all(|b| b.is_ascii_digit()) { "N".to_owned() } else { v.to_owned() }
    };
    pairs.iter().map(|(k, v)| format!("{k}={}", value(k, v))).collect::<Vec<_>>().join("&")
}

/// Threads finish in any order: a run of `concurrent …` exchanges, each with its tasks, is sorted by outcome.
fn in_order(items: Vec<Exchange>) -> Vec<Exchange> {
    let (mut out, mut run): (Vec<Exchange>, Vec<Vec<Exchange>>) = (Vec::new(), Vec::new());
    let flush = |run: &mut Vec<Vec<Exchange>>, out: &mut Vec<Exchange>| {
        run.sort_by_key(|group| {
            let first = group.first();
            (group.len(), first.and_then(|x| x.status).unwrap_or(0), first.map(|x| x.reason.clone()))
        });
        out.extend(run.drain(..).flatten());
    };
    for item in items {
        if item.note.starts_with("concurrent") {
            run.push(vec![item]);
        } else if let Some(group) = run.last_mut().filter(|_| item.path.contains("/tasks/")) {
            group.push(item);
        } else {
            flush(&mut run, &mut out);
            out.push(item);
        }
    }
    flush(&mut run, &mut out);
    out
}

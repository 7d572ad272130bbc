//! Parameters out of query strings, forms, JSON bodies and multipart uploads.
//!
//! Promises the quirks: pairs end at `&` or `;`, only what stands between the first two `=` is the value,
//! repeated keys become arrays, `_dc` is dropped.

use std::collections::BTreeMap;

use bytes::Bytes;
use percent_encoding::percent_decode;
use serde_json::{Value, json};

use super::fail::Fail;

/// Parameters that nobody verified yet.
pub(crate) type Raw = BTreeMap<String, Value>;

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode(spaced.as_bytes()).decode_utf8_lossy().into_owned()
}

/// A form or a query string.
pub(crate) fn urlencoded(text: &str) -> Raw {
    let mut raw = Raw::new();
    for pair in text.split(['&', ';']).filter(|p| !p.is_empty()) {
        let mut parts = pair.split('=');
        let key = decode(parts.next().unwrap_or_default());
        if key == "_dc" {
            continue;
        }
        // An empty value is undefined: there, but worth nothing.
        let value = parts.next().filter(|v| !v.is_empty()).map_or(Value::Null, |v| json!(decode(v)));
        match raw.get_mut(&key) {
            Some(Value::Array(words)) => words.push(json!(value)),
            Some(other) => *other = json!([other.clone(), value]),
            None => {
                raw.insert(key, value);
            }
        }
    }
    raw
}

const HERE: &str = "at /usr/share/perl5/PVE/APIServer/AnyEvent.pm line";

/// What the parser of Proxmox VE says of a text that is no JSON: what was expected, where, before what.
fn malformed(text: &str, error: &serde_json::Error) -> Fail {
    let what = error.to_string();
    let says = |word: &str| what.contains(word);
    let expected = match () {
        () if says("EOF while parsing an object") || says("expected `,` or `}`") => {
            ", or } expected while parsing object/hash"
        }
        () if says("EOF while parsing a list") || says("expected `,` or `]`") => ", or ] expected while parsing array",
        () if says("EOF while parsing a string") => "unexpected end of string while parsing JSON string",
        () if says("expected `:`") => "':' expected",
        () if says("key must be a string") => "'\"' expected",
        () if says("trailing characters") => "garbage after JSON object,",
        () => "malformed JSON string, neither tag, array, object, number, string or atom",
    };
    let before: usize = text.lines().take(error.line().saturating_sub(1)).map(|l| l.chars().count() + 1).sum();
    let column = if error.is_eof() { error.column() } else { error.column().saturating_sub(1) };
    let offset = (before + column).min(text.chars().count());
    let rest: String = text.chars().skip(offset).take(20).collect();
    let rest = if rest.is_empty() { "(end of string)" } else { &rest };
    let expected = expected.trim_end_matches(',');
    Fail::bare(500, format!("{expected}, at character offset {offset} (before \"{rest}\") {HERE} 934.\n"))
}

/// A JSON body.
pub(crate) fn json_body(bytes: &[u8]) -> Result<Raw, Fail> {
    let text = String::from_utf8_lossy(bytes);
    let value: Value = serde_json::from_str(&text).map_err(|error| malformed(&text, &error))?;
    let no_hash = |word: &str| {
        let text = format!("Can't use string (\"{word}\") as a HASH ref while \"strict refs\" in use {HERE} 978.\n");
        Err(Fail::bare(500, text))
    };
    match value {
        Value::Object(map) => Ok(map.into_iter().collect()),
        Value::Null => Ok(Raw::new()),
        Value::String(word) => no_hash(&word.chars().take(32).collect::<String>()),
        Value::Number(number) => no_hash(&number.to_string()),
        Value::Array(_) | Value::Bool(_) => Err(Fail::bare(500, format!("Not a HASH reference {HERE} 978.\n"))),
    }
}

/// An upload: its fields and its file.
pub(crate) fn multipart(boundary: &str, body: &Bytes) -> Result<(Raw, Option<Bytes>), Fail> {
    let mut raw = Raw::new();
    let mut file = None;
    let delimiter = format!("--{boundary}");
    let mut at = find(body, delimiter.as_bytes(), 0).ok_or_else(|| Fail::bare(500, "no boundary"))?;
    loop {
        at += delimiter.len();
        if body[at..].starts_with(b"--") {
            return Ok((raw, file));
        }
        at += if body[at..].starts_with(b"\r\n") { 2 } else { 0 };
        let Some(head_end) = find(body, b"\r\n\r\n", at) else { return Ok((raw, file)) };
        let head = String::from_utf8_lossy(&body[at..head_end]).into_owned();
        let start = head_end + 4;
        let next = format!("\r\n{delimiter}");
        let Some(end) = find(body, next.as_bytes(), start) else { return Ok((raw, file)) };
        let disposition = head.lines().next().unwrap_or_default().to_owned();
        let name = attribute(&disposition, "name");
        match attribute(&disposition, "filename") {
            Some(filename) => {
                let name = name.unwrap_or_default();
                if name != "filename" {
                    let text = format!("wrong field name '{name}' for file upload, expected 'filename'");
                    return Err(Fail::bare(500, text));
                }
                raw.insert("filename".to_owned(), json!(filename));
                file = Some(body.slice(start..end));
            }
            None => {
                if let Some(name) = name {
                    raw.insert(name, json!(String::from_utf8_lossy(&body[start..end])));
                }
            }
        }
        at = end + 2;
    }
}

fn find(body: &[u8], what: &[u8], from: usize) -> Option<usize> {
    let first = *what.first()?;
    let mut at = from;
    while at + what.len() <= body.len() {
        let next = body[at..].iter().position(|b| *b == first)? + at;
        if body[next..].starts_with(what) {
            return Some(next);
        }
        at = next + 1;
    }
    None
}

fn attribute(head: &str, name: &str) -> Option<String> {
    head.split(';')
        .filter_map(|p| p.trim().split_once('='))
        .find(|(k, _)| *k == name)
        .map(|(_, v)| v.trim_matches('"').to_owned())
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn an_equals_sign_that_is_not_encoded_cuts_the_value() {
        assert_eq!(urlencoded("scsi0=local:1,ssd=1")["scsi0"], json!("local:1,ssd"));
        assert_eq!(urlencoded("scsi0=local:1%2Cssd%3D1")["scsi0"], json!("local:1,ssd=1"));
    }

    #[test]
    fn a_repeated_key_becomes_an_array_and_the_cache_buster_vanishes() {
        let raw = urlencoded("command=sh&command=-c;command=x&_dc=1");
        assert_eq!(raw["command"], json!(["sh", "-c", "x"]));
        assert_eq!(raw.len(), 1);
    }

    #[test]
    fn what_has_no_value_is_there_but_undefined() {
        let raw = urlencoded("cores&name=&memory=5");
        assert_eq!((&raw["cores"], &raw["name"], &raw["memory"]), (&Value::Null, &Value::Null, &json!("5")));
    }

    #[test]
    fn what_is_no_json_is_said_with_its_place() {
        let said = |text: &str| json_body(text.as_bytes()).unwrap_err().message;
        assert!(said("[1").starts_with(", or ] expected while parsing array, at character offset 2 (before \"(end of"));
        assert!(said("{} x").starts_with("garbage after JSON object, at character offset 3 (before \"x\")"));
        assert!(said("7").starts_with("Can't use string (\"7\") as a HASH ref"));
        assert!(said("").starts_with("malformed JSON string, neither tag, array"));
    }

    #[test]
    fn an_upload_has_fields_and_one_file() {
        let body = Bytes::from_static(
            b"--B\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\niso\r\n--B\r\nContent-Disposition: \
              form-data; name=\"filename\"; filename=\"x.iso\"\r\nContent-Type: x/y\r\n\r\nda\r\nta\r\n--B--\r\n",
        );
        let (raw, file) = multipart("B", &body).unwrap();
        assert_eq!(raw["content"], json!("iso"));
        assert_eq!(raw["filename"], json!("x.iso"));
        assert_eq!(file.unwrap(), Bytes::from_static(b"da\r\nta"));
    }
}

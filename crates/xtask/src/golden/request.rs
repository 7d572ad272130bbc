//! A recorded request as the bytes that go out, with the server's words replaced by ours.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::ids::{ENCODED, Ids};

/// What forms leave unencoded; blanks become `+`.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b' ');

/// What is wrong with the credentials of a request, on purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Spoiled {
    pub(crate) credentials: bool,
    pub(crate) csrf: bool,
    /// The secret before the newest.
    pub(crate) outdated: bool,
}

impl Spoiled {
    /// Placeholders hide what was wrong; the answer and the note tell.
    pub(crate) fn of(item: &Value) -> Self {
        let response = &item["response"];
        let raw = response["raw"].as_str().unwrap_or_default();
        if response["status"].as_i64() != Some(401) && !raw.starts_with("HTTP/1.1 401") {
            return Self::default();
        }
        let note = item["note"].as_str().unwrap_or_default().to_lowercase();
        let has = |words: &[&str]| words.iter().any(|w| note.contains(w));
        if response["reason"].as_str().unwrap_or_default().contains("csrf") || raw.contains("csrf") {
            return Self { csrf: true, ..Self::default() };
        }
        let outdated = has(&["old secret", "former secret", "previous secret", "old token", "before regenerat"]);
        let credentials = has(&["wrong", "invalid", "bad ", "tampered", "forged", "altered", "garbage", "modified"]);
        Self { credentials: credentials && !outdated, csrf: false, outdated }
    }
}

/// A request, ready to go.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) bytes: Vec<u8>,
    pub(crate) tls: bool,
    pub(crate) raw: bool,
    /// The path as it was sent, for the record.
    pub(crate) path: String,
}

/// Replaces the placeholders of a header's value.
fn header(name: &str, value: &str, ids: &Ids, spoiled: Spoiled) -> String {
    if name.eq_ignore_ascii_case("csrfpreventiontoken") {
        return value.to_owned();
    }
    secrets(&tickets(value, ids, spoiled), ids, spoiled)
}

const UNKNOWN_SECRET: &str = "00000000-0000-4000-8000-000000000000";

/// `PVEAPIToken=user@realm!id=<secret>` with the secret that we know.
fn secrets(value: &str, ids: &Ids, spoiled: Spoiled) -> String {
    let Some((scheme, rest)) = ["PVEAPIToken=", "PVEAPIToken ", "pveapitoken="]
        .iter()
        .find_map(|s| value.strip_prefix(s).map(|rest| (*s, rest)))
    else {
        return value.to_owned();
    };
    let Some((id, shown)) = rest.split_once('=').or_else(|| rest.split_once(':')) else { return value.to_owned() };
    let separator = if rest[id.len()..].starts_with(':') { ":" } else { "=" };
    let known = ids.secret(id, usize::from(spoiled.outdated)).unwrap_or(UNKNOWN_SECRET);
    let secret = match shown {
        "<secret>" if spoiled.credentials => UNKNOWN_SECRET.to_owned(),
        "<secret>" => known.to_owned(),
        // Left in the recording because it was changed: in capitals.
        other if other.len() == 36 && other == other.to_uppercase() => known.to_uppercase(),
        other => other.to_owned(),
    };
    format!("{scheme}{id}{separator}{secret}")
}

/// Tickets of the recording, by ours of the same user.
fn tickets(value: &str, ids: &Ids, spoiled: Spoiled) -> String {
    let mut out = value.to_owned();
    for user in Ids::ticket_users(value) {
        let ours = ids.session(&user).map(|s| s.ticket.clone()).unwrap_or_default();
        let ours =
            if ours.is_empty() || spoiled.credentials { format!("PVE:{user}:00000000::c3BvaWxlZA==") } else { ours };
        let plain = format!("PVE:{user}:<time>::<signature>");
        if out.contains(&plain) {
            out = out.replace(&plain, &ours);
        } else if let Some(at) = out.find("PVE%3A") {
            let end = out[at..].find([';', ' ', '&']).map_or(out.len(), |n| at + n);
            out.replace_range(at..end, &utf8_percent_encode(&ours, ENCODED).to_string());
        }
    }
    out
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, FORM).to_string().replace(' ', "+")
}

/// A value that was too long for the recording: `xxx…<9000 characters in all>`.
fn whole(text: &str) -> String {
    let Some((shown, rest)) = text.split_once("…<") else { return text.to_owned() };
    let Some(count) = rest.strip_suffix(" characters in all>").and_then(|n| n.parse::<usize>().ok()) else {
        return text.to_owned();
    };
    let last = shown.chars().next_back().unwrap_or('x');
    let missing = count.saturating_sub(shown.chars().count());
    shown.chars().chain(std::iter::repeat_n(last, missing)).collect()
}

/// Passwords and tickets in a value.
fn value(text: &str, ids: &Ids) -> String {
    let mut out = ids.ours(&whole(text));
    for (shown, user) in [("<root password>", "root@pam"), ("<user password>", "k8s@pve")] {
        if let Some(password) = ids.password(user).filter(|_| out.contains(shown)) {
            out = out.replace(shown, password);
        }
    }
    if out.contains("PVE:") { tickets(&out, ids, Spoiled::default()) } else { out }
}

fn word(v: &Value) -> String {
    match v {
        Value::String(s) => s.clone(),
        Value::Null => "None".to_owned(),
        Value::Bool(b) => if *b { "True" } else { "False" }.to_owned(),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => v.to_string(),
    }
}

fn form(fields: &serde_json::Map<String, Value>, ids: &Ids) -> String {
    let mut pairs = Vec::new();
    for (key, v) in fields {
        let all = v.as_array().map_or_else(|| vec![v], |list| list.iter().collect());
        pairs.extend(all.into_iter().map(|v| format!("{}={}", encoded(key), encoded(&value(&word(v), ids)))));
    }
    pairs.join("&")
}

/// The bytes of a file that the recording left out: as many, and their sum wherever theirs stood.
fn body(text: &str, multipart: bool, ids: &Ids) -> Vec<u8> {
    let text = value(text, ids);
    let latin = |s: &str| -> Vec<u8> {
        let narrow = multipart.then(|| s.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<Vec<u8>>>());
        narrow.flatten().unwrap_or_else(|| s.as_bytes().to_vec())
    };
    let Some((before, rest)) = text.split_once('<').and_then(|_| {
        let at = text.find(" file bytes left out, sha256 ")?;
        let open = text[..at].rfind('<')?;
        Some((text[..open].to_owned(), text[open + 1..].to_owned()))
    }) else {
        return latin(&text);
    };
    let count: usize = rest.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let (shown, after) = rest.split_once('>').unwrap_or((&rest, ""));
    let theirs = shown.rsplit(' ').next().unwrap_or_default();
    let bytes = vec![b'x'; count];
    let sum = hex::encode(Sha256::digest(&bytes));
    [latin(&before.replace(theirs, &sum)), bytes, latin(after)].concat()
}

/// The bytes of a recorded request.
pub(crate) fn outgoing(item: &Value, ids: &Ids) -> Outgoing {
    let request = &item["request"];
    let spoiled = Spoiled::of(item);
    if let Some(raw) = request["raw"].as_str() {
        let user = Ids::ticket_users(raw).into_iter().next().unwrap_or_default();
        let csrf = ids.session(&user).map(|s| s.csrf.clone()).unwrap_or_default();
        let text = tickets(raw, ids, spoiled).replace("<time>:<signature>", &csrf);
        let tls = request["tls"].as_bool().unwrap_or(true);
        return Outgoing { bytes: text.into_bytes(), tls, raw: true, path: String::new() };
    }
    let method = request["method"].as_str().unwrap_or("GET");
    let path = ids.ours_in_path(request["path"].as_str().unwrap_or("/"));
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: pve1:8006\r\n");
    let mut kind = String::new();
    let mut recorded = request["headers"].as_object().cloned().unwrap_or_default();
    let named = |name: &str| recorded.keys().any(|k| k.eq_ignore_ascii_case(name));
    let open = ["/access/ticket", "/access/domains"].iter().any(|p| path.contains(p));
    if !named("cookie")
        && !named("authorization")
        && !open
        && item["response"]["status"].as_i64().is_some_and(|s| s != 401)
    {
        // Let in without a word of who it was: the recorder left its own credentials out.
        recorded.insert("Cookie".to_owned(), "PVEAuthCookie=PVE:root@pam:<time>::<signature>".into());
        recorded.insert("CSRFPreventionToken".to_owned(), "<time>:<signature>".into());
    }
    let all: String = recorded.values().filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
    let user = Ids::ticket_users(&all).into_iter().next().unwrap_or_else(|| "root@pam".to_owned());
    for (name, v) in &recorded {
        let mut v = header(name, v.as_str().unwrap_or_default(), ids, spoiled);
        if name.eq_ignore_ascii_case("csrfpreventiontoken") && v == "<time>:<signature>" {
            v = match ids.session(&user) {
                Some(session) if !spoiled.csrf => session.csrf.clone(),
                _ => "00000000:c3BvaWxlZHNwb2lsZWRzcG9pbGVkc3BvaWxlZA".to_owned(),
            };
        }
        if name.eq_ignore_ascii_case("content-type") {
            kind.clone_from(&v);
        }
        let _ = write!(head, "{name}: {v}\r\n");
    }
    let sent = match (&request["form"], request.get("json"), request["body"].as_str()) {
        (Value::Object(fields), _, _) => Some(form(fields, ids).into_bytes()),
        (_, Some(json), _) if !json.is_null() => Some(value(&json.to_string(), ids).into_bytes()),
        (_, _, Some(text)) => Some(body(text, kind.starts_with("multipart/"), ids)),
        _ => None,
    };
    if request["form"].is_object() && kind.is_empty() {
        head += "Content-Type: application/x-www-form-urlencoded\r\n";
    }
    let mut bytes = match &sent {
        Some(body) => format!("{head}Content-Length: {}\r\n\r\n", body.len()),
        None if ["POST", "PUT", "PATCH"].contains(&method) => format!("{head}Content-Length: 0\r\n\r\n"),
        None => format!("{head}\r\n"),
    }
    .into_bytes();
    bytes.extend(sent.unwrap_or_default());
    Outgoing { bytes, tls: true, raw: false, path }
}

#[cfg(test)]
mod test {
    use serde_json::json;

    use super::super::ids::Session;
    use super::*;

    fn ids() -> Ids {
        let mut ids = Ids::default();
        ids.set_session("u@pve", Session { ticket: "PVE:u@pve:6A::S=".to_owned(), csrf: "6A:C".to_owned() });
        ids.set_secret("u@pve!t", "abcdef00-0000-4000-8000-00000000000a");
        ids
    }

    fn sent(item: &Value) -> String {
        String::from_utf8(outgoing(item, &ids()).bytes).unwrap()
    }

    fn with_header(name: &str, value: &str, note: &str, status: u16) -> String {
        sent(&json!({"note": note, "response": {"status": status},
            "request": {"method": "GET", "path": "/x", "headers": {name: value}}}))
    }

    #[test]
    fn placeholders_become_what_our_server_gave() {
        let ticket = with_header("Cookie", "a=b; PVEAuthCookie=PVE:u@pve:<time>::<signature>", "", 200);
        assert!(ticket.contains("Cookie: a=b; PVEAuthCookie=PVE:u@pve:6A::S=\r\n"), "{ticket}");
        let token = with_header("Authorization", "PVEAPIToken=u@pve!t=<secret>", "", 200);
        assert!(token.contains("!t=abcdef00-0000-4000-8000-00000000000a\r\n"), "{token}");
        let encoded = with_header("Cookie", "PVEAuthCookie=PVE%3Au%40pve%3A6B%3A%3AXX%3D", "", 200);
        assert!(encoded.contains("PVEAuthCookie=PVE%3Au%40pve%3A6A%3A%3AS%3D\r\n"), "{encoded}");
    }

    #[test]
    fn values_that_were_too_long_for_a_recording_are_as_long_again() {
        assert_eq!(whole("ab…<5 characters in all>"), "abbbb");
        assert_eq!(whole("a…b"), "a…b");
    }

    #[test]
    fn what_was_wrong_on_purpose_stays_wrong() {
        let wrong = with_header("Authorization", "PVEAPIToken=u@pve!t=<secret>", "wrong secret", 401);
        assert!(wrong.contains(UNKNOWN_SECRET), "{wrong}");
        let refused = with_header("Authorization", "PVEAPIToken=u@pve!t=<secret>", "user disabled", 401);
        assert!(!refused.contains(UNKNOWN_SECRET), "{refused}");
    }

    #[test]
    fn forms_repeat_keys_for_lists_and_bodies_get_their_bytes_back() {
        let form = sent(&json!({"request": {"method": "POST", "path": "/x", "form": {"c": ["a b", "d"], "n": 1}}}));
        assert!(form.ends_with("Content-Length: 13\r\n\r\nc=a+b&c=d&n=1"), "{form}");
        let sum = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
        let upload = json!({"request": {"method": "POST", "path": "/x", "headers": {"Content-Type": "multipart/form-data"},
            "body": "sum AB\r\n<1 file bytes left out, sha256 AB>\r\nend"}});
        assert!(sent(&upload).ends_with(&format!("sum {sum}\r\nx\r\nend")), "{}", sent(&upload));
    }
}

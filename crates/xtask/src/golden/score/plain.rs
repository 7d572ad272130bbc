//! Texts and data without what legitimately differs between two runs of one server: UPIDs, tickets, times, ids made by
//! chance, versions.

use std::sync::OnceLock;

use regex_lite::Regex;
use serde_json::{Map, Value};

/// A replacement, tried only on texts that `worth` says can have it.
struct Rule {
    worth: fn(&str) -> bool,
    pattern: Regex,
    by: &'static str,
}

fn digit(s: &str) -> bool {
    s.bytes().any(|b| b.is_ascii_digit())
}

fn colon(s: &str) -> bool {
    s.contains(':')
}

/// The pattern of a task's id.
pub(super) const UPID: &str =
    r#"UPID:([^:/\s"]+):[0-9A-Fa-f]{8}:[0-9A-Fa-f]{8,9}:[0-9A-Fa-f]{8}:([^:]*):([^:]*):([^:\s/"]+):"#;

/// Pattern, replacement, and what a text must have for it.
type Row = (&'static str, &'static str, fn(&str) -> bool);

/// In the order in which they are applied; versions come after `pc-`, then the second list.
const FIRST: &[Row] = &[
    (UPID, "<UPID $2 $3 $4>", |s| s.contains("UPID:")),
    (r#"PVE[A-Z]*:[^:\s"]+:(?:[0-9A-F]{8}|<time>)::(?:<signature>|[\w+/=-]+)"#, "<TICKET>", |s| s.contains("PVE")),
    (r"(?:\b[0-9A-F]{8}|<time>):(?:<signature>|[\w+/-]{27,}=*)", "<CSRF>", colon),
    (r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b|<secret>", "<UUID>", |s| s.contains(['-', '<'])),
    (r"\b(?:[0-9A-Fa-f]{2}:){19,}[0-9A-Fa-f]{2}\b", "<FINGERPRINT>", |s| s.len() > 50 && colon(s)),
    (r"\b(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}\b", "<MAC>", colon),
    (r"\b(?:[0-9a-f]{64}|[0-9a-f]{40})\b", "<DIGEST>", |s| s.len() >= 40),
    (r"\bbackup-[0-9a-f]{8}-[0-9a-f]{4}\b", "<JOB>", |s| s.contains("backup-")),
    (r"\b\d{4}[_-]\d\d[_-]\d\d[-T ]\d\d[_:]\d\d[_:]\d\d\b", "<DATE>", |s| s.len() >= 19 && digit(s)),
    (r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? (?:\d+ )?[A-Z][a-z]{2} [\d: ]+(?:GMT|\b)", "<DATE>", |s| {
        s.len() >= 9 && digit(s)
    }),
    (r"\b(?:1[5-9]|2\d)\d{8}\b", "<TIME>", |s| s.len() >= 10 && digit(s)),
    (r"\bpveupload-\w+|/var/tmp/[\w./-]+", "<TMP>", |s| s.contains("pveupload-") || s.contains("/var/tmp/")),
    (r"\bpc-(i440fx|q35)-\d+\.\d+(?:\+pve\d+)?", "pc-$1-<VERSION>", |s| s.contains("pc-")),
];

const SECOND: &[Row] = &[
    (r"\bline \d+", "line N", |s| s.contains("line ")),
    (r"(?i)\b(pid[ =']*)\d+", "${1}N", digit),
    (r"\b\d+\.\d+ s\b", "N s", |s| s.contains(" s")),
    (r"^(EXC \w+).*", "$1", |s| s.starts_with("EXC ")),
];

fn compiled(rows: &'static [Row]) -> Vec<Rule> {
    // A pattern of this file that does not compile is found by the tests; here it replaces nothing.
    rows.iter()
        .filter_map(|(p, by, worth)| Regex::new(p).ok().map(|pattern| Rule { worth: *worth, pattern, by }))
        .collect()
}

fn apply(rules: &[Rule], mut text: String) -> String {
    for rule in rules {
        if (rule.worth)(&text) && rule.pattern.is_match(&text) {
            text = rule.pattern.replace_all(&text, rule.by).into_owned();
        }
    }
    text
}

/// The text without what legitimately differs.
pub(super) fn text(s: &str) -> String {
    static RULES: OnceLock<(Vec<Rule>, Vec<Rule>)> = OnceLock::new();
    if !s.bytes().any(|b| b.is_ascii_digit() || b == b'<' || b == b':')
        && !s.starts_with("EXC ")
        && !s.contains("/var/tmp")
        && !s.contains("pveupload-")
    {
        return s.trim().to_owned();
    }
    let (first, second) = RULES.get_or_init(|| (compiled(FIRST), compiled(SECOND)));
    let text = versions(&apply(first, s.to_owned()));
    apply(second, text).trim().to_owned()
}

/// Replaces `1.2.3`, with what is glued to it by `-`, `+` or `~`, unless digits or dots go on around it.
fn versions(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    let (mut rest, mut before) = (s, None);
    while let Some(c) = rest.chars().next() {
        let glued = before.is_some_and(|b: char| b.is_ascii_digit() || b == '.');
        if c.is_ascii_digit()
            && !glued
            && let Some(length) = version(rest)
        {
            out.push_str("<VERSION>");
            before = rest[..length].chars().next_back();
            rest = &rest[length..];
            continue;
        }
        out.push(c);
        before = Some(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// The length of the version that the text begins with.
fn version(s: &str) -> Option<usize> {
    let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
    let mut at = digits(s);
    for _ in 0..2 {
        let rest = s[at..].strip_prefix('.')?;
        let more = digits(rest);
        if more == 0 {
            return None;
        }
        at += 1 + more;
    }
    let tail = |c: char| c.is_alphanumeric() || "_.~+-".contains(c);
    if let Some(rest) = s[at..].strip_prefix(['-', '+', '~']) {
        let more: usize = rest.chars().take_while(|c| tail(*c)).map(char::len_utf8).sum();
        if more > 0 {
            return Some(at + 1 + more);
        }
    }
    (!s[at..].starts_with('.')).then_some(at)
}

/// Figures of the moment or of the machine: their type counts, their value does not.
const VOLATILE: &[&str] = &[
    "starttime",
    "endtime",
    "pstart",
    "pid",
    "pids",
    "time",
    "uptime",
    "cpu",
    "mem",
    "memhost",
    "disk",
    "diskread",
    "diskwrite",
    "netin",
    "netout",
    "avail",
    "used",
    "used_fraction",
    "total",
    "free",
    "ctime",
    "snaptime",
    "localtime",
    "loadavg",
    "wait",
    "idle",
    "mhz",
    "flags",
    "model",
    "kversion",
    "repoid",
    "version",
    "release",
    "ssl_fingerprint",
    "fingerprint",
    "pem",
    "digest",
    "value",
    "ticket",
    "CSRFPreventionToken",
    "port",
    "cert",
    "balloon_min",
    "freemem",
    "shares",
    "pressurecpufull",
    "pressurecpusome",
    "pressureiofull",
    "pressureiosome",
    "pressurememoryfull",
    "pressurememorysome",
    "maxcpu",
    "maxmem",
    "cpus",
    "ballooninfo",
    "blockstat",
    "nics",
    "proxmox-support",
    "expire",
    "t",
];

/// `boolean`, `number`, `null`, `string`, `array` or `object`.
pub(super) fn kind(x: &Value) -> &'static str {
    match x {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The value without what legitimately differs, to compare data and to align requests.
pub(super) fn canonical(x: &Value, key: Option<&str>) -> Value {
    match x {
        Value::Object(map) => {
            Value::Object(map.iter().map(|(k, v)| (text(k), canonical(v, Some(k)))).collect::<Map<_, _>>())
        }
        Value::Null => Value::Null,
        _ if key.is_some_and(|k| VOLATILE.contains(&k)) => Value::String(format!("<{}>", kind(x))),
        Value::Array(list) => {
            let mut list: Vec<Value> = list.iter().map(|v| canonical(v, None)).collect();
            list.sort_by_cached_key(Value::to_string);
            Value::Array(list)
        }
        Value::String(s) => {
            let s = text(s);
            if matches!(key, Some("content" | "privs" | "roles")) {
                let mut parts: Vec<&str> = s.split(',').collect();
                parts.sort_unstable();
                return Value::String(parts.join(","));
            }
            Value::String(s)
        }
        Value::Bool(_) | Value::Number(_) => x.clone(),
    }
}

#[cfg(test)]
mod test {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_pattern_compiles() {
        assert_eq!(compiled(FIRST).len() + compiled(SECOND).len(), FIRST.len() + SECOND.len());
    }

    #[test]
    fn what_a_server_makes_by_chance_is_replaced() {
        for (given, wanted) in [
            ("UPID:n1:00000C1D:000A1B2C:6B04AA00:qmstart:7:a@pve!t:", "<UPID qmstart 7 a@pve!t>"),
            ("virtio=BC:24:11:00:0A:FF,bridge=b", "virtio=<MAC>,bridge=b"),
            ("uuid=0e9a1c2d-0000-1111-2222-333344445555", "uuid=<UUID>"),
            ("creation-qemu=10.0.13,ctime=1795462328", "creation-qemu=<VERSION>,ctime=<TIME>"),
            ("pve-manager/9.2.11/14a22df3", "pve-manager/<VERSION>/14a22df3"),
            ("10.0.0.1 and 1.2.3.", "10.0.0.1 and 1.2.3."),
            ("6.18.44-fc-v669 x", "<VERSION> x"),
            ("EXC Timeout('after 3')", "EXC Timeout"),
            ("at Foo.pm line 934.", "at Foo.pm line N."),
            ("vzdump-qemu-7-2026_11_23-19_31_50.vma", "vzdump-qemu-7-<DATE>.vma"),
            ("on 2026-11-23 19:31:50 it", "on <DATE> it"),
            ("Mon Nov 23 19:31:50 2026", "<DATE>"),
            ("started worker PID 77", "started worker PID N"),
            ("no digits at all \n", "no digits at all"),
        ] {
            assert_eq!(text(given), wanted);
        }
    }

    #[test]
    fn figures_keep_their_type_and_lists_their_members() {
        let one = json!({"mem": 5, "tags": ["b", "a"], "content": "iso,images"});
        let two = json!({"mem": 9.5, "tags": ["a", "b"], "content": "images,iso"});
        assert_eq!(canonical(&one, None), canonical(&two, None));
        assert_ne!(
            canonical(&one, None),
            canonical(&json!({"mem": "5", "tags": ["a", "b"], "content": "images,iso"}), None)
        );
    }
}

//! Shapes: the keys and types of two JSON values, and which elements of lists belong together.

use std::collections::{BTreeMap, BTreeSet};

use regex_lite::Regex;
use serde_json::{Map, Value};

use super::exchange::printed;
use super::plain::{kind, text};

/// Pools and paths of another experiment on the recorded server.
const LEFT_OVER: &[&str] = &["tenant-a", "tenant-b", "/vms/9001", "/vms/9002", "/vms/9003", "/vms/9004"];

/// What names an element of a list: the first of these that all elements have and that is unique.
const IDENTITY: &[&[&str]] = &[
    &["path", "ugid", "roleid"],
    &["volid"],
    &["id"],
    &["vmid"],
    &["key"],
    &["sid"],
    &["userid"],
    &["roleid"],
    &["tokenid"],
    &["groupid"],
    &["poolid"],
    &["storage"],
    &["subnet"],
    &["vnet"],
    &["zone"],
    &["ipam"],
    &["dns"],
    &["controller"],
    &["iface"],
    &["realm"],
    &["group"],
    &["cidr"],
    &["subdir"],
    &["name"],
    &["node"],
    &["pos"],
];

/// What a transcript speaks of: the server's other guests and volumes are not its business.
#[derive(Debug)]
pub(super) struct Scenario {
    words: String,
    generated: Option<Regex>,
}

impl Scenario {
    pub(super) fn new(words: &str) -> Self {
        let pattern = r"^(?:(?:vm|base)-(\d+)-(?:disk-\d+|cloudinit|state)|vzdump-\w+-(\d+)-)";
        Self { words: words.to_owned(), generated: Regex::new(pattern).ok() }
    }

    fn has_word(&self, word: &str) -> bool {
        let inner = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        self.words.match_indices(word).any(|(at, found)| {
            !inner(self.words[..at].chars().next_back()) && !inner(self.words[at + found.len()..].chars().next())
        })
    }

    fn mentions(&self, x: &Value) -> bool {
        let Value::Object(x) = x else { return true };
        let left_over = |k: &str| x.get(k).and_then(Value::as_str).is_some_and(|v| LEFT_OVER.contains(&v));
        if left_over("pool") || left_over("poolid") {
            return false;
        }
        if let Some(volid) = x.get("volid").and_then(Value::as_str) {
            let file = volid.rsplit(['/', ':']).next().unwrap_or_default();
            let owner = self.generated.as_ref().and_then(|r| r.captures(file));
            return match owner.and_then(|c| c.get(1).or(c.get(2))) {
                Some(owner) => self.has_word(owner.as_str()),
                None => self.has_word(file),
            };
        }
        x.get("vmid").is_none_or(|v| v.is_null() || x.contains_key("upid") || self.has_word(&printed(v)))
    }
}

/// The names of the elements of both lists, if something names them; histories are never named.
fn names(a: &[&Value], b: &[&Value]) -> Option<(Vec<String>, Vec<String>)> {
    let objects = |side: &[&Value]| {
        side.iter().all(|x| x.as_object().is_some_and(|x| !x.contains_key("upid") && !x.contains_key("msg")))
    };
    if !objects(a) || !objects(b) {
        return None;
    }
    IDENTITY.iter().find_map(|keys| {
        let name = |x: &&Value| {
            let part = |k: &&str| x.get(*k).map(|v| text(&printed(v)));
            keys.iter().map(part).collect::<Option<Vec<_>>>().map(|parts| parts.join("/"))
        };
        let side = |list: &[&Value]| {
            let names = list.iter().map(name).collect::<Option<Vec<_>>>()?;
            (names.iter().collect::<BTreeSet<_>>().len() == names.len()).then_some(names)
        };
        Some((side(a)?, side(b)?))
    })
}

/// Differences of keys and types between two values; `at` is where they are.
pub(super) fn shape(a: &Value, b: &Value, scenario: &Scenario, at: &str) -> Vec<String> {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => objects(a, b, scenario, at),
        (Value::Array(a), Value::Array(b)) => lists(a, b, scenario, at),
        _ if kind(a) != kind(b) => vec![format!("{at}: {} became {}", kind(a), kind(b))],
        _ => Vec::new(),
    }
}

fn objects(a: &Map<String, Value>, b: &Map<String, Value>, scenario: &Scenario, at: &str) -> Vec<String> {
    fn plain(x: &Map<String, Value>) -> BTreeMap<String, &Value> {
        x.iter().filter(|(k, _)| !LEFT_OVER.contains(&k.as_str())).map(|(k, v)| (text(k), v)).collect()
    }
    between(&plain(a), &plain(b), scenario, &|k| format!("{at}.{k}"))
}

/// Differences between two sets of named values.
fn between(
    a: &BTreeMap<String, &Value>,
    b: &BTreeMap<String, &Value>,
    scenario: &Scenario,
    at: &dyn Fn(&str) -> String,
) -> Vec<String> {
    let mut out: Vec<String> =
        a.keys().filter(|k| !b.contains_key(*k)).map(|k| format!("{}: missing", at(k))).collect();
    out.extend(b.keys().filter(|k| !a.contains_key(*k)).map(|k| format!("{}: not in the real answer", at(k))));
    for (k, one) in a {
        if let Some(two) = b.get(k) {
            out.extend(shape(one, two, scenario, &at(k)));
        }
    }
    out
}

fn lists(a: &[Value], b: &[Value], scenario: &Scenario, at: &str) -> Vec<String> {
    let ours = |side: &'_ [Value]| -> Vec<usize> { (0..side.len()).filter(|i| scenario.mentions(&side[*i])).collect() };
    let a: Vec<&Value> = ours(a).into_iter().map(|i| &a[i]).collect();
    let b: Vec<&Value> = ours(b).into_iter().map(|i| &b[i]).collect();
    if a.is_empty() && b.is_empty() {
        return Vec::new();
    }
    if let Some((left, right)) = names(&a, &b) {
        let left = left.into_iter().zip(a.iter().copied()).collect();
        let right = right.into_iter().zip(b.iter().copied()).collect();
        return between(&left, &right, scenario, &|k| format!("{at}[{k}]"));
    }
    if a.is_empty() || b.is_empty() {
        return vec![format!("{at}: {} elements became {}", a.len(), b.len())];
    }
    let objects = |side: &[&Value]| side.iter().map(|x| x.as_object().cloned()).collect::<Option<Vec<_>>>();
    if let (Some(a), Some(b)) = (objects(&a), objects(&b)) {
        return history(&a, &b, at);
    }
    let kinds = |side: &[&Value]| side.iter().map(|x| kind(x)).collect::<BTreeSet<_>>();
    differing_kinds(&kinds(&a), &kinds(&b)).map(|d| format!("{at}[]: {d}")).into_iter().collect()
}

fn differing_kinds(a: &BTreeSet<&str>, b: &BTreeSet<&str>) -> Option<String> {
    let shown = |set: &BTreeSet<&str>| set.iter().copied().collect::<Vec<_>>().join("/");
    a.is_disjoint(b).then(|| format!("{} became {}", shown(a), shown(b)))
}

/// A history, or elements without a name: what all elements of one side have, some of the other must have.
fn history(a: &[Map<String, Value>], b: &[Map<String, Value>], at: &str) -> Vec<String> {
    let ever = |side: &[Map<String, Value>]| side.iter().flat_map(|x| x.keys().cloned()).collect::<BTreeSet<_>>();
    let mut out = Vec::new();
    for (one, two, what) in [(a, b, "missing"), (b, a, "not in the real answer")] {
        // Only tasks that a token started have it.
        let always = ever(one).into_iter().filter(|k| k != "tokenid" && one.iter().all(|x| x.contains_key(k)));
        let known = ever(two);
        out.extend(always.filter(|k| !known.contains(k)).map(|k| format!("{at}[].{k}: {what}")));
    }
    for k in ever(a).intersection(&ever(b)) {
        let kinds = |side: &[Map<String, Value>]| side.iter().filter_map(|x| x.get(k)).map(kind).collect();
        out.extend(differing_kinds(&kinds(a), &kinds(b)).map(|d| format!("{at}[].{k}: {d}")));
    }
    out
}

//! `cargo xtask schema FILE`: the simulator's tables of methods, beside the schema of a real API.
//!
//! Promises to compare names, types, limits, words, patterns, flags and privileges, and no text: a schema's descriptions
//! are Proxmox's and not ours. Differences that are known, because the recorded 9.2 differs or because a table says more
//! than the schema, are marked so; others make it fail.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Where the tables are.
const TABLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../pve-sim/src/schema/methods");

/// Compare the simulator's tables of methods with an API schema (a tree of `path`, `info`, `children`).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The schema, as JSON.
    file: PathBuf,
}

/// A method: facts by their names (`flag token`, `needs`, `vmid type`, …).
type Facts = BTreeMap<String, String>;

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let text = std::fs::read_to_string(&args.file).with_context(|| format!("read `{}`", args.file.display()))?;
    let tree: Value = serde_json::from_str(&text).with_context(|| format!("read `{}`", args.file.display()))?;
    let mut wanted = BTreeMap::new();
    walk(&tree, &mut wanted);
    ensure!(!wanted.is_empty(), "read `{}`: it describes no method", args.file.display());
    let ours = tables(Path::new(TABLES))?;
    let (report, unknown) = compare(&wanted, &ours);
    std::io::stdout().write_all(report.as_bytes()).context("print the differences")?;
    Ok(if unknown == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn walk(node: &Value, out: &mut BTreeMap<String, Facts>) {
    if let Some(list) = node.as_array() {
        for child in list {
            walk(child, out);
        }
        return;
    }
    let path = node["path"].as_str().unwrap_or_default();
    for (verb, info) in node["info"].as_object().into_iter().flatten() {
        out.insert(format!("{verb} {path}"), facts(info));
    }
    if let Some(children) = node.get("children") {
        walk(children, out);
    }
}

fn one(value: &Value) -> bool {
    value == 1 || value == true || value == "1"
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn facts(info: &Value) -> Facts {
    let mut facts = Facts::new();
    if info["allowtoken"] == 0 {
        facts.insert("flag notoken".to_owned(), "yes".to_owned());
    }
    let permissions = &info["permissions"];
    let needs = match (permissions["user"].as_str(), &permissions["check"]) {
        (Some("all"), Value::Null) => Value::from("all"),
        (Some("world"), Value::Null) => Value::from("world"),
        (_, Value::Array(check)) => Value::Array(check.clone()),
        _ => Value::from("root"),
    };
    facts.insert("needs".to_owned(), needs.to_string());
    for (name, param) in info["parameters"]["properties"].as_object().into_iter().flatten() {
        let mut add = |what: &str, value: String| facts.insert(format!("{name} {what}"), value);
        add("type", param["type"].as_str().unwrap_or("string").to_owned());
        add("optional", one(&param["optional"]).to_string());
        for (key, what) in [("minimum", "min"), ("maximum", "max"), ("minLength", "minlen"), ("maxLength", "maxlen")] {
            if !param[key].is_null() {
                add(what, text(&param[key]));
            }
        }
        if let Some(words) = param["enum"].as_array() {
            add("enum", words.iter().map(text).collect::<Vec<_>>().join(","));
        }
        if let Some(pattern) = param["pattern"].as_str() {
            add("pattern", pattern.to_owned());
        }
    }
    facts
}

/// The tables as the same facts.
fn tables(dir: &Path) -> Result<BTreeMap<String, Facts>> {
    let doing = || format!("read `{}`", dir.display());
    let mut out: BTreeMap<String, Facts> = BTreeMap::new();
    for entry in std::fs::read_dir(dir).with_context(doing)? {
        let file = entry.with_context(doing)?.path();
        let table = std::fs::read_to_string(&file).with_context(|| format!("read `{}`", file.display()))?;
        let mut method: Option<String> = None;
        for line in table.lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
            match (line.strip_prefix('\t'), &method) {
                (Some(rest), Some(name)) => fact(out.entry(name.clone()).or_default(), rest),
                (Some(_), None) => {}
                (None, _) if line.starts_with("format ") => method = None,
                (None, _) => {
                    let words: Vec<&str> = line.split(' ').collect();
                    let name = words.iter().take(2).copied().collect::<Vec<_>>().join(" ");
                    let facts = out.entry(name.clone()).or_default();
                    if words.contains(&"notoken") {
                        facts.insert("flag notoken".to_owned(), "yes".to_owned());
                    }
                    method = Some(name);
                }
            }
        }
    }
    Ok(out)
}

fn fact(facts: &mut Facts, line: &str) {
    if let Some(needs) = line.strip_prefix("needs ") {
        let needs = serde_json::from_str::<Value>(needs).map_or_else(|_| needs.to_owned(), |v| v.to_string());
        facts.insert("needs".to_owned(), needs);
        return;
    }
    let (line, pattern) = line.split_once(" pattern=").map_or((line, None), |(before, p)| (before, Some(p)));
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default();
    let (name, optional) = name.strip_suffix('?').map_or((name, false), |n| (n, true));
    let mut add = |what: &str, value: &str| facts.insert(format!("{name} {what}"), value.to_owned());
    add("optional", if optional { "true" } else { "false" });
    if let Some(pattern) = pattern {
        add("pattern", pattern);
    }
    for word in words {
        let kinds = ["string", "integer", "number", "boolean", "array", "object"];
        if let Some((what, value)) = word.split_once('=') {
            if ["min", "max", "minlen", "maxlen", "enum"].contains(&what) {
                add(what, value);
            }
        } else if kinds.contains(&word) {
            add("type", word);
        }
    }
}

/// Methods that the recorded 9.2 asks less for: it answers everybody, some with a part.
const OPEN_TO_ALL: [&str; 1] = ["GET /cluster/options"];

/// Whether a difference has a reason: limits, words and patterns that a named format of ours holds.
fn known(fact: &str, wanted: Option<&String>, ours: Option<&String>) -> Option<&'static str> {
    let what = fact.rsplit(' ').next().unwrap_or_default();
    match (what, wanted, ours) {
        ("min" | "max" | "minlen" | "maxlen" | "enum" | "pattern", Some(_), None) => Some("held by the format"),
        ("pattern" | "enum", Some(_), Some(_)) => Some("written differently"),
        (_, None, Some(_)) => Some("9.2 has it"),
        _ => None,
    }
}

fn compare(wanted: &BTreeMap<String, Facts>, ours: &BTreeMap<String, Facts>) -> (String, usize) {
    let (mut out, mut same, mut marked, mut unknown) = (String::new(), 0, 0, 0);
    let empty = Facts::new();
    for method in wanted.keys().chain(ours.keys().filter(|m| !wanted.contains_key(*m))) {
        let (a, b) = match (wanted.get(method), ours.get(method)) {
            (Some(_), None) => {
                unknown += 1;
                let _ = writeln!(out, "{method}: not in our tables");
                continue;
            }
            (a, b) => (a.unwrap_or(&empty), b.unwrap_or(&empty)),
        };
        if a.is_empty() {
            marked += 1;
            let _ = writeln!(out, "{method}: not in the schema (known: 9.2 has it)");
            continue;
        }
        for fact in a.keys().chain(b.keys().filter(|f| !a.contains_key(*f))) {
            let (x, y) = (a.get(fact), b.get(fact));
            if x == y {
                same += 1;
                continue;
            }
            let shown = |v: Option<&String>| v.map_or("nothing", String::as_str).to_owned();
            let open = fact == "needs" && OPEN_TO_ALL.contains(&method.as_str());
            let why = if open { Some("9.2 answers everybody") } else { known(fact, x, y) };
            match why {
                Some(_) => marked += 1,
                None => unknown += 1,
            }
            let mark = why.map_or_else(String::new, |w| format!(" (known: {w})"));
            let _ = writeln!(out, "{method}: {fact}: {} here, {} in the schema{mark}", shown(y), shown(x));
        }
    }
    let _ = writeln!(out, "{same} facts are the same, {marked} differ for a known reason, {unknown} for none");
    (out, unknown)
}

#[cfg(test)]
mod test {
    use serde_json::json;

    use super::*;

    fn schema(params: &Value) -> BTreeMap<String, Facts> {
        let info = json!({"GET": {"permissions": {"user": "all"}, "parameters": {"properties": params}}});
        let mut out = BTreeMap::new();
        walk(&json!([{"path": "/a", "info": info, "leaf": 1}]), &mut out);
        out
    }

    fn table(lines: &[&str]) -> BTreeMap<String, Facts> {
        let mut facts = Facts::new();
        for line in lines {
            fact(&mut facts, line);
        }
        BTreeMap::from([("GET /a".to_owned(), facts)])
    }

    #[test]
    fn the_same_facts_are_no_difference() {
        let wanted = schema(&json!({"n": {"type": "integer", "minimum": 0, "optional": 1, "description": "no"}}));
        assert_eq!(compare(&wanted, &table(&["needs \"all\"", "n? integer min=0"])).1, 0);
    }

    #[test]
    fn another_type_or_right_is_one_without_a_reason() {
        let wanted = schema(&json!({"n": {"type": "integer"}}));
        let (report, unknown) = compare(&wanted, &table(&["needs \"world\"", "n string"]));
        assert_eq!(unknown, 2, "{report}");
        assert!(report.contains("n type: string here, integer in the schema"), "{report}");
    }

    #[test]
    fn a_method_that_we_lack_is_told() {
        assert!(compare(&schema(&json!({})), &BTreeMap::new()).0.starts_with("GET /a: not in our tables"));
    }

    #[test]
    fn the_tables_are_read() {
        let all = tables(Path::new(TABLES)).unwrap();
        assert!(all.len() > 600, "{}", all.len());
        assert_eq!(all["POST /access/ticket"]["flag notoken"], "yes");
    }
}

//! Log files of the demo's processes, shipped to VictoriaLogs line by line, as an agent on a node would.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::NotYet;

/// How often files are looked at.
const EVERY: Duration = Duration::from_secs(1);
/// Bytes of a file that are taken at a time.
const AT_ONCE: u64 = 1 << 20;

/// Ships what is in `*.log` of the directory, and what comes, for as long as the demo lives.
pub(super) async fn ship(dir: PathBuf, store: &'static str) {
    let client = reqwest::Client::new();
    let url = format!("{store}/insert/jsonline?_stream_fields=role&_msg_field=message&_time_field=timestamp");
    let mut places: BTreeMap<PathBuf, u64> = BTreeMap::new();
    let mut every = tokio::time::interval(EVERY);
    loop {
        every.tick().await;
        for file in files(&dir) {
            let at = places.get(&file).copied().unwrap_or(0);
            let Ok((text, next)) = news(&file, at) else { continue };
            let role = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let body: String = text.lines().filter_map(|line| record(&role, line)).collect();
            let sent = body.is_empty() || {
                let request = client.post(&url).header("content-type", "application/stream+json").body(body);
                request.send().await.is_ok_and(|answer| answer.status().is_success())
            };
            // What was not taken is sent again.
            if sent {
                places.insert(file, next);
            }
        }
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.extension().is_some_and(|kind| kind == "log")).collect()
}

/// Whole lines from there on, and where they end. A file that became shorter was begun anew.
fn news(file: &Path, at: u64) -> std::io::Result<(String, u64)> {
    let mut open = std::fs::File::open(file)?;
    let at = if open.metadata()?.len() < at { 0 } else { at };
    open.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    open.take(AT_ONCE).read_to_end(&mut bytes)?;
    bytes.truncate(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1));
    let next = at + bytes.len() as u64;
    Ok((String::from_utf8_lossy(&bytes).into_owned(), next))
}

/// A line as the store takes it. Lines that are not ours have no time of their own: they get that of their arrival.
fn record(role: &str, line: &str) -> Option<String> {
    if line.trim().is_empty() {
        return None;
    }
    let record = match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(mut fields)) if fields.contains_key("timestamp") => {
            fields.insert("role".into(), role.into());
            Value::Object(fields)
        }
        _ => json!({"role": role, "timestamp": "0", "message": line}),
    };
    Some(format!("{record}\n"))
}

/// What the store has for a query in LogsQL: a record each.
pub(super) async fn ask(store: &str, query: &str) -> Result<Vec<Value>, NotYet> {
    let not_yet = |why: reqwest::Error| NotYet::because(why.to_string());
    let url = format!("{store}/select/logsql/query");
    let answer = reqwest::Client::new().get(&url).query(&[("query", query)]).send().await.map_err(not_yet)?;
    let (status, text) = (answer.status(), answer.text().await.map_err(not_yet)?);
    if !status.is_success() {
        return Err(NotYet::because(format!("{url} says {status}: {text}")));
    }
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn whole_lines_are_taken_once_and_a_file_that_was_begun_anew_from_its_start() {
        let file = std::env::temp_dir().join(format!("oxmox-demo-logs-{}.log", std::process::id()));
        std::fs::write(&file, "one\ntwo\nthr").unwrap();
        let (text, at) = news(&file, 0).unwrap();
        assert_eq!((text.as_str(), at), ("one\ntwo\n", 8));
        std::fs::write(&file, "one\ntwo\nthree\n").unwrap();
        assert_eq!(news(&file, at).unwrap(), ("three\n".to_owned(), 14));
        std::fs::write(&file, "new\n").unwrap();
        assert_eq!(news(&file, 14).unwrap(), ("new\n".to_owned(), 4));
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn a_line_of_ours_keeps_its_time_and_fields_and_any_other_becomes_a_message() {
        let ours: Value = serde_json::from_str(&record("capi", r#"{"timestamp":"t","message":"m"}"#).unwrap()).unwrap();
        assert_eq!(ours, json!({"timestamp": "t", "message": "m", "role": "capi"}));
        let other: Value = serde_json::from_str(&record("pve-sim", "listening").unwrap()).unwrap();
        assert_eq!(other["message"], "listening");
        assert_eq!(record("x", " "), None);
    }
}

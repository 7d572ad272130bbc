//! What the server makes up, and where the recording's is found in ours: tasks' ids, digests, secrets, tickets, job ids,
//! names of backups, process numbers.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use regex_lite::Regex;
use serde_json::Value;

/// Everything but what a path may have unencoded.
pub(crate) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// How a session is kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct Session {
    pub(crate) ticket: String,
    pub(crate) csrf: String,
}

/// The recording's words and ours.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    words: BTreeMap<String, String>,
    sessions: BTreeMap<String, Session>,
    /// Secrets of a token, the newest last.
    secrets: BTreeMap<String, Vec<String>>,
    passwords: BTreeMap<String, String>,
    made: Made,
}

/// Names that come in lists: the n-th of the recording is our n-th.
#[derive(Debug, Default)]
struct Made {
    theirs: Vec<String>,
    ours: Vec<String>,
}

/// Names with a time or chance in them, and the part that tells what they are of.
fn made_up(text: &str) -> Vec<(String, String)> {
    static PATTERN: OnceLock<Option<Regex>> = OnceLock::new();
    let pattern = PATTERN.get_or_init(|| {
        Regex::new(r"(vzdump-[a-z]+-\d+-)\d{4}_\d\d_\d\d-\d\d_\d\d_\d\d|(backup-)[0-9a-f]{8}-[0-9a-f]{4}").ok()
    });
    let found = pattern.iter().flat_map(|p| p.captures_iter(text));
    let stem = |c: &regex_lite::Captures<'_>| c.get(1).or(c.get(2)).map(|m| m.as_str().to_owned()).unwrap_or_default();
    found.map(|c| (stem(&c), c.get(0).map(|m| m.as_str().to_owned()).unwrap_or_default())).collect()
}

impl Ids {
    /// Ours for the recording's, wherever it stands in a text.
    pub(crate) fn ours(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for (theirs, ours) in &self.words {
            if out.contains(theirs.as_str()) {
                out = out.replace(theirs, ours);
            }
        }
        out
    }

    /// The same in a path, where ids may be encoded.
    pub(crate) fn ours_in_path(&self, path: &str) -> String {
        let mut out = path.to_owned();
        for (theirs, ours) in &self.words {
            let encode = |s: &str| utf8_percent_encode(s, ENCODED).to_string();
            let encoded = encode(theirs);
            if out.contains(&encoded) {
                out = out.replace(&encoded, &encode(ours));
            }
            if out.contains(theirs.as_str()) {
                out = out.replace(theirs, ours);
            }
        }
        out
    }

    pub(crate) fn set_password(&mut self, user: &str, password: &str) {
        self.passwords.insert(user.to_owned(), password.to_owned());
    }

    pub(crate) fn password(&self, user: &str) -> Option<&str> {
        self.passwords.get(user).map(String::as_str)
    }

    pub(crate) fn set_session(&mut self, user: &str, session: Session) {
        self.sessions.insert(user.to_owned(), session);
    }

    pub(crate) fn session(&self, user: &str) -> Option<&Session> {
        self.sessions.get(user)
    }

    pub(crate) fn set_secret(&mut self, token: &str, secret: &str) {
        self.secrets.entry(token.to_owned()).or_default().push(secret.to_owned());
    }

    /// The newest secret of a token, or the one before.
    pub(crate) fn secret(&self, token: &str, before: usize) -> Option<&str> {
        let all = self.secrets.get(token)?;
        all.len().checked_sub(1 + before).and_then(|at| all.get(at)).map(String::as_str)
    }

    /// The users that tickets in this text are of.
    pub(crate) fn ticket_users(text: &str) -> Vec<String> {
        let decoded = percent_decode_str(text).decode_utf8_lossy().into_owned();
        let tickets = decoded.split("PVE:").skip(1);
        tickets.filter_map(|t| t.split_once(':').map(|(user, _)| user.to_owned())).collect()
    }

    /// Learns from an answer to the same request.
    pub(crate) fn learn(&mut self, path: &str, theirs: &Value, ours: &Value) {
        self.learn_named(path, "", theirs, ours);
        for (side, answer) in [(true, theirs), (false, ours)] {
            if answer["data"].is_array() || answer["data"].is_object() {
                let list = if side { &mut self.made.theirs } else { &mut self.made.ours };
                for (_, name) in made_up(&answer.to_string()) {
                    if !list.contains(&name) {
                        list.push(name);
                    }
                }
            }
        }
        self.pair_made();
        let data = &ours["data"];
        if let (Some(ticket), Some(user)) = (data["ticket"].as_str(), data["username"].as_str()) {
            let csrf = data["CSRFPreventionToken"].as_str().unwrap_or_default().to_owned();
            self.set_session(user, Session { ticket: ticket.to_owned(), csrf });
        }
        if let (Some(token), Some(secret)) = (data["full-tokenid"].as_str(), data["value"].as_str()) {
            self.set_secret(token, secret);
        }
    }

    fn learn_named(&mut self, path: &str, key: &str, theirs: &Value, ours: &Value) {
        match (theirs, ours) {
            (Value::Object(a), Value::Object(b)) => {
                for (k, one) in a {
                    if let Some(two) = b.get(k) {
                        self.learn_named(path, k, one, two);
                    }
                }
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                for (one, two) in a.iter().zip(b) {
                    self.learn_named(path, "", one, two);
                }
            }
            (Value::String(a), Value::String(b)) => {
                let task = a.starts_with("UPID:") && b.starts_with("UPID:") && matches!(key, "data" | "upid");
                if (task || key == "digest") && a != b {
                    self.words.entry(a.clone()).or_insert_with(|| b.clone());
                    if key == "digest" {
                        self.words.insert(a.clone(), b.clone());
                    }
                }
            }
            (Value::Number(a), Value::Number(b)) if key == "pid" && path.ends_with("/agent/exec") && a != b => {
                self.words.insert(format!("exec-status?pid={a}"), format!("exec-status?pid={b}"));
            }
            _ => {}
        }
    }

    fn pair_made(&mut self) {
        let mut stems: BTreeMap<String, (Vec<String>, Vec<String>)> = BTreeMap::new();
        for (theirs, list) in [(true, &self.made.theirs), (false, &self.made.ours)] {
            for (stem, name) in list.iter().flat_map(|n| made_up(n)) {
                let (a, b) = stems.entry(stem).or_default();
                if theirs { a.push(name) } else { b.push(name) }
            }
        }
        for (_, (mut a, mut b)) in stems {
            // Names with a time sort by it; job ids come in the order in which they were seen.
            if a.iter().any(|n| n.starts_with("vzdump-")) {
                a.sort();
                b.sort();
            }
            self.words.extend(a.into_iter().zip(b));
        }
    }
}

#[cfg(test)]
mod test {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_task_is_found_again_in_a_path_and_in_a_form() {
        let mut ids = Ids::default();
        let (theirs, ours) = ("UPID:n:01:02:03:x:1:a@b:", "UPID:n:0A:0B:0C:x:1:a@b:");
        ids.learn("/p", &json!({"data": theirs}), &json!({"data": ours}));
        assert_eq!(
            ids.ours_in_path("/t/UPID%3An%3A01%3A02%3A03%3Ax%3A1%3Aa%40b%3A/log"),
            "/t/UPID%3An%3A0A%3A0B%3A0C%3Ax%3A1%3Aa%40b%3A/log"
        );
        assert_eq!(ids.ours(theirs), ours);
    }

    #[test]
    fn backups_are_paired_in_the_order_of_their_times() {
        let mut ids = Ids::default();
        let name = |at: &str| format!("local:backup/vzdump-qemu-7-2026_01_0{at}-00_00_00.vma");
        let list =
            |names: &[&str]| json!({"data": names.iter().map(|n| json!({"volid": name(n)})).collect::<Vec<_>>()});
        ids.learn("/c", &list(&["2", "1"]), &list(&["3", "4"]));
        assert_eq!(ids.ours(&name("1")), name("3"));
        assert_eq!(ids.ours(&name("2")), name("4"));
    }

    #[test]
    fn the_secret_before_the_newest_is_kept() {
        let mut ids = Ids::default();
        let made = |secret: &str| json!({"data": {"full-tokenid": "a@b!c", "value": secret}});
        ids.learn("/t", &made("<secret>"), &made("one"));
        ids.learn("/t", &made("<secret>"), &made("two"));
        assert_eq!((ids.secret("a@b!c", 0), ids.secret("a@b!c", 1)), (Some("two"), Some("one")));
    }

    #[test]
    fn whose_ticket_it_is_is_seen_even_if_it_is_encoded() {
        assert_eq!(Ids::ticket_users("x=1; PVEAuthCookie=PVE:a@pve:<time>::<signature>"), ["a@pve"]);
        assert_eq!(Ids::ticket_users("PVEAuthCookie=PVE%3Aroot%40pam%3A6B%3A%3AEs"), ["root@pam"]);
    }
}

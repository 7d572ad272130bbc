//! Faults on order: rules that make calls go wrong.
//!
//! A rule matches calls, counts them, and at the `nth` (and the `times` - 1 after it) does what it says.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::state::chance::Chance;

/// Which calls a rule is about; what is left out matches everything.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Match {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    /// A path after the format, `*` for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vmid: Option<u32>,
    /// The storage in the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    storage: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// Only POST, PUT and DELETE.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    writes: bool,
}

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Then {
    /// Nothing is done; this is answered.
    Refuse { status: u16, message: String },
    /// Nothing is done, the connection is closed.
    DropBefore,
    /// It is done, the connection is closed without an answer.
    AnswerLost,
    /// It is done, the answer never comes until the rule is gone.
    Hold,
    /// It is done after so many milliseconds.
    Delay(u64),
    /// It is done twice; the first answer is given.
    Duplicate,
    /// It is done, and the task it starts fails with this text.
    TaskFails(String),
    /// Answered as by a proxy: 595 and nothing is done (no connection), 596 and it is (no patience).
    Status(u16),
    /// Somebody else holds the lock file: the call, or the task it starts, gives up after its time.
    LockHeld,
    /// The credentials are good no longer.
    TokenExpired,
    /// What is plugged into a running guest by this call fails, after its answer if it is a task.
    PlugFails(String),
    /// The guest doesn't let go of what this call unplugs.
    UnplugRefused,
    /// Somebody else makes a VM with the number that this call asks for, just before; on another node if there is one.
    VmidTaken,
    /// A node loses its power, at once or so many seconds later; the call goes on.
    NodeDown(Down),
    /// There is no space left on a storage; the call goes on.
    StorageFull(String),
    /// The statistics daemon makes no round for so many seconds; the call goes on.
    StaleResources(f64),
    /// So many seconds pass before the call.
    ClockJump(f64),
}

/// Which node goes down, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Down {
    Now(String),
    Later {
        node: String,
        /// Seconds.
        after: f64,
    },
}

/// A rule as it is posted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    #[serde(default, rename = "match")]
    of: Match,
    #[serde(default = "one")]
    nth: u64,
    /// 0 for ever.
    #[serde(default = "one")]
    times: u64,
    /// It strikes by chance: from 0, never, to 1, always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    probability: Option<f64>,
    then: Then,
}

impl Rule {
    /// Refuses what could never strike, or not as it was meant.
    pub(crate) fn check(&self) -> Result<(), String> {
        const METHODS: [&str; 5] = ["*", "GET", "POST", "PUT", "DELETE"];
        if let Some(method) = &self.of.method
            && !METHODS.iter().any(|known| known.eq_ignore_ascii_case(method))
        {
            return Err(format!("`method` is one of GET, POST, PUT, DELETE and *, not `{method}`"));
        }
        if self.nth == 0 {
            return Err("`nth` counts from 1".to_owned());
        }
        if let Some(chance) = self.probability.filter(|chance| !(0.0..=1.0).contains(chance)) {
            return Err(format!("`probability` is from 0 to 1, not {chance}"));
        }
        Ok(())
    }
}

fn one() -> u64 {
    1
}

#[derive(Debug)]
struct Kept {
    id: u64,
    rule: Rule,
    seen: u64,
    struck: u64,
    fired: Arc<watch::Sender<Vec<Value>>>,
}

/// All rules.
#[derive(Debug)]
pub(crate) struct Faults {
    rules: Vec<Kept>,
    last_id: u64,
    chance: Chance,
}

/// A call as rules see it.
pub(crate) struct Seen<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) user: &'a str,
    /// Asked for the time, if it is needed.
    pub(crate) now: &'a dyn Fn() -> f64,
}

/// A rule that fires; dropped rules close `gone`.
#[derive(Debug)]
pub(crate) struct Fired {
    pub(crate) rule: u64,
    pub(crate) then: Then,
    pub(crate) gone: watch::Receiver<Vec<Value>>,
}

impl Match {
    fn fits(&self, call: &Seen<'_>) -> bool {
        let after = |word: &str| {
            let mut parts = call.path.split('/');
            parts.by_ref().find(|p| *p == word).and_then(|_| parts.next()).map(str::to_owned)
        };
        self.method.as_deref().is_none_or(|m| m == "*" || m.eq_ignore_ascii_case(call.method))
            && (!self.writes || call.method != "GET")
            && self.path.as_deref().is_none_or(|p| glob(p, call.path))
            && self.node.as_deref().is_none_or(|n| after("nodes").as_deref() == Some(n))
            && self.vmid.is_none_or(|v| {
                let wanted = v.to_string();
                [after("qemu"), after("lxc")].into_iter().flatten().any(|found| found == wanted)
            })
            && self.storage.as_deref().is_none_or(|s| after("storage").as_deref() == Some(s))
            && self.user.as_deref().is_none_or(|u| glob(u, call.user))
    }
}

/// Whether `text` fits a pattern with `*` for anything.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

impl Faults {
    /// No rules yet; the seed is for those that strike by chance.
    pub(crate) fn new(seed: u64) -> Self {
        Self { rules: Vec::new(), last_id: 0, chance: Chance::new(seed ^ 0x6661_756c_7473_2121) }
    }

    /// Adds a rule; its id.
    pub(crate) fn add(&mut self, rule: Rule) -> u64 {
        self.last_id += 1;
        let (fired, _) = watch::channel(Vec::new());
        self.rules.push(Kept { id: self.last_id, rule, seen: 0, struck: 0, fired: Arc::new(fired) });
        self.last_id
    }

    /// Removes a rule, or all; whether any was there.
    pub(crate) fn remove(&mut self, id: Option<u64>) -> bool {
        let before = self.rules.len();
        self.rules.retain(|r| id.is_some_and(|id| id != r.id));
        self.rules.len() < before
    }

    /// Counts a call, and says what happens to it.
    pub(crate) fn strike(&mut self, call: &Seen<'_>) -> Vec<Fired> {
        let mut out = Vec::new();
        let chance = &mut self.chance;
        for kept in self.rules.iter_mut().filter(|k| k.rule.of.fits(call)) {
            kept.seen += 1;
            let Rule { nth, times, probability, .. } = kept.rule;
            let due = kept.seen >= nth && (times == 0 || kept.struck < times);
            if due && probability.is_none_or(|p| chance.unit() < p) {
                kept.struck += 1;
                let mark = json!({
                    "time": (call.now)(), "method": call.method, "path": call.path, "user": call.user, "call": kept.seen,
                });
                kept.fired.send_modify(|marks| marks.push(mark));
                let then = kept.rule.then.clone();
                out.push(Fired { rule: kept.id, then, gone: kept.fired.subscribe() });
            }
        }
        out
    }

    pub(crate) fn show(&self) -> Value {
        self.rules
            .iter()
            .map(|k| json!({"id": k.id, "rule": k.rule, "seen": k.seen, "fired": *k.fired.borrow()}))
            .collect()
    }

    pub(crate) fn watch(&self, id: u64) -> Option<watch::Receiver<Vec<Value>>> {
        self.rules.iter().find(|k| k.id == id).map(|k| k.fired.subscribe())
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn call<'a>(method: &'a str, path: &'a str, user: &'a str) -> Seen<'a> {
        Seen { method, path, user, now: &|| 0.0 }
    }

    #[test]
    fn the_nth_write_of_one_user_is_struck_and_no_other() {
        let mut faults = Faults::new(1);
        let rule = r#"{"match": {"writes": true, "user": "capi@pve*"}, "nth": 2, "then": "answer_lost"}"#;
        faults.add(serde_json::from_str(rule).unwrap());
        assert!(faults.strike(&call("POST", "/nodes/pve1/qemu/9000/clone", "capi@pve!oxmox")).is_empty());
        assert!(faults.strike(&call("GET", "/version", "capi@pve!oxmox")).is_empty());
        assert!(faults.strike(&call("POST", "/pools", "root@pam")).is_empty());
        let fired = faults.strike(&call("PUT", "/nodes/pve1/qemu/101/config", "capi@pve!oxmox"));
        assert_eq!(fired[0].then, Then::AnswerLost);
        assert!(faults.strike(&call("PUT", "/nodes/pve1/qemu/101/config", "capi@pve!oxmox")).is_empty());
    }

    #[test]
    fn a_rule_that_could_never_strike_is_refused() {
        let check = |rule: &str| serde_json::from_str::<Rule>(rule).unwrap().check();
        assert!(check(r#"{"match": {"method": "FETCH"}, "then": "hold"}"#).unwrap_err().contains("`FETCH`"));
        assert!(check(r#"{"nth": 0, "then": "hold"}"#).is_err());
        assert!(check(r#"{"probability": 1.5, "then": "hold"}"#).is_err());
        assert!(check(r#"{"match": {"method": "post"}, "nth": 2, "probability": 0, "then": "hold"}"#).is_ok());
    }

    #[test]
    fn chance_strikes_as_often_as_asked_and_the_same_calls_for_the_same_seed() {
        let struck = |seed| -> Vec<usize> {
            let mut faults = Faults::new(seed);
            let rule = r#"{"probability": 0.25, "times": 0, "then": "drop_before"}"#;
            faults.add(serde_json::from_str(rule).unwrap());
            (0..400).filter(|_| !faults.strike(&call("GET", "/version", "a@pve")).is_empty()).collect()
        };
        assert!((60..140).contains(&struck(7).len()));
        assert_eq!(struck(7), struck(7));
        assert_ne!(struck(7), struck(8));
    }

    #[test]
    fn a_container_and_a_storage_are_found_in_the_path() {
        let fits = |rule: &str, path: &str| {
            let mut faults = Faults::new(1);
            faults.add(serde_json::from_str(rule).unwrap());
            !faults.strike(&call("PUT", path, "")).is_empty()
        };
        let vmid = r#"{"match": {"vmid": 205}, "then": "unplug_refused"}"#;
        assert!(fits(vmid, "/nodes/n/lxc/205/config") && !fits(vmid, "/nodes/n/lxc/20/config"));
        let storage = r#"{"match": {"storage": "big"}, "then": {"storage_full": "big"}}"#;
        assert!(fits(storage, "/nodes/n/storage/big/content") && fits(storage, "/storage/big"));
        assert!(!fits(storage, "/nodes/big/storage"));
    }

    #[test]
    fn stars_stand_for_anything() {
        assert!(glob("/nodes/*/qemu/*/clone", "/nodes/pve1/qemu/9000/clone"));
        assert!(!glob("/nodes/*/qemu", "/nodes/pve1/qemu/9000"));
        assert!(glob("*", "") && glob("*", "/x"));
    }
}

//! What was called: counters of all calls, a trace of those that change something or were struck by a fault.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::budget::Budget;
use crate::schema::Method;

/// The largest file of an upload that the trace keeps.
const FILE_LIMIT: usize = 1 << 20;

/// Everything recorded since the start or the last reset.
#[derive(Debug, Default)]
pub(crate) struct Record {
    total: u64,
    /// By the number of the method; unknown ones by their verb.
    calls: HashMap<usize, (&'static Method, u64)>,
    unknown: BTreeMap<String, u64>,
    users: HashMap<String, u64>,
    clients: HashMap<String, u64>,
    statuses: BTreeMap<u16, u64>,
    /// How often rules struck, by what they did.
    strikes: BTreeMap<String, u64>,
    trace: Vec<Value>,
    budgets: Vec<Budget>,
    /// How many calls have changed the world; see [`Record::number`].
    numbers: u64,
    start: Start,
}

/// The state that the trace starts from.
#[derive(Debug, Default)]
pub(crate) enum Start {
    /// That of the options.
    #[default]
    Origin,
    /// This one, and the trace from this entry on.
    Dump(Value, usize),
    /// Nobody kept it.
    Lost,
}

/// A call that has been answered, or was left without an answer (status 0).
#[derive(Debug)]
pub(crate) struct Answered<'a> {
    pub(crate) verb: &'a str,
    pub(crate) method: Option<&'static Method>,
    pub(crate) path: &'a str,
    pub(crate) user: &'a str,
    pub(crate) client: &'a str,
    pub(crate) status: u16,
    pub(crate) now: f64,
    pub(crate) upid: Option<&'a str>,
    pub(crate) witness: &'a Witness,
}

/// What is seen of a call on its way.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    /// Parameters as they were given.
    pub(crate) params: BTreeMap<String, Value>,
    pub(crate) file: Option<Bytes>,
    /// When its handler ran, in the world's time, and as which call of all: none if it was refused before.
    pub(crate) ran: Option<(f64, u64)>,
    /// The rules that struck it: id, and what they did.
    pub(crate) faults: Vec<(u64, Value)>,
}

/// A counter for Prometheus.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) labels: Vec<(&'static str, String)>,
    pub(crate) count: u64,
}

fn count(of: &mut HashMap<String, u64>, key: &str) {
    match of.get_mut(key) {
        Some(n) => *n += 1,
        None => {
            of.insert(key.to_owned(), 1);
        }
    }
}

impl Record {
    pub(crate) fn new(budgets: Vec<Budget>) -> Self {
        Self { budgets, ..Self::default() }
    }

    /// Forgets counters and trace; budgets count anew.
    pub(crate) fn reset(&mut self, start: Start) {
        let budgets = std::mem::take(&mut self.budgets).into_iter().map(Budget::anew).collect();
        *self = Self { budgets, numbers: self.numbers, start, ..Self::default() };
    }

    /// From here on the trace starts from another state.
    pub(crate) fn starts_from(&mut self, state: Value) {
        self.start = Start::Dump(state, self.trace.len());
    }

    /// What the trace starts from, and its entries since.
    pub(crate) fn recording(&self) -> (&Start, &[Value]) {
        let from = if let Start::Dump(_, from) = &self.start { *from } else { 0 };
        (&self.start, self.trace.get(from..).unwrap_or_default())
    }

    /// The number of a call that is being done; to be taken while the world is held, so that numbers are in its order.
    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(crate) fn add(&mut self, call: &Answered<'_>) {
        self.total += 1;
        match call.method {
            Some(method) => self.calls.entry(method.number).or_insert((method, 0)).1 += 1,
            None => *self.unknown.entry(call.verb.to_owned()).or_default() += 1,
        }
        count(&mut self.users, call.user);
        count(&mut self.clients, call.client);
        *self.statuses.entry(call.status).or_default() += 1;
        let template = call.method.map_or("(unknown)", |m| m.path.as_str());
        for budget in &mut self.budgets {
            budget.count(call.verb, template, call.user, call.client, call.status);
        }
        for (_, then) in &call.witness.faults {
            *self.strikes.entry(kind(then)).or_default() += 1;
        }
        if call.verb != "GET" || !call.witness.faults.is_empty() {
            self.trace(call);
        }
    }

    fn trace(&mut self, call: &Answered<'_>) {
        let witness = call.witness;
        let names: Vec<&String> = witness.params.keys().collect();
        let mut entry = json!({
            "n": self.trace.len() + 1, "time": call.now, "user": call.user, "method": call.verb, "path": call.path,
            "params": names, "values": witness.params, "status": call.status, "upid": call.upid,
        });
        if let Some((at, number)) = witness.ran {
            entry["at"] = json!(at);
            entry["number"] = json!(number);
        }
        if let Some(file) = &witness.file {
            entry["file_size"] = json!(file.len());
            if file.len() <= FILE_LIMIT {
                entry["file"] = json!(STANDARD.encode(file));
            }
        }
        if !witness.faults.is_empty() {
            entry["faults"] = witness.faults.iter().map(|(id, then)| json!({"rule": id, "then": then})).collect();
        }
        self.trace.push(entry);
    }

    /// Something that the control door did to the world.
    pub(crate) fn meddled(&mut self, what: &str, body: &Value, now: f64) {
        let number = self.number();
        self.trace.push(json!({
            "n": self.trace.len() + 1, "time": now, "at": now, "number": number, "door": what, "values": body,
        }));
    }

    fn by_method(&self) -> BTreeMap<String, u64> {
        let known = self.calls.values().map(|(m, n)| (format!("{} {}", m.verb, m.path), *n));
        known.chain(self.unknown.iter().map(|(verb, n)| (format!("{verb} (unknown)"), *n))).collect()
    }

    pub(crate) fn counters(&self) -> Value {
        json!({
            "total": self.total, "calls": self.by_method(), "users": self.users, "clients": self.clients,
            "status": self.statuses, "faults": self.strikes, "budgets": self.budgets,
        })
    }

    pub(crate) fn entries(&self) -> Value {
        json!(self.trace)
    }

    /// A line for each budget that was broken.
    pub(crate) fn broken(&self) -> Vec<String> {
        self.budgets.iter().filter_map(Budget::broken).collect()
    }

    /// The counters for Prometheus, those of one metric together.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (call, n) in self.by_method() {
            let (verb, path) = call.split_once(' ').unwrap_or((&call, ""));
            let labels = vec![("method", verb.to_owned()), ("path", path.to_owned())];
            rows.push(Row { name: "pve_sim_calls_total", labels, count: n });
        }
        let simple = |name: &'static str, label: &'static str, of: BTreeMap<String, u64>| {
            of.into_iter().map(move |(key, n)| Row { name, labels: vec![(label, key)], count: n })
        };
        let sorted = |of: &HashMap<String, u64>| of.iter().map(|(k, n)| (k.clone(), *n)).collect();
        rows.extend(simple("pve_sim_user_calls_total", "user", sorted(&self.users)));
        rows.extend(simple("pve_sim_client_calls_total", "client", sorted(&self.clients)));
        let statuses = self.statuses.iter().map(|(k, n)| (k.to_string(), *n)).collect();
        rows.extend(simple("pve_sim_answers_total", "status", statuses));
        rows.extend(simple("pve_sim_faults_total", "fault", self.strikes.clone()));
        rows
    }
}

/// The word for what a rule did.
fn kind(then: &Value) -> String {
    match then {
        Value::String(word) => word.clone(),
        Value::Object(map) => map.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

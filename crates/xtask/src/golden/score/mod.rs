//! How alike two recordings are: a real server's, and a simulator's of the same requests.
//!
//! Promises the numbers of the rule that the transcripts come with: exchanges are paired by file and order, and a pair
//! matches when status, reason, error, shape, task or answer, and the task's end are the same, once what legitimately
//! differs between two runs of one server is replaced. Pure: two lists of items in, a [`Score`] out.

mod exchange;
mod list;
mod pair;
mod plain;
mod sequence;
mod skip;

use serde::Serialize;
use serde_json::Value;

use self::exchange::Exchange;
use self::pair::Difference;

/// What a pair is judged by, each only where it applies.
pub(crate) const CRITERIA: [&str; 6] = ["status", "reason", "error", "shape", "async", "exit"];

/// Pairs in which a criterion holds, of those where it applies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) good: usize,
    pub(crate) of: usize,
}

/// An exchange that does not match, and why.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) request: String,
    pub(crate) differs: Vec<(&'static str, Vec<String>)>,
}

/// The score of one transcript, or of several added up.
#[derive(Debug, Clone, Default)]
pub(crate) struct Score {
    pub(crate) real: usize,
    pub(crate) sim: usize,
    pub(crate) pairs: usize,
    pub(crate) missing: usize,
    pub(crate) extra: usize,
    pub(crate) skipped: usize,
    pub(crate) full: usize,
    /// Information only: the data are equal too.
    pub(crate) values: usize,
    pub(crate) criteria: [Share; 6],
    pub(crate) rows: Vec<Row>,
}

impl Score {
    /// What `full` is a share of.
    pub(crate) fn total(&self) -> usize {
        self.pairs + self.missing
    }

    /// Full matches in percent.
    #[expect(clippy::cast_precision_loss, reason = "counts of exchanges")]
    pub(crate) fn percent(&self) -> f64 {
        100.0 * self.full as f64 / self.total().max(1) as f64
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.real += other.real;
        self.sim += other.sim;
        self.pairs += other.pairs;
        self.missing += other.missing;
        self.extra += other.extra;
        self.skipped += other.skipped;
        self.full += other.full;
        self.values += other.values;
        for (mine, theirs) in self.criteria.iter_mut().zip(other.criteria) {
            mine.good += theirs.good;
            mine.of += theirs.of;
        }
    }
}

/// Scores a transcript called `name` (without `.json`) against the real one.
pub(crate) fn score(name: &str, real: &[Value], sim: &[Value]) -> Score {
    let (a, b) = (exchange::load(real), exchange::load(sim));
    let words: Vec<&str> = a.iter().chain(&b).map(|x| x.words.as_str()).collect();
    let scenario = list::Scenario::new(&words.join("\n"));
    let mut score = Score { real: a.len(), sim: b.len(), ..Score::default() };
    for (x, y) in sequence::align(&a, &b) {
        let (x, y) = (x.map(|i| &a[i]), y.map(|i| &b[i]));
        let Some((side, one)) = x.map(|x| (&a, x)).or(y.map(|y| (&b, y))) else { continue };
        let starter = one.starter.map(|s| &side[s]);
        if skip::skipped(name, one, starter) {
            score.skipped += usize::from(x.is_some());
            continue;
        }
        match (x, y) {
            (Some(x), Some(y)) => judge(&mut score, x, y, &scenario),
            (Some(x), None) => {
                score.missing += 1;
                let why = format!("real: {} {}", x.status_text(), x.reason);
                score.rows.push(Row { request: x.label(), differs: vec![("missing", vec![why])] });
            }
            (None, Some(y)) => {
                score.extra += 1;
                let why = format!("simulator: {} {}", y.status_text(), y.reason);
                score.rows.push(Row { request: y.label(), differs: vec![("extra", vec![why])] });
            }
            (None, None) => {}
        }
    }
    score
}

fn judge(score: &mut Score, x: &Exchange, y: &Exchange, scenario: &list::Scenario) {
    let found = pair::compare(x, y, scenario);
    score.pairs += 1;
    score.full += usize::from(found.iter().all(|(name, d)| *name == "values" || *d == Difference::None));
    let mut differs = Vec::new();
    for (name, difference) in found {
        let good = difference == Difference::None;
        match CRITERIA.iter().position(|c| *c == name) {
            Some(at) => {
                score.criteria[at].of += 1;
                score.criteria[at].good += usize::from(good);
            }
            None => score.values += usize::from(good),
        }
        if let Difference::Some(lines) = difference
            && name != "values"
        {
            differs.push((name, lines));
        }
    }
    if !differs.is_empty() {
        score.rows.push(Row { request: x.label(), differs });
    }
}

//! How long answers take, by method, with jitter.
//!
//! A model is a list of entries `METHOD PATH=MS[±JITTER]`; the first that fits counts. Promises the same delays for the
//! same seed and the same calls in the same order.

use std::str::FromStr;
use std::time::Duration;

use crate::faults::glob;
use crate::state::chance::Chance;

/// The latency of the methods that fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Latency {
    method: String,
    path: String,
    milliseconds: f64,
    jitter: f64,
}

impl FromStr for Latency {
    type Err = String;

    /// `GET /nodes/*=20~5`: 20 ms, give or take 5; the method may be left out, `~5` as well.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("read latency `{text}`: not `[METHOD ]PATH=MS[~JITTER]`, such as `GET /nodes/*=20~5`");
        let (what, time) = text.trim().rsplit_once('=').ok_or_else(wrong)?;
        let (method, path) = what.trim().split_once(' ').unwrap_or(("*", what.trim()));
        let (milliseconds, jitter) = time.split_once('~').unwrap_or((time, "0"));
        let number = |text: &str| text.trim().parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
        Ok(Self {
            method: method.to_owned(),
            path: path.trim().to_owned(),
            milliseconds: number(milliseconds).ok_or_else(wrong)?,
            jitter: number(jitter).ok_or_else(wrong)?,
        })
    }
}

/// How long a call takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Takes {
    /// On its way; nobody is busy with it.
    pub(crate) way: Duration,
    /// In the hands of a worker.
    pub(crate) work: Duration,
}

/// All latencies, and the chance that their jitter comes from.
#[derive(Debug)]
pub(crate) struct Latencies {
    base: Duration,
    entries: Vec<Latency>,
    chance: Chance,
}

impl Latencies {
    pub(crate) fn new(base: Duration, entries: Vec<Latency>, seed: u64) -> Self {
        // Not the world's chance: reading must not change what is made.
        Self { base, entries, chance: Chance::new(seed ^ 0x6c61_7465_6e63_7921) }
    }

    /// Whether no call takes any time.
    fn is_none(&self) -> bool {
        self.base.is_zero() && self.entries.is_empty()
    }

    pub(crate) fn replace(&mut self, entries: Vec<Latency>) {
        self.entries = entries;
    }

    /// How long this call takes.
    pub(crate) fn of(&mut self, method: &str, path: &str) -> Takes {
        if self.is_none() {
            return Takes::default();
        }
        let fits = |e: &&Latency| (e.method == "*" || e.method.eq_ignore_ascii_case(method)) && glob(&e.path, path);
        let Some(entry) = self.entries.iter().find(fits) else {
            return Takes { way: self.base, work: Duration::ZERO };
        };
        let swing = entry.jitter * (2.0 * self.chance.unit() - 1.0);
        let work = Duration::from_secs_f64((entry.milliseconds + swing).max(0.0) / 1000.0);
        Takes { way: Duration::ZERO, work }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn the_first_entry_that_fits_counts_and_jitter_stays_in_its_bounds() {
        let entries = ["GET /nodes/*=20~5", "/nodes/*=7", "*=1"].map(|t| t.parse().unwrap()).to_vec();
        let mut all = Latencies::new(Duration::from_millis(90), entries, 3);
        let mut seen = Vec::new();
        for _ in 0..50 {
            let time = all.of("GET", "/nodes/pve1/status").work;
            assert!((15..=25).contains(&time.as_millis()), "{time:?}");
            seen.push(time);
        }
        seen.dedup();
        assert!(seen.len() > 10, "there is jitter");
        assert_eq!(all.of("POST", "/nodes/pve1/qemu").work, Duration::from_millis(7));
        assert_eq!(all.of("GET", "/version").work, Duration::from_millis(1));
    }

    #[test]
    fn what_every_answer_takes_keeps_no_worker_busy() {
        let mut all = Latencies::new(Duration::from_millis(90), vec!["GET /version=5".parse().unwrap()], 3);
        let takes = |way, work| Takes { way: Duration::from_millis(way), work: Duration::from_millis(work) };
        assert_eq!(all.of("GET", "/nodes"), takes(90, 0));
        assert_eq!(all.of("GET", "/version"), takes(0, 5));
    }

    #[test]
    fn the_same_seed_makes_the_same_jitter() {
        let times = |seed| {
            let mut all = Latencies::new(Duration::ZERO, vec!["*=10~10".parse().unwrap()], seed);
            (0..5).map(|_| all.of("GET", "/version").work).collect::<Vec<_>>()
        };
        assert_eq!(times(1), times(1));
        assert_ne!(times(1), times(2));
    }

    #[test]
    fn a_latency_that_says_nothing_is_refused() {
        for text in ["", "GET /version", "GET /version=soon", "GET /version=-1", "/version=1~x"] {
            assert!(text.parse::<Latency>().is_err(), "{text}");
        }
    }
}

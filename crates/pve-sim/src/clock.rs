//! The clock of the simulated world: it can run faster than ours, stand still, and jump.
//!
//! Promises to be steady: between two settings it only goes forward.

use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A clock.
#[derive(Debug)]
pub(crate) struct Clock {
    /// What it showed at `since`.
    base: f64,
    since: Instant,
    rate: f64,
    frozen: bool,
}

/// What is to change; what is left out stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setting {
    /// Simulated seconds in a real one.
    #[serde(default)]
    rate: Option<f64>,
    #[serde(default)]
    frozen: Option<bool>,
    /// Seconds that pass at once.
    #[serde(default)]
    jump: Option<f64>,
}

impl Setting {
    /// So many seconds pass at once.
    pub(crate) fn jump(seconds: f64) -> Self {
        Self { jump: Some(seconds), ..Self::default() }
    }
}

impl Setting {
    /// It stands still.
    pub(crate) fn frozen() -> Self {
        Self { frozen: Some(true), ..Self::default() }
    }
}

impl Clock {
    pub(crate) fn new(base: f64, rate: f64) -> Self {
        Self { base, since: Instant::now(), rate: sane(rate), frozen: false }
    }

    pub(crate) fn now(&self) -> f64 {
        let passed = if self.frozen { 0.0 } else { self.since.elapsed().as_secs_f64() * self.rate };
        micro(self.base + passed)
    }

    /// At which rate waiting is done; a clock that stands still makes nobody wait for ever.
    pub(crate) fn rate(&self) -> f64 {
        if self.frozen { 1.0 } else { self.rate }
    }

    /// Whether it stands still.
    pub(crate) fn frozen(&self) -> bool {
        self.frozen
    }

    /// Shows this time from now on.
    pub(crate) fn show_time(&mut self, now: f64) {
        (self.base, self.since) = (now, Instant::now());
    }

    /// Changes it; the error is for whoever asked.
    pub(crate) fn set(&mut self, setting: &Setting) -> Result<(), &'static str> {
        let bad = |n: f64| !n.is_finite() || !(0.001..=100_000.0).contains(&n);
        if setting.rate.is_some_and(bad) {
            return Err("`rate` is from 0.001 to 100000; `frozen` stops the clock");
        }
        if setting.jump.is_some_and(|j| !j.is_finite() || !(0.0..=1e9).contains(&j)) {
            return Err("`jump` is a number of seconds, and time never passes backwards");
        }
        self.show_time(self.now() + setting.jump.unwrap_or(0.0));
        self.rate = setting.rate.unwrap_or(self.rate);
        self.frozen = setting.frozen.unwrap_or(self.frozen);
        Ok(())
    }

    pub(crate) fn show(&self) -> Value {
        json!({"now": self.now(), "rate": self.rate, "frozen": self.frozen})
    }
}

/// A time in whole microseconds: such numbers survive being written as text and read again.
pub(crate) fn micro(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

fn sane(rate: f64) -> f64 {
    if rate.is_finite() { rate.clamp(0.001, 100_000.0) } else { 1.0 }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_frozen_clock_moves_only_by_jumps() {
        let mut clock = Clock::new(1000.0, 500.0);
        clock.set(&Setting { frozen: Some(true), ..Setting::default() }).unwrap();
        let stood = clock.now();
        assert!((clock.now() - stood).abs() < f64::EPSILON);
        clock.set(&Setting { jump: Some(60.0), ..Setting::default() }).unwrap();
        assert!((clock.now() - stood - 60.0).abs() < 1e-6);
    }

    #[test]
    fn time_never_passes_backwards_and_never_stops_by_a_rate() {
        let mut clock = Clock::new(0.0, 1.0);
        for wrong in [r#"{"jump": -1}"#, r#"{"rate": 0}"#, r#"{"rate": 1e9}"#] {
            assert!(clock.set(&serde_json::from_str(wrong).unwrap()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_change_of_rate_is_no_jump() {
        let mut clock = Clock::new(50.0, 1.0);
        clock.set(&Setting { rate: Some(1000.0), ..Setting::default() }).unwrap();
        assert!(clock.now() < 60.0);
    }
}

//! What the demo says: each stage with its number, what happens in it, and how long it took.

use std::io::Write as _;
use std::time::Instant;

/// Writes a line; nobody listening is no reason to stop.
pub(super) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _unheard = writeln!(out, "{text}");
    let _unheard = out.flush();
}

/// Stages in their order.
pub(super) struct Stages {
    total: usize,
    number: usize,
    started: Instant,
    stage: Instant,
    last: String,
}

impl Stages {
    pub(super) fn new(total: usize) -> Self {
        Self { total, number: 0, started: Instant::now(), stage: Instant::now(), last: String::new() }
    }

    /// A new stage begins.
    pub(super) fn begin(&mut self, title: &str) {
        self.number += 1;
        self.stage = Instant::now();
        self.last.clear();
        line(&format!("\n[{}/{}] {title}", self.number, self.total));
    }

    /// Something happens; said once.
    pub(super) fn note(&mut self, text: &str) {
        if self.last != text {
            text.clone_into(&mut self.last);
            line(&format!("  {:6.1} s  {text}", self.stage.elapsed().as_secs_f64()));
        }
    }

    /// All is told.
    pub(super) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

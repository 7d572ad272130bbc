//! What the demo says: each scene with its number, what happens in it, and how long it took.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Value, json};

use super::plot::Scene;

/// Writes a line; nobody listening is no reason to stop.
pub(super) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _unheard = writeln!(out, "{text}");
    let _unheard = out.flush();
}

/// Scenes in their order, and a record of them.
pub(super) struct Stages {
    plot: Vec<&'static Scene>,
    number: usize,
    started: Instant,
    stage: Instant,
    last: String,
    record: PathBuf,
    told: Vec<Value>,
}

impl Stages {
    /// Of these scenes; `record` is the JSON file that says what became of each.
    pub(super) fn new(plot: Vec<&'static Scene>, record: PathBuf) -> Self {
        let now = Instant::now();
        Self { plot, number: 0, started: now, stage: now, last: String::new(), record, told: Vec::new() }
    }

    /// The next scene begins, which is the one of this name.
    pub(super) fn begin(&mut self, id: &str) {
        self.end("done");
        let Some(scene) = self.plot.get(self.number) else { return line(&format!("\n[+] {id}")) };
        debug_assert_eq!(scene.id, id, "the story is told in the order of its plot");
        self.number += 1;
        self.stage = Instant::now();
        self.last.clear();
        line(&format!("\n[{}/{}] {}", self.number, self.plot.len(), scene.title));
    }

    /// Something happens; said once.
    pub(super) fn note(&mut self, text: &str) {
        if self.last != text {
            text.clone_into(&mut self.last);
            line(&format!("  {:6.1} s  {text}", self.stage.elapsed().as_secs_f64()));
        }
    }

    /// How the scene that was begun last has ended: `done`, or why it has failed.
    pub(super) fn end(&mut self, how: &str) {
        let Some(scene) = self.number.checked_sub(1).and_then(|at| self.plot.get(at)) else { return };
        if self.told.len() == self.number {
            return;
        }
        let seconds = self.stage.elapsed().as_secs_f64();
        let outcome = if how == "done" { "done" } else { "failed" };
        self.told.push(json!({
            "id": scene.id, "step": scene.step, "title": scene.title, "outcome": outcome, "seconds": seconds,
            "limitSeconds": scene.limit.as_secs(), "last": if outcome == "done" { &self.last } else { how },
        }));
        let text = format!("{:#}\n", json!({ "scenes": self.told }));
        if let Err(why) = std::fs::write(&self.record, text) {
            tracing::warn!(record = %self.record.display(), %why, "the story's record is not written");
        }
    }

    /// All is told.
    pub(super) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

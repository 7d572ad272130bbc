//! A full run takes hours and may be interrupted: what passed at a commit is noted and not run again.
//!
//! Promises: notes hold for one commit only, and for none when files differ from it; the page about the last full run
//! names date, commit, time and each part's result.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::run::{Row, Runner};
use super::{clock, summary};

const PAGE: &str = "docs/reference/test-full.md";

/// The notes of a commit.
pub(super) struct Notes {
    directory: PathBuf,
    commit: String,
    changed: bool,
}

impl Notes {
    pub(super) fn open(root: &Path) -> Result<Self> {
        let commit = git(root, &["rev-parse", "HEAD"])?;
        let page = format!(":!{PAGE}");
        let changed = !git(root, &["status", "--porcelain", "--", ".", &page])?.is_empty();
        let directory = root.join("target/test-full").join(&commit);
        fs::create_dir_all(&directory).with_context(|| format!("make `{}`", directory.display()))?;
        Ok(Self { directory, commit, changed })
    }

    /// A part that passed before.
    pub(super) fn read(&self, name: &str) -> Option<Row> {
        if self.changed {
            return None;
        }
        let text = fs::read_to_string(self.directory.join(file_name(name))).ok()?;
        let mut numbers = text.split_whitespace();
        let mut next = || numbers.next()?.parse::<u32>().ok();
        let (passed, skipped, seconds) = (next()?, next()?, next()?);
        let took = Duration::from_secs(seconds.into());
        Some(Row { name: name.to_owned(), passed, skipped, took, note: "earlier".to_owned(), ..Row::default() })
    }

    /// Notes that a part passed. One that was skipped is tried again.
    pub(super) fn write(&self, row: &Row) -> Result<()> {
        let Row { name, passed, failed, skipped, took, note: _ } = row;
        if self.changed || *failed > 0 || *passed == 0 {
            return Ok(());
        }
        let path = self.directory.join(file_name(name));
        fs::write(&path, format!("{passed} {skipped} {}\n", took.as_secs()))
            .with_context(|| format!("write `{}`", path.display()))
    }
}

/// Writes the page about this run.
pub(super) fn write_page(runner: &Runner) -> Result<()> {
    let Some(Notes { commit, changed, .. }) = runner.notes() else { return Ok(()) };
    let rows = runner.rows();
    let took: Duration = rows.iter().map(|row| row.took).sum();
    let changed = if *changed { ", with changes that are not committed" } else { "" };
    let mut text = format!(
        "# The last full test run\n\nWritten by `make test-full`.\n\n- date: {}\n- commit: `{commit}`{changed}\n- duration: {:.0} \
         minutes, parts that passed in an interrupted run of the same commit included\n- result: {}\n\n\
         | part | passed | failed | skipped | seconds | |\n|---|---|---|---|---|---|\n",
        clock::date(),
        took.as_secs_f64() / 60.0,
        summary::total(rows),
    );
    for Row { name, passed, failed, skipped, took, note } in rows {
        let note = note.replace(&runner.root().display().to_string(), ".").replace(['|', '\n'], " ");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {name} | {passed} | {failed} | {skipped} | {} | {note} |", took.as_secs());
    }
    let path = runner.root().join(PAGE);
    fs::write(&path, text).with_context(|| format!("write `{}`", path.display()))
}

/// A part's name as a file's.
pub(super) fn file_name(name: &str) -> String {
    name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-")
}

fn git(root: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new("git").arg("-C").arg(root).args(args).output().context("start `git`")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`git {}`: {}", args.join(" "), said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

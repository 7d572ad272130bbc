//! Runs parts one after another and remembers what became of each.
//!
//! Promises: every process that is started is told to end when we end (parent-death signal), and is ended when it takes
//! too long; a part that is skipped says why.
//! Assumes: called on the main thread, since children die with the thread that started them.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::summary::Total;
use super::{Args, full};

/// What became of a part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) passed: u32,
    pub(super) failed: u32,
    pub(super) skipped: u32,
    pub(super) took: Duration,
    /// Why it was skipped, or what to look at.
    pub(super) note: String,
}

impl Row {
    /// A part that is one command: it counts as one.
    pub(super) fn of_command(success: bool) -> Self {
        Self { passed: u32::from(success), failed: u32::from(!success), ..Self::default() }
    }
}

/// Runs parts.
pub(super) struct Runner {
    root: PathBuf,
    rows: Vec<Row>,
    begun: Instant,
    seed: u64,
    only: Vec<String>,
    notes: Option<full::Notes>,
    dies_with_us: bool,
}

impl Runner {
    pub(super) fn new(root: PathBuf, seed: u64, args: &Args) -> Result<Self> {
        let notes = args.full.then(|| full::Notes::open(&root)).transpose()?;
        let dies_with_us = Command::new("setpriv").arg("--version").output().is_ok();
        Ok(Self { root, rows: Vec::new(), begun: Instant::now(), seed, only: args.only.clone(), notes, dies_with_us })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(super) fn notes(&self) -> Option<&full::Notes> {
        self.notes.as_ref()
    }

    #[expect(clippy::unused_self, reason = "whoever speaks has a runner; a quieter one may come")]
    pub(super) fn is_root(&self) -> bool {
        rustix::process::getuid().is_root()
    }

    /// A binary that `build` makes.
    pub(super) fn binary(&self, name: &str) -> PathBuf {
        self.root.join("target/debug").join(name)
    }

    #[expect(clippy::unused_self, reason = "whoever speaks has a runner; a quieter one may come")]
    pub(super) fn say(&self, line: &str) {
        // Nobody to tell is no reason to stop.
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{line}");
        let _ = out.flush();
    }

    /// A part that is one command; whether it passed, or was left out.
    pub(super) fn command(&mut self, name: &str, command: &[PathBuf]) -> bool {
        self.row(name, |runner| Ok(Row::of_command(runner.run(command, None)?)));
        self.rows.last().is_none_or(|row| row.failed == 0)
    }

    /// A part that makes something that the others need, and tells whether it made all of it. It is never left out.
    pub(super) fn part<T>(&mut self, name: &str, work: impl FnOnce(&mut Self) -> Result<(T, bool)>) -> Option<T> {
        let mut made = None;
        let begun = Instant::now();
        self.say(&format!("\n== {name}"));
        let row = match work(self) {
            Ok((value, complete)) => {
                made = Some(value);
                Row::of_command(complete)
            }
            Err(why) => self.failed(&why),
        };
        self.rows.push(Row { name: name.to_owned(), took: begun.elapsed(), ..row });
        made
    }

    /// A part that counts for itself.
    pub(super) fn row(&mut self, name: &str, work: impl FnOnce(&mut Self) -> Result<Row>) {
        if !self.only.is_empty() && !self.only.iter().any(|word| name.contains(word.as_str())) {
            return;
        }
        if let Some(row) = self.notes.as_ref().and_then(|notes| notes.read(name)) {
            self.say(&format!("\n== {name}: passed before, at this commit"));
            self.rows.push(row);
            return;
        }
        self.say(&format!("\n== {name}"));
        let begun = Instant::now();
        let row = work(self).unwrap_or_else(|why| self.failed(&why));
        let row = Row { name: name.to_owned(), took: begun.elapsed(), ..row };
        if let Some(notes) = self.notes.as_ref().filter(|_| row.failed == 0)
            && let Err(why) = notes.write(&row)
        {
            self.say(&format!("could not note that it passed: {why:#}"));
        }
        self.rows.push(row);
    }

    /// A part that cannot run here.
    pub(super) fn skip(&mut self, name: &str, why: &str) {
        self.row(name, |runner| {
            runner.say(&format!("SKIPPED: {why}"));
            Ok(Row { skipped: 1, note: why.to_owned(), ..Row::default() })
        });
    }

    fn failed(&self, why: &anyhow::Error) -> Row {
        self.say(&format!("error: {why:#}"));
        Row { failed: 1, note: why.to_string(), ..Row::default() }
    }

    /// Runs a command in the workspace's root with our output; whether it succeeded.
    pub(super) fn run(&mut self, words: &[PathBuf], limit: Option<Duration>) -> Result<bool> {
        let mut command = self.prepared(words, limit)?;
        let status = command.status().with_context(|| format!("start `{}`", shown(words)))?;
        if !status.success() {
            self.say(&format!("`{}` ended with {status}", shown(words)));
        }
        Ok(status.success())
    }

    /// The command, ready to start.
    pub(super) fn prepared(&self, words: &[PathBuf], limit: Option<Duration>) -> Result<Command> {
        let mut all: Vec<PathBuf> = Vec::new();
        if self.dies_with_us {
            all.extend(["setpriv", "--pdeathsig", "TERM", "--"].map(PathBuf::from));
        }
        if let Some(limit) = limit {
            // in our process group, so that Ctrl-C reaches what it runs
            all.extend(["timeout", "--foreground", "--kill-after=20"].map(PathBuf::from));
            all.push(limit.as_secs().to_string().into());
        }
        all.extend_from_slice(words);
        let Some((program, args)) = all.split_first() else { bail!("run nothing") };
        let mut command = Command::new(program);
        let seed = self.seed.to_string();
        command.args(args).current_dir(&self.root).stdin(Stdio::null());
        command.env("OXMOX_SEED", &seed).env("PROPTEST_RNG_SEED", &seed);
        if self.notes.is_some() {
            command.env("OXMOX_FULL", "1").env("PROPTEST_CASES", "4096");
        } else {
            command.env_remove("OXMOX_FULL");
        }
        Ok(command)
    }

    /// Keeps the last line for whoever called us.
    pub(super) fn keep(&self, total: &Total) -> Result<()> {
        let path = self.log("total")?.with_file_name("total");
        fs::write(&path, format!("{total}\n")).with_context(|| format!("write `{}`", path.display()))
    }

    /// Where logs of parts go.
    pub(super) fn log(&self, name: &str) -> Result<PathBuf> {
        let directory = self.root.join("target/test-logs");
        fs::create_dir_all(&directory).with_context(|| format!("make `{}`", directory.display()))?;
        Ok(directory.join(format!("{}.log", full::file_name(name))))
    }
}

fn shown(words: &[PathBuf]) -> String {
    words.iter().map(|word| word.display().to_string()).collect::<Vec<_>>().join(" ")
}

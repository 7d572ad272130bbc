//! The test binaries: built once, outside of the lab; run here or in the lab; counted.
//!
//! Promises: a test that says `SKIPPED` counts as skipped, not as passed; a binary that dies without a result counts as
//! failed; a failure is shown whole, and everything is in a log.
//! Assumes: the output format of libtest, `test result: ok. 3 passed; 0 failed; …`.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::run::{Row, Runner};
use super::words;

/// The longest that a binary may take; the fullest sweeps take longer.
const LIMIT: Duration = Duration::from_mins(15);
const FULL_LIMIT: Duration = Duration::from_hours(4);

/// Where a binary runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Here,
    Lab,
}

/// One test binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TestBinary {
    package: String,
    target: String,
    kind: String,
    directory: PathBuf,
    executable: PathBuf,
}

#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Builds all binaries and all tests, with the features that the demo has: one command, so that nothing is compiled twice
/// for the sake of features that only tests switch on. What does not build keeps nothing else from being tried; whether
/// all was built is told beside.
pub(super) fn build(runner: &mut Runner) -> Result<(Vec<TestBinary>, bool)> {
    let line =
        "build --workspace --all-targets --features cli/demo --keep-going --message-format=json-render-diagnostics";
    let args: Vec<&str> = line.split(' ').collect();
    let mut command = runner.prepared(&words(Path::new("cargo"), &args), None)?;
    let output = command.stderr(Stdio::inherit()).output().context("start `cargo build`")?;
    let mut all: Vec<TestBinary> = String::from_utf8_lossy(&output.stdout).lines().filter_map(test_binary).collect();
    all.sort_by_key(|test| (test.needs_lab(), test.name()));
    ensure!(!all.is_empty(), "no test was built");
    Ok((all, output.status.success()))
}

fn test_binary(line: &str) -> Option<TestBinary> {
    let message: Message = serde_json::from_str(line).ok()?;
    let target = message.target.filter(|_| message.reason == "compiler-artifact")?;
    message.profile.filter(|profile| profile.test)?;
    let directory = message.manifest_path?.parent()?.to_owned();
    Some(TestBinary {
        package: directory.file_name()?.to_string_lossy().into_owned(),
        target: target.name,
        kind: target.kind.into_iter().next().unwrap_or_default(),
        directory,
        executable: message.executable?,
    })
}

impl TestBinary {
    /// `plan lib`, `pve test it`.
    pub(super) fn name(&self) -> String {
        if self.kind == "test" {
            format!("{} tests", self.package)
        } else {
            format!("{} {} {}", self.package, self.kind, self.target)
        }
    }

    /// Real control planes live in private namespaces.
    pub(super) fn needs_lab(&self) -> bool {
        self.kind == "test" && ["testkit", "e2e", "csi"].contains(&self.package.as_str())
    }

    /// Runs it and counts.
    pub(super) fn run(&self, runner: &mut Runner, place: Place) -> Result<Row> {
        let mut line = Vec::new();
        if place == Place::Lab {
            line.extend(words(&runner.binary("xtask"), &["lab", "--name", "test", "--"]));
        }
        line.push(self.executable.clone());
        line.push("--show-output".into());
        let limit = if runner.notes().is_some() { FULL_LIMIT } else { LIMIT };
        let log = runner.log(&self.name())?;
        let mut copy = File::create(&log).with_context(|| format!("make `{}`", log.display()))?;
        let (reader, writer) = std::io::pipe().context("make a pipe")?;
        let mut command = runner.prepared(&line, Some(limit))?;
        command.current_dir(&self.directory).env("CARGO_MANIFEST_DIR", &self.directory);
        command.env("INSTA_WORKSPACE_ROOT", runner.root()).env("INSTA_UPDATE", "no");
        command.stdout(writer.try_clone().context("share the pipe")?).stderr(writer);
        let mut child = command.spawn().with_context(|| format!("start `{}`", self.executable.display()))?;
        // our copies of the writing end, or the reader would wait for ever
        drop(command);
        let mut heard = Heard::default();
        for line in BufReader::new(reader).lines() {
            let line = line.unwrap_or_else(|_| "(a line that is no text)".to_owned());
            writeln!(copy, "{line}").with_context(|| format!("write `{}`", log.display()))?;
            if heard.line(&line) || place == Place::Lab && line.starts_with("test ") {
                runner.say(&format!("   {line}"));
            }
        }
        let status = child.wait().context("wait for the tests")?;
        let row = heard.row(status.success(), &log);
        runner.say(&format!("   {} passed, {} failed, {} skipped", row.passed, row.failed, row.skipped));
        Ok(row)
    }
}

/// What libtest has said so far.
#[derive(Debug, Default)]
struct Heard {
    result: Option<(u32, u32, u32)>,
    skipped: u32,
    failing: bool,
}

impl Heard {
    /// Takes a line; whether people should see it.
    fn line(&mut self, line: &str) -> bool {
        if let Some(words) = line.strip_prefix("test result: ") {
            self.result = result(words);
            return false;
        }
        if ["SKIPPED", "skipped:"].iter().any(|word| line.trim_start().starts_with(word)) {
            self.skipped += 1;
            return true;
        }
        self.failing |= line == "failures:";
        self.failing
    }

    fn row(self, success: bool, log: &Path) -> Row {
        let Some((passed, failed, ignored)) = self.result else {
            return Row { failed: 1, note: format!("it died; {}", log.display()), ..Row::default() };
        };
        let aloud = self.skipped.min(passed);
        // a binary that says ok and ends badly has not passed
        let failed = if success { failed } else { failed.max(1) };
        let note = if failed == 0 { String::new() } else { log.display().to_string() };
        Row { passed: passed - aloud, failed, skipped: ignored + aloud, note, ..Row::default() }
    }
}

/// `ok. 3 passed; 0 failed; 1 ignored; 0 measured; …`
fn result(words: &str) -> Option<(u32, u32, u32)> {
    let number = |what: &str| {
        let words = words.split_once(". ").map_or(words, |(_, rest)| rest);
        words.split("; ").find_map(|part| part.strip_suffix(what)?.trim().parse().ok())
    };
    Some((number(" passed")?, number(" failed")?, number(" ignored")?))
}

#[cfg(test)]
mod test {
    use super::*;

    fn heard(lines: &str, success: bool) -> Row {
        let mut heard = Heard::default();
        for line in lines.lines() {
            heard.line(line);
        }
        heard.row(success, Path::new("log"))
    }

    #[test]
    fn tests_that_say_that_they_are_skipped_do_not_count_as_passed() {
        let words =
            "SKIPPED one: no root\n\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out";
        let row = heard(words, true);
        assert_eq!((row.passed, row.failed, row.skipped), (2, 0, 2));
    }

    #[test]
    fn a_binary_that_dies_without_a_result_has_failed() {
        assert_eq!(heard("running 3 tests", false).failed, 1);
    }

    #[test]
    fn a_binary_that_says_ok_and_ends_badly_has_failed() {
        let row = heard("test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out", false);
        assert_eq!((row.passed, row.failed), (3, 1));
    }

    #[test]
    fn failures_are_shown_from_where_they_begin() {
        let mut heard = Heard::default();
        assert!(!heard.line("test a ... FAILED"));
        assert!(heard.line("failures:"));
        assert!(heard.line("thread 'a' panicked"));
    }

    #[test]
    fn cargo_names_test_binaries_among_much_else() {
        let line = r#"{"reason":"compiler-artifact","manifest_path":"/w/crates/pve/Cargo.toml",
            "target":{"kind":["test"],"name":"it"},"profile":{"test":true},"executable":"/w/target/debug/deps/it-1"}"#;
        assert_eq!(test_binary(line).map(|binary| binary.name()), Some("pve tests".to_owned()));
        assert_eq!(test_binary(&line.replace("true", "false")), None);
        assert_eq!(test_binary(r#"{"reason":"build-finished","success":true}"#), None);
    }
}

//! `cargo xtask golden`: recorded transcripts of a real Proxmox VE, replayed against the simulator and scored.
//!
//! ```text
//! transcript → starting state (inferred, fixtures) → fresh simulator → requests in order → answers → score
//! ```
//!
//! Promises: each transcript has a simulator of its own; requests go out over HTTPS as they were recorded, but for what
//! the server had made up, which is replaced by what ours made up; nothing of a recorded answer is given to the simulator
//! but the state that the scenario starts from. The exit code tells whether it could run; `--min` makes it judge.

mod ids;
mod replay;
mod report;
mod request;
mod score;
mod start;
mod wire;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use serde_json::Value;

use self::score::Score;

/// Transcripts at a time; each has a simulator of its own.
const AT_ONCE: usize = 3;

/// Replay recorded transcripts against a fresh simulator each, score the answers, print the differences.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A folder of transcripts (`*.json`).
    dir: PathBuf,
    /// Write what the simulator answered here, in the same format.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How to print the scores.
    #[arg(short, long, value_enum, default_value = "table")]
    output: report::Output,
    /// Only these transcripts (names without `.json`); may be given more than once.
    #[arg(short, long, value_name = "NAME")]
    file: Vec<String>,
    /// Fail below this share of full matches.
    #[arg(long, value_name = "PERCENT")]
    min: Option<f64>,
}

/// A transcript and what became of it.
#[derive(Debug)]
pub(crate) struct Scored {
    pub(crate) file: String,
    pub(crate) score: Score,
}

/// A transcript that was read.
#[derive(Debug)]
struct Transcript {
    name: String,
    items: Vec<Value>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let transcripts = read(&args.dir, &args.file)?;
    ensure!(!transcripts.is_empty(), "replay `{}`: there is no transcript", args.dir.display());
    let runtime = tokio::runtime::Runtime::new().context("start a runtime")?;
    let scored = runtime.block_on(all(transcripts, args.out.as_deref()))?;
    report::print(&scored, args.output)?;
    let percent = report::sum(&scored).percent();
    Ok(if args.min.is_none_or(|min| percent >= min) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn all(transcripts: Vec<Transcript>, out: Option<&Path>) -> Result<Vec<Scored>> {
    if let Some(out) = out {
        std::fs::create_dir_all(out).with_context(|| format!("make `{}`", out.display()))?;
    }
    let one = |transcript: Transcript| async move {
        let doing = || format!("replay `{}`", transcript.name);
        let recorded = replay::replay(&transcript.name, &transcript.items).await.with_context(doing)?;
        if let Some(out) = out {
            let file = out.join(format!("{}.json", transcript.name));
            let text = serde_json::to_string_pretty(&recorded).with_context(doing)?;
            std::fs::write(&file, text).with_context(|| format!("write `{}`", file.display()))?;
        }
        let score = score::score(&transcript.name, &transcript.items, &recorded);
        Ok::<_, anyhow::Error>(Scored { file: transcript.name, score })
    };
    let mut scored: Vec<Scored> = Vec::new();
    let mut running = futures::stream::iter(transcripts.into_iter().map(one)).buffered(AT_ONCE);
    while let Some(result) = running.next().await {
        scored.push(result?);
    }
    Ok(scored)
}

/// The transcripts of a folder by name; what is JSON but no transcript is left out aloud.
fn read(dir: &Path, only: &[String]) -> Result<Vec<Transcript>> {
    let doing = || format!("read `{}`", dir.display());
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .with_context(doing)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<std::io::Result<_>>()
        .with_context(doing)?;
    files.retain(|f| f.extension().is_some_and(|e| e == "json"));
    files.sort();
    let mut out = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !only.is_empty() && !only.contains(&name) {
            continue;
        }
        let text = std::fs::read_to_string(&file).with_context(|| format!("read `{}`", file.display()))?;
        let value: Value = serde_json::from_str(&text).with_context(|| format!("read `{}`", file.display()))?;
        match value {
            Value::Array(items) if items.iter().all(is_item) => out.push(Transcript { name, items }),
            _ => report::aside(&format!("{name}: no transcript, left out")),
        }
    }
    Ok(out)
}

fn is_item(item: &Value) -> bool {
    item["response"].is_object() || item.get("observed").is_some()
}

//! What is printed: a table and the differences, or JSON.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde_json::json;

use super::Scored;
use super::score::{CRITERIA, Score};

/// How scores are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
}

/// The longest that a difference may be on a terminal.
const WIDTH: usize = 600;

/// All scores added up.
pub(crate) fn sum(scored: &[Scored]) -> Score {
    let mut total = Score::default();
    for one in scored {
        total.add(&one.score);
    }
    total
}

/// Says something that is no data.
pub(crate) fn aside(text: &str) {
    // Nobody to tell is no reason to stop.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Prints the scores on stdout.
pub(crate) fn print(scored: &[Scored], output: Output) -> Result<()> {
    let text = match output {
        Output::Table => format!("{}{}", differences(scored), table(scored)),
        Output::Json => format!("{:#}\n", as_json(scored)),
    };
    if output == Output::Json {
        aside(differences(scored).trim_end());
    }
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("print the scores")
}

fn as_json(scored: &[Scored]) -> serde_json::Value {
    let row = |s: &Score| json!({"total": s.total(), "match": s.full});
    let files: Vec<_> = scored
        .iter()
        .map(|one| {
            let mut file = row(&one.score);
            file["file"] = json!(one.file);
            file
        })
        .collect();
    let mut all = row(&sum(scored));
    all["files"] = json!(files);
    all
}

/// Every difference, below the exchange that has it.
pub(crate) fn differences(scored: &[Scored]) -> String {
    let mut out = String::new();
    for one in scored {
        for row in &one.score.rows {
            let _ = writeln!(out, "{}: {}", one.file, row.request);
            for (criterion, lines) in &row.differs {
                for line in lines {
                    let short: String = line.chars().take(WIDTH).collect();
                    let more = if short.len() < line.len() { " ..." } else { "" };
                    let _ = writeln!(out, "    {criterion:7} {short}{more}");
                }
            }
        }
    }
    out
}

fn share(good: usize, of: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "counts of exchanges")]
    if of == 0 { "-".to_owned() } else { format!("{:.1}", 100.0 * good as f64 / of as f64) }
}

fn table(scored: &[Scored]) -> String {
    let total = sum(scored);
    let mut rows = vec![
        ["file", "real", "sim", "pairs", "missing", "extra", "skipped", "full %"]
            .into_iter()
            .map(str::to_owned)
            .chain(CRITERIA.iter().map(|c| format!("{c} %")))
            .chain(["(values %)".to_owned()])
            .collect::<Vec<_>>(),
    ];
    for (file, s) in scored.iter().map(|s| (s.file.as_str(), &s.score)).chain([("total", &total)]) {
        let counts = [s.real, s.sim, s.pairs, s.missing, s.extra, s.skipped];
        let mut row = vec![file.to_owned()];
        row.extend(counts.iter().map(usize::to_string));
        row.push(share(s.full, s.total()));
        row.extend(s.criteria.iter().map(|c| share(c.good, c.of)));
        row.push(share(s.values, s.pairs));
        rows.push(row);
    }
    let width = |column: usize| rows.iter().map(|r| r[column].len()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        let _ = write!(out, "{:<1$}", row[0], widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            let _ = write!(out, "  {cell:>width$}");
        }
        out.push('\n');
    }
    out
}

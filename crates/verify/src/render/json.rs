//! The report for programs.

use crate::report::Report;

/// The report as JSON: `{steps: [{id, title, checks: […]}], summary, …}`. Fields are added, never renamed.
pub fn json(report: &Report) -> String {
    serde_json::to_string_pretty(report).map(|text| text + "\n").unwrap_or_default()
}

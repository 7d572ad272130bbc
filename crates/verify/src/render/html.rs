//! The report as one HTML file that needs nothing else.

use askama::Template;

use crate::report::Report;

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    report: &'a Report,
    verdict: &'a str,
    verdict_class: &'a str,
    seconds: String,
}

/// The report as one HTML file: no scripts, no links to other files, light and dark.
pub fn html(report: &Report) -> String {
    let (verdict, verdict_class) = match report.exit_code() {
        0 => ("All passed", "passed"),
        1 => ("Something to see to", "warning"),
        2 => ("Something failed", "failed"),
        _ => ("Nothing could be read", "unread"),
    };
    let took = report.finished.duration_since(report.started);
    let seconds = format!("{}.{}", took.as_secs(), took.subsec_millis() / 100);
    Page { report, verdict, verdict_class, seconds }.render().unwrap_or_default()
}

//! What people and programs read.

use super::all;
use crate::fixture::{healthy, sick};
use crate::render::{Colour, html, json, junit, terminal};

#[test]
fn a_healthy_report_on_a_terminal() {
    insta::assert_snapshot!(terminal(&all(&healthy()), 100, Colour::No));
}

#[test]
fn a_sick_report_on_a_wide_terminal() {
    insta::assert_snapshot!(terminal(&all(&sick()), 120, Colour::No));
}

#[test]
fn a_sick_report_on_a_narrow_terminal() {
    let text = terminal(&all(&sick()), 50, Colour::No);
    let too_long = text.lines().filter(|line| line.chars().count() > 50 && line.trim().contains(' ')).count();
    assert!(too_long <= 1, "only the summary may be longer:\n{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn colour_only_adds_to_what_is_there_without() {
    let report = all(&sick());
    let coloured = terminal(&report, 100, Colour::Yes);
    assert!(coloured.contains("\u{1b}[31m"));
    let mut bare = String::new();
    let mut parts = coloured.split('\u{1b}');
    bare += parts.next().unwrap();
    parts.for_each(|part| bare += part.split_once('m').unwrap().1);
    assert_eq!(bare, terminal(&report, 100, Colour::No));
}

#[test]
fn a_sick_report_as_json() {
    insta::assert_snapshot!(json(&all(&sick())));
}

#[test]
fn a_report_is_read_back_from_its_json() {
    let report = all(&sick());
    let back: crate::Report = serde_json::from_str(&json(&report)).unwrap();
    assert_eq!(back, report);
}

#[test]
fn a_sick_report_as_junit() {
    insta::assert_snapshot!(junit(&all(&sick())));
}

#[test]
fn a_sick_report_as_html() {
    let page = html(&all(&sick()));
    insta::assert_snapshot!(page);
}

#[test]
fn the_html_needs_nothing_else_and_quotes_what_others_wrote() {
    let page = html(&all(&sick()));
    for word in ["http://", "https://", "<script", "<link", "<img", "url(", "@import"] {
        let rest = page.replace("https://pve1:8006", "");
        assert!(!rest.contains(word), "the page holds `{word}`");
    }
    assert!(!page.contains("<b>gone</b>"), "somebody's words became markup");
    assert!(page.contains("&#60;b&#62;gone") || page.contains("&lt;b&gt;gone"));
}

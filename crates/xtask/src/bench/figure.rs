//! One measured figure: value, aim, peer; and how all of them are printed.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::Output;

/// Which side of the aim is the good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AimIs {
    /// The value is to be no more.
    AtMost,
    /// The value is to be no less.
    AtLeast,
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    aim: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aim_is: Option<AimIs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<f64>,
    /// Value over peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value: round(value), unit, aim: None, aim_is: None, peer: None, ratio: None }
    }

    /// With an aim that it is to stay below.
    pub(crate) fn at_most(self, aim: f64) -> Self {
        Self { aim: Some(aim), aim_is: Some(AimIs::AtMost), ..self }
    }

    /// With an aim that it is to reach.
    pub(crate) fn at_least(self, aim: f64) -> Self {
        Self { aim: Some(aim), aim_is: Some(AimIs::AtLeast), ..self }
    }

    /// Beside what the peer needs.
    pub(crate) fn peer(self, peer: f64) -> Self {
        // nothing over nothing says nothing
        let ratio = (peer > 0.0).then(|| round(self.value / peer));
        Self { peer: Some(round(peer)), ratio, ..self }
    }

    fn met(&self) -> &'static str {
        match (self.aim, self.aim_is) {
            (Some(aim), Some(AimIs::AtMost)) if self.value > aim => "MISSED",
            (Some(aim), Some(AimIs::AtLeast)) if self.value < aim => "MISSED",
            (Some(_), Some(_)) => "met",
            _ => "",
        }
    }
}

/// Three digits after the point: more is noise.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Prints all figures.
pub(crate) fn print(figures: &[Figure], output: Output) -> Result<()> {
    let text = match output {
        Output::Json => serde_json::to_string_pretty(figures).context("write the figures as JSON")? + "\n",
        Output::Table => table(figures),
    };
    std::io::stdout().lock().write_all(text.as_bytes()).context("print the figures")
}

fn table(figures: &[Figure]) -> String {
    let width = figures.iter().map(|figure| figure.name.len()).max().unwrap_or(0);
    let mut text = format!(
        "{:width$}  {:>10}  {:14}  {:>10}  {:>8}  {:>6}  aim is\n",
        "figure", "value", "unit", "aim", "peer", "ratio"
    );
    for figure in figures {
        let sign = match figure.aim_is {
            Some(AimIs::AtMost) => "<= ",
            Some(AimIs::AtLeast) => ">= ",
            None => "",
        };
        let optional = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
        let aim = format!("{sign}{}", optional(figure.aim));
        // writing to a String cannot fail
        let _ok = writeln!(
            text,
            "{:width$}  {:>10}  {:14}  {aim:>10}  {:>8}  {:>6}  {}",
            figure.name,
            figure.value,
            figure.unit,
            optional(figure.peer),
            optional(figure.ratio),
            figure.met(),
        );
    }
    text
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_program_reads_the_aim_and_absent_fields_are_left_out() {
        let figures = [
            Figure::new("calls", 8.0, "calls/machine").at_most(10.0).peer(63.0),
            Figure::new("idle", 0.5, "calls").peer(0.0),
        ];
        let json = serde_json::to_value(&figures).unwrap();
        assert_eq!(json[0]["aim_is"], "at_most");
        assert_eq!(json[0]["ratio"], 0.127);
        assert!(json[1].get("aim").is_none() && json[1].get("ratio").is_none());
    }

    #[test]
    fn a_missed_aim_shows() {
        assert!(table(&[Figure::new("rate", 39.0, "machines/min").at_least(300.0)]).contains("MISSED"));
        assert!(!table(&[Figure::new("rate", 300.0, "machines/min").at_least(300.0)]).contains("MISSED"));
    }
}

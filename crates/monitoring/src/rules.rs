//! The alerts as a file of rules, as Prometheus, vmalert and the chart read it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::alert::{ALERTS, Alert};

#[derive(Serialize)]
struct File {
    groups: [Group; 1],
}

#[derive(Serialize)]
struct Group {
    name: &'static str,
    rules: Vec<Rule>,
}

#[derive(Serialize)]
struct Rule {
    alert: &'static str,
    expr: &'static str,
    r#for: &'static str,
    labels: BTreeMap<&'static str, &'static str>,
    annotations: BTreeMap<&'static str, String>,
}

/// The file, in YAML.
pub fn rules() -> Result<String, serde_saphyr::ser::Error> {
    let rule = |alert: &Alert| {
        let Alert { name, severity, after, expr, summary, description } = *alert;
        Rule {
            alert: name,
            expr,
            r#for: after,
            labels: BTreeMap::from([("severity", severity.word())]),
            annotations: BTreeMap::from([
                ("summary", summary.to_owned()),
                ("description", description.to_owned()),
                ("runbook_url", format!("{}/{name}.md", crate::RUNBOOKS)),
            ]),
        }
    };
    serde_saphyr::to_string(&File { groups: [Group { name: "oxmox", rules: ALERTS.iter().map(rule).collect() }] })
}

//! A dashboard: rows of panels, and its JSON as Grafana imports it.

use serde_json::{Value, json};

/// Variables of a query, and what a test puts in their place.
pub const VARIABLES: [(&str, &str); 2] = [("$instance", ".*"), ("$__rate_interval", "1m")];

/// Columns of Grafana's grid.
const COLUMNS: u32 = 24;

/// A dashboard.
#[derive(Debug)]
pub struct Dashboard {
    /// Grafana's key for it; links use it.
    pub uid: &'static str,
    /// Its title.
    pub title: &'static str,
    /// The metric whose label `instance` fills the variable of that name.
    pub instances_of: &'static str,
    /// From top to bottom.
    pub rows: &'static [Row],
}

/// Panels under one heading.
#[derive(Debug)]
pub struct Row {
    /// The heading.
    pub title: &'static str,
    /// From left to right.
    pub panels: &'static [Panel],
}

/// How a panel shows its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One number.
    Stat,
    /// Lines over time.
    Lines,
    /// A row for each series, with its labels.
    Table,
}

/// What a value is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A number.
    Count,
    /// 0 to 1.
    Ratio,
    /// Bytes.
    Bytes,
    /// Bytes in a second.
    BytesPerSecond,
    /// Seconds.
    Seconds,
    /// So often in a second.
    PerSecond,
}

/// A panel.
#[derive(Debug, Clone, Copy)]
pub struct Panel {
    /// Its title.
    pub title: &'static str,
    /// How it shows.
    pub kind: Kind,
    /// Of what.
    pub unit: Unit,
    /// What is asked, each with the name of its lines.
    pub asks: &'static [(&'static str, &'static str)],
    /// Why no answer is a good answer, where that is so.
    pub empty: Option<&'static str>,
}

/// One question of a panel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// `Proxmox VE: Nodes online`.
    pub place: String,
    /// With all variables filled in.
    pub expr: String,
    /// Why no answer is a good answer, where that is so.
    pub empty: Option<&'static str>,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Stat => "stat",
            Self::Lines => "timeseries",
            Self::Table => "table",
        }
    }

    /// Columns and rows of the grid.
    const fn size(self) -> (u32, u32) {
        match self {
            Self::Stat => (4, 4),
            Self::Lines => (8, 8),
            Self::Table => (12, 8),
        }
    }
}

impl Unit {
    const fn word(self) -> &'static str {
        match self {
            Self::Count => "short",
            Self::Ratio => "percentunit",
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "Bps",
            Self::Seconds => "s",
            Self::PerSecond => "cps",
        }
    }
}

impl Dashboard {
    /// What its panels ask.
    pub fn queries(&self) -> Vec<Query> {
        let panels = self.rows.iter().flat_map(|row| row.panels);
        let of = |panel: &Panel| {
            let place = format!("{}: {}", self.title, panel.title);
            let filled = |expr: &str| VARIABLES.iter().fold(expr.to_owned(), |text, (key, is)| text.replace(key, is));
            let query =
                |(expr, _): &(&str, &str)| Query { place: place.clone(), expr: filled(expr), empty: panel.empty };
            panel.asks.iter().map(query).collect::<Vec<_>>()
        };
        panels.flat_map(of).collect()
    }

    /// As Grafana imports it.
    pub fn json(&self) -> Value {
        let mut panels = Vec::new();
        let mut below = 0;
        for row in self.rows {
            panels.push(json!({
                "id": panels.len() + 1, "type": "row", "title": row.title, "collapsed": false, "panels": [],
                "gridPos": {"x": 0, "y": below, "w": COLUMNS, "h": 1},
            }));
            below += 1;
            let (mut left, mut height) = (0, 0);
            for panel in row.panels {
                let (width, high) = panel.kind.size();
                if left + width > COLUMNS {
                    below += height;
                    (left, height) = (0, 0);
                }
                panels.push(panel.json(panels.len() + 1, [left, below, width, high]));
                left += width;
                height = height.max(high);
            }
            below += height;
        }
        json!({
            "uid": self.uid,
            "title": self.title,
            "tags": ["oxmox", "proxmox"],
            "schemaVersion": 39,
            "editable": true,
            "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"},
            "links": [{
                "type": "dashboards", "tags": ["oxmox"], "title": "oxmox", "asDropdown": true,
                "includeVars": false, "keepTime": true, "targetBlank": false,
            }],
            "templating": {"list": [
                {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
                {
                    "name": "instance", "label": "Instance", "type": "query", "datasource": source(),
                    "query": {"query": format!("label_values({}, instance)", self.instances_of), "refId": "instance"},
                    "refresh": 2, "sort": 1, "multi": true, "includeAll": true, "allValue": ".*",
                    "current": {"text": "All", "value": "$__all"},
                },
            ]},
            "panels": panels,
        })
    }
}

fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

impl Panel {
    fn json(&self, id: usize, [x, y, w, h]: [u32; 4]) -> Value {
        let table = self.kind == Kind::Table;
        let instant = self.kind != Kind::Lines;
        let asks = self.asks.iter().zip(b'A'..).map(|((expr, legend), name)| {
            json!({
                "refId": char::from(name).to_string(), "datasource": source(), "expr": expr, "legendFormat": legend,
                "instant": instant, "range": !instant, "format": if table { "table" } else { "time_series" },
            })
        });
        let options = match self.kind {
            Kind::Stat => json!({"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value"}),
            Kind::Lines => {
                json!({"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}})
            }
            Kind::Table => json!({"showHeader": true}),
        };
        let mut panel = json!({
            "id": id, "type": self.kind.word(), "title": self.title, "datasource": source(),
            "gridPos": {"x": x, "y": y, "w": w, "h": h},
            "fieldConfig": {"defaults": {"unit": self.unit.word(), "min": 0}, "overrides": []},
            "options": options,
            "targets": asks.collect::<Vec<_>>(),
        });
        if let Some(why) = self.empty {
            panel["description"] = format!("May be empty: {why}.").into();
        }
        if table {
            let hide = json!({"excludeByName": {"Time": true, "Value": true, "__name__": true, "job": true}});
            panel["transformations"] = json!([{"id": "organize", "options": hide}]);
        }
        panel
    }
}

#[cfg(test)]
mod test {
    use std::collections::BTreeSet;

    #[test]
    fn every_panel_has_a_place_of_its_own_and_asks_something() {
        for dashboard in crate::dashboards() {
            let json = dashboard.json();
            let panels = json["panels"].as_array().unwrap();
            let mut taken = BTreeSet::new();
            for panel in panels {
                let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
                for x in at("x")..at("x") + at("w") {
                    for y in at("y")..at("y") + at("h") {
                        assert!(x < 24 && taken.insert((x, y)), "{} at {x}, {y}", panel["title"]);
                    }
                }
                let asks = panel["targets"].as_array().map_or(0, Vec::len);
                assert!(asks > 0 || panel["type"] == "row", "{} asks nothing", panel["title"]);
            }
            let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
            assert_eq!(ids.len(), panels.len());
        }
    }

    #[test]
    fn no_query_keeps_a_variable() {
        for query in crate::queries() {
            let kept = ["$instance", "$__"].into_iter().find(|name| query.expr.contains(name));
            assert_eq!(kept, None, "{}: {}", query.place, query.expr);
        }
    }
}

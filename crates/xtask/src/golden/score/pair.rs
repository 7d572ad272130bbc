//! One pair: by which criteria it differs.

use serde_json::json;

use super::exchange::Exchange;
use super::list::{Scenario, shape};
use super::plain::canonical;

/// What was found of one criterion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Difference {
    None,
    Some(Vec<String>),
}

fn differ<T: PartialEq>(a: &T, b: &T, shown: &dyn Fn(&T) -> String) -> Difference {
    if a == b { Difference::None } else { Difference::Some(vec![format!("{} became {}", shown(a), shown(b))]) }
}

/// Each criterion that applies, and `values`, which does not count.
pub(super) fn compare(a: &Exchange, b: &Exchange, scenario: &Scenario) -> Vec<(&'static str, Difference)> {
    let mut out = vec![
        ("status", differ(&a.status, &b.status, &|s| s.map_or_else(|| "none".to_owned(), |s| s.to_string()))),
        ("reason", differ(&a.reason, &b.reason, &|s| json!(s).to_string())),
    ];
    if a.failed() || b.failed() {
        let shown = |t: &super::exchange::Trouble| json!({"errors": t.errors, "message": t.message}).to_string();
        out.push(("error", differ(&a.trouble(), &b.trouble(), &shown)));
    }
    if !matches!(a.method.as_str(), "GET" | "RAW") || a.upid().is_some() || b.upid().is_some() {
        let kind = |x: &Exchange| if x.upid().is_some() { "task" } else { "answer" };
        out.push(("async", differ(&kind(a), &kind(b), &|k| format!("\"{k}\""))));
    }
    if a.is_task_status() || b.is_task_status() {
        out.push(("exit", differ(&a.exit(), &b.exit(), &|e| json!(e).to_string())));
    }
    let (one, two) = (a.rest(), b.rest());
    let shapes = shape(&one, &two, scenario, "body");
    out.push(("shape", if shapes.is_empty() { Difference::None } else { Difference::Some(shapes) }));
    out.push(("values", differ(&canonical(&one, None), &canonical(&two, None), &serde_json::Value::to_string)));
    out
}

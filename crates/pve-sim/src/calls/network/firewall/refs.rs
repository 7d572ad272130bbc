//! What rules can name as source or destination: aliases and sets of addresses.

use serde_json::{Value, json};

use super::place::Place;
use crate::calls::{Call, Outcome, now};
use crate::state::World;
use crate::state::firewall::Firewall;

fn add(rows: &mut Vec<Value>, firewall: &Firewall, scope: &str, wanted: Option<&str>) {
    let mut push = |kind: &str, sign: &str, name: &str, comment: Option<&String>| {
        if wanted.is_none_or(|w| w == kind) {
            let mut row = json!({"type": kind, "name": name, "ref": format!("{sign}{scope}/{name}"), "scope": scope});
            if let Some(comment) = comment {
                row["comment"] = json!(comment);
            }
            rows.push(row);
        }
    };
    for (name, set) in &firewall.ipsets {
        push("ipset", "+", name, set.comment.as_ref());
    }
    for alias in firewall.aliases.values() {
        push("alias", "", &alias.name, alias.comment.as_ref());
    }
}

pub(super) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let place = Place::of(call);
    let wanted = call.get("type");
    let mut rows = Vec::new();
    add(&mut rows, &Place::Cluster.read(world), "dc", wanted);
    if matches!(place, Place::Guest(_)) {
        add(&mut rows, &place.read(world), "guest", wanted);
    }
    now(Value::Array(rows))
}

//! HA rules: which nodes resources prefer, which resources stay together or apart.
//!
//! Promises Proxmox VE's checks: what cannot be kept is refused when a rule is made, and shown as `errors` where it
//! became so later.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::calls::cluster::sections;
use crate::calls::{Call, Outcome, now};
use crate::ha::placement::{node_list, resources};
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::cluster::{HaResource, Section};

const PATH: &str = "/cluster/ha/rules";

/// Complaints by rule and option.
type Complaints = BTreeMap<String, BTreeMap<String, Vec<String>>>;

fn is(rule: &Section, key: &str, value: &str) -> bool {
    rule.get(key).is_some_and(|v| v == value)
}

/// What is wrong with the rules as a whole.
fn check(rules: &BTreeMap<String, Section>, nodes: usize) -> Complaints {
    let mut wrong = Complaints::new();
    let active = |kind: &'static str| {
        rules
            .iter()
            .filter(move |(_, r)| is(r, "type", kind) && !is(r, "disable", "1"))
            .map(|(id, r)| (id, r, resources(r)))
    };
    let mut add = |id: &str, text: String| {
        wrong.entry(id.to_owned()).or_default().entry("resources".to_owned()).or_default().push(text);
    };
    for (id, _, of) in active("node-affinity") {
        for sid in &of {
            if active("node-affinity").any(|(other, _, o)| other != id && o.contains(sid)) {
                add(id, format!("resource '{sid}' is already used in another node affinity rule"));
            }
        }
    }
    for (id, rule, of) in active("resource-affinity") {
        if of.len() < 2 {
            add(id, "rule is ineffective as there are less than two resources".to_owned());
        }
        if is(rule, "affinity", "negative") && of.len() > nodes {
            add(id, "rule defines more resources than available nodes".to_owned());
        }
        for (other, against, o) in active("resource-affinity") {
            if other != id && rule.get("affinity") != against.get("affinity") && of.intersection(&o).count() >= 2 {
                let kind = against.get("affinity").map_or("", String::as_str);
                add(id, format!("rule shares two or more resources with a {kind} resource affinity rule"));
            }
        }
    }
    // Resources that stay together must have a common node, those that stay apart enough of them.
    for (id, rule, of) in active("resource-affinity") {
        let allowed: Vec<BTreeSet<String>> = active("node-affinity")
            .filter(|(_, r, o)| is(r, "strict", "1") && o.intersection(&of).next().is_some())
            .map(|(_, r, _)| node_list(r.get("nodes").map_or("", String::as_str)).into_keys().collect())
            .collect();
        if allowed.is_empty() {
            continue;
        }
        if is(rule, "affinity", "positive") {
            let common = allowed.iter().skip(1).fold(allowed[0].clone(), |a, b| a.intersection(b).cloned().collect());
            if common.is_empty() {
                let text = "two or more resources are restricted to different nodes";
                add(id, text.to_owned());
            }
        } else {
            let bound = active("node-affinity").filter(|(_, r, _)| is(r, "strict", "1"));
            let too_few = bound.clone().any(|(_, r, o)| {
                o.intersection(&of).count() > node_list(r.get("nodes").map_or("", String::as_str)).len()
            });
            if too_few {
                let text = "two or more resources are restricted to less nodes than available to the resources";
                add(id, text.to_owned());
            }
        }
    }
    wrong
}

fn digest(world: &World) -> String {
    sections::digest(&world.cluster.rules)
}

fn row(world: &World, call: &Call<'_>, id: &str, complaints: &Complaints) -> Option<Value> {
    let rule = world.cluster.rules.get(id)?;
    let mut row: Map<String, Value> = sections::typed(call.schema, PATH, rule);
    row.insert("rule".to_owned(), json!(id));
    row.insert("digest".to_owned(), json!(digest(world)));
    let order = world.cluster.rule_order.iter().position(|r| r == id).unwrap_or(0) + 1;
    row.insert("order".to_owned(), json!(order));
    if is(rule, "type", "node-affinity") {
        row.entry("strict").or_insert(json!(0));
    }
    row.insert("resources".to_owned(), json!(resources(rule).into_iter().collect::<Vec<_>>().join(",")));
    if let Some(errors) = complaints.get(id) {
        row.insert("errors".to_owned(), json!(errors));
    }
    Some(Value::Object(row))
}

pub(crate) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let complaints = check(&world.cluster.rules, world.nodes.len());
    let wanted = |id: &str| {
        world.cluster.rules.get(id).is_some_and(|rule| {
            call.get("type").is_none_or(|t| is(rule, "type", t))
                && call.get("resource").is_none_or(|r| resources(rule).contains(r))
        })
    };
    let ids = world.cluster.rule_order.iter().filter(|id| wanted(id));
    now(ids.filter_map(|id| row(world, call, id, &complaints)).collect())
}

pub(crate) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("rule");
    let complaints = check(&world.cluster.rules, world.nodes.len());
    match row(world, call, id, &complaints) {
        Some(row) => now(row),
        None => Err(Fail::die(format!("no such ha rule '{id}'")).into()),
    }
}

/// Settings that only rules of this type have.
fn own(kind: &str, key: &str) -> bool {
    match key {
        "nodes" | "strict" => kind == "node-affinity",
        "affinity" => kind == "resource-affinity",
        _ => true,
    }
}

/// Nodes and resources that a rule may name.
fn known(world: &World, rule: &Section) -> Result<(), String> {
    let managed = |sid: &String| world.cluster.ha.get(sid).is_some_and(|_: &HaResource| true);
    let unmanaged: Vec<String> = resources(rule).into_iter().filter(|sid| !managed(sid)).collect();
    if !unmanaged.is_empty() {
        return Err(format!("cannot use unmanaged resource(s) {}.", unmanaged.join(", ")));
    }
    let nodes = node_list(rule.get("nodes").map_or("", String::as_str));
    let strangers: Vec<String> = nodes.into_keys().filter(|n| world.node(n).is_none()).collect();
    if !strangers.is_empty() {
        return Err(format!("cannot use non-existant node(s) {}.", strangers.join(", ")));
    }
    Ok(())
}

fn feasible(world: &World, rules: &BTreeMap<String, Section>, id: &str) -> Result<(), String> {
    let Some(errors) = check(rules, world.nodes.len()).remove(id) else { return Ok(()) };
    let lines: Vec<String> =
        errors.into_iter().map(|(option, texts)| format!("{option}: {}", texts.join(", "))).collect();
    Err(format!("400 Rule '{id}' is invalid.\n{}", lines.join("\n")))
}

pub(crate) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let (id, kind) = (call.str("rule").to_owned(), call.str("type"));
    let set = sections::settings(call, &["rule"]);
    if let Some(key) = set.keys().find(|k| !own(kind, k)) {
        return Err(Fail::die(format!("unexpected property '{key}'")).into());
    }
    let needed = if kind == "node-affinity" { "nodes" } else { "affinity" };
    if !set.contains_key(needed) {
        return Err(Fail::die(format!("missing value for required option '{needed}'")).into());
    }
    let fail = |text: String| Fail::die(format!("create ha rule failed: {text}"));
    if world.cluster.rules.contains_key(&id) {
        return Err(fail(format!("HA rule '{id}' already defined")).into());
    }
    known(world, &set).map_err(fail)?;
    let mut rules = world.cluster.rules.clone();
    rules.insert(id.clone(), set);
    feasible(world, &rules, &id).map_err(fail)?;
    world.cluster.rules = rules;
    world.cluster.rule_order.push(id);
    crate::ha::hurry(world);
    now(Value::Null)
}

pub(crate) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("rule").to_owned();
    let fail = |text: String| Fail::die(format!("update HA rules failed: {text}"));
    sections::unchanged(call, &digest(world)).map_err(|f| fail(f.line()))?;
    let Some(rule) = world.cluster.rules.get(&id) else {
        return Err(fail(format!("HA rule '{id}' does not exist")).into());
    };
    let kind = rule.get("type").cloned().unwrap_or_default();
    let set = sections::settings(call, &["rule"]);
    let foreign = set.iter().find(|(k, v)| !own(&kind, k) || (*k == "type" && **v != kind));
    if let Some((key, _)) = foreign {
        return Err(fail(format!("unexpected property '{key}'")).into());
    }
    known(world, &set).map_err(fail)?;
    let mut changed = rule.clone();
    sections::change(call, PATH, &mut changed, &set).map_err(fail)?;
    let mut rules = world.cluster.rules.clone();
    rules.insert(id.clone(), changed);
    feasible(world, &rules, &id).map_err(fail)?;
    world.cluster.rules = rules;
    crate::ha::hurry(world);
    now(Value::Null)
}

pub(crate) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("rule");
    world.cluster.rules.remove(id);
    world.cluster.rule_order.retain(|r| r != id);
    crate::ha::hurry(world);
    now(Value::Null)
}

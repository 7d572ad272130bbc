//! Rules, of a firewall or of a security group: a list whose places are numbers.

use serde_json::{Map, Value, json};

use super::check::{self, Sight};
use super::place::{Place, comment, unchanged};
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::schema::split_list;
use crate::state::World;
use crate::state::firewall::{Firewall, Rule, digest};

/// What a rule can say.
const PROPERTIES: [&str; 12] =
    ["action", "comment", "dest", "dport", "enable", "icmp-type", "iface", "log", "macro", "proto", "source", "sport"];

fn of(place: &Place, firewall: &Firewall) -> Result<Vec<Rule>, Fail> {
    let Place::Group(name) = place else { return Ok(firewall.rules.clone()) };
    let group = firewall.groups.get(name);
    group.map(|g| g.rules.clone()).ok_or_else(|| Fail::die(format!("no such security group '{name}'")))
}

fn write(world: &mut World, place: &Place, mut firewall: Firewall, rules: Vec<Rule>) {
    match place {
        Place::Group(name) => firewall.groups.entry(name.clone()).or_default().rules = rules,
        Place::Cluster | Place::Node(_) | Place::Guest(_) | Place::Vnet(_) => firewall.rules = rules,
    }
    place.write(world, firewall);
}

fn digest_of(rules: &[Rule]) -> String {
    digest(rules.iter().map(|r| r.iter().map(|(k, v)| (k.as_str(), v.clone())).collect()))
}

fn shown(rule: &Rule, sight: &Sight<'_>, digest: &str) -> Map<String, Value> {
    let mut row = Map::new();
    for (name, value) in rule {
        let number = (name == "enable").then(|| value.parse::<i64>().ok()).flatten();
        row.insert(name.clone(), number.map_or_else(|| json!(value), |n| json!(n)));
    }
    row.entry("enable").or_insert_with(|| json!(0));
    let (version, wrong) = check::rule(rule, sight);
    if let Some(version) = version {
        row.insert("ipversion".to_owned(), json!(version));
    }
    if !wrong.is_empty() {
        let errors: Map<String, Value> = wrong.into_iter().rev().map(|(name, text)| (name, json!(text))).collect();
        row.insert("errors".to_owned(), Value::Object(errors));
    }
    row.insert("digest".to_owned(), json!(digest));
    row
}

fn position(call: &Call<'_>, rules: &[Rule]) -> Result<usize, Fail> {
    let at = call.str("pos");
    let number = at.parse::<usize>().ok().filter(|n| *n < rules.len());
    number.ok_or_else(|| Fail::die(format!("no rule at position {at}")))
}

pub(super) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let place = Place::of(call);
    place.may_read(world, call)?;
    let (cluster, own) = (Place::Cluster.read(world), place.read(world));
    let rules = of(&place, &own)?;
    let digest = digest_of(&rules);
    let sight = Sight { place: &place, cluster: &cluster, own: &own };
    let rows = rules.iter().enumerate().map(|(at, rule)| {
        let mut row = shown(rule, &sight, &digest);
        row.insert("pos".to_owned(), json!(at));
        Value::Object(row)
    });
    now(rows.collect())
}

pub(super) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let place = Place::of(call);
    place.may_read(world, call)?;
    let (cluster, own) = (Place::Cluster.read(world), place.read(world));
    let rules = of(&place, &own)?;
    let rule = &rules[position(call, &rules)?];
    let sight = Sight { place: &place, cluster: &cluster, own: &own };
    let mut row = shown(rule, &sight, &digest_of(&rules));
    // It is the parameter that comes back here, a text.
    row.insert("pos".to_owned(), json!(call.str("pos")));
    now(Value::Object(row))
}

/// Takes over what the call says; an empty value or a dash takes a property away.
fn take(rule: &mut Rule, call: &Call<'_>) {
    for name in PROPERTIES.iter().copied().chain(["type"]) {
        match call.get(name) {
            None => {}
            Some("" | "-") => {
                rule.remove(name);
            }
            Some(value) => {
                rule.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

fn verified(world: &World, place: &Place, own: &Firewall, mut rule: Rule) -> Result<Rule, Fail> {
    let cluster = Place::Cluster.read(world);
    if let Some(name) = rule.get("macro").and_then(|name| super::macros::preferred(name)) {
        rule.insert("macro".to_owned(), name.to_owned());
    }
    let (_, wrong) = check::rule(&rule, &Sight { place, cluster: &cluster, own });
    if let Some((name, text)) = wrong.into_iter().next() {
        return Err(Fail::param(&name, text));
    }
    // What the file does not keep.
    let on = rule.get("enable").is_some_and(|e| e.parse() != Ok(0u64));
    rule.insert("enable".to_owned(), if on { "1" } else { "0" }.to_owned());
    if rule.get("type").is_some_and(|t| t == "group") {
        rule.retain(|name, _| ["type", "action", "iface", "enable", "comment"].contains(&name.as_str()));
    }
    Ok(rule)
}

pub(super) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let place = Place::of(call);
    place.may_write(world, call)?;
    let own = place.read(world);
    let mut rules = of(&place, &own)?;
    let mut rule = Rule::new();
    take(&mut rule, call);
    tidy_comment(&mut rule, call);
    rules.insert(0, verified(world, &place, &own, rule)?);
    write(world, &place, own, rules);
    now(Value::Null)
}

fn tidy_comment(rule: &mut Rule, call: &Call<'_>) {
    if call.get("comment").is_some() {
        match comment(call) {
            Some(text) if text != "-" => rule.insert("comment".to_owned(), text),
            Some(_) | None => rule.remove("comment"),
        };
    }
}

pub(super) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let place = Place::of(call);
    place.may_write(world, call)?;
    let own = place.read(world);
    let mut rules = of(&place, &own)?;
    unchanged(call, &digest_of(&rules))?;
    let at = position(call, &rules)?;
    let target = call.number("moveto").and_then(|n| usize::try_from(n).ok()).filter(|n| *n != at);
    if let Some(target) = target {
        // The rule comes to stand before the one that is at the target now.
        let rule = rules.remove(at);
        let target = if target > at { target - 1 } else { target };
        rules.insert(target.min(rules.len()), rule);
    } else {
        let mut rule = rules[at].clone();
        take(&mut rule, call);
        tidy_comment(&mut rule, call);
        for name in split_list(call.str("delete")) {
            if ["type", "action"].contains(&name) {
                return Err(Fail::param("delete", format!("unable to delete required property '{name}'")).into());
            }
            if !PROPERTIES.contains(&name) && !["pos", "digest"].contains(&name) {
                return Err(Fail::param("delete", format!("no such property ('{name}')")).into());
            }
            rule.remove(name);
        }
        rules[at] = verified(world, &place, &own, rule)?;
    }
    write(world, &place, own, rules);
    now(Value::Null)
}

pub(super) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let place = Place::of(call);
    place.may_write(world, call)?;
    let own = place.read(world);
    let mut rules = of(&place, &own)?;
    unchanged(call, &digest_of(&rules))?;
    let at = position(call, &rules)?;
    rules.remove(at);
    write(world, &place, own, rules);
    now(Value::Null)
}

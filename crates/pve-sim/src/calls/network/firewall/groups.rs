//! Security groups: rules with a name, that other rules refer to.

use serde_json::{Value, json};

use super::place::{Place, comment, unchanged};
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::firewall::{Firewall, Group, digest};

fn digest_of(firewall: &Firewall) -> String {
    digest(firewall.groups.iter().map(|(name, group)| {
        let mut object = vec![("group", name.clone())];
        object.extend(group.comment.clone().map(|c| ("comment", c)));
        object
    }))
}

pub(super) fn list(world: &mut World, _: &Call<'_>) -> Outcome {
    let firewall = Place::Cluster.read(world);
    let digest = digest_of(&firewall);
    let rows = firewall.groups.iter().map(|(name, group)| {
        let mut row = json!({"group": name, "digest": digest});
        if let Some(comment) = &group.comment {
            row["comment"] = json!(comment);
        }
        row
    });
    now(rows.collect())
}

/// Rules that refer to a group go with its name.
fn rename(firewall: &mut Firewall, from: &str, to: &str) {
    for rule in &mut firewall.rules {
        if rule.get("type").is_some_and(|t| t == "group") && rule.get("action").is_some_and(|a| a == from) {
            rule.insert("action".to_owned(), to.to_owned());
        }
    }
}

pub(super) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let mut firewall = Place::Cluster.read(world);
    let name = call.str("group");
    if let Some(from) = call.get("rename") {
        unchanged(call, &digest_of(&firewall))?;
        if !firewall.groups.contains_key(from) {
            return Err(Fail::param("group", format!("Security group '{from}' does not exist")).into());
        }
        if from != name && firewall.groups.contains_key(name) {
            return Err(Fail::param("group", format!("Security group '{name}' does already exist")).into());
        }
        let mut group = firewall.groups.remove(from).unwrap_or_default();
        if call.get("comment").is_some() {
            group.comment = comment(call);
        }
        firewall.groups.insert(name.to_owned(), group);
        rename(&mut firewall, from, name);
        for other in world.firewalls.values_mut() {
            rename(other, from, name);
        }
    } else {
        if firewall.groups.contains_key(name) {
            return Err(Fail::param("group", format!("Security group '{name}' already exists")).into());
        }
        firewall.groups.insert(name.to_owned(), Group { comment: comment(call), rules: Vec::new() });
    }
    Place::Cluster.write(world, firewall);
    now(Value::Null)
}

pub(super) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let mut firewall = Place::Cluster.read(world);
    let name = call.str("group");
    match firewall.groups.get(name) {
        None => return Err(Fail::die(format!("no such security group '{name}'")).into()),
        Some(group) if !group.rules.is_empty() => {
            return Err(Fail::die(format!("Security group '{name}' is not empty")).into());
        }
        Some(_) => firewall.groups.remove(name),
    };
    Place::Cluster.write(world, firewall);
    now(Value::Null)
}

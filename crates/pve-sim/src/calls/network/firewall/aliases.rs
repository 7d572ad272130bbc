//! Aliases: names for addresses and networks. Their case is kept, but does not count.

use serde_json::{Value, json};

use super::place::{Place, comment, unchanged};
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::firewall::{Alias, Firewall, digest};

fn digest_of(firewall: &Firewall) -> String {
    digest(firewall.aliases.values().map(|alias| {
        let mut object = vec![("cidr", alias.cidr.clone()), ("name", alias.name.clone())];
        object.extend(alias.comment.clone().map(|c| ("comment", c)));
        object
    }))
}

fn shown(alias: &Alias) -> Value {
    let version = if alias.cidr.contains(':') { 6 } else { 4 };
    let mut row = json!({"name": alias.name, "cidr": alias.cidr, "ipversion": version});
    if let Some(comment) = &alias.comment {
        row["comment"] = json!(comment);
    }
    row
}

/// An address without the length of a single one.
pub(super) fn tidy(cidr: &str) -> String {
    let whole = if cidr.contains(':') { "/128" } else { "/32" };
    cidr.strip_suffix(whole).unwrap_or(cidr).to_owned()
}

pub(super) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let firewall = Place::of(call).read(world);
    let digest = digest_of(&firewall);
    let rows = firewall.aliases.values().map(|alias| {
        let mut row = shown(alias);
        row["digest"] = json!(digest);
        row
    });
    now(rows.collect())
}

pub(super) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let firewall = Place::of(call).read(world);
    match firewall.aliases.get(&call.str("name").to_lowercase()) {
        Some(alias) => now(shown(alias)),
        None => Err(Fail::param("name", "no such alias").into()),
    }
}

fn said(call: &Call<'_>, name: &str) -> Alias {
    Alias { name: name.to_owned(), cidr: tidy(call.str("cidr")), comment: comment(call) }
}

pub(super) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let place = Place::of(call);
    let mut firewall = place.read(world);
    let name = call.str("name");
    if firewall.aliases.contains_key(&name.to_lowercase()) {
        return Err(Fail::param("name", format!("alias '{name}' already exists")).into());
    }
    firewall.aliases.insert(name.to_lowercase(), said(call, name));
    place.write(world, firewall);
    now(Value::Null)
}

pub(super) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let place = Place::of(call);
    let mut firewall = place.read(world);
    unchanged(call, &digest_of(&firewall))?;
    let name = call.str("name");
    if !firewall.aliases.contains_key(&name.to_lowercase()) {
        return Err(Fail::param("name", "no such alias").into());
    }
    let to = call.get("rename").filter(|to| to.to_lowercase() != name.to_lowercase());
    if let Some(to) = to.filter(|to| firewall.aliases.contains_key(&to.to_lowercase())) {
        return Err(Fail::param("name", format!("alias '{to}' already exists")).into());
    }
    firewall.aliases.remove(&name.to_lowercase());
    let to = to.unwrap_or(name);
    firewall.aliases.insert(to.to_lowercase(), said(call, to));
    place.write(world, firewall);
    now(Value::Null)
}

pub(super) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let place = Place::of(call);
    let mut firewall = place.read(world);
    unchanged(call, &digest_of(&firewall))?;
    firewall.aliases.remove(&call.str("name").to_lowercase());
    place.write(world, firewall);
    now(Value::Null)
}

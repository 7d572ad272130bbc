//! Sets of addresses, networks and aliases.

use serde_json::{Value, json};

use super::aliases::tidy;
use super::place::{Place, comment, unchanged};
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::firewall::{Firewall, IpSet, Member, digest};

fn digest_of(firewall: &Firewall) -> String {
    digest(firewall.ipsets.iter().map(|(name, set)| {
        let mut object = vec![("name", name.clone())];
        object.extend(set.comment.clone().map(|c| ("comment", c)));
        object
    }))
}

fn digest_of_members(set: &IpSet) -> String {
    digest(set.members.iter().map(|m| {
        let mut object = vec![("cidr", m.cidr.clone()), ("nomatch", m.nomatch.to_string())];
        object.extend(m.comment.clone().map(|c| ("comment", c)));
        object
    }))
}

fn shown(member: &Member, digest: &str) -> Value {
    let mut row = json!({"cidr": member.cidr, "digest": digest});
    if member.nomatch {
        row["nomatch"] = json!(1);
    }
    if let Some(comment) = &member.comment {
        row["comment"] = json!(comment);
    }
    row
}

/// The set that the call names, out of its firewall.
fn set<'a>(firewall: &'a mut Firewall, call: &Call<'_>) -> Result<&'a mut IpSet, Fail> {
    let name = call.str("name");
    firewall.ipsets.get_mut(name).ok_or_else(|| Fail::die(format!("no such IPSet '{name}'")))
}

pub(super) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let firewall = Place::of(call).read(world);
    let digest = digest_of(&firewall);
    let rows = firewall.ipsets.iter().map(|(name, set)| {
        let mut row = json!({"name": name, "digest": digest});
        if let Some(comment) = &set.comment {
            row["comment"] = json!(comment);
        }
        row
    });
    now(rows.collect())
}

pub(super) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let place = Place::of(call);
    let mut firewall = place.read(world);
    let name = call.str("name");
    if let Some(from) = call.get("rename") {
        unchanged(call, &digest_of(&firewall))?;
        if !firewall.ipsets.contains_key(from) {
            return Err(Fail::param("name", format!("IPSet '{from}' does not exist")).into());
        }
        if from != name && firewall.ipsets.contains_key(name) {
            return Err(Fail::param("name", format!("IPSet '{name}' does already exist")).into());
        }
        let mut set = firewall.ipsets.remove(from).unwrap_or_default();
        if call.get("comment").is_some() {
            set.comment = comment(call);
        }
        firewall.ipsets.insert(name.to_owned(), set);
    } else {
        if firewall.ipsets.contains_key(name) {
            return Err(Fail::param("name", format!("IPSet '{name}' already exists")).into());
        }
        firewall.ipsets.insert(name.to_owned(), IpSet { comment: comment(call), members: Vec::new() });
    }
    place.write(world, firewall);
    now(Value::Null)
}

pub(super) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let place = Place::of(call);
    let mut firewall = place.read(world);
    let name = call.str("name");
    if !set(&mut firewall, call)?.members.is_empty() && !call.flag("force") {
        return Err(Fail::die(format!("IPSet '{name}' is not empty")).into());
    }
    firewall.ipsets.remove(name);
    place.write(world, firewall);
    now(Value::Null)
}

pub(super) fn members(world: &mut World, call: &Call<'_>) -> Outcome {
    let mut firewall = Place::of(call).read(world);
    let set = set(&mut firewall, call)?;
    let digest = digest_of_members(set);
    now(set.members.iter().map(|m| shown(m, &digest)).collect())
}

pub(super) fn member(world: &mut World, call: &Call<'_>) -> Outcome {
    let mut firewall = Place::of(call).read(world);
    let set = set(&mut firewall, call)?;
    let digest = digest_of_members(set);
    match set.members.iter().find(|m| m.cidr == call.str("cidr")) {
        Some(member) => now(shown(member, &digest)),
        None => Err(Fail::param("cidr", "no such IP/Network").into()),
    }
}

pub(super) fn add(world: &mut World, call: &Call<'_>) -> Outcome {
    let place = Place::of(call);
    let cluster = Place::Cluster.read(world);
    let mut firewall = place.read(world);
    let own = firewall.clone();
    let set = set(&mut firewall, call)?;
    let cidr = call.str("cidr");
    if set.members.iter().any(|m| m.cidr == cidr) {
        return Err(Fail::param("cidr", format!("address '{cidr}' already exists")).into());
    }
    if cidr.rsplit_once('/').is_some_and(|(_, length)| !length.is_empty() && length.bytes().all(|b| b == b'0')) {
        return Err(Fail::param("cidr", "a zero prefix is not allowed in ipset entries").into());
    }
    let alias = cidr.strip_prefix("dc/").or_else(|| cidr.strip_prefix("guest/")).unwrap_or(cidr);
    let is_name = alias.starts_with(|c: char| c.is_ascii_alphabetic()) && !alias.contains([':', '/']);
    let known = |firewall: &Firewall| firewall.aliases.contains_key(&alias.to_lowercase());
    if is_name && !known(&own) && !known(&cluster) {
        return Err(Fail::die(format!("no such alias '{cidr}'")).into());
    }
    let member = Member { cidr: tidy(cidr), nomatch: call.flag("nomatch"), comment: comment(call) };
    set.members.insert(0, member);
    place.write(world, firewall);
    now(Value::Null)
}

pub(super) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let place = Place::of(call);
    let mut firewall = place.read(world);
    let set = set(&mut firewall, call)?;
    unchanged(call, &digest_of_members(set))?;
    let Some(member) = set.members.iter_mut().find(|m| m.cidr == call.str("cidr")) else {
        return Err(Fail::param("cidr", "no such IP/Network").into());
    };
    // What is not said is taken away.
    member.nomatch = call.flag("nomatch");
    member.comment = comment(call);
    place.write(world, firewall);
    now(Value::Null)
}

pub(super) fn remove(world: &mut World, call: &Call<'_>) -> Outcome {
    let place = Place::of(call);
    let mut firewall = place.read(world);
    let set = set(&mut firewall, call)?;
    unchanged(call, &digest_of_members(set))?;
    set.members.retain(|m| m.cidr != call.str("cidr"));
    place.write(world, firewall);
    now(Value::Null)
}

//! A firewall's switches and limits.

use serde_json::{Map, Value, json};

use super::place::{Place, unchanged};
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::schema::split_list;
use crate::state::World;
use crate::state::firewall::{Firewall, digest};

/// Parameters that are no options.
const OTHERS: [&str; 5] = ["delete", "digest", "node", "vmid", "vnet"];

fn digest_of(firewall: &Firewall) -> String {
    digest([firewall.options.iter().map(|(k, v)| (k.as_str(), v.clone())).collect()])
}

/// Switches and limits are numbers, policies and log levels texts.
fn shown(name: &str, value: &str) -> Value {
    let text = name.starts_with("policy_") || name.starts_with("log_") || name.ends_with("_log_level");
    let text = text && name != "log_nf_conntrack" || name == "nf_conntrack_helpers";
    match value.parse::<i64>() {
        Ok(number) if !text => json!(number),
        Ok(_) | Err(_) => json!(value),
    }
}

pub(super) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let place = Place::of(call);
    place.may_read(world, call)?;
    let firewall = place.read(world);
    let mut data: Map<String, Value> = firewall.options.iter().map(|(k, v)| (k.clone(), shown(k, v))).collect();
    data.insert("digest".to_owned(), json!(digest_of(&firewall)));
    now(Value::Object(data))
}

pub(super) fn update(world: &mut World, call: &Call<'_>) -> Outcome {
    let place = Place::of(call);
    place.may_write(world, call)?;
    let mut firewall = place.read(world);
    unchanged(call, &digest_of(&firewall))?;
    for name in split_list(call.str("delete")) {
        if OTHERS.contains(&name) || !call.method.params.contains_key(name) {
            return Err(Fail::param("delete", format!("no such option '{name}'")).into());
        }
        firewall.options.remove(name);
    }
    for (name, value) in call.params.iter().filter(|(name, _)| !OTHERS.contains(&name.as_str())) {
        // The cluster's switch remembers since when it is on.
        let since = name == "enable" && value.parse::<i64>().is_ok_and(|n| n > 1);
        let value = if since { world.seconds().to_string() } else { value.clone() };
        firewall.options.insert(name.clone(), value);
    }
    place.write(world, firewall);
    now(Value::Null)
}

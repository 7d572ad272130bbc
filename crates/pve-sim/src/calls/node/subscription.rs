//! A node's subscription.

use serde_json::{Value, json};

use crate::calendar;
use crate::calls::{Call, Outcome, now};
use crate::state::World;

const URL: &str = "https://www.proxmox.com/proxmox-ve/pricing";

fn server_id(name: &str) -> String {
    use sha2::Digest as _;
    hex::encode_upper(&sha2::Sha256::digest(name.as_bytes())[..16])
}

pub(crate) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let Some(node) = world.node(call.node()) else { return now(Value::Null) };
    let Some(key) = node.settings.get("subscription") else {
        return now(json!({
            "status": "notfound", "message": "There is no subscription key", "serverid": server_id(&node.name),
            "url": URL,
        }));
    };
    let level = key.split('-').next().and_then(|k| k.chars().last()).unwrap_or('c');
    let product = match level {
        'b' => "Basic",
        's' => "Standard",
        'p' => "Premium",
        _ => "Community",
    };
    let day = |offset: i64| calendar::print("%Y-%m-%d", world.seconds() + offset);
    now(json!({
        "status": "active", "key": key, "level": level.to_string(), "sockets": 1, "serverid": server_id(&node.name),
        "productname": format!("Proxmox VE {product} Subscription 1 CPU/year"), "checktime": world.seconds(),
        "regdate": day(0), "nextduedate": day(365 * 86_400), "url": URL,
    }))
}

pub(crate) fn set(world: &mut World, call: &Call<'_>) -> Outcome {
    let key = call.str("key").trim().to_owned();
    if let Some(node) = world.node_mut(call.node()) {
        node.settings.insert("subscription".to_owned(), key);
    }
    now(Value::Null)
}

pub(crate) fn remove(world: &mut World, call: &Call<'_>) -> Outcome {
    if let Some(node) = world.node_mut(call.node()) {
        node.settings.remove("subscription");
    }
    now(Value::Null)
}

pub(crate) fn check(_: &mut World, _: &Call<'_>) -> Outcome {
    now(Value::Null)
}

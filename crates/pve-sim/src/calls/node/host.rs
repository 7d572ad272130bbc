//! What a node says of its operating system: name service, hosts file, time, logs, report, configuration.

use serde_json::{Map, Value, json};
use sha1::{Digest as _, Sha1};

use crate::calendar;
use crate::calls::{Call, Done, Outcome, now};
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::node::Node;

fn changed() -> Fail {
    Fail::die("detected modified configuration - file changed by other user? Try again.")
}

fn node<'w>(world: &'w World, call: &Call<'_>) -> Result<&'w Node, Fail> {
    world.node(call.node()).ok_or_else(|| Fail::die(format!("no such cluster node '{}'", call.node())))
}

fn node_mut<'w>(world: &'w mut World, call: &Call<'_>) -> Result<&'w mut Node, Fail> {
    world.node_mut(call.node()).ok_or_else(|| Fail::die(format!("no such cluster node '{}'", call.node())))
}

fn sha1(text: &str) -> String {
    hex::encode(Sha1::digest(text.as_bytes()))
}

pub(crate) fn time(world: &mut World, call: &Call<'_>) -> Outcome {
    let zone = node(world, call)?.setting("timezone", "UTC").to_owned();
    now(json!({"time": world.seconds(), "localtime": world.seconds(), "timezone": zone}))
}

pub(crate) fn set_time(world: &mut World, call: &Call<'_>) -> Outcome {
    let zone = call.str("timezone").to_owned();
    if jiff::tz::TimeZone::get(&zone).is_err() && zone != "UTC" {
        return Err(Fail::die(format!("No such timezone '{zone}'")).into());
    }
    node_mut(world, call)?.settings.insert("timezone".to_owned(), zone);
    now(Value::Null)
}

pub(crate) fn dns(world: &mut World, call: &Call<'_>) -> Outcome {
    let node = node(world, call)?;
    let mut data = Map::new();
    for key in ["search", "dns1", "dns2", "dns3"] {
        let otherwise = if key == "dns1" && !node.settings.contains_key("search") { "192.0.2.53" } else { "" };
        let value = node.setting(key, otherwise);
        if !value.is_empty() {
            data.insert(key.to_owned(), json!(value));
        }
    }
    now(Value::Object(data))
}

pub(crate) fn set_dns(world: &mut World, call: &Call<'_>) -> Outcome {
    let node = node_mut(world, call)?;
    for key in ["search", "dns1", "dns2", "dns3"] {
        match call.get(key) {
            Some(value) => node.settings.insert(key.to_owned(), value.to_owned()),
            None => node.settings.remove(key),
        };
    }
    now(Value::Null)
}

fn hosts_text(node: &Node) -> String {
    let own = format!("127.0.0.1 localhost\n{} {}.example.test {}\n", node.ip, node.name, node.name);
    node.settings.get("hosts").cloned().unwrap_or(own)
}

pub(crate) fn hosts(world: &mut World, call: &Call<'_>) -> Outcome {
    let text = hosts_text(node(world, call)?);
    now(json!({"digest": sha1(&text), "data": text}))
}

pub(crate) fn set_hosts(world: &mut World, call: &Call<'_>) -> Outcome {
    let node = node_mut(world, call)?;
    if call.get("digest").is_some_and(|d| d != sha1(&hosts_text(node))) {
        return Err(changed().into());
    }
    node.settings.insert("hosts".to_owned(), call.str("data").to_owned());
    now(Value::Null)
}

fn config_digest(node: &Node) -> String {
    sha1(&format!("{:?}", node.config))
}

/// The node's own options; a digest only where there is a file.
pub(crate) fn config(world: &mut World, call: &Call<'_>) -> Outcome {
    let node = node(world, call)?;
    let number = |key: &str| ["startall-onboot-delay", "ballooning-target"].contains(&key);
    let mut data: Map<String, Value> = node
        .config
        .iter()
        .filter(|(k, _)| call.get("property").is_none_or(|p| p == *k))
        .map(|(k, v)| {
            let as_number = v.parse::<i64>().ok().filter(|_| number(k));
            (k.clone(), as_number.map_or_else(|| json!(v), |n| json!(n)))
        })
        .collect();
    if call.get("property").is_none() && !node.config.is_empty() {
        data.insert("digest".to_owned(), json!(config_digest(node)));
    }
    now(Value::Object(data))
}

pub(crate) fn set_config(world: &mut World, call: &Call<'_>) -> Outcome {
    let node = node_mut(world, call)?;
    if call.get("digest").is_some_and(|d| !node.config.is_empty() && d != config_digest(node)) {
        return Err(changed().into());
    }
    for (key, value) in call.params.iter().filter(|(k, _)| !["node", "digest", "delete"].contains(&k.as_str())) {
        node.config.insert(key.clone(), value.clone());
    }
    for key in call.str("delete").split([',', ';', ' ']).filter(|k| !k.is_empty()) {
        node.config.remove(key);
    }
    now(Value::Null)
}

/// The tasks of a node as its system log tells them, oldest first.
fn lines(world: &World, node: &str) -> Vec<(i64, String)> {
    let line =
        |at: i64, text: &str| (at, format!("{} {node} pvedaemon[82]: {text}", calendar::print("%b %d %H:%M:%S", at)));
    let of = world.cluster.log.iter().filter(|e| e.node == node);
    of.map(|e| line(e.time, &format!("<{}> {}", e.user, e.msg))).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "what handlers return")]
pub(crate) fn syslog(world: &mut World, call: &Call<'_>) -> Outcome {
    let stamp =
        |text: Option<&str>| text.map(|t| format!("{}{}", t, &" 00:00:00"[t.len().saturating_sub(10).min(9)..]));
    let (since, until) = (stamp(call.get("since")), stamp(call.get("until")));
    let shown = |at: i64| calendar::print("%Y-%m-%d %H:%M:%S", at);
    let found: Vec<String> = lines(world, call.node())
        .into_iter()
        .filter(|(at, _)| since.as_ref().is_none_or(|s| shown(*at) >= *s))
        .filter(|(at, _)| until.as_ref().is_none_or(|u| shown(*at) <= *u))
        .filter(|_| call.get("service").is_none_or(|s| s.starts_with("pvedaemon")))
        .map(|(_, line)| line)
        .collect();
    if found.is_empty() {
        return Ok(Done::Total(json!([{"n": 1, "t": "-- No entries --"}]), 1));
    }
    let number = |name: &str, otherwise: i64| usize::try_from(call.number(name).unwrap_or(otherwise)).unwrap_or(0);
    let (start, limit) = (number("start", 0), number("limit", 50));
    let limit = if limit == 0 { usize::MAX } else { limit };
    let total = found.len();
    let page: Vec<Value> =
        found.iter().enumerate().skip(start).take(limit).map(|(n, t)| json!({"n": n + 1, "t": t})).collect();
    Ok(Done::Total(Value::Array(page), total))
}

/// Lines between two cursors; the cursors come first and last.
pub(crate) fn journal(world: &mut World, call: &Call<'_>) -> Outcome {
    let all = lines(world, call.node());
    let within = |at: i64| call.number("since").is_none_or(|s| at >= s) && call.number("until").is_none_or(|u| at <= u);
    let mut found: Vec<&String> = all.iter().filter(|(at, _)| within(*at)).map(|(_, l)| l).collect();
    if let Some(last) = call.number("lastentries").and_then(|n| usize::try_from(n).ok()) {
        found.drain(..found.len().saturating_sub(last));
    }
    let cursor = |n: usize| format!("s=0;i={n:x};b={}", call.node());
    let mut rows = vec![cursor(0)];
    rows.extend(found.iter().map(|l| (*l).clone()));
    rows.push(cursor(all.len()));
    now(json!(rows))
}

pub(crate) fn netstat(world: &mut World, call: &Call<'_>) -> Outcome {
    let running = world.guests.values().filter(|g| g.node == call.node() && g.running());
    let rows = running.flat_map(|g| {
        let nics = g.config.keys().filter(|k| crate::state::drive::is_net_key(k));
        nics.map(|k| json!({"vmid": g.vmid.to_string(), "dev": k, "in": "0", "out": "0"})).collect::<Vec<_>>()
    });
    now(rows.collect())
}

pub(crate) fn report(world: &mut World, call: &Call<'_>) -> Outcome {
    let node = node(world, call)?;
    now(json!(format!(
        "==== general system info ====\n\n# hostname\n{}\n\n# pveversion --verbose\nproxmox-ve: {}\n\n# cat /etc/hosts\n{}\n",
        node.name,
        world.version,
        hosts_text(node)
    )))
}

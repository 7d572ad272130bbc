//! A node's statistics over time.

use serde_json::{Value, json};

use super::load::{self, ROOT_DISK, ROOT_USED};
use crate::calls::{Call, Outcome, now};
use crate::rrd;
use crate::state::World;

#[expect(clippy::cast_precision_loss, reason = "statistics")]
#[expect(clippy::cast_possible_truncation, reason = "seconds since the epoch fit")]
pub(crate) fn data(world: &mut World, call: &Call<'_>) -> Outcome {
    let Some(node) = world.node(call.node()) else { return now(json!([])) };
    let load = load::of(world, node);
    let memory = node.memory as f64;
    let mut tracks: Vec<rrd::Track<'_>> = vec![
        ("maxcpu", f64::from(node.cores), 0.0),
        ("cpu", load.cpu, 0.5),
        ("iowait", 0.001, 0.9),
        ("loadavg", load.cpu * f64::from(node.cores), 0.5),
        ("memtotal", memory, 0.0),
        ("memused", load.memory as f64, 0.05),
        ("swaptotal", 0.0, 0.0),
        ("swapused", 0.0, 0.0),
        ("roottotal", ROOT_DISK as f64, 0.0),
        ("rootused", ROOT_USED as f64, 0.01),
        ("netin", 1000.0, 0.9),
        ("netout", 1000.0, 0.9),
    ];
    if world.at_least(9, 0) {
        tracks.extend([("memavailable", memory - load.memory as f64, 0.05), ("arcsize", 0.0, 0.0)]);
        tracks.push(("pressurecpusome", 0.1, 0.9));
        tracks.extend([("pressureiosome", 0.1, 0.9), ("pressureiofull", 0.1, 0.9)]);
        tracks.extend([("pressurememorysome", 0.0, 0.0), ("pressurememoryfull", 0.0, 0.0)]);
    }
    now(rrd::series(call.str("timeframe"), world.at_least(9, 0), world.seconds(), node.booted as i64, &tracks))
}

/// The name of a picture; there is none behind it.
pub(crate) fn picture(_: &mut World, call: &Call<'_>) -> Outcome {
    let file = format!("{}-{}.png", call.node(), call.str("timeframe"));
    now(json!({"filename": format!("/var/cache/pve-manager/{file}"), "image": Value::String(String::new())}))
}

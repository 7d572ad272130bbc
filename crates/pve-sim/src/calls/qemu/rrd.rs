//! Statistics of a VM over time.

use serde_json::{Value, json};

use crate::calls::{Call, Outcome, now};
use crate::state::World;
use crate::state::drive::option_of;
use crate::state::guest::Guest;

/// Seconds between two points, and how many there are.
pub(crate) fn resolution(timeframe: &str) -> (i64, i64) {
    match timeframe {
        "hour" => (60, 70),
        "day" => (60, 1440),
        "week" => (1800, 336),
        "month" => (1800, 1440),
        "year" => (21_600, 1460),
        _ => (604_800, 520),
    }
}

pub(crate) fn data(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = world.guest(call.node(), call.vmid())?;
    let made = guest.get("meta").and_then(|m| option_of(m, "ctime")).and_then(|t| t.parse().ok());
    now(rows(world, guest, call.str("timeframe"), made, guest.cpus()))
}

/// Points have values from the moment on that the guest is there; they are those of now.
pub(crate) fn rows(world: &World, guest: &Guest, timeframe: &str, made: Option<i64>, cpus: u32) -> Value {
    let (step, count) = resolution(timeframe);
    let last = world.seconds().div_euclid(step) * step;
    let made = made.unwrap_or(last);
    #[expect(clippy::cast_possible_truncation, reason = "seconds")]
    let since = guest.run.as_ref().map(|r| r.since as i64);
    let rows = (0..count).rev().map(|n| last - n * step).map(|time| {
        let mut row = json!({"time": time});
        if time < made {
            return row;
        }
        row["maxcpu"] = json!(cpus);
        row["maxmem"] = json!(guest.memory());
        row["maxdisk"] = json!(guest.max_disk());
        row["disk"] = json!(0);
        if since.is_some_and(|since| time >= since) {
            for key in ["cpu", "mem", "memhost", "netin", "netout", "diskread", "diskwrite"] {
                row[key] = json!(0);
            }
            for key in ["cpu", "io", "memory"] {
                row[format!("pressure{key}some")] = json!(0);
                row[format!("pressure{key}full")] = json!(0);
            }
        }
        row
    });
    rows.collect::<Value>()
}

/// A picture, of which only the name is known.
pub(crate) fn picture(world: &mut World, call: &Call<'_>) -> Outcome {
    world.guest(call.node(), call.vmid())?;
    let sources = call.str("ds").replace([',', ';', ' '], "_");
    let file = format!("/var/lib/rrdcached/db/pve-vm-9.0/{}_{}_{sources}.png", call.vmid(), call.str("timeframe"));
    now(json!({"filename": file}))
}

//! Statistics over time: what `rrddata` answers.
//!
//! Nothing is recorded: every value is a function of the moment and of what there is now, so that the same moment
//! always has the same value and a load of 10,000 VMs costs nothing.

use serde_json::{Map, Value, json};

/// Seconds between two samples and their number.
fn grid(timeframe: &str, nine: bool) -> (i64, i64) {
    match (timeframe, nine) {
        ("hour", true) => (60, 60),
        ("day", true) => (60, 1440),
        ("week", true) => (1800, 336),
        ("month", true) => (1800, 1440),
        ("year", true) => (21_600, 1440),
        (_, true) => (604_800, 520),
        ("hour", false) => (60, 70),
        ("day", false) => (1800, 70),
        ("week", false) => (10_800, 70),
        ("month", false) => (43_200, 70),
        (_, false) => (604_800, 70),
    }
}

/// What a series is made of: the key, its middle, and by which share it swings.
pub(crate) type Track<'a> = (&'a str, f64, f64);

/// The samples of a timeframe, oldest first; those before `since` have no values.
pub(crate) fn series(timeframe: &str, nine: bool, now: i64, since: i64, tracks: &[Track<'_>]) -> Value {
    let (step, count) = grid(timeframe, nine);
    let last = now / step * step;
    (0..count)
        .map(|n| {
            let at = last - (count - 1 - n) * step;
            let mut sample: Map<String, Value> = Map::new();
            sample.insert("time".to_owned(), json!(at));
            if at >= since {
                for (key, middle, swing) in tracks {
                    sample.insert((*key).to_owned(), number(middle * (1.0 + swing * wave(key, at))));
                }
            }
            Value::Object(sample)
        })
        .collect()
}

/// Whole numbers print as such.
fn number(value: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small enough")]
    if value.fract() == 0.0 && value.abs() < 9e15 {
        return json!(value as i64);
    }
    json!(value)
}

/// Between -1 and 1: a slow wave of the day and some noise, the same for the same key and moment.
fn wave(key: &str, at: i64) -> f64 {
    let mut mixed = u64::try_from(at).unwrap_or(0);
    for byte in key.bytes() {
        mixed = (mixed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    mixed ^= mixed >> 29;
    #[expect(clippy::cast_precision_loss, reason = "a fraction of a small number")]
    let (noise, day) = ((mixed % 2000) as f64 / 1000.0 - 1.0, (at % 86_400) as f64 / 86_400.0);
    0.6 * (day * std::f64::consts::TAU).sin() + 0.4 * noise
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_series_ends_with_the_last_full_step_and_is_the_same_when_asked_again() {
        let tracks = [("cpu", 0.5, 0.2), ("maxcpu", 4.0, 0.0)];
        let one = series("hour", true, 100_030, 98_000, &tracks);
        assert_eq!(one, series("hour", true, 100_030, 98_000, &tracks));
        let rows = one.as_array().unwrap();
        assert_eq!((rows.len(), &rows[59]["time"], &rows[59]["maxcpu"]), (60, &json!(100_020), &json!(4)));
        assert_eq!(rows[0].as_object().unwrap().len(), 1, "before it was there");
        assert!(rows[59]["cpu"].as_f64().unwrap() <= 0.6);
    }

    #[test]
    fn release_8_keeps_seventy_samples() {
        assert_eq!(series("week", false, 1_000_000, 0, &[]).as_array().unwrap().len(), 70);
        assert_eq!(series("year", true, 100_000_000, 0, &[]).as_array().unwrap().len(), 1440);
    }
}

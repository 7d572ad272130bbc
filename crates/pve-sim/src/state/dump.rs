//! The world as JSON.
//!
//! Promises that what is read back is written the same again: numbers are rounded so that their digits tell them
//! exactly, and what follows from the rest is made anew.

use serde::Deserialize as _;
use serde_json::{Number, Value};

use super::world::World;
use crate::clock::micro;

impl World {
    /// The whole state.
    pub(crate) fn dump(&self) -> serde_json::Result<Value> {
        let mut value = serde_json::to_value(self)?;
        settle(&mut value);
        Ok(value)
    }

    /// A world from its dump; contents and the hook are those of nobody.
    pub(crate) fn restore(value: &Value) -> serde_json::Result<Self> {
        let mut world = Self::deserialize(value)?;
        world.reindex();
        Ok(world)
    }
}

/// Rounds times to microseconds and small numbers to billionths.
fn settle(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let old = number.as_f64().unwrap_or_default();
            let rounded = if old.abs() >= 1e6 { micro(old) } else { (old * 1e9).round() / 1e9 };
            if let Some(new) = Number::from_f64(rounded) {
                *number = new;
            }
        }
        Value::Array(all) => all.iter_mut().for_each(settle),
        Value::Object(all) => all.values_mut().for_each(settle),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn numbers_survive_text() {
        for old in [1_764_116_572.158_000_2, 0.5 * 0.6 / 20.0, 0.35 / 20.0, 1e-12, 0.0, 123_456.789_012_345] {
            let mut value = serde_json::json!([old]);
            settle(&mut value);
            let read: Value = serde_json::from_str(&value.to_string()).unwrap();
            assert_eq!(read, value, "{old}");
        }
    }
}

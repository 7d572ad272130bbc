//! Reading what Proxmox sends, whichever of its versions sends it.
//!
//! * What it is: functions for `#[serde(deserialize_with = "…")]`.
//! * What it promises: a number, a string or a boolean is accepted where any of them is meant
//!   (`memory` is a number before 8.1 and a string since; `nextid` answers `"100"`; `1` is a yes).
//! * What it assumes: the value is a scalar; lists and maps are refused.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// One scalar as text: numbers as they print, booleans as `1` and `0`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scalar(pub String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a number or a boolean")
            }
            fn visit_bool<E: Error>(self, v: bool) -> Result<Scalar, E> {
                Ok(Scalar(if v { "1" } else { "0" }.to_owned()))
            }
            fn visit_i64<E: Error>(self, v: i64) -> Result<Scalar, E> {
                Ok(Scalar(v.to_string()))
            }
            fn visit_u64<E: Error>(self, v: u64) -> Result<Scalar, E> {
                Ok(Scalar(v.to_string()))
            }
            fn visit_f64<E: Error>(self, v: f64) -> Result<Scalar, E> {
                Ok(Scalar(v.to_string()))
            }
            fn visit_str<E: Error>(self, v: &str) -> Result<Scalar, E> {
                Ok(Scalar(v.to_owned()))
            }
            fn visit_string<E: Error>(self, v: String) -> Result<Scalar, E> {
                Ok(Scalar(v))
            }
        }
        from.deserialize_any(Any)
    }
}

impl Scalar {
    /// What Perl would call true and false, in the words Proxmox takes; `None` for anything else.
    pub fn as_bool(&self) -> Option<bool> {
        match self.0.to_ascii_lowercase().as_str() {
            "1" | "yes" | "true" | "on" => Some(true),
            "0" | "no" | "false" | "off" | "" => Some(false),
            _ => None,
        }
    }

    /// The number it holds, also when a fraction of zero follows (`4.0`).
    pub fn as_number<T: FromStr>(&self) -> Option<T> {
        let text = self.0.trim();
        text.parse().ok().or_else(|| {
            let (whole, fraction) = text.split_once('.')?;
            fraction.bytes().all(|b| b == b'0').then_some(())?;
            whole.parse().ok()
        })
    }
}

/// A scalar as text.
pub fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Scalar::deserialize(from).map(|s| s.0)
}

/// A scalar as text, absent and `null` being `None`. Needs `#[serde(default)]`.
pub fn opt_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Scalar>::deserialize(from)?.map(|s| s.0))
}

/// A yes or no; absent (with `#[serde(default)]`) and `null` are no.
pub fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    match Option::<Scalar>::deserialize(from)? {
        None => Ok(false),
        Some(scalar) => {
            scalar.as_bool().ok_or_else(|| D::Error::custom(format!("`{}` is neither yes nor no", scalar.0)))
        }
    }
}

/// A number.
pub fn number<'de, D: Deserializer<'de>, T: FromStr>(from: D) -> Result<T, D::Error> {
    let scalar = Scalar::deserialize(from)?;
    scalar.as_number().ok_or_else(|| D::Error::custom(format!("`{}` is not the number it should be", scalar.0)))
}

/// A number, absent and `null` being `None`. Needs `#[serde(default)]`.
pub fn opt_number<'de, D: Deserializer<'de>, T: FromStr>(from: D) -> Result<Option<T>, D::Error> {
    match Option::<Scalar>::deserialize(from)? {
        None => Ok(None),
        Some(scalar) => scalar
            .as_number()
            .map(Some)
            .ok_or_else(|| D::Error::custom(format!("`{}` is not the number it should be", scalar.0))),
    }
}

/// A flat map of scalars as texts; keys with `null`, a list or a map are left out.
pub fn map<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Value {
        Scalar(Scalar),
        Other(serde::de::IgnoredAny),
    }
    let all = BTreeMap::<String, Value>::deserialize(from)?;
    Ok(all
        .into_iter()
        .filter_map(|(key, value)| match value {
            Value::Scalar(scalar) => Some((key, scalar.0)),
            Value::Other(_) => None,
        })
        .collect())
}

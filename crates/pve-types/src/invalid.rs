//! The one error of this crate: a text that is not the word it should be.

/// A text that does not parse: what it should have been, what it was, and why it is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not {what}: {why}")]
pub struct Invalid {
    /// What we expected, with its article: `a VM number`.
    pub what: &'static str,
    /// The text as it came.
    pub value: String,
    /// The rule it breaks.
    pub why: &'static str,
}

impl Invalid {
    pub(crate) fn new(what: &'static str, value: impl Into<String>, why: &'static str) -> Self {
        Self { what, value: value.into(), why }
    }
}

/// Serde for a type that is written as text: `Display` out, `FromStr` in (numbers are taken as text).
macro_rules! serde_as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = crate::lenient::text(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_as_text;

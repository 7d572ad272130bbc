//! YAML that every reader understands alike.
//!
//! cloud-init reads YAML 1.1, where `on` is a boolean and `52:54:00:12:34:56` a number in base
//! 60. Every string value is therefore quoted, whatever it looks like.

use serde::Serialize;
use serde::ser::Serializer;
use serde_saphyr::{DoubleQuoted, ser_options, to_string_with_options};

/// One document, every string value in it quoted.
#[expect(clippy::expect_used, reason = "nothing that this crate writes can fail to be YAML")]
pub(crate) fn document(value: &impl Serialize) -> String {
    to_string_with_options(value, ser_options! { quote_all: true })
        .expect("maps with string keys, lists, strings, numbers and booleans are all YAML")
}

/// A key that somebody else chose. Those are left bare by the option above, unless they are
/// quoted by hand: a VRF may be called `on`.
pub(crate) struct Key<'a>(pub(crate) &'a str);

impl Serialize for Key<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        DoubleQuoted(self.0).serialize(to)
    }
}

//! YAML that every reader understands alike.
//!
//! cloud-init reads YAML 1.1, where `on` is a boolean and `52:54:00:12:34:56` a number in base
//! 60. Every string value is therefore quoted, whatever it looks like.

use serde::Serialize;
use serde_saphyr::{SerializerOptions, ser_options, to_string_with_options};

fn options() -> SerializerOptions {
    ser_options! { quote_all: true }
}

/// One document, every string in it quoted.
#[expect(clippy::expect_used, reason = "the documents here hold strings, numbers and booleans")]
pub(crate) fn document(value: &impl Serialize) -> String {
    to_string_with_options(value, options())
        .expect("maps with string keys, lists, strings, numbers and booleans are all YAML")
}

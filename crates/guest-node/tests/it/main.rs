//! Guests that really boot. Needs root and a node image in the cache; says so where either is missing.
#![expect(clippy::disallowed_methods, clippy::panic, reason = "a test: HOME is its surroundings, and it may panic")]

mod boot;

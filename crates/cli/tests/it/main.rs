//! The binary, run as people run it.

#![cfg(feature = "demo")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod demo;
mod trace;

//! xtask as people run it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking and skips aloud"
)]

mod chart;
mod lab;
mod tenant_policies;

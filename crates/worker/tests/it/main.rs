//! What can only be judged from outside the crate.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test stops at what it did not expect, and says what it skips"
)]

mod chart;

//! Stories on the real parts.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod bad_input;
mod cloud;
mod crash;
mod disk;
mod exporter;
mod guest;
mod life;
mod quiet;
mod worker;

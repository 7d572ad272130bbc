//! The client against a server that answers what the test says, byte by byte, and against the simulator.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at what it did not expect")]

mod calls;
mod doors;
mod errors;
mod login;
mod poller;
mod proxy;
mod secrets;
mod simulated;
mod stub;
mod tasks;
mod trust;
mod urls;

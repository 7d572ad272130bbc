//! What Proxmox writes, we read and write again.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod lenient;
mod real_world;
mod round_trip;

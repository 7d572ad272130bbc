//! Reading a simulated Proxmox VE, and judging what was read.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod kubernetes;
mod simulated;

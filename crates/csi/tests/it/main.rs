//! The driver over its sockets: the controller against the simulator, the node plugin on machines of paper, and both
//! before the judge that all drivers stand before.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod books;
mod controller;
mod door;
mod faults;
mod kubelet;
mod node;
mod sanity;
mod together;
mod world;

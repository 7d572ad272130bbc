//! The driver over its sockets: the controller against the simulator, the node plugin on machines of paper, and both
//! before the judge that all drivers stand before.

mod books;
mod controller;
mod door;
mod faults;
mod node;
mod sanity;
mod world;

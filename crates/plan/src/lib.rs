//! Every decision oxmox makes. Pure: no I/O, no clock, no chance; time comes in as an argument.
//!
//! Start in [`machine`]. A plan is made of what is wanted and what was seen, and holds at most one step.
//! What cannot be decided yet for want of a fact is said as a [`machine::Look`]: the caller looks and asks again.

pub mod address;
pub mod cluster;
pub mod inventory;
pub mod machine;
pub mod mark;
pub mod node;
pub mod placement;
mod seen;
pub mod template;
pub mod volume;

pub use seen::{Again, Seen, Severity};

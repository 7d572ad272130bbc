//! The world: one value that holds everything there is.
//!
//! Promises to be deterministic for a seed and a sequence of calls: time comes in by
//! [`World::advance`], chance from a generator that is part of the world.

pub(crate) mod backup;
pub(crate) mod chance;
pub(crate) mod cluster;
pub(crate) mod contents;
pub(crate) mod default_world;
pub(crate) mod drive;
mod dump;
pub(crate) mod firewall;
pub(crate) mod fixtures;
pub(crate) mod flock;
pub(crate) mod guest;
pub(crate) mod ha;
mod health;
pub(crate) mod interfaces;
pub(crate) mod node;
pub(crate) mod orders;
pub(crate) mod pool;
mod population;
pub(crate) mod run;
pub(crate) mod sdn;
mod spoiled;
pub(crate) mod storage;
pub(crate) mod task;
pub(crate) mod trouble;
pub(crate) mod world;

pub(crate) use health::Writable;
pub(crate) use world::World;

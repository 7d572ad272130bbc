//! A guest's network: what its cloud-init drive asks for, and the commands that make it so.

pub mod config;
pub mod setup;

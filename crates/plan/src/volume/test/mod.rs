//! Volumes in a world that refuses what Proxmox VE refuses, and does what it does where one wishes it refused.

mod model;
mod properties;
mod tables;

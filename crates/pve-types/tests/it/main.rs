//! What Proxmox writes, we read and write again.

mod lenient;
mod real_world;
mod round_trip;

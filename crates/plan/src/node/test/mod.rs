//! A Node's plan, rule by rule, against a small Proxmox VE that hides what a real one hides.

mod lifecycle;
mod meet;
mod world;

use world::*;

use super::*;

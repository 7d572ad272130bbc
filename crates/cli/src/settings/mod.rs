//! Settings that are read from files.

pub(crate) mod cloud_config;
pub(crate) mod pve_yml;

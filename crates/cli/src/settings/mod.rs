//! Settings that are read from files.

pub(crate) mod cloud_config;

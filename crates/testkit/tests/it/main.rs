//! The testkit against the real thing. Runs in the lab (`cargo xtask lab -- cargo test -p testkit`); skips aloud
//! outside of it, or while tools are not built (`cargo xtask tools`).

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking and skips aloud")]

mod cluster_api;
mod control_plane;
mod world;

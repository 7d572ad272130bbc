//! The testkit against the real thing. Root runs it in the lab (`cargo xtask lab -- cargo test -p testkit`), others on
//! loopback; it skips aloud where it cannot run, or while tools are not built (`cargo xtask tools`).

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking and skips aloud")]

mod cluster_api;
mod control_plane;
mod world;

//! The shipped rules before Prometheus's own judge, and before a Prometheus and an Alertmanager that run.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking and skips aloud")]

mod alertmanager;
mod rules;

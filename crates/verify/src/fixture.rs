//! Saved evidence for tests.

//! Starts and stops control planes and real nodes for tests and the demo

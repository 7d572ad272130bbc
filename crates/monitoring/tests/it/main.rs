//! The shipped rules before Prometheus's own judge, and before a Prometheus and an Alertmanager that run.

mod alertmanager;
mod rules;

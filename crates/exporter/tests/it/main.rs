//! The exporter as Prometheus sees it, on a simulated Proxmox VE, beside the one that people use now.

#![expect(clippy::unwrap_used, reason = "tests say what is wrong by failing")]

mod golden;
mod peer;
mod scrapes;
mod world;

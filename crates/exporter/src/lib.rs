//! An exporter for Prometheus: what prometheus-pve-exporter tells of Proxmox VE, from a few calls, and which guest is
//! which Machine, Node and PersistentVolume.
//!
//! * What it is: [`collect()`] makes a [`Snapshot`] of a target; [`families()`] makes families of it, pure; a server.
//! * What it promises: the names, labels and values of the peer; a collector that fails, or a target that is slow, fails
//!   nobody else, and says so in a metric.
//! * What it assumes: an API token with `PVEAuditor` on `/`.

mod collect;
mod configs;
mod families;
mod family;
mod kubernetes;
mod own;
mod server;
mod settings;
mod snapshot;
mod target;

pub use collect::collect;
pub use families::families;
pub use family::{Family, Format, Kind, Labels, Sample, text};
pub use kubernetes::{MachineRow, Objects, VolumeRow};
pub use server::{Error, run};
pub use settings::{Collector, Measure, Module, Nodes, Selection, Settings};
pub use snapshot::{Onboot, Read, Snapshot};
pub use target::{BadTarget, Target, Targets};

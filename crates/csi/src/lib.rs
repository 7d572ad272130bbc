//! The CSI driver: volumes of Proxmox VE for pods.
//!
//! * What it is: a controller, which speaks to Proxmox VE and never to a node; a node plugin, which speaks to its
//!   machine and never to Proxmox VE. Both serve gRPC on a Unix socket.
//! * What it promises: the driver name, handles, parameters and topology keys of the driver that people use now; what
//!   `plan::volume` promises; a disk is formatted only when it is proven to be the volume's and twice found empty; no
//!   operation is given up half way because its caller went away.
//! * What it assumes: one controller at a time works on a region; guests with VirtIO SCSI.

mod act;
mod authority;
mod controller;
pub mod host;
mod identity;
mod node;
mod op_guard;
mod region;
mod run;
mod serve;
mod settings;
mod status;

pub use run::{controller, node};
pub use serve::Error;
pub use settings::{ControllerSettings, DRIVER, NodeSettings, Place, RegionSettings, Registration, Roots};

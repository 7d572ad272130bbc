//! Proxmox's vocabulary: numbers, names, volume ids, sizes, disks, networks; parse and print.
//!
//! * What it is: one type for each word that Proxmox and we both use.
//! * What it promises: `parse(print(x)) == x`; what prints, prints as Proxmox prints it; options that
//!   we have no word for are kept, never dropped.
//! * What it assumes: nothing of the world; no clock, no network, no file.

mod disk;
mod guest;
mod invalid;
pub mod lenient;
mod mac;
mod name;
mod net;
mod property;
mod size;
mod smbios;
mod tags;
mod upid;
mod vmid;
mod volume;

pub use disk::{DiskFile, DiskSpec, Media};
pub use guest::GuestConfig;
pub use invalid::Invalid;
pub use mac::MacAddr;
pub use name::{NodeName, PoolId, StorageId};
pub use net::NetDevice;
pub use property::PropertyString;
pub use size::DiskSize;
pub use smbios::{Smbios1, SmbiosUuid};
pub use tags::Tags;
pub use upid::Upid;
pub use vmid::Vmid;
pub use volume::VolumeId;

//! What is done to volumes: made, copied, attached, detached, grown, freed.
//!
//! * What it is: for each operation of the storage interface a function of what is wanted and what was seen, which
//!   says one thing: look at this first, do this step, it is done, or it is refused and why.
//! * What it promises: a volume is never in two VMs; nothing is detached, grown or freed but the volume that was named,
//!   compared whole; only volumes of a proven [`Holder`] are freed; an operation that was interrupted anywhere goes on
//!   when it is asked for again; what could not be read is never taken for absent.
//! * What it assumes: one process at a time works on a region (the sidecars elect one); every write carries the digest
//!   of what was read, so that what others write meanwhile is seen.
//!
//! Start in `attach.rs`.

mod attach;
mod copy;
mod create;
mod delete;
mod grow;
mod handle;
mod holder;
mod identity;
mod name;
mod params;
mod refusal;
mod size;
mod slot;
mod step;
#[cfg(test)]
mod test;
mod vm;

pub use attach::{Attachment, Plugged, Publish, Qemu, Unpublish, publish, unpublish};
pub use copy::{Copying, MakeCopy, State, Task, copy, snapshot_volume};
pub use create::{Create, Existing, MakeHolder, OrHolder, Place, create, holder_prefix};
pub use delete::{Leftover, delete};
pub use grow::{Grown, Growth, grow};
pub use handle::{BadHandle, Handle};
pub use holder::{At, Copy, CopyKind, CopyOf, Holder, Power, notes};
pub use identity::{Identity, Wwn};
pub use name::{Format, file_name, keeps_files, plain};
pub use params::{FsType, Parameters};
pub use refusal::{Kind, Refusal};
pub use size::{DEFAULT, Range};
pub use slot::Slot;
pub use step::{Decision, Detach, Look, Step};
pub use vm::{Drive, Phase, Row, Use, VmConfig};

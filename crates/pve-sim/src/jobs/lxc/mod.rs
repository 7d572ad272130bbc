//! The work of tasks on containers.

pub(crate) mod clone;
pub(crate) mod create;
pub(crate) mod destroy;
pub(crate) mod disk;
pub(crate) mod migrate;
pub(crate) mod power;
pub(crate) mod volume;

use serde::{Deserialize, Serialize};

use super::Next;
use crate::state::World;

/// What a task does to a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Lxc {
    Create(create::Create),
    Clone(clone::Clone),
    Template { vmid: u32, node: String },
    Destroy { vmid: u32, node: String, purge: bool, force: bool, unreferenced: bool },
    Start { vmid: u32, node: String, skiplock: bool },
    Stop { vmid: u32, node: String, skiplock: bool },
    Down(power::Down),
    Freeze { vmid: u32, node: String, frozen: bool },
    Ha { vmid: u32, state: String },
    Resize(volume::Resize),
    Move(volume::Move),
    Reassign(volume::Reassign),
    Migrate(migrate::Migrate),
    Console,
}

impl Lxc {
    /// The container whose lock file the work needs.
    pub(crate) fn locks(&self) -> Option<u32> {
        match self {
            Self::Template { vmid, .. }
            | Self::Destroy { vmid, .. }
            | Self::Start { vmid, .. }
            | Self::Stop { vmid, .. }
            | Self::Freeze { vmid, .. } => Some(*vmid),
            Self::Down(down) => Some(down.vmid),
            Self::Resize(work) => Some(work.vmid),
            Self::Create(_)
            | Self::Clone(_)
            | Self::Move(_)
            | Self::Reassign(_)
            | Self::Migrate(_)
            | Self::Ha { .. }
            | Self::Console => None,
        }
    }
}

/// Does the next piece of a task's work; `doom` is the text it fails with, if it is to fail.
pub(crate) fn step(world: &mut World, upid: &str, job: Lxc, doom: Option<String>) -> Next {
    match (job, doom) {
        (Lxc::Create(create), doom) => create::step(world, upid, &create, doom),
        (Lxc::Clone(clone), doom) => clone::step(world, upid, clone, doom),
        (Lxc::Migrate(migrate), doom) => migrate::step(world, upid, migrate, doom),
        (Lxc::Move(work), doom) => volume::move_volume(world, upid, &work, doom).into(),
        (_, Some(text)) => Next::Failed(text),
        (Lxc::Template { vmid, node }, None) => disk::template(world, &node, vmid).into(),
        (Lxc::Destroy { vmid, node, purge, force, unreferenced }, None) => {
            let how = destroy::How { purge, force, unreferenced };
            destroy::destroy(world, upid, &node, vmid, how).into()
        }
        (Lxc::Start { vmid, node, skiplock }, None) => power::start(world, &node, vmid, skiplock).into(),
        (Lxc::Stop { vmid, node, skiplock }, None) => power::stop(world, &node, vmid, skiplock).into(),
        (Lxc::Down(down), None) => power::down(world, down),
        (Lxc::Freeze { vmid, node, frozen }, None) => power::freeze(world, &node, vmid, frozen).into(),
        (Lxc::Ha { vmid, state }, None) => {
            power::ha(world, vmid, &state);
            Next::Done
        }
        (Lxc::Resize(work), None) => volume::resize(world, upid, &work).into(),
        (Lxc::Reassign(work), None) => volume::reassign(world, upid, &work).into(),
        (Lxc::Console, None) => Next::Failed("connection timed out".to_owned()),
    }
}

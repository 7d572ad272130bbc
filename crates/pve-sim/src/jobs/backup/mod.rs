//! The work of tasks on backups.

mod contents;
pub(crate) mod dates;
pub(crate) mod prune;
pub(crate) mod replicate;
pub(crate) mod restore;
pub(crate) mod scheduler;
pub(crate) mod vzdump;

use serde::{Deserialize, Serialize};

use super::Next;
use crate::state::World;

/// What a task does.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Backup {
    Vzdump(vzdump::Vzdump),
    Restore(restore::Restore),
    Prune(prune::Prune),
    Replicate { id: String },
}

/// Does the next piece of a task's work; `doom` is the text it fails with, if it is to fail.
pub(crate) fn step(world: &mut World, upid: &str, job: Backup, doom: Option<String>) -> Next {
    match job {
        Backup::Vzdump(work) => vzdump::step(world, upid, work, doom),
        Backup::Restore(work) => restore::step(world, upid, work, doom),
        Backup::Prune(work) => {
            if let Some(text) = doom {
                return Next::Failed(text);
            }
            prune::step(world, upid, &work);
            Next::Done
        }
        Backup::Replicate { id } => replicate::step(world, upid, &id, doom).into(),
    }
}

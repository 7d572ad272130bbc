//! The life of one machine, decided.
//!
//! ```text
//!  nothing ──Reserve──▶ reserved ──Clone──▶ cloned ──Record──▶ recorded ──UploadSeed, Configure──▶ prepared
//!                        │   ▲                                                                       │
//!                        └───┘ Release (somebody else's VMID)                                      Start
//!                                                                                                    ▼
//!  gone ◀─Destroy─ stopped ◀─Stop─ … ◀── deletion, from any state ──  settled ◀─(agent, cloud-init)─ running
//!                     └─RemoveSeed─┘                                  └──Eject, RemoveSeed──┘ (Node joined)
//! ```
//!
//! * What it promises: no step on a VM that is not proven ours; none when it could not look; at most one, and none
//!   while a task runs or a failed step is left alone. A VMID is reserved in status before anything is cloned to it.
//!   Nothing that can change is a terminal state.
//! * What it assumes: the caller may die before, during or after any step, and the next pass observes afresh.

mod desired;
mod keep;
mod network;
mod note;
mod observed;
mod prepare;
mod remove;
mod run;
mod step;
#[cfg(test)]
mod test;

use std::time::Duration;

pub use desired::{Cloning, Desired, Identity, Invalid, Nic, provider_uuid};
pub use network::{mac, network_config};
pub use note::{Note, Truth};
pub use observed::{AgentAddress, Answers, Backoff, CloudInit, Done, Observed, Recorded, Task};
pub use prepare::TAG_SEED;
pub use step::{CloneOrder, Facts, Fresh, Look, Plan, Step};

use crate::inventory::{GuestRow, Inventory};
use crate::mark::Owned;
use crate::{Again, Seen};
use pve_types::{GuestConfig, Vmid};

/// What is to become of a machine.
#[derive(Debug, Clone, PartialEq)]
pub enum Want {
    /// It is to be as the spec says.
    Keep(Box<Desired>),
    /// The spec cannot be.
    Invalid(Vec<Invalid>),
    /// It is to go. Needs no valid spec.
    Remove,
}

/// Decides what to do about one machine.
pub fn plan(who: &Identity, want: &Want, seen: &Observed) -> Plan {
    let inventory = match &seen.inventory {
        Seen::Known(inventory) => inventory,
        Seen::Unread(why) => return unread(why.clone()),
        Seen::Absent | Seen::Unasked => return unread("not read yet".into()),
    };
    match &seen.task {
        Seen::Known(task) => {
            // The poller tells when it ends; the timer is for a reading that was missed.
            let note = Note::TaskRuns(task.upid.clone());
            return Plan::rest(note, Facts::default(), Again::After(Duration::from_secs(15)));
        }
        Seen::Unread(why) => return unread(why.clone()),
        Seen::Absent | Seen::Unasked => {}
    }
    if let Some(Backoff { doing, why, left }) = &seen.backoff
        && !left.is_zero()
    {
        let note = Note::Failed { doing: *doing, why: why.clone() };
        return Plan::rest(note, Facts::default(), Again::After(*left));
    }
    match want {
        Want::Keep(want) => keep::plan(want, seen, inventory),
        Want::Invalid(why) => Plan::rest(Note::InvalidSpec(why.clone()), Facts::default(), Again::OnChange),
        Want::Remove => remove::plan(who, seen, inventory),
    }
}

fn unread(why: String) -> Plan {
    Plan::rest(Note::Unread(why), Facts::default(), Again::After(Duration::from_secs(10)))
}

fn soon(note: Note) -> Plan {
    Plan::rest(note, Facts::default(), Again::After(Duration::from_secs(2)))
}

/// A VM with our name whose mark is ours: found again when status was lost.
enum ByMark<'a> {
    Found(Owned, &'a GuestRow, &'a GuestConfig),
    Look(Look),
    Unread(String),
    None,
}

fn by_mark<'a>(who: &Identity, seen: &'a Observed, inventory: &'a Inventory) -> ByMark<'a> {
    let named = inventory.guests.iter().filter(|row| !row.template && row.name.as_deref() == Some(who.name.as_str()));
    for row in named {
        match seen.answers.configs.get(&row.vmid).unwrap_or(&Seen::Unasked) {
            Seen::Unasked => {
                return ByMark::Look(Look::Config { node: row.node.clone(), vmid: row.vmid, fresh: Fresh::ThisPass });
            }
            Seen::Unread(why) => return ByMark::Unread(why.clone()),
            Seen::Absent => {}
            Seen::Known(config) => {
                if let Some(owned) = Owned::prove(row.vmid, config, &who.uid, &who.name, seen.recorded.uuid) {
                    return ByMark::Found(owned, row, config);
                }
            }
        }
    }
    ByMark::None
}

/// While Proxmox VE clones, a configuration is a stub: locked, without name and mark.
fn still_cloning(config: &GuestConfig) -> bool {
    config.lock.as_deref() == Some("clone")
        || config.description.as_deref().is_some_and(|text| text.starts_with("qmclone temporary file"))
}

fn config(seen: &Observed, vmid: Vmid) -> &Seen<GuestConfig> {
    seen.answers.configs.get(&vmid).unwrap_or(&Seen::Unasked)
}

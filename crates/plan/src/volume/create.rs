//! An empty volume is made: allocated under a holder's number, by a name from which a repeated request finds it.

use pve_types::{DiskSize, NodeName, StorageId, Vmid, VolumeId};

use super::holder::{self, Holder};
use super::name::{self, Format};
use super::refusal::{Kind, Refusal};
use super::size::Range;
use super::step::{Decision, Look, Step};
use crate::Seen;

/// A storage that a volume is to go to, as one node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its name.
    pub storage: StorageId,
    /// `dir`, `lvmthin`, …
    pub kind: String,
    /// The node to ask.
    pub node: NodeName,
    /// Whether all nodes see the same.
    pub shared: bool,
}

/// A volume that is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// The CO's name for it.
    pub name: String,
    /// Where it goes.
    pub place: Place,
    /// Its size.
    pub range: Range,
    /// Its format.
    pub format: Format,
}

/// What was seen of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    /// Holders that can own volumes there, proven.
    pub holders: Seen<Vec<Holder>>,
    /// Volumes of that name under any of them, with their sizes. Nobody has to look before the first attempt where
    /// there is one holder: Proxmox VE refuses a name that is taken.
    pub volumes: Seen<Vec<(VolumeId, DiskSize)>>,
    /// A number that is free, for one holder more; absent where we may make none.
    pub next: Seen<Vmid>,
}

/// An order for a holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakeHolder {
    /// Its number.
    pub vmid: Vmid,
    /// The node it goes to.
    pub node: NodeName,
    /// Its name.
    pub name: String,
    /// Its notes, with our mark.
    pub notes: String,
}

/// What to do next: a step, or a holder first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a decision that nobody carries out helps no one"]
pub enum OrHolder<D> {
    /// Make a holder, wait for it, and ask again.
    Make(MakeHolder),
    /// As decided.
    Go(Decision<D>),
}

/// The name that holders of a tenant begin with: they are found by it, and proven by their notes.
pub fn holder_prefix(tenant: &str) -> String {
    let plain: String =
        tenant.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    format!("csi-holder-{}-", plain.trim_matches('-'))
}

impl Create {
    /// The volume as this holder would have it.
    pub fn volume(&self, holder: Vmid) -> Result<VolumeId, Refusal> {
        let file = name::file_name(holder, &self.name, &self.place.kind, self.format)?;
        let name = if name::keeps_files(&self.place.kind) { format!("{holder}/{file}") } else { file };
        Ok(VolumeId { storage: self.place.storage.clone(), name })
    }
}

/// No holder has room: one more is made, or somebody is told how.
pub(super) fn wanted<D>(place: &Place, next: &Seen<Vmid>, tenant: &str) -> OrHolder<D> {
    let refuse = |kind, why| OrHolder::Go(Decision::refuse(kind, why));
    match next {
        Seen::Known(vmid) => OrHolder::Make(MakeHolder {
            vmid: *vmid,
            node: place.node.clone(),
            name: format!("{}{vmid}", holder_prefix(tenant)),
            notes: holder::notes(tenant),
        }),
        Seen::Unasked => OrHolder::Go(Decision::Look(Look::Holder)),
        Seen::Unread(why) => refuse(Kind::Unavailable, format!("cannot get a number for a holder VM: {why}")),
        Seen::Absent => refuse(
            Kind::FailedPrecondition,
            format!(
                "no holder VM with room on node `{}`: make a VM there, with protection, in our pool, whose name begins \
                 with `{}` and whose notes end in `oxmox: holder={tenant}`",
                place.node,
                holder_prefix(tenant)
            ),
        ),
    }
}

/// Decides the next step towards an empty volume.
pub fn create(want: &Create, seen: &Existing, tenant: &str) -> OrHolder<(VolumeId, DiskSize)> {
    let go = OrHolder::Go;
    let size = match want.range.choose() {
        Ok(size) => size,
        Err(refusal) => return go(Decision::Refuse(refusal)),
    };
    let holders = match &seen.holders {
        Seen::Known(holders) => &holders[..],
        Seen::Absent => &[],
        Seen::Unasked => return go(Decision::Look(Look::Holder)),
        Seen::Unread(why) => return go(Decision::refuse(Kind::Unavailable, format!("cannot read our holders: {why}"))),
    };
    let none = Vec::new();
    let volumes = match &seen.volumes {
        Seen::Known(volumes) => volumes,
        Seen::Absent => &none,
        // With one holder the attempt itself tells.
        Seen::Unasked if holders.len() <= 1 => &none,
        Seen::Unasked => return go(Decision::Look(Look::Volume)),
        Seen::Unread(why) => {
            return go(Decision::refuse(
                Kind::Unavailable,
                format!("cannot tell whether `{}` exists: {why}", want.name),
            ));
        }
    };
    if let Some((volume, there)) = volumes.first() {
        return go(if want.range.holds(*there) {
            Decision::Done((volume.clone(), *there))
        } else {
            let Range { required, limit } = want.range;
            Decision::refuse(
                Kind::AlreadyExists,
                format!(
                    "name: `{}` exists as `{volume}` with {there}, not the {required} to {limit} bytes that are asked for",
                    want.name
                ),
            )
        });
    }
    let Some(holder) = holders.iter().filter(|holder| holder.has_room()).min_by_key(|holder| holder.vmid()) else {
        return wanted(&want.place, &seen.next, tenant);
    };
    match want.volume(holder.vmid()) {
        Err(refusal) => go(Decision::Refuse(refusal)),
        Ok(volume) => {
            let file = volume.name.rsplit('/').next().unwrap_or_default().to_owned();
            go(Decision::step(Step::Allocate {
                holder: holder.clone(),
                storage: want.place.storage.clone(),
                file,
                size,
                format: want.format,
            }))
        }
    }
}

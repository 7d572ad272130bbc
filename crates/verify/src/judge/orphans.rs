//! Step 3: VMs that nobody owns any more, and machines that own two.

use std::collections::{BTreeMap, BTreeSet};

use pve_types::Vmid;

use super::verdict::{Tally, Verdict, need};
use super::{CheckInfo, Of, scope};
use crate::evidence::{Cause, Evidence, Read};
use crate::step::StepId;

/// Our mark, as the last line of a VM's notes: `oxmox: machine=NAMESPACE/NAME uid=UID …`.
pub(crate) struct Mark<'a> {
    pub(super) machine: &'a str,
    pub(super) uid: &'a str,
}

impl<'a> Mark<'a> {
    pub(super) fn read(line: &'a str) -> Option<Self> {
        let fields = line.strip_prefix("oxmox: ")?;
        let field = |key| fields.split(' ').find_map(|part| part.split_once('=').filter(|(k, _)| *k == key));
        let (_, machine) = field("machine")?;
        let (_, uid) = field("uid").filter(|(_, uid)| !uid.is_empty())?;
        Some(Self { machine, uid })
    }

    /// The last line of notes, when it is a mark.
    pub(crate) fn line(notes: &'a str) -> Option<&'a str> {
        notes.trim_end().lines().next_back().filter(|line| Self::read(line).is_some())
    }
}

/// Whose volumes a VM holds, when the last line of its notes says so: `oxmox: holder=TENANT`.
pub(crate) fn holder(notes: &str) -> Option<&str> {
    notes.trim_end().lines().next_back()?.strip_prefix("oxmox: holder=").filter(|tenant| !tenant.is_empty())
}

/// Names of snapshots by the drive of their holder that they are in, by its notes: `copy SLOT snapshot NAME of …`.
pub(crate) fn copies(notes: &str) -> BTreeMap<String, String> {
    let copy = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["copy", slot, "snapshot", name, "of", ..] => Some((slot.to_owned(), name.to_owned())),
            _ => None,
        }
    };
    notes.lines().filter_map(copy).collect()
}

/// Marks by VM, and a line for each VM that could not be looked at.
type Marks<'a> = (Vec<(Vmid, Mark<'a>)>, Vec<String>);

/// All marks that were seen, and which VMs could not be looked at.
fn marks(evidence: &Evidence) -> Result<Marks<'_>, Verdict> {
    let guests = need("the list of virtual machines", &evidence.proxmox.guests)?;
    if guests.is_empty() && !sees_guests(evidence) {
        let why = "no VM is to be seen, and nothing says that we may see any";
        return Err(Verdict::unread(why).hint("give VM.Audit on /vms or on the machines' pool, then verify again"));
    }
    let mut marks = Vec::new();
    let mut unread = Vec::new();
    for (vmid, read) in &evidence.proxmox.settings {
        match read {
            Read::Known(settings) => {
                marks.extend(settings.mark.as_deref().and_then(Mark::read).map(|mark| (*vmid, mark)));
            }
            // it went between the list and the look
            Read::Unread { cause: Cause::Missing, .. } => {}
            Read::Unread { why, .. } => unread.push(format!("settings of VM {vmid} could not be read: {why}")),
        }
    }
    Ok((marks, unread))
}

/// Whether we may see VMs somewhere: a list that is empty for another reason says nothing.
fn sees_guests(evidence: &Evidence) -> bool {
    let held = evidence.proxmox.permissions.known();
    held.is_some_and(|held| held.values().any(|privileges| privileges.contains_key("VM.Audit")))
}

pub(super) const NO_ORPHANS: CheckInfo = CheckInfo {
    id: "vm-management.no-orphans",
    step: StepId::VmManagement,
    title: "No VM is left without its machine",
    looks_at: "Every VM that we may see and that carries our mark: a ProxmoxMachine of that UID exists in this \
               management cluster, in any namespace. A warning, since several management clusters may share one \
               Proxmox.",
    matters: "A VM without its machine is never removed: it takes memory, disk and perhaps an address that is given \
              again.",
    fix: "Make sure that no other management cluster owns it. Then destroy it: `qm stop ID && qm destroy ID --purge`.",
    of: Of::Cluster,
    needs: &["api.authenticated"],
    judge: no_orphans,
};

fn no_orphans(evidence: &Evidence) -> Verdict {
    let both = marks(evidence).and_then(|marks| {
        need("ProxmoxMachines of all namespaces", &evidence.management.all_machines).map(|all| (marks, all))
    });
    let ((marks, unread), machines) = match both {
        Ok(both) => both,
        Err(verdict) => return verdict,
    };
    let known: BTreeSet<&str> = machines.iter().map(String::as_str).collect();
    let mut tally = Tally::default();
    for (vmid, mark) in &marks {
        if !known.contains(mark.uid) {
            tally.warning(format!(
                "VM {vmid} belongs to machine `{}` (UID {}), which does not exist",
                mark.machine, mark.uid
            ));
        }
    }
    for line in unread {
        tally.unread(line);
    }
    let passed = format!("{} with our mark, each with its machine", scope::count(marks.len(), "VM"));
    tally.verdict(passed, "make sure that no other management cluster owns it, then destroy it with purge")
}

pub(super) const NO_DUPLICATES: CheckInfo = CheckInfo {
    id: "vm-management.no-duplicates",
    step: StepId::VmManagement,
    title: "No machine has two VMs",
    looks_at: "Every VM that we may see and that carries our mark: no two name the same UID.",
    matters: "Two VMs with one identity take each other's address and confuse the cluster that they join.",
    fix: "Compare with `virtualMachineID` and `providerID` of the ProxmoxMachine and destroy the other one. A copy made \
          by hand keeps the mark: remove the last line of its notes.",
    of: Of::Proxmox,
    needs: &["api.authenticated"],
    judge: no_duplicates,
};

fn no_duplicates(evidence: &Evidence) -> Verdict {
    let (marks, unread) = match marks(evidence) {
        Ok(both) => both,
        Err(verdict) => return verdict,
    };
    let mut by_uid: BTreeMap<&str, Vec<(Vmid, &str)>> = BTreeMap::new();
    for (vmid, mark) in &marks {
        by_uid.entry(mark.uid).or_default().push((*vmid, mark.machine));
    }
    let mut tally = Tally::default();
    for all in by_uid.values().filter(|all| all.len() > 1) {
        let vmids: Vec<String> = all.iter().map(|(vmid, _)| vmid.to_string()).collect();
        let machine = all.first().map_or("", |(_, machine)| machine);
        tally.error(format!("VMs {} all belong to machine `{machine}`", vmids.join(" and ")));
    }
    for line in unread {
        tally.unread(line);
    }
    let passed = format!("{} with our mark, no two alike", scope::count(marks.len(), "VM"));
    tally.verdict(passed, "destroy the one that the ProxmoxMachine does not name")
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_holder_says_whose_it_is_and_of_what_it_has_snapshots() {
        let notes = "Owner of volumes.\n\ncopy scsi1 snapshot snapshot-76 of data:9100/vm-9100-pvc-1.raw at 1795683215\n\
                     copy scsi2 volume pvc-2 of data:9100/vm-9100-disk-0.raw at 1795683217\noxmox: holder=demo\n";
        assert_eq!(holder(notes), Some("demo"));
        assert_eq!(copies(notes), BTreeMap::from([("scsi1".to_owned(), "snapshot-76".to_owned())]));
        assert_eq!(holder("oxmox: holder=demo\nmoved by Bob"), None);
    }

    #[test]
    fn only_the_last_line_is_a_mark() {
        assert_eq!(
            Mark::line("rack 4\n\noxmox: machine=a/b uid=1 seed=s:iso/x.iso\n"),
            Some("oxmox: machine=a/b uid=1 seed=s:iso/x.iso")
        );
        assert_eq!(Mark::line("oxmox: machine=a/b uid=1\nmoved by Bob"), None);
        assert_eq!(Mark::line("oxmox: machine=a/b uid="), None);
        let mark = Mark::read("oxmox: machine=a/b uid=1 seed=s").unwrap();
        assert_eq!((mark.machine, mark.uid), ("a/b", "1"));
    }
}

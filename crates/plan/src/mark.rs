//! Our mark on a VM: one line at the end of its notes, below the user's own text.
//!
//! `oxmox: machine=NAMESPACE/NAME uid=UID [seed=VOLUME]`
//!
//! Promises: `strip` gives back the user's text as it was written; a VM without a well-formed mark is nobody's.

use pve_types::{GuestConfig, SmbiosUuid, Vmid, VolumeId};

const WORD: &str = "oxmox: ";

/// What our mark says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Namespace and name of the `ProxmoxMachine`.
    pub machine: String,
    /// Its UID.
    pub uid: String,
    /// The ISO with its bootstrap data, once it was given one.
    pub seed: Option<VolumeId>,
}

impl Mark {
    /// Reads the mark out of a VM's notes.
    pub fn read(notes: &str) -> Option<Self> {
        let line = notes.trim_end().lines().next_back()?.strip_prefix(WORD)?;
        let field = |key: &str| line.split(' ').find_map(|part| part.strip_prefix(key)?.strip_prefix('='));
        Some(Self {
            machine: field("machine")?.to_owned(),
            uid: field("uid").filter(|uid| !uid.is_empty())?.to_owned(),
            seed: field("seed").and_then(|seed| seed.parse().ok()),
        })
    }

    /// The notes of a VM: the user's text, then the mark.
    pub fn notes(&self, text: Option<&str>) -> String {
        let seed = self.seed.as_ref().map(|seed| format!(" seed={seed}")).unwrap_or_default();
        let mark = format!("{WORD}machine={} uid={}{seed}", self.machine, self.uid);
        match text.map(str::trim_end) {
            None | Some("") => mark,
            Some(text) => format!("{text}\n\n{mark}"),
        }
    }
}

/// Proof that a VM is ours: it carries the mark with our UID, our name, and the SMBIOS UUID that we recorded, if we
/// did. Only [`Owned::prove`] makes one, and only with one can a step be built that changes or destroys a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    vmid: Vmid,
    uuid: SmbiosUuid,
    mark: Mark,
}

impl Owned {
    /// Compares the VM's configuration with who we are.
    pub fn prove(
        vmid: Vmid,
        config: &GuestConfig,
        uid: &str,
        name: &str,
        recorded: Option<SmbiosUuid>,
    ) -> Option<Self> {
        let mark = Mark::read(config.description.as_deref()?)?;
        let uuid = config.smbios_uuid()?;
        let ours =
            mark.uid == uid && config.name.as_deref() == Some(name) && recorded.is_none_or(|recorded| recorded == uuid);
        ours.then_some(Self { vmid, uuid, mark })
    }

    /// The VMID.
    pub fn vmid(&self) -> Vmid {
        self.vmid
    }

    /// The SMBIOS UUID.
    pub fn uuid(&self) -> SmbiosUuid {
        self.uuid
    }

    /// The mark.
    pub fn mark(&self) -> &Mark {
        &self.mark
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn mark() -> Mark {
        Mark { machine: "default/w-0".into(), uid: "0b7e".into(), seed: None }
    }

    fn config(notes: &str) -> GuestConfig {
        GuestConfig {
            name: Some("w-0".into()),
            description: Some(notes.into()),
            smbios: "uuid=46ff6553-ec42-4180-b651-d71617da3e0b".parse().ok(),
            ..GuestConfig::default()
        }
    }

    #[test]
    fn the_mark_and_the_users_text_live_together() {
        let notes = mark().notes(Some("rack 4\n# call Ann"));
        assert!(notes.starts_with("rack 4\n# call Ann\n\n"));
        assert_eq!(Mark::read(&notes), Some(mark()));
    }

    #[test]
    fn the_seed_is_remembered_on_the_vm() {
        let with = Mark { seed: "shared:iso/user-data-101.iso".parse().ok(), ..mark() };
        assert!(with.seed.is_some());
        assert_eq!(Mark::read(&with.notes(None)), Some(with));
    }

    #[test]
    fn a_vm_is_ours_only_with_uid_name_and_uuid() {
        let vmid: Vmid = "101".parse().unwrap();
        let ours = config(&mark().notes(None));
        assert!(Owned::prove(vmid, &ours, "0b7e", "w-0", None).is_some());
        assert!(Owned::prove(vmid, &ours, "0b7e", "w-0", ours.smbios_uuid()).is_some());
        let other: SmbiosUuid = "f250cfd7-0000-4180-b651-d71617da3e0b".parse().unwrap();
        assert!(Owned::prove(vmid, &ours, "0b7e", "w-0", Some(other)).is_none());
        assert!(Owned::prove(vmid, &ours, "ffff", "w-0", None).is_none());
        assert!(Owned::prove(vmid, &ours, "0b7e", "w-1", None).is_none());
        assert!(Owned::prove(vmid, &config("qmclone temporary file"), "0b7e", "w-0", None).is_none());
        assert!(Owned::prove(vmid, &config("oxmox: machine=default/w-0 uid="), "", "w-0", None).is_none());
    }

    #[test]
    fn a_text_that_quotes_a_mark_is_no_mark() {
        assert_eq!(Mark::read("oxmox: machine=a/b uid=1\nmoved here by Bob"), None);
    }
}

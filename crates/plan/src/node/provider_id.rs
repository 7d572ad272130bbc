//! `spec.providerID` of a Node: whose it is, and which VM it names.
//!
//! Two forms are ours: `proxmox://UUID`, which the Cluster API provider writes, and `proxmox://REGION/VMID`, which the
//! cloud controller manager that people use now writes by default. All else belongs to somebody else.

use pve_types::{SmbiosUuid, Vmid};

const SCHEME: &str = "proxmox://";

/// What a provider ID says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderId {
    /// Nothing yet.
    None,
    /// The VM with this SMBIOS UUID.
    Uuid(SmbiosUuid),
    /// The VM with this number.
    Number {
        /// Region; empty where the writer had none.
        region: String,
        /// Its number.
        vmid: Vmid,
    },
    /// Somebody else's.
    Foreign(String),
}

/// Which form is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `proxmox://UUID`.
    Uuid,
    /// `proxmox://REGION/VMID`.
    Number,
}

impl ProviderId {
    /// Reads one; a UUID in any case.
    pub fn read(text: Option<&str>) -> Self {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Self::None };
        let foreign = || Self::Foreign(text.to_owned());
        let Some(rest) = text.strip_prefix(SCHEME) else { return foreign() };
        match rest.split_once('/') {
            None => rest.parse().map_or_else(|_| foreign(), Self::Uuid),
            Some((region, number)) => {
                number.parse().map_or_else(|_| foreign(), |vmid| Self::Number { region: region.to_owned(), vmid })
            }
        }
    }

    /// Writes one.
    pub fn write(form: Form, region: &str, vmid: Vmid, uuid: SmbiosUuid) -> String {
        match form {
            Form::Uuid => format!("{SCHEME}{uuid}"),
            Form::Number => format!("{SCHEME}{region}/{vmid}"),
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn both_forms_are_read_and_all_else_is_foreign() {
        let uuid: SmbiosUuid = "46ff6553-ec42-4180-b651-d71617da3e0b".parse().unwrap();
        let read = |text| ProviderId::read(Some(text));
        assert_eq!(read("proxmox://46FF6553-EC42-4180-B651-D71617DA3E0B"), ProviderId::Uuid(uuid));
        let number = ProviderId::Number { region: "dc1".into(), vmid: "101".parse().unwrap() };
        assert_eq!(read("proxmox://dc1/101"), number);
        assert_eq!(ProviderId::read(None), ProviderId::None);
        assert_eq!(read(""), ProviderId::None);
        for other in
            ["k3s://node-1", "aws:///eu/i-1", "proxmox://dc1/web", "proxmox://dc1/5", "proxmox://", "proxmox://a/b/1"]
        {
            assert_eq!(read(other), ProviderId::Foreign(other.into()));
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let (vmid, uuid) = ("101".parse().unwrap(), "46ff6553-ec42-4180-b651-d71617da3e0b".parse().unwrap());
        let written = |form| ProviderId::read(Some(&ProviderId::write(form, "dc1", vmid, uuid)));
        assert_eq!(written(Form::Uuid), ProviderId::Uuid(uuid));
        assert_eq!(written(Form::Number), ProviderId::Number { region: "dc1".into(), vmid });
    }
}

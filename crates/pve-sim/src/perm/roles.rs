//! The roles that come with Proxmox VE 9.

use std::collections::BTreeMap;

use super::Role;
use super::privileges::ALL;

/// All built-in roles.
pub(crate) fn built_in() -> BTreeMap<String, Role> {
    let withheld = [
        "Sys.Modify",
        "Sys.PowerMgmt",
        "Sys.Incoming",
        "Sys.AccessNetwork",
        "Realm.Allocate",
        "Permissions.Modify",
        "Mapping.Modify",
    ];
    let starting = |prefix: &str| ALL.iter().copied().filter(|p| p.starts_with(prefix)).collect::<Vec<_>>();
    let auditor = ALL.iter().copied().filter(|p| p.ends_with(".Audit")).collect();
    let vm_user = vec![
        "VM.Audit",
        "VM.Backup",
        "VM.Config.CDROM",
        "VM.Config.Cloudinit",
        "VM.Console",
        "VM.PowerMgmt",
        "VM.GuestAgent.Audit",
        "VM.GuestAgent.FileRead",
        "VM.GuestAgent.FileWrite",
        "VM.GuestAgent.FileSystemMgmt",
    ];
    let roles: Vec<(&str, Vec<&str>)> = vec![
        ("NoAccess", vec![]),
        ("Administrator", ALL.to_vec()),
        ("PVEAdmin", ALL.iter().copied().filter(|p| !withheld.contains(p)).collect()),
        ("PVEAuditor", auditor),
        ("PVEVMAdmin", starting("VM.")),
        ("PVEVMUser", vm_user),
        ("PVETemplateUser", vec!["VM.Audit", "VM.Clone"]),
        ("PVEDatastoreAdmin", starting("Datastore.")),
        ("PVEDatastoreUser", vec!["Datastore.AllocateSpace", "Datastore.Audit"]),
        ("PVESysAdmin", vec!["Sys.Audit", "Sys.Console", "Sys.Syslog"]),
        ("PVESDNAdmin", starting("SDN.")),
        ("PVESDNUser", vec!["SDN.Audit", "SDN.Use"]),
        ("PVEPoolAdmin", starting("Pool.")),
        ("PVEPoolUser", vec!["Pool.Audit"]),
        ("PVEUserAdmin", vec!["Group.Allocate", "Realm.AllocateUser", "User.Modify"]),
        ("PVEMappingAdmin", starting("Mapping.")),
        ("PVEMappingUser", vec!["Mapping.Audit", "Mapping.Use"]),
    ];
    roles
        .into_iter()
        .map(|(name, privs)| {
            let privs = privs.into_iter().map(str::to_owned).collect();
            (name.to_owned(), Role { privs, special: true })
        })
        .collect()
}

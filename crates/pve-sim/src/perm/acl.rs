//! The access control list: which role whom on which path.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Whom an entry speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Subject {
    User,
    Group,
    Token,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) path: String,
    #[serde(rename = "type")]
    pub(crate) subject: Subject,
    pub(crate) ugid: String,
    pub(crate) roleid: String,
    pub(crate) propagate: bool,
}

/// Those whose entries count for one caller.
#[derive(Debug)]
pub(crate) struct Subjects {
    pub(crate) token: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) groups: BTreeSet<String>,
}

/// The roles on `path`, each with whether it propagates.
///
/// Of the entries that reach the path those nearest to it count, and of these the token's before the user's
/// before the groups'.
pub(crate) fn resolve(acl: &[Entry], whom: &Subjects, path: &str) -> BTreeMap<String, bool> {
    let mut best = (0, 0);
    let mut roles = BTreeMap::new();
    for entry in acl.iter().filter(|e| reaches(e, path)) {
        let rank = match entry.subject {
            Subject::Token if whom.token.as_deref() == Some(&*entry.ugid) => 3,
            Subject::User if whom.user.as_deref() == Some(&*entry.ugid) => 2,
            Subject::Group if whom.groups.contains(&entry.ugid) => 1,
            Subject::Token | Subject::User | Subject::Group => continue,
        };
        let here = (depth(&entry.path), rank);
        if here > best {
            best = here;
            roles.clear();
        }
        if here == best {
            roles.insert(entry.roleid.clone(), entry.propagate);
        }
    }
    if let Some(further) = roles.get("NoAccess") {
        return BTreeMap::from([("NoAccess".to_owned(), *further)]);
    }
    roles
}

fn depth(path: &str) -> usize {
    path.split('/').filter(|p| !p.is_empty()).count()
}

fn reaches(entry: &Entry, path: &str) -> bool {
    entry.path == path
        || entry.propagate
            && (entry.path == "/" || path.strip_prefix(&*entry.path).is_some_and(|rest| rest.starts_with('/')))
}

/// Whether an entry may be made on this path.
pub(crate) fn is_acl_path(path: &str) -> bool {
    if path == "/" {
        return true;
    }
    let Some(rest) = path.strip_prefix('/') else { return false };
    let parts: Vec<&str> = rest.split('/').collect();
    if parts.iter().any(|p| p.is_empty()) {
        return false;
    }
    match parts.as_slice() {
        ["access" | "nodes" | "pool" | "sdn" | "storage" | "vms" | "mapping", ..] if parts.len() == 1 => true,
        ["access", "groups" | "realm"] | ["access", "groups" | "realm", _] | ["nodes" | "storage", _] => true,
        ["vms", vmid] => vmid.parse::<u32>().is_ok_and(|v| v >= 100),
        ["pool", ..] => parts.len() <= 4,
        ["sdn", "zones", ..] => parts.len() <= 5,
        ["sdn", "controllers" | "dns" | "fabrics" | "ipams" | "prefix-lists" | "route-maps", ..] | ["mapping", ..] => {
            parts.len() <= 3
        }
        _ => false,
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn entry(path: &str, subject: Subject, ugid: &str, roleid: &str, propagate: bool) -> Entry {
        Entry { path: path.to_owned(), subject, ugid: ugid.to_owned(), roleid: roleid.to_owned(), propagate }
    }

    fn user(name: &str) -> Subjects {
        Subjects { token: None, user: Some(name.to_owned()), groups: BTreeSet::from(["devs".to_owned()]) }
    }

    #[test]
    fn an_entry_nearer_to_the_path_replaces_what_comes_from_above() {
        let acl = [
            entry("/", Subject::User, "a@pve", "PVEAdmin", true),
            entry("/vms", Subject::User, "a@pve", "PVEAuditor", true),
        ];
        let roles = resolve(&acl, &user("a@pve"), "/vms/100");
        assert_eq!(roles.into_keys().collect::<Vec<_>>(), ["PVEAuditor"]);
    }

    #[test]
    fn an_entry_that_does_not_propagate_counts_only_on_its_own_path() {
        let acl = [entry("/vms", Subject::User, "a@pve", "PVEAdmin", false)];
        assert!(resolve(&acl, &user("a@pve"), "/vms/100").is_empty());
        assert_eq!(resolve(&acl, &user("a@pve"), "/vms").len(), 1);
    }

    #[test]
    fn an_entry_of_the_user_hides_those_of_the_groups() {
        let acl = [
            entry("/vms", Subject::Group, "devs", "PVEAdmin", true),
            entry("/vms", Subject::User, "a@pve", "NoAccess", true),
        ];
        assert!(resolve(&acl, &user("a@pve"), "/vms/100").contains_key("NoAccess"));
        assert!(resolve(&acl, &user("b@pve"), "/vms/100").contains_key("PVEAdmin"));
    }

    #[test]
    fn paths_of_nothing_are_refused() {
        for path in ["/", "/vms", "/vms/100", "/pool/a/b", "/sdn/zones/localnetwork/vmbr0", "/storage/x"] {
            assert!(is_acl_path(path), "{path}");
        }
        for path in ["", "vms", "/nosuch", "/vms/abc", "/vms/100/x", "/nodes//"] {
            assert!(!is_acl_path(path), "{path}");
        }
    }
}

//! Who may do what: users, groups, tokens, roles, the access control list.
//!
//! Promises the resolution of Proxmox VE 9: entries nearer to the path replace those above, token over
//! user over groups, `NoAccess` over all, pools granting on their members, privilege separation of tokens.

mod acl;
mod privileges;
mod roles;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub(crate) use acl::{Entry, Subject, is_acl_path};
pub(crate) use privileges::ALL as ALL_PRIVILEGES;
use privileges::is_privilege;
pub(crate) use roles::built_in as built_in_roles;

/// A person or program with a name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) enable: bool,
    /// Seconds since the epoch, 0 for never.
    pub(crate) expire: i64,
    #[serde(default)]
    pub(crate) password: Option<String>,
    #[serde(default)]
    pub(crate) groups: BTreeSet<String>,
    /// Comment, e-mail, names: only kept.
    #[serde(default)]
    pub(crate) more: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) tokens: BTreeMap<String, Token>,
}

/// An API token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) secret: String,
    pub(crate) privsep: bool,
    pub(crate) expire: i64,
    #[serde(default)]
    pub(crate) comment: Option<String>,
}

/// A role: the names of its privileges.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Role {
    pub(crate) privs: BTreeSet<String>,
    pub(crate) special: bool,
}

/// A realm: where users come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Realm {
    /// `pam`, `pve`, `ldap`, `ad`, `openid`.
    pub(crate) kind: String,
    pub(crate) options: BTreeMap<String, String>,
}

impl Realm {
    /// The two that are always there.
    pub(crate) fn built_in() -> BTreeMap<String, Self> {
        let all = [("pam", "Linux PAM standard authentication"), ("pve", "Proxmox VE authentication server")];
        let realm = |kind: &str, comment: &str| Self {
            kind: kind.to_owned(),
            options: BTreeMap::from([("comment".to_owned(), comment.to_owned())]),
        };
        all.into_iter().map(|(kind, comment)| (kind.to_owned(), realm(kind, comment))).collect()
    }
}

/// All of access control.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Access {
    pub(crate) users: BTreeMap<String, User>,
    /// Group to comment.
    pub(crate) groups: BTreeMap<String, String>,
    pub(crate) roles: BTreeMap<String, Role>,
    pub(crate) acl: Vec<Entry>,
    #[serde(default = "Realm::built_in")]
    pub(crate) realms: BTreeMap<String, Realm>,
}

/// Who calls: `user@realm` or `user@realm!token`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Who(pub(crate) String);

impl Who {
    /// The user without the token.
    pub(crate) fn user(&self) -> &str {
        self.0.split('!').next().unwrap_or_default()
    }

    pub(crate) fn token(&self) -> Option<&str> {
        self.0.split_once('!').map(|(_, token)| token)
    }

    /// The one who may do everything; its tokens are not.
    pub(crate) fn is_root(&self) -> bool {
        self.0 == "root@pam"
    }
}

/// Pool membership, as far as permissions ask for it.
pub(crate) trait Pools {
    fn pool_of_vm(&self, vmid: &str) -> Option<String>;
    fn pools_of_storage(&self, storage: &str) -> Vec<String>;
}

/// Privileges on a path, each with whether it propagates.
pub(crate) type Grants = BTreeMap<String, bool>;

impl Access {
    pub(crate) fn new() -> Self {
        Self {
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            roles: built_in_roles(),
            acl: Vec::new(),
            realms: Realm::built_in(),
        }
    }

    /// The kind of a user's realm, if there is such a realm.
    pub(crate) fn realm_kind(&self, userid: &str) -> Option<&str> {
        self.realms.get(userid.rsplit('@').next()?).map(|r| r.kind.as_str())
    }

    /// Whether `who` has this privilege on `path`; the same as asking [`Access::grants`], but quick.
    pub(crate) fn has(&self, pools: &dyn Pools, who: &Who, path: &str, privilege: &str) -> bool {
        if who.is_root() {
            return is_privilege(privilege);
        }
        let gives = |role: &String| self.roles.get(role).is_some_and(|r| r.privs.contains(privilege));
        let own = || self.roles_on(pools, who, path).keys().any(gives);
        let Some(token) = who.token() else { return own() };
        let user = Who(who.user().to_owned());
        self.has(pools, &user, path, privilege) && (!self.is_separated(&user, token) || own())
    }

    /// The guests whose numbers entries name; all others outside of pools are alike for any caller.
    pub(crate) fn named_vms(&self) -> BTreeSet<u32> {
        let number = |entry: &Entry| entry.path.strip_prefix("/vms/").and_then(|vmid| vmid.parse().ok());
        self.acl.iter().filter_map(number).collect()
    }

    fn is_separated(&self, user: &Who, token: &str) -> bool {
        self.users.get(&user.0).and_then(|u| u.tokens.get(token)).is_some_and(|t| t.privsep)
    }

    /// What `who` may do on `path`.
    pub(crate) fn grants(&self, pools: &dyn Pools, who: &Who, path: &str) -> Grants {
        if who.is_root() {
            return ALL_PRIVILEGES.iter().map(|p| ((*p).to_owned(), true)).collect();
        }
        let user = Who(who.user().to_owned());
        let Some(token) = who.token() else { return self.own_grants(pools, who, path) };
        let of_user = self.grants(pools, &user, path);
        if !self.is_separated(&user, token) {
            return of_user;
        }
        let own = self.own_grants(pools, who, path);
        own.into_iter().filter_map(|(p, further)| of_user.get(&p).map(|f| (p, further && *f))).collect()
    }

    fn own_grants(&self, pools: &dyn Pools, who: &Who, path: &str) -> Grants {
        let roles = self.roles_on(pools, who, path);
        let mut grants = Grants::new();
        for (role, further) in &roles {
            for privilege in self.roles.get(role).map(|r| &r.privs).into_iter().flatten() {
                let entry = grants.entry(privilege.clone()).or_insert(false);
                *entry |= *further;
            }
        }
        grants
    }

    /// The roles on a path, with what pools add.
    fn roles_on(&self, pools: &dyn Pools, who: &Who, path: &str) -> BTreeMap<String, bool> {
        let regular = acl::resolve(&self.acl, &self.subjects(who), path);
        if regular.contains_key("NoAccess") {
            return regular;
        }
        let members: Vec<String> = if let Some(vmid) = path.strip_prefix("/vms/") {
            pools.pool_of_vm(vmid).into_iter().collect()
        } else if let Some(storage) = path.strip_prefix("/storage/") {
            pools.pools_of_storage(storage)
        } else {
            Vec::new()
        };
        let mut roles = regular;
        for pool in members {
            let from_pool = acl::resolve(&self.acl, &self.subjects(who), &format!("/pool/{pool}"));
            if from_pool.contains_key("NoAccess") {
                return BTreeMap::from([("NoAccess".to_owned(), false)]);
            }
            for role in from_pool.into_keys() {
                roles.entry(role).or_insert(false);
            }
        }
        roles
    }

    fn subjects(&self, who: &Who) -> acl::Subjects {
        if who.token().is_some() {
            return acl::Subjects { token: Some(who.0.clone()), user: None, groups: BTreeSet::new() };
        }
        let groups = self.users.get(who.user()).map(|u| u.groups.clone()).unwrap_or_default();
        acl::Subjects { token: None, user: Some(who.0.clone()), groups }
    }
}

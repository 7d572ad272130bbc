//! Users, groups, roles, tokens, realms, tickets, the access control list: `/access`.

pub(crate) mod accounts;
pub(crate) mod acl;
pub(crate) mod realms;
mod second_factor;
pub(crate) mod ticket;
pub(crate) mod tokens;

use super::{Handler, names, now};

/// The handler of a method.
pub(super) fn handler(verb: &str, path: &str) -> Option<Handler> {
    Some(match (verb, path) {
        ("GET", "/access") => |_, _| {
            now(names("subdir", &["users", "groups", "roles", "acl", "domains", "openid", "tfa", "ticket", "password"]))
        },
        ("GET", "/access/domains") => realms::domains,
        ("POST", "/access/domains") => realms::create,
        ("GET", "/access/domains/{realm}") => realms::domain,
        ("PUT", "/access/domains/{realm}") => realms::update,
        ("DELETE", "/access/domains/{realm}") => realms::delete,
        ("GET", "/access/ticket") => |_, _| now(serde_json::Value::Null),
        ("POST", "/access/ticket") => ticket::create,
        ("GET", "/access/permissions") => accounts::permissions,
        ("PUT", "/access/password") => accounts::password,
        ("GET", "/access/users") => accounts::users,
        ("POST", "/access/users") => accounts::create_user,
        ("GET", "/access/users/{userid}") => accounts::user,
        ("PUT", "/access/users/{userid}") => accounts::update_user,
        ("DELETE", "/access/users/{userid}") => accounts::delete_user,
        ("GET", "/access/users/{userid}/token") => tokens::tokens,
        ("GET", "/access/users/{userid}/token/{tokenid}") => tokens::token,
        ("POST", "/access/users/{userid}/token/{tokenid}") => tokens::create_token,
        ("PUT", "/access/users/{userid}/token/{tokenid}") => tokens::update_token,
        ("DELETE", "/access/users/{userid}/token/{tokenid}") => tokens::delete_token,
        ("GET", "/access/groups") => acl::groups,
        ("POST", "/access/groups") => acl::create_group,
        ("GET", "/access/groups/{groupid}") => acl::group,
        ("PUT", "/access/groups/{groupid}") => acl::update_group,
        ("DELETE", "/access/groups/{groupid}") => acl::delete_group,
        ("GET", "/access/roles") => acl::roles,
        ("POST", "/access/roles") => acl::create_role,
        ("GET", "/access/roles/{roleid}") => acl::role,
        ("PUT", "/access/roles/{roleid}") => acl::update_role,
        ("DELETE", "/access/roles/{roleid}") => acl::delete_role,
        ("GET", "/access/acl") => acl::acl,
        ("PUT", "/access/acl") => acl::update_acl,
        _ => return second_factor::handler(verb, path),
    })
}

//! Credentials: API tokens, tickets, the token against forged requests.
//!
//! Promises the unified refusals of Proxmox VE 9.2: `No ticket`, `Authentication failed!`.

use std::cell::RefCell;
use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use percent_encoding::percent_decode_str;
use sha2::{Digest as _, Sha256};

use super::fail::Fail;
use crate::perm::Who;
use crate::state::World;

/// How a caller proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    Ticket,
    Token,
}

/// Seconds that a ticket is good for.
const LIFETIME: i64 = 2 * 3600;

/// How long a signature is, with what fills it up.
const SIGNATURE: usize = 44;

/// Signatures that a thread remembers.
const REMEMBERED: usize = 64;

fn signature(world: &World, what: &str) -> String {
    let key = &world.cluster.secret;
    STANDARD.encode(Sha256::digest(format!("{key}|{what}|{key}").as_bytes()))
}

/// Whether something was signed so. Tickets come again and again: those that were good are remembered, with the key that
/// they were good for.
fn is_signed(world: &World, what: &str, signed: &str) -> bool {
    thread_local! {
        static GOOD: RefCell<(String, HashMap<String, String>)> = RefCell::default();
    }
    GOOD.with_borrow_mut(|(key, good)| {
        if *key != world.cluster.secret || good.len() >= REMEMBERED {
            key.clone_from(&world.cluster.secret);
            good.clear();
        }
        if good.get(what).is_some_and(|known| known == signed) {
            return true;
        }
        let expected = signature(world, what);
        let is = expected.trim_end_matches('=') == signed.trim_end_matches('=');
        if is {
            good.insert(what.to_owned(), signed.to_owned());
        }
        is
    })
}

/// A fresh ticket.
pub(crate) fn ticket(world: &World, user: &str) -> String {
    let stamp = format!("{:08X}", world.seconds());
    let signed = signature(world, &format!("PVE:{user}:{stamp}"));
    format!("PVE:{user}:{stamp}::{signed}")
}

/// A fresh token against forged requests.
pub(crate) fn csrf_token(world: &World, user: &str) -> String {
    let stamp = format!("{:08X}", world.seconds());
    let signed = signature(world, &format!("csrf:{user}:{stamp}"));
    format!("{stamp}:{}", signed.trim_end_matches('='))
}

fn fresh(world: &World, stamp: &str) -> bool {
    i64::from_str_radix(stamp, 16).is_ok_and(|t| (-300..=LIFETIME).contains(&(world.seconds() - t)))
}

/// Whose valid ticket this is.
pub(crate) fn ticket_user(world: &World, ticket: &str) -> Option<String> {
    let (data, signed) = ticket.split_once("::")?;
    let rest = data.strip_prefix("PVE:")?;
    let (user, stamp) = rest.rsplit_once(':')?;
    (signed.len() == SIGNATURE && is_signed(world, data, signed) && fresh(world, stamp)).then(|| user.to_owned())
}

fn csrf_ok(world: &World, user: &str, given: &str) -> bool {
    let Some((stamp, signed)) = given.split_once(':') else { return false };
    is_signed(world, &format!("csrf:{user}:{stamp}"), signed) && fresh(world, stamp)
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn given_ticket(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all("cookie").iter().filter_map(|v| v.to_str().ok());
    let from_cookie =
        cookies.flat_map(|c| c.split(';')).filter_map(|c| c.trim().strip_prefix("PVEAuthCookie=")).map(decode).next();
    let authorization = || header(headers, "authorization").and_then(|a| a.strip_prefix("PVEAuthCookie=")).map(decode);
    from_cookie.or_else(authorization).filter(|t| !t.is_empty())
}

fn given_token(headers: &HeaderMap) -> Option<String> {
    let rest = header(headers, "authorization")?.strip_prefix("PVEAPIToken")?;
    rest.strip_prefix(['=', ' ']).map(decode)
}

/// Who the call says it is from, unchecked; for counting and for faults.
pub(crate) fn claimed(headers: &HeaderMap) -> String {
    if let Some(token) = given_token(headers) {
        return token.rsplit_once('=').map_or(token.clone(), |(id, _)| id.to_owned());
    }
    let ticket = given_ticket(headers).unwrap_or_default();
    ticket.strip_prefix("PVE:").and_then(|t| t.split(':').next()).unwrap_or_default().to_owned()
}

/// Who calls; `exempt` calls need no token against forged requests.
pub(crate) fn authenticate(world: &World, headers: &HeaderMap, verb: &str, exempt: bool) -> Result<(Who, Via), Fail> {
    let refused = || Fail::bare(401, "Authentication failed!");
    if let Some(ticket) = given_ticket(headers) {
        let user = ticket_user(world, &ticket).ok_or_else(refused)?;
        check_user(world, &user)?;
        if verb != "GET" && !exempt {
            let given = header(headers, "csrfpreventiontoken").unwrap_or_default();
            if !csrf_ok(world, &user, given) {
                return Err(Fail::bare(401, "Permission denied - invalid csrf token"));
            }
        }
        return Ok((Who(user), Via::Ticket));
    }
    let Some(given) = given_token(headers) else {
        let scheme = header(headers, "authorization").is_some_and(|a| a.starts_with("PVEAPIToken"));
        return Err(if scheme { refused() } else { Fail::bare(401, "No ticket") });
    };
    let (id, secret) = given.rsplit_once('=').ok_or_else(refused)?;
    let (user, token) = id.split_once('!').ok_or_else(refused)?;
    check_user(world, user)?;
    let known = world.access.users.get(user).and_then(|u| u.tokens.get(token)).ok_or_else(refused)?;
    let valid = known.secret == secret && (known.expire == 0 || known.expire > world.seconds());
    if valid { Ok((Who(id.to_owned()), Via::Token)) } else { Err(refused()) }
}

fn check_user(world: &World, user: &str) -> Result<(), Fail> {
    let ok = world.access.users.get(user).is_some_and(|u| u.enable && (u.expire == 0 || u.expire > world.seconds()));
    if ok { Ok(()) } else { Err(Fail::bare(401, "Authentication failed!")) }
}

#[cfg(test)]
mod test {
    use super::*;
    use crate::options::Options;
    use crate::state::default_world;

    fn world(seed: u64) -> World {
        default_world::build(&Options { seed, ..Options::default() }, 1.0e9, "AA:BB")
    }

    #[test]
    fn a_ticket_that_was_good_is_good_again_and_no_other_is() {
        let (ours, theirs) = (world(1), world(2));
        let good = ticket(&ours, "root@pam");
        for _ in 0..3 {
            assert_eq!(ticket_user(&ours, &good).as_deref(), Some("root@pam"));
            assert_eq!(ticket_user(&theirs, &good), None, "another cluster has another key");
            assert_eq!(ticket_user(&ours, &good.replace("root@pam", "capi@pve")), None);
            assert_eq!(ticket_user(&ours, good.trim_end_matches('=')), None);
            assert_eq!(ticket_user(&ours, &format!("{good}=")), None);
        }
        let mut later = world(1);
        later.now += 8000.0;
        assert_eq!(ticket_user(&later, &good), None, "remembering it does not keep it fresh");
    }

    #[test]
    fn a_token_against_forged_requests_is_its_users() {
        let world = world(1);
        let token = csrf_token(&world, "root@pam");
        assert!(csrf_ok(&world, "root@pam", &token) && csrf_ok(&world, "root@pam", &token));
        assert!(!csrf_ok(&world, "capi@pve", &token));
        assert!(!csrf_ok(&world, "root@pam", &token.replace(':', "0:")));
    }
}

//! Credentials: API tokens, tickets, the token against forged requests.
//!
//! Promises the unified refusals of Proxmox VE 9.2: `No ticket`, `Authentication failed!`.

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

fn signature(world: &World, what: &str) -> String {
    let key = &world.cluster.secret;
    STANDARD.encode(Sha256::digest(format!("{key}|{what}|{key}").as_bytes()))
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
    (signature(world, data) == signed && fresh(world, stamp)).then(|| user.to_owned())
}

fn csrf_ok(world: &World, user: &str, given: &str) -> bool {
    let Some((stamp, signed)) = given.split_once(':') else { return false };
    let expected = signature(world, &format!("csrf:{user}:{stamp}"));
    expected.trim_end_matches('=') == signed.trim_end_matches('=') && fresh(world, stamp)
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

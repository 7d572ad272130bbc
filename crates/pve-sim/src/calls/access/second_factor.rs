//! Second factors, OpenID and tickets for consoles: nobody has a second factor here, and nobody logs in through OpenID.

use serde_json::{Value, json};

use crate::calls::{Call, Handler, Outcome, names, now};
use crate::http::auth;
use crate::http::fail::Fail;
use crate::state::World;

/// The handler of a method.
pub(super) fn handler(verb: &str, path: &str) -> Option<Handler> {
    Some(match (verb, path) {
        ("GET", "/access/tfa" | "/access/tfa/{userid}") => |_, _| now(json!([])),
        ("GET", "/access/users/{userid}/tfa") => of_user,
        ("PUT", "/access/users/{userid}/unlock-tfa") => unlock,
        ("GET" | "PUT" | "DELETE", "/access/tfa/{userid}/{id}") => entry,
        ("GET", "/access/openid") => |_, _| now(names("subdir", &["auth-url", "login"])),
        ("POST", "/access/openid/auth-url") => auth_url,
        ("POST", "/access/vncticket") => console,
        _ => return None,
    })
}

fn known(world: &World, call: &Call<'_>) -> Result<(), Fail> {
    let userid = call.str("userid");
    if world.access.users.contains_key(userid) { Ok(()) } else { Err(Fail::die(format!("no such user ('{userid}')"))) }
}

fn of_user(world: &mut World, call: &Call<'_>) -> Outcome {
    known(world, call)?;
    let realm = call.str("userid").rsplit('@').next().unwrap_or_default();
    let kind = world.access.realms.get(realm).and_then(|r| r.options.get("tfa"));
    let kind = kind.and_then(|t| t.split(',').find_map(|p| p.strip_prefix("type=")));
    let mut data = serde_json::Map::new();
    if let Some(kind) = kind {
        data.insert("realm".to_owned(), json!(kind));
    }
    if call.flag("multiple") {
        data.insert("types".to_owned(), json!([]));
    }
    now(Value::Object(data))
}

fn unlock(world: &mut World, call: &Call<'_>) -> Outcome {
    known(world, call)?;
    now(json!(false))
}

fn entry(_: &mut World, call: &Call<'_>) -> Outcome {
    Err(Fail::with(404, format!("no such tfa entry '{}'", call.str("id"))).into())
}

fn auth_url(world: &mut World, call: &Call<'_>) -> Outcome {
    let realm = call.str("realm");
    let kind = world.access.realms.get(realm).map(|r| r.kind.as_str());
    let text = match kind {
        None => format!("domain '{realm}' does not exist"),
        Some("openid") => "unable to reach the provider: this simulator opens no connection".to_owned(),
        Some(other) => format!("auth method '{other}' does not support openid"),
    };
    Err(Fail::die(text).into())
}

/// A ticket is as good as the one who has it.
fn console(world: &mut World, call: &Call<'_>) -> Outcome {
    let fail = || Fail::with(401, "invalid ticket");
    let owner = auth::ticket_user(world, call.str("vncticket")).ok_or_else(fail)?;
    if owner != call.str("authid") {
        return Err(fail().into());
    }
    now(Value::Null)
}

//! API tokens of users.

use serde_json::{Value, json};

use super::accounts::find;
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::perm::Token;
use crate::state::World;

pub(crate) fn tokens(world: &mut World, call: &Call<'_>) -> Outcome {
    let user = find(world, call.str("userid"))?;
    now(user.tokens.iter().map(|(id, t)| row(id, t)).collect())
}

fn find_token<'w>(world: &'w mut World, call: &Call<'_>) -> Result<&'w mut Token, Fail> {
    let (userid, id) = (call.str("userid"), call.str("tokenid"));
    find(world, userid)?
        .tokens
        .get_mut(id)
        .ok_or_else(|| Fail::die(format!("no such token '{id}' for user '{userid}'")))
}

/// A token in a list.
pub(super) fn row(id: &str, token: &Token) -> Value {
    let mut row = info(token);
    row["tokenid"] = json!(id);
    row
}

/// A token where its id is known.
pub(super) fn info(token: &Token) -> Value {
    let mut info = json!({"privsep": i32::from(token.privsep), "expire": token.expire});
    if let Some(comment) = token.comment.as_ref().filter(|c| !c.is_empty()) {
        info["comment"] = json!(comment);
    }
    info
}

/// What was sent comes back as it was sent: as text.
fn echo(call: &Call<'_>, info: &mut Value) {
    for key in ["privsep", "expire", "comment"] {
        if let Some(sent) = call.get(key) {
            info[key] = json!(sent);
        }
    }
}

pub(crate) fn token(world: &mut World, call: &Call<'_>) -> Outcome {
    let token = find_token(world, call)?;
    now(info(token))
}

pub(crate) fn create_token(world: &mut World, call: &Call<'_>) -> Outcome {
    let (userid, id) = (call.str("userid"), call.str("tokenid"));
    let secret = world.chance.uuid();
    let user = find(world, userid)?;
    if user.tokens.contains_key(id) {
        return Err(Fail::param("tokenid", "Token already exists.").into());
    }
    let token = Token {
        secret: secret.clone(),
        privsep: call.get("privsep") != Some("0"),
        expire: call.number("expire").unwrap_or(0),
        comment: call.get("comment").map(str::to_owned),
    };
    let mut told = json!({"privsep": i32::from(token.privsep)});
    echo(call, &mut told);
    user.tokens.insert(id.to_owned(), token);
    now(json!({"full-tokenid": format!("{userid}!{id}"), "value": secret, "info": told}))
}

pub(crate) fn update_token(world: &mut World, call: &Call<'_>) -> Outcome {
    let fresh = call.flag("regenerate").then(|| world.chance.uuid());
    let token = find_token(world, call)?;
    if let Some(privsep) = call.get("privsep") {
        token.privsep = privsep == "1";
    }
    if let Some(expire) = call.number("expire") {
        token.expire = expire;
    }
    if let Some(comment) = call.get("comment") {
        token.comment = Some(comment.to_owned());
    }
    let mut told = info(token);
    echo(call, &mut told);
    if let Some(fresh) = fresh {
        token.secret.clone_from(&fresh);
        told["value"] = json!(fresh);
        told["full-tokenid"] = json!(format!("{}!{}", call.str("userid"), call.str("tokenid")));
    }
    now(told)
}

pub(crate) fn delete_token(world: &mut World, call: &Call<'_>) -> Outcome {
    let (userid, id) = (call.str("userid"), call.str("tokenid"));
    find_token(world, call)?;
    find(world, userid)?.tokens.remove(id);
    let full = format!("{userid}!{id}");
    world.access.acl.retain(|e| e.ugid != full);
    now(Value::Null)
}

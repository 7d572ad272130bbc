//! Firewalls: rules, security groups, aliases, sets of addresses and options.
//!
//! The same calls exist for the cluster, nodes, virtual machines, containers and vnets; [`place::Place`] tells them
//! apart. Nothing is filtered: guests of the simulator talk as they like.

mod aliases;
mod check;
mod groups;
mod ipsets;
mod macros;
mod options;
mod place;
mod refs;
mod rules;

use serde_json::json;

use crate::calls::{Call, Done, Handler, Outcome, names, now};
use crate::state::World;

/// The handler of a method; `path` has a `/firewall` in it.
pub(super) fn handler(verb: &str, path: &str) -> Option<Handler> {
    let (_, rest) = path.split_once("/firewall")?;
    Some(match (verb, rest) {
        ("GET", "") => index,
        ("GET", "/rules" | "/groups/{group}") => rules::list,
        ("POST", "/rules" | "/groups/{group}") => rules::create,
        ("GET", "/rules/{pos}" | "/groups/{group}/{pos}") => rules::get,
        ("PUT", "/rules/{pos}" | "/groups/{group}/{pos}") => rules::update,
        ("DELETE", "/rules/{pos}" | "/groups/{group}/{pos}") => rules::delete,
        ("GET", "/groups") => groups::list,
        ("POST", "/groups") => groups::create,
        ("DELETE", "/groups/{group}") => groups::delete,
        ("GET", "/aliases") => aliases::list,
        ("POST", "/aliases") => aliases::create,
        ("GET", "/aliases/{name}") => aliases::get,
        ("PUT", "/aliases/{name}") => aliases::update,
        ("DELETE", "/aliases/{name}") => aliases::delete,
        ("GET", "/ipset") => ipsets::list,
        ("POST", "/ipset") => ipsets::create,
        ("GET", "/ipset/{name}") => ipsets::members,
        ("POST", "/ipset/{name}") => ipsets::add,
        ("DELETE", "/ipset/{name}") => ipsets::delete,
        ("GET", "/ipset/{name}/{cidr}") => ipsets::member,
        ("PUT", "/ipset/{name}/{cidr}") => ipsets::update,
        ("DELETE", "/ipset/{name}/{cidr}") => ipsets::remove,
        ("GET", "/options") => options::get,
        ("PUT", "/options") => options::update,
        ("GET", "/macros") => macros::list,
        ("GET", "/refs") => refs::list,
        ("GET", "/log") => log,
        _ => return None,
    })
}

fn index(_: &mut World, call: &Call<'_>) -> Outcome {
    let of: &[&str] = match place::Place::of(call) {
        place::Place::Cluster | place::Place::Group(_) => {
            &["aliases", "rules", "options", "groups", "ipset", "macros", "refs"]
        }
        place::Place::Node(_) => &["rules", "options", "log"],
        place::Place::Guest(_) => &["rules", "aliases", "ipset", "refs", "options"],
        place::Place::Vnet(_) => &["rules", "options"],
    };
    now(names("name", of))
}

/// Nothing was ever logged.
#[expect(clippy::unnecessary_wraps, reason = "what handlers return")]
fn log(_: &mut World, _: &Call<'_>) -> Outcome {
    Ok(Done::Total(json!([{"n": 1, "t": "unable to open file - No such file or directory"}]), 1))
}

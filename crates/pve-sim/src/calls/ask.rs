//! Calls without a wire, for unit tests: a method, its parameters, root asks.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Call, Done, Handler, Outcome, Stop, at_once, handler};
use crate::http::fail::Fail;
use crate::options::Options;
use crate::perm::Who;
use crate::schema::{Schema, verify};
use crate::state::{World, default_world};

/// A world of three nodes in which tasks and rounds take their real time.
pub(crate) fn world(pve: &str) -> World {
    let options = Options { pve: pve.to_owned(), speed: 1.0, ..Options::default() };
    default_world::build(&options, 1.0e9, "AA:BB")
}

/// What root is answered.
pub(crate) fn ask(world: &mut World, verb: &str, path: &str, form: &[(&str, &str)]) -> Result<Value, Fail> {
    ask_as(world, "root@pam", verb, path, form)
}

/// How root's call goes until its handler first lets go of the world.
pub(crate) fn begin(world: &mut World, verb: &str, path: &str, form: &[(&str, &str)]) -> Result<Outcome, Fail> {
    with(world, "root@pam", verb, path, form, |world, handler, call| handler(world, call))
}

/// What somebody is answered.
pub(crate) fn ask_as(
    world: &mut World,
    who: &str,
    verb: &str,
    path: &str,
    form: &[(&str, &str)],
) -> Result<Value, Fail> {
    match with(world, who, verb, path, form, at_once)? {
        Ok(Done::Now(value) | Done::Total(value, _) | Done::Changes(value, _)) => Ok(value),
        Ok(Done::Written(text)) => Ok(serde_json::from_str(&text).unwrap()),
        Ok(Done::After(_, result)) => *result,
        Ok(_) => panic!("not an answer at once"),
        Err(Stop::Fail(fail) | Stop::Retry(_, fail)) => Err(fail),
        Err(Stop::Again(_)) => panic!("it goes on and on"),
    }
}

fn with(
    world: &mut World,
    who: &str,
    verb: &str,
    path: &str,
    form: &[(&str, &str)],
    run: impl FnOnce(&mut World, Handler, &mut Call<'_>) -> Outcome,
) -> Result<Outcome, Fail> {
    let schema = Schema::get();
    let words: Vec<&str> = path.split('/').filter(|w| !w.is_empty()).collect();
    let found = schema.find(verb, &words).unwrap();
    let mut given: BTreeMap<String, Value> = form.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
    given.extend(found.uri.into_iter().map(|(k, v)| (k, json!(v))));
    let params = verify(schema, found.method, &given).map_err(Fail::params)?;
    let who = Who(who.to_owned());
    super::needs::check(world, &who, &found.method.needs, &params)?;
    world.writable(found.method)?;
    let mut call = Call { schema, method: found.method, who: &who, params, undefined: Vec::new(), file: None, turn: 0 };
    Ok(run(world, handler(verb, &found.method.path).unwrap(), &mut call))
}

/// How a call is refused.
pub(crate) fn refused(world: &mut World, verb: &str, path: &str, form: &[(&str, &str)]) -> String {
    ask(world, verb, path, form).unwrap_err().line()
}

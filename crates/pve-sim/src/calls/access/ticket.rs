//! Logging in: tickets and the token against forged requests.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::calls::{Call, Done, Outcome};
use crate::http::auth::{csrf_token, ticket, ticket_user};
use crate::http::fail::Fail;
use crate::perm::Who;
use crate::state::World;

/// The privileges at a glance, as the web interface wants them.
fn capabilities(world: &World, who: &Who) -> Value {
    let areas: [(&str, &str, &[&str]); 7] = [
        ("vms", "/vms", &["VM."]),
        ("storage", "/storage", &["Datastore."]),
        ("nodes", "/nodes", &["Sys."]),
        ("access", "/access", &["User.", "Group."]),
        ("sdn", "/sdn", &["SDN."]),
        ("dc", "/", &["Sys.Audit", "Sys.Modify", "SDN."]),
        ("mapping", "/mapping", &["Mapping."]),
    ];
    let mut cap = serde_json::Map::new();
    for (area, path, prefixes) in areas {
        let granted: BTreeMap<String, Value> = world
            .access
            .grants(world, who, path)
            .into_keys()
            .filter(|p| p == "Permissions.Modify" && area != "dc" || prefixes.iter().any(|x| p.starts_with(x)))
            .map(|p| (p, json!(1)))
            .collect();
        cap.insert(area.to_owned(), json!(granted));
    }
    Value::Object(cap)
}

pub(crate) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let failure = || Fail::with(401, "authentication failure");
    let mut name = call.str("username").to_owned();
    if let Some(realm) = call.get("realm").filter(|r| !name.ends_with(&format!("@{r}"))) {
        name = format!("{name}@{realm}");
    }
    let seconds = world.seconds();
    let user = world.access.users.get(&name).filter(|u| u.enable && (u.expire == 0 || u.expire > seconds));
    let Some(user) = user else { return Err(failure().into()) };
    let password = call.str("password");
    let by_ticket = password.starts_with("PVE:")
        && ticket_user(world, password).is_some_and(|owner| owner == name || owner == "root@pam");
    if !by_ticket && user.password.as_deref() != Some(password) {
        return Err(failure().into());
    }
    let who = Who(name.clone());
    if let Some(path) = call.get("path") {
        let wanted: Vec<&str> = call.str("privs").split([',', ';', ' ']).filter(|p| !p.is_empty()).collect();
        world.need(&who, path, &wanted).map_err(|_| failure())?;
        return Ok(Done::Now(json!({"username": name, "cap": capabilities(world, &who)})));
    }
    let node = world.local_node();
    world.cluster.note(seconds, &node, &name, format!("successful auth for user '{name}'"));
    let mut data = json!({
        "username": name, "ticket": ticket(world, &name), "CSRFPreventionToken": csrf_token(world, &name),
        "cap": capabilities(world, &who),
    });
    if world.nodes.len() > 1 && world.may(&who, "/", "Sys.Audit") {
        data["clustername"] = json!(world.cluster.name);
    }
    Ok(Done::Now(data))
}

//! Moving a container to another node.

use serde_json::{Value, json};

use super::the;
use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::jobs::Job;
use crate::jobs::lxc::Lxc;
use crate::jobs::lxc::migrate::Migrate;
use crate::state::World;

pub(crate) fn check(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = the(world, call)?;
    let others: Vec<&str> = world.nodes.iter().filter(|n| n.name != guest.node).map(|n| n.name.as_str()).collect();
    let mut data = json!({"running": i32::from(guest.running())});
    if world.cluster.ha.contains_key(&format!("ct:{}", guest.vmid)) {
        data["allowed-nodes"] = json!(others);
        data["not-allowed-nodes"] = json!({});
        data["dependent-ha-resources"] = Value::Array(Vec::new());
    }
    now(data)
}

pub(crate) fn migrate(world: &mut World, call: &Call<'_>) -> Outcome {
    let (node, vmid, target) = (call.node(), call.vmid(), call.str("target"));
    if target == node {
        return Err(Fail::param("target", "target is local node.").into());
    }
    if world.node(target).is_none() {
        return Err(Fail::die(format!("no such cluster node '{target}'")).into());
    }
    let guest = the(world, call)?;
    if guest.running() && !call.flag("online") && !call.flag("restart") {
        return Err(Fail::die("can't migrate running container without --online or --restart").into());
    }
    let mut map = Vec::new();
    for pair in call.str("target-storage").split([',', ';', ' ']).filter(|p| !p.is_empty()) {
        let (from, to) = pair.split_once(':').unwrap_or(("", pair));
        if to != "1" {
            world.need(call.who, &format!("/storage/{to}"), &["Datastore.AllocateSpace"])?;
            if !world.storage_on(to, target)?.content.contains("rootdir") {
                return Err(Fail::die(format!("storage '{to}' does not support container directories")).into());
            }
        }
        map.push((from.to_owned(), to.to_owned()));
    }
    let managed = world.cluster.ha.get(&format!("ct:{vmid}")).is_some_and(|r| r.state != "ignored");
    let kind = if managed { "hamigrate" } else { "vzmigrate" };
    let job = Migrate {
        vmid,
        node: node.to_owned(),
        target: target.to_owned(),
        restart: call.flag("restart"),
        map,
        managed,
        locked: false,
        begun: world.now,
    };
    let after = if managed { world.pace.of("ha") } else { 0.01 };
    let job = Job::Lxc(Box::new(Lxc::Migrate(job)));
    now(json!(world.spawn(node, kind, &vmid.to_string(), call.who, job, after)))
}

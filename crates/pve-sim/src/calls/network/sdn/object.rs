//! What zones, vnets, subnets, controllers and their kin have in common: how they are kept, shown and guarded.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::schema::split_list;
use crate::state::World;
use crate::state::firewall::digest;
use crate::state::sdn::{Config, Object, Sdn, Section};

/// The kinds of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Zone,
    Vnet,
    Subnet,
    Controller,
    Ipam,
    Dns,
    Fabric,
}

impl Kind {
    /// The parameter that has the id, and the word in messages.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Zone => "zone",
            Self::Vnet => "vnet",
            Self::Subnet => "subnet",
            Self::Controller => "controller",
            Self::Ipam => "ipam",
            Self::Dns => "dns",
            Self::Fabric => "fabric",
        }
    }

    fn of(self, config: &Config) -> &Section {
        match self {
            Self::Zone => &config.zones,
            Self::Vnet => &config.vnets,
            Self::Subnet => &config.subnets,
            Self::Controller => &config.controllers,
            // These two are not applied, they are.
            Self::Ipam | Self::Dns | Self::Fabric => &config.fabrics,
        }
    }

    /// The objects as they are written.
    pub(super) fn written(self, sdn: &Sdn) -> &Section {
        match self {
            Self::Ipam => &sdn.ipams,
            Self::Dns => &sdn.dns,
            Self::Zone | Self::Vnet | Self::Subnet | Self::Controller | Self::Fabric => self.of(&sdn.config),
        }
    }

    pub(super) fn written_mut(self, sdn: &mut Sdn) -> &mut Section {
        match self {
            Self::Ipam => &mut sdn.ipams,
            Self::Dns => &mut sdn.dns,
            Self::Zone => &mut sdn.config.zones,
            Self::Vnet => &mut sdn.config.vnets,
            Self::Subnet => &mut sdn.config.subnets,
            Self::Controller => &mut sdn.config.controllers,
            Self::Fabric => &mut sdn.config.fabrics,
        }
    }

    /// What Proxmox VE says of an id that nothing has.
    pub(super) fn missing(self, id: &str) -> Fail {
        match self {
            Self::Vnet | Self::Subnet => Fail::die(format!("sdn {} '{id}' does not exist", self.word())),
            Self::Zone | Self::Controller | Self::Ipam | Self::Dns | Self::Fabric => {
                Fail::die(format!("sdn '{id}' does not exist"))
            }
        }
    }
}

/// Properties that are numbers or switches.
const NUMBERS: [&str; 19] = [
    "mtu",
    "tag",
    "dp-id",
    "vrf-vxlan",
    "vxlan-port",
    "asn",
    "ebgp",
    "ebgp-multihop",
    "bgp-multipath-as-path-relax",
    "vlanaware",
    "isolate-ports",
    "snat",
    "ttl",
    "reversemaskv6",
    "section",
    "advertise-subnets",
    "bridge-disable-mac-learning",
    "disable-arp-nd-suppression",
    "exitnodes-local-routing",
];

fn value(key: &str, text: &str) -> Value {
    match text.parse::<i64>() {
        Ok(number) if NUMBERS.contains(&key) => json!(number),
        Ok(_) | Err(_) => json!(text),
    }
}

fn plain(object: &Object) -> Map<String, Value> {
    object.iter().map(|(key, text)| (key.clone(), value(key, text))).collect()
}

/// What will change beside what runs.
fn pending(written: Option<&Object>, running: Option<&Object>) -> Map<String, Value> {
    let mut row = running.map(plain).unwrap_or_default();
    let mut changes = Map::new();
    let state = match (written, running) {
        (Some(written), None) => {
            for (key, text) in written {
                let into = if key == "type" || key == "vnet" { &mut row } else { &mut changes };
                into.insert(key.clone(), value(key, text));
            }
            "new"
        }
        (None, _) => "deleted",
        (Some(written), Some(running)) => {
            for (key, text) in written.iter().filter(|(key, text)| running.get(*key) != Some(*text)) {
                changes.insert(key.clone(), value(key, text));
            }
            for key in running.keys().filter(|key| !written.contains_key(*key)) {
                changes.insert(key.clone(), json!("deleted"));
            }
            if changes.is_empty() { "" } else { "changed" }
        }
    };
    if !state.is_empty() {
        row.insert("state".to_owned(), json!(state));
        row.insert("pending".to_owned(), Value::Object(changes));
    }
    row
}

fn digest_of(section: &Section) -> String {
    digest(section.iter().map(|(id, object)| {
        let mut list = vec![("id", id.clone())];
        list.extend(object.iter().map(|(k, v)| (k.as_str(), v.clone())));
        list
    }))
}

/// The objects of a kind in the sight that the call asks for: as written, as running, or what is pending.
pub(super) fn rows(world: &World, call: &Call<'_>, kind: Kind) -> Vec<(String, Map<String, Value>)> {
    let written = kind.written(&world.sdn);
    let running = kind.of(&world.sdn.running);
    let applies = !matches!(kind, Kind::Ipam | Kind::Dns);
    let mut rows: Vec<(String, Map<String, Value>)> = if call.flag("pending") && applies {
        let ids: std::collections::BTreeSet<&String> = written.keys().chain(running.keys()).collect();
        ids.into_iter().map(|id| (id.clone(), pending(written.get(id), running.get(id)))).collect()
    } else {
        let section = if call.flag("running") && applies { running } else { written };
        section.iter().map(|(id, object)| (id.clone(), plain(object))).collect()
    };
    let digest = digest_of(written);
    for (id, row) in &mut rows {
        row.insert(kind.word().to_owned(), json!(id));
        row.insert("digest".to_owned(), json!(digest));
    }
    rows
}

/// One object in the sight that the call asks for.
pub(super) fn row(world: &World, call: &Call<'_>, kind: Kind, id: &str) -> Result<Map<String, Value>, Fail> {
    let found = rows(world, call, kind).into_iter().find(|(known, _)| known == id);
    found.map(|(_, row)| row).ok_or_else(|| kind.missing(id))
}

/// Lists what the caller may see, each under `path`/ID.
pub(super) fn list(world: &World, call: &Call<'_>, kind: Kind, path: &str) -> Outcome {
    let may = |id: &str| world.need_any(call.who, &format!("{path}/{id}"), &["SDN.Audit", "SDN.Allocate"]).is_ok();
    let wanted = |row: &Map<String, Value>| call.get("type").is_none_or(|t| row.get("type").is_some_and(|v| v == t));
    let rows = rows(world, call, kind).into_iter().filter(|(id, row)| may(id) && wanted(row));
    now(rows.map(|(_, row)| Value::Object(row)).collect())
}

/// The properties that the call gives.
pub(super) fn said(call: &Call<'_>, kind: Kind) -> Object {
    let others = [kind.word(), "type", "digest", "delete", "lock-token"];
    let given = call.params.iter().filter(|(key, _)| !others.contains(&key.as_str()));
    given.map(|(key, text)| (key.clone(), text.clone())).collect()
}

/// Which properties a type of object has; those with a mark must be there.
pub(super) fn fits(object: &Object, options: &str, whole: bool) -> Result<(), Fail> {
    let known: Vec<&str> = options.split(' ').collect();
    if let Some(key) = object.keys().find(|key| !known.iter().any(|o| o.trim_end_matches('!') == *key)) {
        return Err(Fail::die(format!("unexpected property '{key}'")));
    }
    let required = known.iter().filter_map(|o| o.strip_suffix('!'));
    match required.into_iter().find(|key| whole && !object.contains_key(*key)) {
        Some(key) => Err(Fail::die(format!("missing value for required option '{key}'"))),
        None => Ok(()),
    }
}

/// What an update makes of an object.
pub(super) fn changed(call: &Call<'_>, kind: Kind, object: &Object, options: &str) -> Result<Object, Fail> {
    let mut object = object.clone();
    let said = said(call, kind);
    for key in split_list(call.str("delete")) {
        let Some(option) = options.split(' ').find(|o| o.trim_end_matches('!') == key) else {
            return Err(Fail::die(format!("no such option '{key}'")));
        };
        if option.ends_with('!') {
            return Err(Fail::die(format!("unable to delete required option '{key}'")));
        }
        if said.contains_key(key) {
            return Err(Fail::die(format!("unable to set and delete property '{key}' at the same time!")));
        }
        object.remove(key);
    }
    object.extend(said);
    Ok(object)
}

/// The digest that a call names must be that of the section.
pub(super) fn unchanged(world: &World, call: &Call<'_>, kind: Kind) -> Result<(), Fail> {
    match call.get("digest").filter(|d| !d.is_empty() && *d != digest_of(kind.written(&world.sdn))) {
        None => Ok(()),
        Some(_) => Err(Fail::die("detected modified configuration - file changed by other user? Try again.")),
    }
}

/// A failure in the part that runs under the lock of the configuration: `what` stands before it.
pub(super) fn wrapped(what: &str, fail: &Fail) -> Fail {
    let mut text = format!("{what}: ");
    if !fail.errors.is_empty() {
        text.push_str("400 ");
    }
    text.push_str(&fail.message);
    for (key, complaint) in &fail.errors {
        let _ = writeln!(text, "{key}: {complaint}");
    }
    Fail::die(text)
}

/// Does something under the lock of the configuration.
pub(super) fn locked(
    world: &mut World,
    call: &Call<'_>,
    what: &str,
    code: impl FnOnce(&mut World) -> Result<Value, Fail>,
) -> Outcome {
    if world.sdn.lock.as_deref().is_some_and(|token| call.get("lock-token") != Some(token)) {
        return Err(wrapped(what, &Fail::die("invalid lock token provided!")).into());
    }
    match code(world) {
        Ok(value) => now(value),
        Err(fail) => Err(wrapped(what, &fail).into()),
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn object(of: &[(&str, &str)]) -> Object {
        of.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn what_is_pending_stands_beside_what_runs() {
        let running = object(&[("type", "vlan"), ("bridge", "vmbr7"), ("mtu", "1400")]);
        let written = object(&[("type", "vlan"), ("bridge", "vmbr8")]);
        let row = Value::Object(pending(Some(&written), Some(&running)));
        assert_eq!(row["state"], "changed");
        assert_eq!(row["pending"], json!({"bridge": "vmbr8", "mtu": "deleted"}));
        assert_eq!(row["mtu"], 1400);
        let new = Value::Object(pending(Some(&written), None));
        assert_eq!(new, json!({"type": "vlan", "state": "new", "pending": {"bridge": "vmbr8"}}));
        let gone = Value::Object(pending(None, Some(&running)));
        assert_eq!((&gone["state"], &gone["bridge"]), (&json!("deleted"), &json!("vmbr7")));
        assert!(!pending(Some(&running), Some(&running)).contains_key("state"));
    }

    #[test]
    fn an_object_has_the_properties_of_its_type() {
        let options = "bridge! mtu";
        assert_eq!(fits(&object(&[("bridge", "x")]), options, true), Ok(()));
        let odd = fits(&object(&[("peers", "x")]), options, true).unwrap_err();
        assert_eq!(odd.message, "unexpected property 'peers'\n");
        let less = fits(&object(&[("mtu", "9")]), options, true).unwrap_err();
        assert_eq!(less.message, "missing value for required option 'bridge'\n");
        assert_eq!(fits(&object(&[("mtu", "9")]), options, false), Ok(()));
    }
}

//! A world without the names of its people, machines and places.
//!
//! Numbers, sizes, storages and roles stay; what refers to each other still does.

use std::collections::BTreeMap;

use crate::perm::Subject;
use crate::state::World;
use crate::state::guest::Config;

/// New words for old ones, by a prefix and the order in which they come.
struct Words {
    prefix: &'static str,
    known: BTreeMap<String, String>,
}

impl Words {
    fn new<'w>(prefix: &'static str, old: impl IntoIterator<Item = &'w String>) -> Self {
        let mut words = Self { prefix, known: BTreeMap::new() };
        for word in old {
            words.of(word);
        }
        words
    }

    fn of(&mut self, old: &str) -> String {
        let next = format!("{}{}", self.prefix, self.known.len() + 1);
        self.known.entry(old.to_owned()).or_insert(next).clone()
    }
}

pub(super) fn hide(world: &mut World) {
    let mut nodes = Words::new("pve", world.nodes.iter().map(|n| &n.name));
    let mut pools = Words::new("pool", world.pools.keys());
    let mut groups = Words::new("group", world.access.groups.keys());
    let mut tags = Words::new("tag", []);
    let mut users = Words::new("user", []);
    "captured".clone_into(&mut world.cluster.name);
    world.cluster.options.remove("registered-tags");
    for (at, node) in world.nodes.iter_mut().enumerate() {
        node.name = nodes.of(&node.name);
        node.ip = format!("192.0.2.{}", 10 + at % 240);
    }
    for storage in world.storages.values_mut() {
        storage.nodes = storage.nodes.take().map(|old| old.iter().map(|n| nodes.of(n)).collect());
        storage.more.retain(|key, _| !["server", "portal", "monhost", "target", "domain"].contains(&key.as_str()));
    }
    let mut volumes: Vec<_> = world.volumes.iter().cloned().collect();
    world.volumes = crate::state::storage::Volumes::default();
    for volume in &mut volumes {
        volume.node = volume.node.take().map(|n| nodes.of(&n));
        world.volumes.insert(volume.clone());
    }
    let vmids: Vec<u32> = world.guests.keys().copied().collect();
    for vmid in vmids {
        let mac = world.mac();
        let uuid = world.chance.uuid();
        let Some(guest) = world.guests.get_mut(&vmid) else { continue };
        guest.node = nodes.of(&guest.node);
        quiet(&mut guest.config, vmid, &mac, &uuid, &mut tags);
        for snapshot in guest.snapshots.values_mut() {
            snapshot.description.clear();
            quiet(&mut snapshot.config, vmid, &mac, &uuid, &mut tags);
        }
    }
    world.pools = std::mem::take(&mut world.pools)
        .into_iter()
        .map(|(id, mut pool)| {
            pool.comment = None;
            (pools.of(&id), pool)
        })
        .collect();
    people(world, &mut pools, &mut nodes, &mut groups, &mut users);
    for resource in world.cluster.ha.values_mut() {
        resource.more.remove("comment");
    }
    world.publish();
}

/// A configuration without names, words and addresses.
fn quiet(config: &mut Config, vmid: u32, mac: &str, uuid: &str, tags: &mut Words) {
    for key in ["description", "nameserver", "searchdomain", "ciuser", "cicustom", "args", "hookscript"] {
        config.remove(key);
    }
    for (key, value) in config.iter_mut() {
        match key.as_str() {
            "name" | "hostname" => *value = format!("guest-{vmid}"),
            "tags" => {
                let new: Vec<String> =
                    value.split([';', ',', ' ']).filter(|t| !t.is_empty()).map(|t| tags.of(t)).collect();
                *value = new.join(";");
            }
            "smbios1" => *value = format!("uuid={uuid}"),
            _ if key.starts_with("net") => *value = hidden_nic(value, mac),
            _ if key.starts_with("ipconfig") => {
                *value = format!("ip=198.18.{}.{}/15", vmid / 250 % 250, 1 + vmid % 250);
            }
            _ => {}
        }
    }
}

/// A network card with another hardware address, and without addresses.
fn hidden_nic(text: &str, mac: &str) -> String {
    let is_mac = |word: &str| word.len() == 17 && word.split(':').count() == 6;
    let parts = text.split(',').filter(|p| !["ip=", "ip6=", "gw=", "gw6="].iter().any(|k| p.starts_with(k)));
    let parts = parts.map(|part| match part.split_once('=') {
        Some((key, value)) if is_mac(value) => format!("{key}={mac}"),
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join(",")
}

fn people(world: &mut World, pools: &mut Words, nodes: &mut Words, groups: &mut Words, users: &mut Words) {
    let mut user = |id: &str| -> String {
        let (who, token) = id.split_once('!').map_or((id, None), |(who, token)| (who, Some(token)));
        let new = match who.rsplit_once('@') {
            _ if who == "root@pam" => who.to_owned(),
            Some((name, realm)) => format!("{}@{realm}", users.of(name)),
            None => users.of(who),
        };
        token.map_or(new.clone(), |token| format!("{new}!{token}"))
    };
    world.access.users = std::mem::take(&mut world.access.users)
        .into_iter()
        .map(|(id, mut of)| {
            of.groups = of.groups.iter().map(|g| groups.of(g)).collect();
            of.more.clear();
            (user(&id), of)
        })
        .collect();
    let old = std::mem::take(&mut world.access.groups);
    world.access.groups = old.into_keys().map(|id| (groups.of(&id), String::new())).collect();
    for entry in &mut world.access.acl {
        entry.ugid = match entry.subject {
            Subject::User | Subject::Token => user(&entry.ugid),
            Subject::Group => groups.of(&entry.ugid),
        };
        for (place, words) in [("/pool/", &mut *pools), ("/nodes/", &mut *nodes)] {
            if let Some(name) = entry.path.strip_prefix(place) {
                entry.path = format!("{place}{}", words.of(name));
            }
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_network_card_keeps_its_bridge_and_nothing_else_of_its_own() {
        let text = "name=eth0,hwaddr=BC:24:11:01:02:03,bridge=vmbr0,ip=10.1.2.3/24,gw=10.1.2.1,type=veth";
        assert_eq!(hidden_nic(text, "02:00:00:00:00:01"), "name=eth0,hwaddr=02:00:00:00:00:01,bridge=vmbr0,type=veth");
        assert_eq!(
            hidden_nic("virtio=BC:24:11:01:02:03,bridge=a", "02:00:00:00:00:01"),
            "virtio=02:00:00:00:00:01,bridge=a"
        );
    }

    #[test]
    fn the_same_word_is_always_replaced_by_the_same() {
        let mut words = Words::new("w", [&"b".to_owned()]);
        assert_eq!((words.of("a"), words.of("b"), words.of("a")), ("w2".to_owned(), "w1".to_owned(), "w2".to_owned()));
    }
}

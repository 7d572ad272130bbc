//! Whether a VM can do something: snapshots, clones, copies.

use serde_json::{Value, json};

use crate::calls::{Call, Outcome, now};
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::drive::{file_of, is_cdrom, is_drive_key};
use crate::state::guest::Config;
use crate::state::storage;

/// The drives whose volumes count.
fn disks(config: &Config) -> impl Iterator<Item = (&String, &String)> {
    config.iter().filter(|(k, v)| is_drive_key(k) && !is_cdrom(v))
}

/// Whether every disk of a configuration has a feature.
pub(crate) fn all_have(world: &World, node: &str, config: &Config, feature: &str, snapshot: bool) -> bool {
    disks(config).all(|(_, text)| has(world, node, file_of(text), feature, snapshot))
}

/// Whether a volume has a feature.
pub(crate) fn has(world: &World, node: &str, volid: &str, feature: &str, snapshot: bool) -> bool {
    let Some(volume) = world.volumes.find(volid, node) else { return false };
    world.storages.get(&volume.storage).is_some_and(|s| storage::feature(s, feature, &volume.name, snapshot))
}

pub(crate) fn get(world: &mut World, call: &Call<'_>) -> Outcome {
    let guest = world.guest(call.node(), call.vmid())?;
    let config = match call.get("snapname") {
        Some(name) => {
            let kept = guest.snapshots.get(name);
            &kept.ok_or_else(|| Fail::die(format!("snapshot '{name}' does not exist")))?.config
        }
        None => &guest.config,
    };
    let has = all_have(world, &guest.node, config, call.str("feature"), call.get("snapname").is_some());
    now(json!({"hasFeature": i32::from(has), "nodes": nodes(world, &guest.node, config)}))
}

/// The nodes that see all its disks; its own where one is local.
fn nodes(world: &World, node: &str, config: &Config) -> Value {
    let stores: Vec<&str> =
        disks(config).filter_map(|(_, text)| file_of(text).split_once(':').map(|(store, _)| store)).collect();
    let is_shared = |id: &&str| world.storages.get(*id).is_some_and(|s| s.shared);
    if !stores.iter().all(is_shared) {
        return json!([node]);
    }
    let sees = |name: &str| stores.iter().all(|id| world.storages.get(*id).is_some_and(|s| s.on(name)));
    world.nodes.iter().filter(|n| sees(&n.name)).map(|n| json!(n.name)).collect()
}

//! Creating a VM.

use serde::{Deserialize, Serialize};

use super::{Job, Next};
use crate::calls::qemu::{drives, values};
use crate::schema::Schema;
use crate::state::World;
use crate::state::drive::{is_cdrom, is_drive_key, is_net_key};
use crate::state::guest::Config;
use crate::state::storage::Volume;

/// A VM in the making.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Create {
    pub(crate) vmid: u32,
    pub(crate) node: String,
    pub(crate) config: Config,
    pub(crate) pool: Option<String>,
    pub(crate) start: bool,
    /// Tags are checked on the VM itself, which the caller's pool does not give yet.
    pub(crate) tags_allowed: bool,
}

pub(crate) fn step(world: &mut World, upid: &str, create: &Create, doom: Option<String>) -> Next {
    let vmid = create.vmid;
    let mut made = Vec::new();
    let result = match build(world, upid, create, &mut made) {
        Ok(()) => doom.map_or(Ok(()), Err),
        Err(text) => Err(text),
    };
    if let Err(text) = result {
        for volume in made {
            world.drop_volume(&volume.volid(), &create.node);
        }
        world.forget(vmid);
        return Next::Failed(format!("unable to create VM {vmid} - {text}"));
    }
    if let Some(pool) = create.pool.as_ref().and_then(|p| world.pools.get_mut(p)) {
        pool.vms.insert(vmid);
    }
    if create.start {
        world.log(upid, "Execute autostart");
        return Next::Again(Box::new(Job::Start { vmid }), world.pace.of("start"));
    }
    Next::Done
}

fn build(world: &mut World, upid: &str, create: &Create, made: &mut Vec<Volume>) -> Result<(), String> {
    let schema = Schema::get();
    let (vmid, node) = (create.vmid, create.node.as_str());
    let mut asked = create.config.clone();
    let default_storage = asked.remove("storage");
    let mut config = Config::new();
    for (key, value) in &asked {
        let stored = if is_drive_key(key) {
            let drive = drives::parse(schema, key, value);
            let real = drives::realise(world, vmid, node, key, drive, default_storage.as_deref())
                .map_err(|fail| fail.line())?;
            for line in real.log {
                world.log(upid, line);
            }
            made.extend(real.made);
            real.text
        } else if is_net_key(key) {
            values::net(world, schema, value)
        } else if key == "tags" {
            if !create.tags_allowed {
                return Err(format!("403 Permission check failed (/vms/{vmid}, VM.Config.Options)"));
            }
            values::tags(world, value)
        } else if key == "description" {
            value.trim_end().to_owned()
        } else {
            value.clone()
        };
        config.insert(key.clone(), stored);
    }
    config.entry("boot".to_owned()).or_insert_with_key(|_| default_boot(&asked));
    let machine = world.chance.uuid();
    config.entry("smbios1".to_owned()).or_insert_with(|| format!("uuid={machine}"));
    let generation = world.chance.uuid();
    config.entry("vmgenid".to_owned()).or_insert(generation);
    let ctime = world.seconds();
    config.insert("meta".to_owned(), format!("creation-qemu=10.0.13,ctime={ctime}"));
    if let Some(guest) = world.guests.get_mut(&vmid) {
        guest.config = config;
    }
    Ok(())
}

/// First disk, first CD drive, first network card.
fn default_boot(config: &Config) -> String {
    let disk = ["ide", "scsi", "virtio", "sata"]
        .iter()
        .filter_map(|bus| config.iter().find(|(k, v)| is_drive_key(k) && k.starts_with(bus) && !is_cdrom(v)))
        .map(|(k, _)| k.as_str())
        .next();
    let cdrom = config.iter().find(|(k, v)| is_drive_key(k) && is_cdrom(v)).map(|(k, _)| k.as_str());
    let net = config.keys().find(|k| is_net_key(k)).map(String::as_str);
    let order: Vec<&str> = [disk, cdrom, net].into_iter().flatten().collect();
    if order.is_empty() { " ".to_owned() } else { format!("order={}", order.join(";")) }
}

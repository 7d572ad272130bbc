//! The VMs of a world that is to be crowded.
//!
//! Promises numbers from 100 on without gaps but for the template's, nodes and storages in turn, four of five running,
//! and the same VMs for the same seed.

use super::default_world::TEMPLATE;
use super::guest::{Config, Guest, Run};
use super::node::Node;
use super::storage::Volume;
use super::world::World;

/// How the VMs differ: cores, MiB of memory, GiB of disk.
const SIZES: [(u32, u32, u64); 4] = [(1, 1024, 8), (2, 2048, 16), (4, 8192, 32), (8, 16384, 64)];

/// Puts that many VMs into the world.
pub(super) fn populate(world: &mut World, vms: u32) {
    let stores: Vec<(String, bool, String)> = world
        .storages
        .values()
        .filter(|s| s.content.contains("images") && !s.disabled)
        .map(|s| (s.id.clone(), s.shared, s.kind.clone()))
        .collect();
    let nodes: Vec<String> = world.nodes.iter().map(|n| n.name.clone()).collect();
    if nodes.is_empty() || stores.is_empty() {
        return;
    }
    let numbers = (100..).filter(|vmid| *vmid != TEMPLATE).take(vms as usize);
    for (at, vmid) in numbers.enumerate() {
        let (store, shared, kind) = &stores[at % stores.len()];
        let node = &nodes[at % nodes.len()];
        let (cores, memory, disk) = SIZES[at % SIZES.len()];
        let files = ["dir", "nfs", "cifs", "btrfs"].contains(&kind.as_str());
        let (name, format) = if files {
            (format!("{vmid}/vm-{vmid}-disk-0.qcow2"), "qcow2")
        } else {
            (format!("vm-{vmid}-disk-0"), "raw")
        };
        let config = config(world, vmid, cores, memory, &format!("{store}:{name},size={disk}G"));
        world.volumes.insert(Volume {
            storage: store.clone(),
            node: (!shared).then(|| node.clone()),
            name,
            content: "images".to_owned(),
            format: format.to_owned(),
            size: disk << 30,
            ctime: world.seconds(),
            vmid: Some(vmid),
            ..Volume::default()
        });
        let mut guest = Guest::new(vmid, node, config);
        if at % 5 != 4 {
            let pid = world.node_mut(node).map_or(1, Node::pid);
            world.runs.insert(vmid, 1);
            guest.runs = 1;
            guest.run = Some(Run { id: format!("{vmid}-1"), since: world.now, pid, ..Run::default() });
        }
        world.guests.insert(vmid, guest);
    }
}

fn config(world: &mut World, vmid: u32, cores: u32, memory: u32, drive: &str) -> Config {
    let (mac, uuid, generation) = (world.mac(), world.chance.uuid(), world.chance.uuid());
    let ctime = world.seconds();
    let pairs = [
        ("name", format!("vm-{vmid}")),
        ("memory", memory.to_string()),
        ("cores", cores.to_string()),
        ("ostype", "l26".to_owned()),
        ("scsihw", "virtio-scsi-pci".to_owned()),
        ("scsi0", drive.to_owned()),
        ("net0", format!("virtio={mac},bridge=vmbr0")),
        ("agent", "1".to_owned()),
        ("boot", "order=scsi0".to_owned()),
        ("tags", if vmid.is_multiple_of(2) { "prod" } else { "test" }.to_owned()),
        ("smbios1", format!("uuid={uuid}")),
        ("vmgenid", generation),
        ("meta", format!("creation-qemu=10.0.13,ctime={ctime}")),
    ];
    pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
}

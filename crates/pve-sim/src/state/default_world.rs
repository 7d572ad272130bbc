//! The world that a simulator starts with.

use std::collections::{BTreeMap, BTreeSet};

use super::chance::Chance;
use super::cluster::Cluster;
use super::contents::Contents;
use super::guest::{Config, Guest};
use super::node::Node;
use super::orders::Orders;
use super::pool::Pool;
use super::storage::{Storage, Volumes, feature, stock};
use super::task::Pace;
use super::trouble::Trouble;
use super::world::World;
use crate::options::Options;
use crate::perm::{Access, Entry, Role, Subject, Token, User};

/// The privileges that managing Kubernetes machines needs, and none more.
const CAPI: &[&str] = &[
    "VM.Allocate",
    "VM.Clone",
    "VM.Audit",
    "VM.PowerMgmt",
    "VM.Config.Disk",
    "VM.Config.CPU",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.Config.Cloudinit",
    "VM.Config.HWType",
    "VM.Config.CDROM",
    "VM.GuestAgent.Audit",
    "VM.GuestAgent.Unrestricted",
    "Datastore.AllocateSpace",
    "Datastore.AllocateTemplate",
    "Datastore.Allocate",
    "Datastore.Audit",
    "Pool.Audit",
    "SDN.Use",
    "Sys.Audit",
];

/// The template that machines are cloned from.
pub(crate) const TEMPLATE: u32 = 9000;

fn words(of: &[&str]) -> BTreeSet<String> {
    of.iter().map(|w| (*w).to_owned()).collect()
}

/// Makes the world; its root password and the secrets of its tokens are in it.
pub(crate) fn build(options: &Options, now: f64, fingerprint: &str) -> World {
    let mut chance = Chance::new(options.seed);
    let secret = chance.hex(32);
    let mut world = World {
        version: version(&options.pve),
        chance,
        now,
        pace: Pace::new(&options.task_seconds, options.speed),
        tick: options.tick / options.speed.max(0.001),
        next_tick: now,
        agent_after: options.agent_after,
        guests_lack: options.guests_lack.clone(),
        boots: super::guest::System::default(),
        cluster: Cluster { name: cluster_name(options.cluster), secret, ..Cluster::default() },
        nodes: (1..=options.nodes.max(1)).map(|n| node(n, options.cluster, now, fingerprint)).collect(),
        storages: stock::storages(&options.storages),
        volumes: Volumes::default(),
        guests: BTreeMap::new(),
        pools: BTreeMap::new(),
        access: Access::new(),
        tasks: BTreeMap::new(),
        active: BTreeSet::new(),
        task_count: 0,
        published: BTreeMap::new(),
        queue: BTreeMap::new(),
        runs: BTreeMap::new(),
        firewalls: BTreeMap::new(),
        sdn: super::sdn::Sdn::default(),
        backup: super::backup::Backup::default(),
        fixtures: super::fixtures::Fixtures::default(),
        contents: Contents::default(),
        hook: crate::hook::Hook::default(),
        orders: Orders::default(),
        trouble: Trouble::default(),
        workers: options.workers,
        changes: 0,
    };
    world.keep_in(Contents::new(options.backing.clone()));
    template(&mut world);
    access(&mut world);
    world.fit_roles();
    super::population::populate(&mut world, options.vms);
    world.advance(now);
    world
}

/// `9.2` is what a client asks for, `9.2.11` what a server says.
fn version(asked: &str) -> String {
    match asked.split('.').count() {
        2 if asked == "9.2" => "9.2.11".to_owned(),
        2 if asked == "8.4" => "8.4.16".to_owned(),
        2 => format!("{asked}.1"),
        _ => asked.to_owned(),
    }
}

/// Clusters beside the first have names of their own.
fn cluster_name(cluster: u32) -> String {
    if cluster <= 1 { "simulated".to_owned() } else { format!("simulated-{cluster}") }
}

fn node(id: u32, cluster: u32, now: f64, fingerprint: &str) -> Node {
    let name = if cluster <= 1 { format!("pve{id}") } else { format!("pve{id}-{cluster}") };
    Node {
        name,
        id,
        ip: address(id, cluster),
        online: true,
        cores: 16,
        memory: 64 << 30,
        booted: now - 5000.0 * f64::from(id),
        next_pid: 0x1200,
        fingerprint: fingerprint.to_owned(),
        bridges: vec!["vmbr0".to_owned()],
        network: None,
        ..Node::default()
    }
}

/// From the addresses for documentation as long as they last.
fn address(id: u32, cluster: u32) -> String {
    if id <= 240 && cluster <= 1 {
        return format!("192.0.2.{}", 10 + id);
    }
    format!("198.18.{}.{}", (cluster % 16) * 16 + id / 250, 1 + id % 250)
}

/// Where the template is: on a storage that all nodes see, if there is one that can hold it.
fn home(world: &World) -> String {
    let holds = |s: &&Storage| s.content.contains("images") && feature(s, "clone", &stem(s), false);
    let shared = world.storages.values().filter(holds).find(|s| s.shared);
    let any = || world.storages.values().filter(holds).find(|s| s.id != "local");
    shared.or_else(any).map_or_else(|| "local".to_owned(), |s| s.id.clone())
}

/// The template's disk on a storage.
fn stem(storage: &Storage) -> String {
    let disk = format!("base-{TEMPLATE}-disk-0");
    if storage.kind().files() { format!("{TEMPLATE}/{disk}.{}", disk_format(storage)) } else { disk }
}

fn disk_format(storage: &Storage) -> &'static str {
    if storage.kind().formats.contains(&"qcow2") { "qcow2" } else { "raw" }
}

fn template(world: &mut World) {
    let node = world.nodes.first().map_or_else(String::new, |n| n.name.clone());
    let home = home(world);
    let place = world.storages.get(&home).map(|s| (stem(s), disk_format(s)));
    let (name, format) = place.unwrap_or_default();
    let volume = world.image(&home, &node, &name, format, 8 << 30, TEMPLATE);
    world.volumes.insert(volume);
    let mac = world.mac();
    let (uuid, generation) = (world.chance.uuid(), world.chance.uuid());
    let ctime = world.seconds();
    let config: Config = [
        ("name", "ubuntu-2404-kube-v1.36.3".to_owned()),
        ("template", "1".to_owned()),
        ("memory", "2048".to_owned()),
        ("cores", "2".to_owned()),
        ("ostype", "l26".to_owned()),
        ("scsihw", "virtio-scsi-pci".to_owned()),
        ("scsi0", format!("{home}:{name},size=8G")),
        ("net0", format!("virtio={mac},bridge=vmbr0")),
        ("agent", "1".to_owned()),
        ("serial0", "socket".to_owned()),
        ("boot", "order=scsi0".to_owned()),
        ("tags", "kubernetes;ubuntu".to_owned()),
        ("smbios1", format!("uuid={uuid}")),
        ("vmgenid", generation),
        ("meta", format!("creation-qemu=10.0.13,ctime={ctime}")),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v))
    .collect();
    world.guests.insert(TEMPLATE, Guest::new(TEMPLATE, &node, config));
    let pool = Pool { comment: None, vms: BTreeSet::from([TEMPLATE]), storages: BTreeSet::from([home]) };
    world.pools.insert("kubernetes".to_owned(), pool);
}

fn access(world: &mut World) {
    let password = world.chance.hex(16);
    let root = User { enable: true, password: Some(password), ..User::default() };
    world.access.users.insert("root@pam".to_owned(), root);
    let token = Token { secret: world.chance.uuid(), privsep: true, expire: 0, comment: None };
    let password = world.chance.hex(16);
    let capi = User {
        enable: true,
        password: Some(password),
        tokens: BTreeMap::from([("oxmox".to_owned(), token)]),
        ..User::default()
    };
    world.access.users.insert("capi@pve".to_owned(), capi);
    world.access.roles.insert("OxmoxCapi".to_owned(), Role { privs: words(CAPI), special: false });
    let storages = world.storages.keys().filter(|id| *id != "local").map(|id| format!("/storage/{id}"));
    let paths: Vec<String> = ["/vms", "/pool/kubernetes", "/sdn/zones/localnetwork", "/nodes"]
        .into_iter()
        .map(str::to_owned)
        .chain(storages)
        .collect();
    for path in paths {
        for (subject, ugid) in [(Subject::User, "capi@pve"), (Subject::Token, "capi@pve!oxmox")] {
            world.access.acl.push(Entry {
                path: path.clone(),
                subject,
                ugid: ugid.to_owned(),
                roleid: "OxmoxCapi".to_owned(),
                propagate: true,
            });
        }
    }
}

//! A whole, healthy world as evidence, and a sick one; tests change what they are about.

use std::collections::{BTreeMap, BTreeSet};

use api::{
    ApiEndpoint, Initialization, IpAddresses, IpConfig, NetworkDevice, NetworkSpec, ProxmoxClusterSpec,
    ProxmoxMachineSpec, ProxmoxMachineStatus,
};
use jiff::Timestamp;
use pve_types::{NodeName, Tags, Vmid};

use crate::evidence::*;

pub(crate) const UUIDS: [&str; 2] = ["46ff6553-ec42-4180-b651-d71617da3e0b", "f250cfd7-0000-4180-b651-d71617da3e0b"];

pub(crate) fn vmid(number: u32) -> Vmid {
    number.try_into().unwrap()
}

pub(crate) fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

pub(crate) fn unread<T>() -> Read<T> {
    Read::unread(Cause::NoAnswer, "the line went dead")
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Three nodes, a shared storage, a template, a control plane of one and a worker, all well.
pub(crate) fn healthy() -> Evidence {
    Evidence {
        started: time("2026-11-25T21:00:00Z"),
        finished: time("2026-11-25T21:00:01.4Z"),
        oxmox: "0.1.0".into(),
        namespace: "default".into(),
        cluster: Some("demo".into()),
        proxmox: proxmox(),
        management: management(),
        workload: workload(),
        monitoring: monitoring(),
        story: Read::Known(story()),
    }
}

fn certificate(clock: Option<i64>) -> Certificate {
    Certificate {
        fingerprint: "AA:BB:CC".into(),
        subject: Some("CN=pve1".into()),
        issuer: Some("CN=kubernetes".into()),
        not_after: Some(time("2028-01-01T00:00:00Z")),
        clock_ahead_ms: clock,
    }
}

fn story() -> StorySeen {
    let scene = |name: &str| {
        let last = format!("all of {name} was seen");
        let (title, outcome) = (name.to_owned(), SceneOutcome::Done);
        (name.to_owned(), SceneSeen { title, outcome, seconds: 20.0, limit_seconds: 60.0, last })
    };
    let names = [
        "quickstart",
        "pods",
        "scale",
        "repair",
        "volumes",
        "monitoring",
        "node-lost-ha",
        "node-lost",
        "delete",
        "nothing-left",
    ];
    StorySeen { scenes: names.map(scene).into() }
}

const NODES: [&str; 3] = ["pve1", "pve2", "pve3"];

fn proxmox() -> Proxmox {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
    let storage = |node_name: &str, name: &str, shared| Storage {
        storage: name.parse().unwrap(),
        node: node(node_name),
        shared,
        content: words(&["images", "iso"]),
        available: true,
    };
    let own = |name: &str, shared, free: u64| NodeStorage {
        storage: name.parse().unwrap(),
        shared,
        content: words(&["images", "iso"]),
        active: true,
        enabled: true,
        total: Some(100 << 30),
        free: Some(free << 30),
    };
    let bridge = Bridge { name: "vmbr0".into(), active: true, vlan_aware: true };
    Proxmox {
        trust: TrustSeen::Fingerprint,
        doors: vec![Door { url: "https://pve1:8006".into(), certificate: Read::Known(certificate(Some(200))) }],
        version: Read::Known(VersionSeen { version: "9.1.4".into(), took_ms: 12 }),
        permissions: Read::Known(permissions()),
        nodes: Read::Known(NODES.map(|name| ProxmoxNode { name: node(name), status: "online".into() }).into()),
        majority: Read::Known(true),
        guests: Read::Known(BTreeMap::from([
            (vmid(101), guest("pve1", "cp-0", "running")),
            (vmid(102), guest("pve2", "w-0", "running")),
            (vmid(300), guest("pve3", "mail", "running")),
            (vmid(HOLDER), guest("pve1", "csi-holder-demo-9100", "stopped")),
            (
                vmid(9000),
                Guest { template: true, tags: Tags::parse("debian;v1"), ..guest("pve1", "debian-12", "stopped") },
            ),
        ])),
        storages: Read::Known(
            NODES.iter().flat_map(|name| [storage(name, "shared", true), storage(name, "local", false)]).collect(),
        ),
        node_storages: NODES
            .map(|name| (node(name), Read::Known(vec![own("shared", true, 60), own("local", false, 80)])))
            .into(),
        bridges: NODES.map(|name| (node(name), Read::Known(vec![bridge.clone()]))).into(),
        settings: BTreeMap::from([
            (vmid(101), Read::Known(settings("cp-0", 0))),
            (vmid(102), Read::Known(worker_settings())),
            (vmid(HOLDER), Read::Known(holder_settings())),
            (vmid(300), Read::Known(GuestSettings { mark: None, uuid: None, ..settings("mail", 0) })),
            (
                vmid(9000),
                Read::Known(GuestSettings { mark: None, uuid: None, template: true, ..settings("debian-12", 0) }),
            ),
        ]),
        states: BTreeMap::from([
            (vmid(101), Read::Known("running".into())),
            (vmid(102), Read::Known("running".into())),
        ]),
        isos: BTreeMap::from([("shared".into(), Read::Known(Vec::new()))]),
        agents: BTreeMap::from([(vmid(101), Read::Known(())), (vmid(102), Read::Known(()))]),
        agent_addresses: BTreeMap::new(),
        drives: BTreeMap::from([(vmid(102), Read::Known(drives()))]),
        listings: vec![listing("pve1", "shared", true, vec![stored(DISK)]), listing("pve1", "local", false, vec![])],
    }
}

/// The holder of the cluster's volumes.
pub(crate) const HOLDER: u32 = 9100;
/// The PersistentVolume.
pub(crate) const VOLUME: &str = "pvc-0b7e1c52-1d5e-4f4e-8a55-0f0e5c7f3c11";
/// Its disk.
pub(crate) const DISK: &str = "shared:9100/vm-9100-pvc-0b7e1c52-1d5e-4f4e-8a55-0f0e5c7f3c11.raw";
const HANDLE: &str = "dc1//shared/9100/vm-9100-pvc-0b7e1c52-1d5e-4f4e-8a55-0f0e5c7f3c11.raw";

fn worker_settings() -> GuestSettings {
    let mut settings = settings("w-0", 1);
    settings.disks.insert("scsi1".into(), Disk { volume: Some(DISK.parse().unwrap()), cdrom: false });
    settings
}

fn holder_settings() -> GuestSettings {
    let unused = Disk { volume: Some(DISK.parse().unwrap()), cdrom: false };
    GuestSettings {
        mark: None,
        holder: Some("demo".into()),
        uuid: None,
        agent: false,
        disks: BTreeMap::from([("unused0".into(), unused)]),
        boot: None,
        bridges: BTreeMap::new(),
        ..settings("csi-holder-demo-9100", 0)
    }
}

fn drives() -> BTreeMap<String, Drive> {
    let drive = |volume: &str| Drive { now: Some(volume.parse().unwrap()), coming: None, leaving: false };
    BTreeMap::from([("scsi0".into(), drive("shared:base/w-0-disk-0")), ("scsi1".into(), drive(DISK))])
}

/// What a storage has of the holder.
pub(crate) fn listing(on: &str, storage: &str, shared: bool, volumes: Vec<StoredVolume>) -> Listing {
    let volumes = Read::Known(volumes);
    Listing { node: node(on), storage: storage.parse().unwrap(), shared, owner: vmid(HOLDER), volumes }
}

/// A volume of 1 GiB that is an hour old.
pub(crate) fn stored(volume: &str) -> StoredVolume {
    let made = time("2026-11-25T20:00:00Z").as_second();
    StoredVolume { volume: volume.parse().unwrap(), size: Some(1 << 30), made: Some(made) }
}

fn permissions() -> BTreeMap<String, BTreeMap<String, bool>> {
    let held = |words: &[&str]| words.iter().map(|word| ((*word).to_owned(), true)).collect::<BTreeMap<_, _>>();
    let vms = [
        "VM.Allocate",
        "VM.Audit",
        "VM.Clone",
        "VM.PowerMgmt",
        "VM.Config.CPU",
        "VM.Config.Memory",
        "VM.Config.Disk",
        "VM.Config.Network",
        "VM.Config.Options",
        "VM.Config.CDROM",
        "VM.GuestAgent.Unrestricted",
    ];
    BTreeMap::from([
        ("/vms".into(), held(&vms)),
        (
            "/storage".into(),
            held(&["Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.AllocateTemplate", "Datastore.Audit"]),
        ),
        ("/sdn/zones/localnetwork".into(), held(&["SDN.Use"])),
    ])
}

fn guest(on: &str, name: &str, status: &str) -> Guest {
    Guest {
        node: node(on),
        name: Some(name.into()),
        status: Some(status.into()),
        template: false,
        pool: None,
        tags: Tags::new(),
        lock: None,
    }
}

fn settings(name: &str, which: usize) -> GuestSettings {
    let disk = Disk { volume: Some(format!("shared:base/{name}-disk-0").parse().unwrap()), cdrom: false };
    let drive = Disk { volume: None, cdrom: true };
    GuestSettings {
        name: Some(name.into()),
        mark: Some(mark(name, which)),
        holder: None,
        copies: BTreeMap::new(),
        uuid: UUIDS[which].parse().ok(),
        template: false,
        agent: true,
        lock: None,
        disks: BTreeMap::from([("scsi0".into(), disk), ("ide0".into(), drive)]),
        boot: Some("scsi0".into()),
        bridges: BTreeMap::from([("net0".into(), "vmbr0".into())]),
    }
}

pub(crate) fn mark(name: &str, which: usize) -> String {
    format!("oxmox: machine=default/{name} uid=uid-{which} seed=shared:iso/user-data-10{}.iso", which + 1)
}

fn management() -> Management {
    let spec = ProxmoxClusterSpec {
        control_plane_endpoint: Some(ApiEndpoint { host: "10.10.10.10".into(), port: 6443 }),
        allowed_nodes: NODES.map(Into::into).into(),
        ipv4_config: Some(IpConfig {
            addresses: vec!["10.10.10.20-10.10.10.40".into()],
            prefix: 24,
            gateway: "10.10.10.1".into(),
            metric: None,
        }),
        ..ProxmoxClusterSpec::default()
    };
    Management {
        version: Read::Known("v1.36.3".into()),
        cluster: Read::Known(ClusterSeen { name: "demo".into(), spec }),
        machines: Read::Known(vec![machine("cp-0", 0), machine("w-0", 1)]),
        all_machines: Read::Known(vec!["uid-0".into(), "uid-1".into()]),
        templates: Read::Known(vec![MachineTemplateSeen { name: "workers".into(), spec: machine_spec() }]),
        replicas: Read::Known(BTreeMap::from([
            ("KubeadmControlPlane/cp".into(), 1),
            ("MachineDeployment/w".into(), 1),
        ])),
    }
}

pub(crate) fn machine_spec() -> ProxmoxMachineSpec {
    ProxmoxMachineSpec {
        source_node: Some("pve1".into()),
        template_id: Some(9000),
        full: Some(true),
        network: NetworkSpec {
            network_devices: vec![NetworkDevice {
                name: "net0".into(),
                bridge: Some("vmbr0".into()),
                ..NetworkDevice::default()
            }],
            ..NetworkSpec::default()
        },
        ..ProxmoxMachineSpec::default()
    }
}

pub(crate) fn machine(name: &str, which: usize) -> MachineSeen {
    let address =
        IpAddresses { net: Some("net0".into()), ipv4: vec![format!("10.10.10.{}", 20 + which)], ipv6: Vec::new() };
    MachineSeen {
        namespace: "default".into(),
        name: name.into(),
        uid: format!("uid-{which}"),
        created: Some(time("2026-11-25T20:00:00Z")),
        deleting: false,
        spec: ProxmoxMachineSpec {
            provider_id: Some(format!("proxmox://{}", UUIDS[which])),
            virtual_machine_id: Some(101 + i64::try_from(which).unwrap()),
            ..machine_spec()
        },
        status: ProxmoxMachineStatus {
            initialization: Some(Initialization { provisioned: Some(true) }),
            ip_addresses: BTreeMap::from([("net0".into(), vec![address])]),
            ..ProxmoxMachineStatus::default()
        },
    }
}

fn workload() -> Workload {
    let node = |name: &str, which: usize| NodeSeen {
        name: name.into(),
        provider_id: Some(format!("proxmox://{}", UUIDS[which])),
        ready: Some(true),
        message: "kubelet is posting ready status".into(),
        kubelet: "v1.36.3".into(),
    };
    Workload {
        version: Read::Known("v1.36.3".into()),
        nodes: Read::Known(vec![node("cp-0", 0), node("w-0", 1)]),
        endpoint: Read::Known(EndpointSeen { address: "10.10.10.10:6443".into(), certificate: certificate(None) }),
        policies: Read::Known(PoliciesSeen {
            engines: vec!["kube-system/cilium".into()],
            server_node: "w-0".into(),
            client_node: "w-1".into(),
            stages: PolicyStage::ALL.map(|stage| (stage, Read::Known(connections(stage)))).into(),
            cilium: Read::Known(Some(CiliumSeen {
                outside: Some("10.10.10.1:8099".into()),
                stages: CiliumStage::ALL.map(|stage| (stage, Read::Known(of_cilium(stage)))).into(),
            })),
            left: Read::Known(vec![]),
        }),
        workers: Read::Known(workers()),
        volumes: Read::Known(volumes()),
    }
}

fn volumes() -> VolumesSeen {
    let node = |name: &str, which: usize, on: &str| NodePlugin {
        name: name.into(),
        created: Some(time("2026-11-25T20:02:00Z")),
        ready: true,
        control_plane: name.starts_with("cp"),
        provider_id: Some(format!("proxmox://{}", UUIDS[which])),
        region: Some("dc1".into()),
        zone: Some(on.into()),
        plugin: Some(Plugin {
            node_id: format!("{name}/{}", 101 + which),
            topology_keys: ["topology.kubernetes.io/region", "topology.kubernetes.io/zone"].map(Into::into).into(),
        }),
    };
    let class = ClassSeen {
        name: "fast".into(),
        default: true,
        waits: true,
        parameters: [("storage", "shared"), ("ssd", "true")].map(|(key, value)| (key.into(), value.into())).into(),
        allowed: Vec::new(),
    };
    VolumesSeen {
        driver: Read::Known(Some(DriverSeen { attach_required: true })),
        nodes: Read::Known(vec![node("cp-0", 0, "pve1"), node("w-0", 1, "pve2")]),
        classes: Read::Known(vec![class]),
        claims: Read::Known(vec![claim("shop/data-0", "Bound")]),
        volumes: Read::Known(vec![persistent(VOLUME, HANDLE)]),
        attachments: Read::Known(vec![attachment(VOLUME, "w-0")]),
        snapshots: Read::Known(Vec::new()),
        probe: Read::Known(VolumeProbe {
            class: "fast".into(),
            writer: Some("w-0".into()),
            reader: Some("w-1".into()),
            handle: Some("dc1//shared/9100/vm-9100-pvc-1.raw".into()),
            written: Some("5feceb66".into()),
            read: Some("5feceb66".into()),
            trouble: None,
            left: Read::Known(Vec::new()),
        }),
    }
}

/// A claim of an hour ago.
pub(crate) fn claim(name: &str, phase: &str) -> ClaimSeen {
    ClaimSeen {
        name: name.into(),
        uid: "0b7e1c52-1d5e-4f4e-8a55-0f0e5c7f3c11".into(),
        class: "fast".into(),
        phase: phase.into(),
        created: Some(time("2026-11-25T20:00:00Z")),
        node_chosen: false,
        pending: None,
    }
}

/// A PersistentVolume that is bound and goes with its claim.
pub(crate) fn persistent(name: &str, handle: &str) -> PersistentSeen {
    PersistentSeen {
        name: name.into(),
        handle: handle.into(),
        capacity: Some(1 << 30),
        phase: "Bound".into(),
        since: Some(time("2026-11-25T20:00:10Z")),
        reclaimed: true,
        deleting: false,
    }
}

/// A volume that is attached.
pub(crate) fn attachment(volume: &str, node: &str) -> AttachmentSeen {
    AttachmentSeen {
        name: format!("csi-{node}"),
        volume: volume.into(),
        node: node.into(),
        created: Some(time("2026-11-25T20:00:20Z")),
        attached: true,
        deleting: None,
        attach_error: None,
        detach_error: None,
    }
}

fn monitoring() -> Monitoring {
    let target = |job: &str, instance: &str, component: &str| ScrapeTarget {
        job: job.into(),
        instance: instance.into(),
        component: component.into(),
        up: true,
    };
    let nodes = NODES.map(|name| format!("node/{name}"));
    let guests = [101, 102, 300, 9000, 9100].map(|vmid| format!("qemu/{vmid}"));
    let storages = NODES.map(|name| ["shared", "local"].map(|storage| format!("storage/{name}/{storage}")));
    let up = nodes.into_iter().chain(storages.into_iter().flatten()).map(|id| (id, true));
    let info = |name: &str| MachineInfo { machine: name.into(), node: name.into() };
    Monitoring {
        targets: Read::Known(vec![
            target("oxmox", "10.0.0.7:8081", "capi"),
            target("oxmox", "10.0.0.8:9221", "exporter"),
            target("oxmox-pve", "pve1", ""),
        ]),
        ages: Read::Known(BTreeMap::from([("pve1".into(), 12_000)])),
        up: Read::Known(up.chain(guests.map(|id| (id, true))).collect()),
        machines: Read::Known([("qemu/101".into(), info("cp-0")), ("qemu/102".into(), info("w-0"))].into()),
        rules: Read::Known(crate::judge::ALERTS.map(|name| (name.to_owned(), String::new())).into()),
        firing: Read::Known(Vec::new()),
        lines: Read::Known(420),
    }
}

fn workers() -> WorkersSeen {
    let lease = LeaseSeen { renewed: time("2026-11-25T20:59:58.52Z"), taken: time("2026-11-25T20:59:58Z") };
    let signed = SigningRequest {
        name: "csr-k7x2p".into(),
        signer: "kubernetes.io/kube-apiserver-client-kubelet".into(),
        user: "system:bootstrap:abcdef".into(),
        created: Some(time("2026-11-25T20:02:00Z")),
        approved: true,
        refused: None,
        issued: true,
    };
    WorkersSeen {
        nodes: vec![worker("cp-0", 0, "pve1"), worker("w-0", 1, "pve2")],
        leases: Read::Known(["cp-0", "w-0"].map(|name| (name.into(), lease)).into()),
        requests: Read::Known(vec![signed]),
    }
}

/// A Node that is well.
pub(crate) fn worker(name: &str, which: usize, on: &str) -> WorkerSeen {
    WorkerSeen {
        name: name.into(),
        created: Some(time("2026-11-25T20:02:00Z")),
        provider_id: Some(format!("proxmox://{}", UUIDS[which])),
        ready: Some(true),
        message: "kubelet is posting ready status".into(),
        pressure: Vec::new(),
        cordoned: false,
        uninitialized: false,
        kubelet: "v1.36.3".into(),
        zone: Some(on.into()),
        own_zone: Some(on.into()),
        internal_ips: vec![format!("10.10.10.{}", 20 + which)],
    }
}

fn connections(stage: PolicyStage) -> Vec<Connection> {
    let one = |from, to| Connection { from, to, open: Some(stage.opens(from, to)) };
    Caller::ALL.into_iter().flat_map(|from| Target::ALL.map(|to| one(from, to))).collect()
}

fn of_cilium(stage: CiliumStage) -> Vec<Connection> {
    let one = |from, to| Connection { from, to, open: Some(stage.opens(from, to)) };
    Caller::CILIUM.into_iter().flat_map(|from| Target::CILIUM.map(|to| one(from, to))).collect()
}

/// What the probes saw of a connection in a stage of Cilium's policies.
pub(crate) fn seen_of_cilium(evidence: &mut Evidence, at: CiliumStage, from: Caller, to: Target) -> &mut Option<bool> {
    let cilium = of(&mut of(&mut evidence.workload.policies).cilium).as_mut().unwrap();
    let connections = of(cilium.stages.get_mut(&at).unwrap());
    &mut connections.iter_mut().find(|one| (one.from, one.to) == (from, to)).unwrap().open
}

/// What the probes saw of a connection in a stage.
pub(crate) fn seen(evidence: &mut Evidence, stage: PolicyStage, from: Caller, to: Target) -> &mut Option<bool> {
    let connections = of(of(&mut evidence.workload.policies).stages.get_mut(&stage).unwrap());
    &mut connections.iter_mut().find(|one| (one.from, one.to) == (from, to)).unwrap().open
}

/// The value of a part that is known in the fixture.
pub(crate) fn of<T>(read: &mut Read<T>) -> &mut T {
    match read {
        Read::Known(value) => value,
        Read::Unread { why, .. } => panic!("unread: {why}"),
    }
}

/// A world with one trouble of each kind, for reports.
pub(crate) fn sick() -> Evidence {
    let mut evidence = healthy();
    let Evidence { proxmox, management, workload, .. } = &mut evidence;
    proxmox.trust = TrustSeen::Anyone;
    of(&mut proxmox.nodes)[2].status = "offline".into();
    of(&mut proxmox.permissions).get_mut("/storage").unwrap().remove("Datastore.Allocate");
    proxmox.node_storages.insert(node("pve3"), unread());
    of(proxmox.node_storages.get_mut(&node("pve1")).unwrap())[0].free = Some(3 << 30);
    proxmox.states.insert(vmid(102), Read::Known("stopped".into()));
    proxmox.agents.insert(vmid(101), Read::unread(Cause::Refused, "QEMU guest agent is not running"));
    of(proxmox.settings.get_mut(&vmid(300)).unwrap()).mark = Some("oxmox: machine=old/<b>gone</b> uid=uid-9".into());
    of(&mut management.machines)[0].spec.virtual_machine_id = Some(101);
    workload.endpoint = Read::unread(Cause::NoConnection, "`10.10.10.10:6443`: no answer in 5 s");
    workload.nodes = unread();
    workload.workers = unread();
    evidence
}

//! Guests that are real: VMs that boot, run their cloud-init, and leave nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use e2e::guests::{self, Dhcp, Guests, Hypervisor, Lease};
use e2e::{MachineWish, Stage, StageOptions, World};
use serde_json::{Value, json};
use testkit::{NotYet, eventually};

/// A guest has booted and cloud-init has run by then, on a machine that does other things as well; and the first guest
/// of a new node image has brought all container images into it.
const LIMIT: Duration = Duration::from_mins(5);

const USER_DATA: &str = "#cloud-config
write_files:
  - path: /etc/motd.d/story
    content: written by cloud-init
runcmd:
  - [sh, -c, 'cloud-init query ds.meta_data.instance_id > /run-by-cloud-init']
";

/// Control plane, simulator, manager, and real guests.
struct Lab {
    stage: Stage,
    guests: Guests,
}

impl Lab {
    async fn set(name: &str) -> Option<Self> {
        let image = guests::image(name).unwrap()?;
        let mut options = StageOptions::default();
        // Real time, because real guests answer in it; only tasks are short.
        options.sim.speed = 1.0;
        options.sim.tick = 1.0;
        let short = ["clone-full", "clone", "start", "stop", "shutdown", "config"].map(|kind| (kind.to_owned(), 0.1));
        options.sim.task_seconds = BTreeMap::from(short);
        let stage = Stage::set(name, options).await.unwrap()?;
        let guests = Guests::attach(&image, stage.dir(), &stage.sim.control()).await.unwrap();
        Some(Self { stage, guests })
    }

    async fn vmid(&self, name: &str) -> u64 {
        let machine = self.stage.machines().get(name).await.unwrap();
        machine.spec.virtual_machine_id.and_then(|vmid| u64::try_from(vmid).ok()).unwrap()
    }

    async fn vm(&self, vmid: u64) -> Value {
        let world = self.stage.sim.world().await.unwrap();
        world.vms().find(|vm| vm["vmid"].as_u64() == Some(vmid)).cloned().unwrap()
    }

    async fn ready(&self, wish: &MachineWish) -> u64 {
        self.stage.machine(wish).await.unwrap();
        let ready = self.stage.until_ready(&wish.name, LIMIT).await;
        ready.unwrap_or_else(|why| panic!("{why:#}\nguest-node: {}", self.guests.log()));
        self.vmid(&wish.name).await
    }

    async fn exec(&self, vmid: u64, words: &[&str]) -> String {
        self.guests.exec(vmid, words).await.unwrap()
    }

    /// Deletes the machine and looks for what its guest has left.
    async fn leaves_nothing(&self, name: &str) {
        self.stage.delete_machine(name).await.unwrap();
        self.stage.until_gone(name, LIMIT).await.unwrap();
        let gone = eventually(Duration::from_secs(10), || async {
            let left = guests::left(self.guests.state(), self.guests.pid());
            if left.is_empty() { Ok(()) } else { Err(NotYet::because(left.join("\n"))) }
        });
        gone.await.unwrap();
    }

    async fn strike(self) {
        self.guests.end().await.unwrap();
        self.stage.strike().await.unwrap();
    }
}

/// The UUID in the VM's configuration.
fn uuid(vm: &Value) -> String {
    World::config(vm, "smbios1").split(',').find_map(|part| part.strip_prefix("uuid=")).unwrap().to_owned()
}

/// The MAC address of a VM's card.
fn mac(vm: &Value, key: &str) -> String {
    World::config(vm, key).split(',').find_map(|part| part.strip_prefix("virtio=")).unwrap().to_lowercase()
}

/// Addresses with prefix length of a guest's card, link-local ones apart.
fn addresses(links: &Value, name: &str) -> Vec<String> {
    let link = links.as_array().unwrap().iter().find(|link| link["ifname"] == name).unwrap();
    let lasting = link["addr_info"].as_array().unwrap().iter().filter(|address| address["scope"] == "global");
    lasting.map(|address| format!("{}/{}", address["local"].as_str().unwrap(), address["prefixlen"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_without_address_ranges_asks_dhcp_and_is_a_machine_of_its_own() {
    let Some(lab) = Lab::set("a_guest_without_address_ranges_asks_dhcp_and_is_a_machine_of_its_own").await else {
        return;
    };
    let server = Dhcp::start(lab.stage.dir()).unwrap();
    let before = lab.stage.sim.world().await.unwrap();
    lab.stage.cluster(json!({"ipv4Config": null, "ipv6Config": null})).await.unwrap();
    let vmid = lab.ready(&MachineWish::named("dhcp-0").with_user_data(USER_DATA)).await;
    let vm = lab.vm(vmid).await;

    // cloud-init has really run, with the data that the machine was given
    assert_eq!(lab.exec(vmid, &["cat", "/etc/motd.d/story"]).await, "written by cloud-init");
    assert_eq!(lab.exec(vmid, &["cat", "/run-by-cloud-init"]).await, uuid(&vm));

    // the address is the server's, told by the guest agent
    let lease = eventually(Duration::from_secs(10), || async {
        let mac = mac(&vm, "net0");
        let leases = server.leases().await?;
        leases.into_iter().find(|lease| lease.mac == mac).ok_or_else(|| NotYet::because("no such lease"))
    });
    let Lease { address, .. } = lease.await.unwrap();
    let machine = lab.stage.machines().get("dhcp-0").await.unwrap();
    let told: Vec<(String, String)> =
        machine.status.unwrap().addresses.into_iter().map(|one| (one.kind, one.address)).collect();
    assert!(told.contains(&("InternalIP".into(), address.to_string())), "{told:?}, the lease is {address}");
    let ip: Value = serde_json::from_str(&lab.exec(vmid, &["ip", "-j", "address"]).await).unwrap();
    assert_eq!(addresses(&ip, "eth0"), [format!("{address}/16")]);
    lab.exec(vmid, &["ping", "-c1", "-W2", "10.10.0.1"]).await;

    // name, machine-id and UUID are its own
    assert_eq!(lab.exec(vmid, &["hostname"]).await, "dhcp-0");
    assert_eq!(lab.exec(vmid, &["cat", "/etc/hostname"]).await, "dhcp-0");
    let product = lab.exec(vmid, &["cat", "/sys/class/dmi/id/product_uuid"]).await;
    assert_eq!(product.to_lowercase(), uuid(&vm));
    let machine_id = lab.exec(vmid, &["cat", "/etc/machine-id"]).await;
    assert_eq!(machine_id.len(), 32, "{machine_id}");
    assert_ne!(machine_id, std::fs::read_to_string("/etc/machine-id").unwrap_or_default().trim());

    // switched off behind our back it is switched on again, with its disk
    let run = vm["run"].clone();
    lab.stage.sim.post(&format!("/sim/vms/{vmid}/power-off"), &json!({})).await.unwrap();
    let again = eventually(LIMIT, || async {
        let vm = lab.vm(vmid).await;
        if vm["run"].is_null() || vm["run"] == run {
            return Err(NotYet::because(format!("run {} after {run}", vm["run"])));
        }
        // before its disk is mounted a guest sees the machine's files
        Ok(lab.guests.exec(vmid, &["cat", "/run-by-cloud-init"]).await?)
    });
    again.await.unwrap_or_else(|why| panic!("{why}: {}", lab.stage.manager_log()));
    assert_eq!(lab.exec(vmid, &["cat", "/etc/machine-id"]).await, machine_id);

    lab.leaves_nothing("dhcp-0").await;
    assert_eq!(lab.stage.sim.world().await.unwrap().holdings(), before.holdings());
    server.end().await.unwrap();
    lab.strike().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_with_two_cards_has_both_set_up_as_its_seed_says() {
    let Some(lab) = Lab::set("a_guest_with_two_cards_has_both_set_up_as_its_seed_says").await else { return };
    let six = json!({"addresses": ["fd00:20::10-fd00:20::20"], "prefix": 64, "gateway": "fd00:20::1"});
    lab.stage.cluster(json!({"ipv6Config": six})).await.unwrap();
    let cards = json!({"networkDevices": [
        {"name": "net0", "bridge": "vmbr0"},
        {"name": "net1", "bridge": "vmbr0", "vlan": 20, "linkMtu": 1400, "defaultIPv6": true,
            "routes": [{"to": "10.99.0.0/16", "via": "10.10.0.1"}]},
    ]});
    let vmid = lab.ready(&MachineWish::named("two-0").with("network", cards)).await;

    // the second card is plugged into its VLAN, and into nothing else
    assert_eq!(guests::on_bridge("vmbr0"), [format!("v{vmid}i0")]);
    assert_eq!(guests::on_bridge("vmbr0v20"), [format!("v{vmid}i1")]);

    let ip: Value = serde_json::from_str(&lab.exec(vmid, &["ip", "-j", "address"]).await).unwrap();
    assert_eq!(addresses(&ip, "eth0"), ["10.10.0.10/16"]);
    assert_eq!(addresses(&ip, "eth1"), ["fd00:20::10/64"]);
    let vm = lab.vm(vmid).await;
    for (card, key) in [("eth0", "net0"), ("eth1", "net1")] {
        let link = ip.as_array().unwrap().iter().find(|link| link["ifname"] == card).unwrap();
        assert_eq!(link["address"].as_str().unwrap(), mac(&vm, key), "{card}");
        assert_eq!(link["operstate"], "UP", "{card}");
        assert_eq!(link["mtu"], if card == "eth1" { 1400 } else { 1500 }, "{card}");
    }
    let routes = lab.exec(vmid, &["ip", "route"]).await;
    assert!(routes.contains("default via 10.10.0.1 dev eth0"), "{routes}");
    let routes = lab.exec(vmid, &["ip", "-6", "route"]).await;
    assert!(routes.contains("default via fd00:20::1 dev eth1"), "{routes}");
    assert_eq!(lab.exec(vmid, &["cat", "/etc/resolv.conf"]).await.lines().next(), Some("nameserver 10.10.0.1"));

    // both carry packets
    guests::ip(&["address", "add", "fd00:20::1/64", "dev", "vmbr0v20", "nodad"]).unwrap();
    lab.exec(vmid, &["ping", "-c1", "-W2", "10.10.0.1"]).await;
    lab.exec(vmid, &["ping", "-6", "-c1", "-W5", "fd00:20::1"]).await;

    // both addresses are in the status
    let machine = lab.stage.machines().get("two-0").await.unwrap();
    let told: Vec<String> = machine.status.unwrap().addresses.into_iter().map(|one| one.address).collect();
    assert!(["10.10.0.10", "fd00:20::10"].iter().all(|address| told.iter().any(|one| one == address)), "{told:?}");

    lab.leaves_nothing("two-0").await;
    lab.strike().await;
}

/// Two guests that are up, in a simulator of its own process.
pub(crate) async fn two_guests(name: &str) -> Option<(PathBuf, Hypervisor, Guests)> {
    if !testkit::leash::inside() {
        e2e::say(&format!("SKIPPED {name}: it needs private namespaces; run it through `cargo xtask lab -- …`"));
        return None;
    }
    let image = guests::image(name).unwrap()?;
    let dir = std::env::temp_dir().join(format!("oxmox-e2e-{name}-{}", std::process::id()));
    // process numbers repeat in the lab
    let _old = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let sim = Hypervisor::start(&dir).await.unwrap();
    let guests = Guests::attach(&image, &dir, sim.control()).await.unwrap();
    for vmid in [201, 202] {
        sim.power_on(vmid).await.unwrap();
    }
    for vmid in [201, 202] {
        let up = eventually(LIMIT, || async {
            Ok(guests.exec(vmid, &["test", "-e", "/run/containerd/containerd.sock"]).await?)
        });
        up.await.unwrap_or_else(|why| panic!("{why}\nguest-node: {}", guests.log()));
    }
    let running = guests::left(guests.state(), guests.pid());
    for part in ["process ", "link v201i0", "link v202i0", "cgroup "] {
        assert!(running.iter().any(|line| line.starts_with(part)), "the trace of a running guest is not seen: {part}");
    }
    Some((dir, sim, guests))
}

/// Nothing runs, is plugged in or mounted any more; what VMs have on their disks is kept.
async fn only_disks_are_left(guests: &Guests) {
    let gone = eventually(Duration::from_secs(15), || async {
        let mut left = guests::left(guests.state(), guests.pid());
        left.retain(|line| !line.starts_with("file "));
        if left.is_empty() { Ok(()) } else { Err(NotYet::because(left.join("\n"))) }
    });
    gone.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn when_guest_node_is_killed_its_guests_go_and_come_back_with_it() {
    let name = "when_guest_node_is_killed_its_guests_go_and_come_back_with_it";
    let Some((dir, sim, mut guests)) = two_guests(name).await else { return };
    let before = guests.exec(201, &["cat", "/etc/machine-id"]).await.unwrap();
    guests.exec(201, &["touch", "/kept"]).await.unwrap();

    guests.kill().await.unwrap();
    only_disks_are_left(&guests).await;

    // to the simulator they are still on: who attaches finds them
    guests.start(sim.control()).unwrap();
    let again = eventually(LIMIT, || async { Ok(guests.exec(201, &["cat", "/etc/machine-id", "/kept"]).await?) });
    assert_eq!(again.await.unwrap(), before);
    guests.end().await.unwrap();
    sim.kill().await.unwrap();
    std::fs::remove_dir_all(dir).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_simulator_is_killed_its_guests_end_with_it() {
    let Some((dir, sim, mut guests)) = two_guests("when_the_simulator_is_killed_its_guests_end_with_it").await else {
        return;
    };
    sim.kill().await.unwrap();
    guests.ended(Duration::from_secs(20)).await.unwrap();
    only_disks_are_left(&guests).await;
    guests.end().await.unwrap();
    std::fs::remove_dir_all(dir).unwrap();
}

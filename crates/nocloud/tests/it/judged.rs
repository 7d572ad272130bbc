//! Seeds before Debian's real cloud-init: does it take them, and does it understand what is meant?

use std::fs;

use nocloud::{NetworkConfig, Seed};

use crate::cloud_init::{self, Cage, CloudInit};
use crate::fixture;
use crate::reader;
use crate::room::Room;

const KUBEADM_INIT: &str = include_str!("data/kubeadm-init.yaml");
const KUBEADM_JOIN: &str = include_str!("data/kubeadm-join.yaml");

/// A cloud-init, or a word on why a test can't be done.
macro_rules! cloud_init_or_skip {
    () => {
        match cloud_init::find() {
            Ok(found) => found,
            Err(why) => {
                eprintln!("skipped: no cloud-init to ask: {why}");
                return;
            }
        }
    };
}

/// The files of a seed as a guest finds them on its drive.
fn on_the_drive(room: &Room, user_data: &str, network: &NetworkConfig) {
    let meta_data = fixture::meta_data();
    let seed = Seed { user_data: user_data.as_bytes(), meta_data: &meta_data, network };
    for (name, bytes) in reader::read(&seed.to_iso()).rock_ridge {
        room.write(&format!("seed/{name}"), bytes);
    }
}

fn path(room: &Room, name: &str) -> String {
    room.path(name).to_str().unwrap().to_owned()
}

/// The user data as it runs, its templates filled in; valid.
fn valid(cloud_init: &CloudInit, name: &str, user_data: &str) -> String {
    let room = Room::new(name);
    on_the_drive(&room, user_data, &fixture::fixed());

    // Where templates get their values from, made of the meta-data on the drive.
    let program = format!(
        "import json, yaml; told = yaml.safe_load(open({:?}))\n\
         told = {{key.replace('-', '_'): value for key, value in told.items()}}\n\
         print(json.dumps({{'ds': {{'meta_data': told}}}}))",
        path(&room, "seed/meta-data")
    );
    let instance = cloud_init.python(&room, &program);
    assert!(instance.status.success(), "{instance:?}");
    room.write("instance.json", instance.stdout);

    let (instance, seed) = (path(&room, "instance.json"), path(&room, "seed/user-data"));
    let rendered = cloud_init.run(&room, &["devel", "render", "--instance-data", &instance, &seed]);
    assert!(rendered.status.success(), "{rendered:?}");
    let rendered = String::from_utf8(rendered.stdout).unwrap();
    room.write("rendered", &rendered);

    let judged = cloud_init.run(&room, &["schema", "--config-file", &path(&room, "rendered")]);
    let words = String::from_utf8_lossy(&judged.stdout);
    assert!(judged.status.success(), "{words}\n{}", String::from_utf8_lossy(&judged.stderr));
    assert!(words.contains("Valid cloud-config"), "{words}");
    rendered
}

#[test]
fn a_control_planes_bootstrap_data_is_valid_and_finds_its_names_in_meta_data() {
    let cloud_init = cloud_init_or_skip!();
    let rendered = valid(&cloud_init, "init", KUBEADM_INIT);
    assert!(rendered.contains("value: proxmox://6d6c5a0c-2f5e-4b0e-9d0c-0f5a2b1c3d4e\n"));
    assert!(rendered.contains("kubernetesVersion: v1.36.3\n"));
}

#[test]
fn a_workers_bootstrap_data_is_valid_and_finds_its_names_in_meta_data() {
    let cloud_init = cloud_init_or_skip!();
    let rendered = valid(&cloud_init, "join", KUBEADM_JOIN);
    assert!(rendered.contains("name: 'dev-workers-abc12'\n"));
    assert!(rendered.contains("value: 'proxmox://6d6c5a0c-2f5e-4b0e-9d0c-0f5a2b1c3d4e'\n"));
}

/// What cloud-init makes of a network for one kind of guest; all files, one after another.
fn converted(cloud_init: &CloudInit, name: &str, network: &NetworkConfig, kind: &str) -> String {
    let room = Room::new(&format!("{name}-{kind}"));
    on_the_drive(&room, "#cloud-config\n", network);
    let (file, directory) = (path(&room, "seed/network-config"), path(&room, "made"));
    let mut arguments: Vec<String> =
        ["devel", "net-convert", "--kind", "yaml", "--distro", "debian"].map(Into::into).into();
    arguments.extend(["--network-data".into(), file, "--directory".into(), directory]);
    arguments.extend(["--output-kind".into(), kind.into()]);
    for nic in &network.nics {
        arguments.extend(["--mac".into(), format!("{},{}", nic.name, nic.mac.to_lowercase())]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let out = cloud_init.run(&room, &arguments);
    assert!(out.status.success(), "{name} for {kind}: {}", String::from_utf8_lossy(&out.stderr));
    let mut files = Vec::new();
    let mut directories = vec![room.path("made")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { directories.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect::<Vec<_>>().join("\n")
}

/// Lines (without indentation) that have to be there, each, for each kind of guest.
fn means(name: &str, network: &NetworkConfig, kinds: &[(&str, &[&str])]) {
    let cloud_init = cloud_init_or_skip!();
    for (kind, lines) in kinds {
        let made = converted(&cloud_init, name, network, kind);
        for line in *lines {
            let there = made.lines().any(|found| found.trim() == *line);
            assert!(there, "{name} for {kind} lacks `{line}`:\n{made}");
        }
        assert!(!made.contains("::/64\n"), "a default route has shrunk:\n{made}");
        assert!(!made.to_lowercase().contains("vlan"), "tags are the bridge's:\n{made}");
    }
}

#[test]
fn a_static_card_is_understood() {
    let networkd: &[&str] = &[
        "MACAddress=bc:24:11:00:00:00",
        "Address=10.10.10.21/24",
        "DNS=10.10.10.1",
        "Destination=0.0.0.0/0",
        "Gateway=10.10.10.1",
        "DHCP=no",
    ];
    let eni: &[&str] =
        &["iface eth0 inet static", "address 10.10.10.21/24", "post-up route add default gw 10.10.10.1 || true"];
    let netplan: &[&str] = &["macaddress: bc:24:11:00:00:00", "- 10.10.10.21/24", "via: 10.10.10.1"];
    let kinds = [("networkd", networkd), ("eni", eni), ("netplan", netplan)];
    means("static", &fixture::fixed(), &kinds);
}

#[test]
fn dhcp_is_understood() {
    let networkd: &[&str] = &["MACAddress=bc:24:11:00:00:00", "DHCP=ipv4"];
    let netplan: &[&str] = &["dhcp4: true", "dhcp6: false", "set-name: eth0"];
    let kinds = [("networkd", networkd), ("eni", &["iface eth0 inet dhcp"]), ("netplan", netplan)];
    means("dhcp", &fixture::dhcp(), &kinds);
}

#[test]
fn two_cards_are_understood() {
    let networkd: &[&str] = &[
        "MACAddress=bc:24:11:00:00:00",
        "Address=10.10.10.21/24",
        "MACAddress=bc:24:11:00:00:01",
        "Address=10.20.0.21/16",
        "MTUBytes=9000",
        "Destination=10.30.0.0/16",
        "Gateway=10.20.0.1",
    ];
    let eni: &[&str] = &["address 10.10.10.21/24", "address 10.20.0.21/16", "mtu 9000"];
    let netplan: &[&str] = &["set-name: eth0", "set-name: eth1", "mtu: 9000", "via: 10.20.0.1"];
    let kinds = [("networkd", networkd), ("eni", eni), ("netplan", netplan)];
    means("two", &fixture::two_nics(), &kinds);
}

#[test]
fn a_card_in_a_vlan_of_the_bridge_is_a_plain_card() {
    let networkd: &[&str] = &["Address=10.42.0.5/24", "Gateway=10.42.0.1"];
    let eni: &[&str] = &["address 10.42.0.5/24"];
    let kinds = [("networkd", networkd), ("eni", eni), ("netplan", &["- 10.42.0.5/24"])];
    means("tagged", &fixture::vlan(), &kinds);
}

#[test]
fn ipv6_is_understood() {
    let networkd: &[&str] = &["Address=fd00:10::21/64", "DNS=fd00:10::53", "Gateway=fd00:10::1"];
    let eni: &[&str] = &["iface eth0 inet6 static", "address fd00:10::21/64", "gateway fd00:10::1"];
    let netplan: &[&str] = &["- fd00:10::21/64", "gateway6: fd00:10::1"];
    let kinds = [("networkd", networkd), ("eni", eni), ("netplan", netplan)];
    means("ipv6", &fixture::ipv6(), &kinds);
}

#[test]
fn both_families_get_their_default_routes() {
    let networkd: &[&str] = &[
        "Address=10.10.10.21/24",
        "Address=fd00:10::21/64",
        "Gateway=10.10.10.1",
        "Gateway=fd00:10::1",
        "DNS=10.10.10.1 fd00:10::53",
    ];
    let eni: &[&str] = &[
        "address 10.10.10.21/24",
        "address fd00:10::21/64",
        "post-up route add default gw 10.10.10.1 || true",
        "gateway fd00:10::1",
    ];
    let netplan: &[&str] = &["via: 10.10.10.1", "gateway6: fd00:10::1"];
    let kinds = [("networkd", networkd), ("eni", eni), ("netplan", netplan)];
    means("dual", &fixture::dual_stack(), &kinds);
}

/// Tables, rules and domains are netplan's; cloud-init passes them through to it.
#[test]
fn policy_routing_and_vrfs_reach_netplan_untouched() {
    let policy: &[&str] = &["table: 500", "priority: 1000", "via: 10.20.0.1", "to: 0.0.0.0/0"];
    means("policy", &fixture::policy(), &[("netplan", policy), ("networkd", &[]), ("eni", &[])]);
    let vrf: &[&str] = &["vrfs:", "storage:", "table: 500", "- eth1", "-   from: 10.20.0.0/16"];
    means("vrf", &fixture::vrf(), &[("netplan", vrf)]);
}

#[test]
fn a_guest_that_boots_from_the_seed_knows_who_it_is() {
    let cloud_init = cloud_init_or_skip!();
    if cloud_init.cage() != Cage::Namespaces {
        eprintln!("skipped: a boot writes all over a machine; hint: root gets namespaces for it");
        return;
    }
    let room = Room::new("boot");
    on_the_drive(&room, include_str!("data/boot.yaml"), &fixture::dual_stack());
    let script = room.write("boot.sh", include_str!("data/boot.sh"));
    let out = cloud_init.caged(&room, &["sh", script.to_str().unwrap(), &path(&room, "seed")]);
    let told = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{told}\n{}", String::from_utf8_lossy(&out.stderr));
    for line in [
        "instance-id 6d6c5a0c-2f5e-4b0e-9d0c-0f5a2b1c3d4e",
        "hostname dev-workers-abc12",
        "local-hostname dev-workers-abc12",
        "provider-id proxmox://6d6c5a0c-2f5e-4b0e-9d0c-0f5a2b1c3d4e",
        "kubernetes-version v1.36.3",
        "ran on dev-workers-abc12",
        "card eth0",
    ] {
        let there = told.lines().any(|found| found == line);
        assert!(there, "no `{line}` in:\n{told}\n{}", String::from_utf8_lossy(&out.stderr));
    }
    for address in ["10.10.10.21/24", "fd00:10::21/64", "fd00:10::1"] {
        assert!(told.contains(address), "no `{address}` in:\n{told}");
    }
}

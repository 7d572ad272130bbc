//! A Node meets its VM.

use pve_types::SmbiosUuid;

use super::*;

fn address(kind: AddressKind, address: &str) -> Address {
    Address { kind, address: address.into() }
}

#[test]
fn a_node_that_registers_is_told_who_it_is_for_one_call() {
    let mut world = world();
    let mut node = registered();
    assert!(world.settle(&settings(), &mut node));
    assert_eq!(node.provider_id, ProviderId::Uuid(uuid(UUID)));
    assert!(node.taints.is_empty());
    let label = |key: &str| node.labels.get(key).map(String::as_str);
    assert_eq!([REGION, ZONE, OUR_REGION, OUR_ZONE].map(label), [Some("dc1"), Some("pve1"), Some("dc1"), Some("pve1")]);
    assert_eq!(label(INSTANCE_TYPE), Some("4VCPU-8GB"));
    assert_eq!(node.annotations[INSTANCE_ID], "101");
    assert_eq!(node.addresses, [address(AddressKind::Hostname, "w-0"), address(AddressKind::InternalIp, "10.0.0.7")]);
    assert_eq!(world.asked.len(), 1, "{:?}", world.asked);
}

#[test]
fn taint_and_all_else_are_written_in_one_step() {
    let plan = world().pass(&settings(), &registered());
    let Some(Step::Write(change)) = plan.step else { panic!("{}", plan.why) };
    assert!(change.remove.contains(&Taint::Uninitialized) && change.provider_id.is_some());
    assert!(change.labels.len() == 5 && change.addresses.is_some());
    assert_eq!(plan.why.reason(), "Initialised");
}

#[test]
fn a_settled_node_asks_and_writes_nothing() {
    let mut world = world();
    let node = settled(&mut world);
    let plan = world.pass(&settings(), &node);
    assert_eq!((plan.step, world.asked.len()), (None, 0));
    assert_eq!(plan.why, Note::Settled(vmid(101)));
}

#[test]
fn after_a_restart_each_node_costs_one_call_at_most() {
    let mut world = world();
    let node = settled(&mut world);
    world.known.clear();
    assert_eq!(world.pass(&settings(), &node).step, None);
    assert_eq!(world.asked.len(), 1);
}

#[test]
fn the_form_with_region_and_number_is_written_where_it_is_asked_for() {
    let mut node = registered();
    let settings = Settings { form: Form::Number, ..settings() };
    assert!(world().settle(&settings, &mut node));
    assert_eq!(node.provider_id, ProviderId::Number { region: "dc1".into(), vmid: vmid(101) });
}

#[test]
fn a_uuid_is_the_same_in_any_case() {
    let mut node = registered();
    node.uuid = Some(UUID.to_uppercase().parse::<SmbiosUuid>().unwrap());
    assert!(world().settle(&settings(), &mut node));
    assert!(node.taints.is_empty());
}

#[test]
fn a_vm_of_another_name_is_found_by_its_uuid() {
    let mut world = world();
    world.vm().vm.name = Some("renamed".into());
    let mut node = registered();
    assert!(world.settle(&settings(), &mut node));
    assert_eq!(node.annotations[INSTANCE_ID], "101");
}

#[test]
fn a_vm_of_the_same_name_with_another_uuid_is_not_the_node() {
    let mut world = world();
    world.vm().identity.uuid = Some(uuid("aaaaaaaa-0000-4180-b651-d71617da3e0b"));
    let plan = world.pass(&settings(), &registered());
    assert_eq!((plan.step, plan.why), (None, Note::NoVm));
}

#[test]
fn two_vms_with_one_uuid_are_nobody() {
    let mut world = world();
    world.vms.get_mut(&vmid(102)).unwrap().vm.name = Some("w-0".into());
    world.vms.get_mut(&vmid(102)).unwrap().identity.uuid = Some(uuid(UUID));
    let plan = world.pass(&settings(), &registered());
    assert_eq!((plan.step, plan.why), (None, Note::Twins(vec![vmid(101), vmid(102)])));
}

#[test]
fn a_number_that_was_given_to_another_vm_between_two_readings_is_read_again() {
    let mut world = world();
    let stale = Identity { uuid: Some(uuid("aaaaaaaa-0000-4180-b651-d71617da3e0b")), sku: None };
    world.known = [(vmid(101), stale), (vmid(102), world.vms[&vmid(102)].identity.clone())].into();
    let mut node = registered();
    assert!(world.settle(&settings(), &mut node));
    assert!(node.taints.is_empty());
}

#[test]
fn nothing_is_asked_for_a_node_whose_kubelet_has_not_spoken() {
    let mut world = world();
    let plan = world.pass(&settings(), &Node { uuid: None, ..registered() });
    assert_eq!((plan.step, plan.why, world.asked.len()), (None, Note::NoUuid, 0));
}

#[test]
fn nodes_of_others_are_left_alone() {
    for id in ["k3s://w-0", "aws:///eu-1/i-1", "proxmox://dc9/101"] {
        let mut world = world();
        world.vms.clear();
        let node = Node { provider_id: ProviderId::read(Some(id)), ready: false, ..registered() };
        let plan = world.pass(&settings(), &node);
        assert_eq!((plan.step, world.asked.len()), (None, 0), "{id}: {}", plan.why);
    }
    let untainted = Node { taints: std::collections::BTreeSet::new(), ..registered() };
    assert_eq!(world().pass(&settings(), &untainted).why, Note::NotAsked);
}

#[test]
fn a_node_that_two_say_different_things_of_is_left_alone() {
    let node = Node { provider_id: ProviderId::Uuid(uuid(OTHER)), ..registered() };
    let plan = world().pass(&settings(), &node);
    assert!(plan.step.is_none() && matches!(plan.why, Note::Disagrees { .. }), "{}", plan.why);
}

#[test]
fn a_migration_is_followed() {
    let mut world = world();
    let mut node = settled(&mut world);
    world.vm().vm.node = pve("pve2");
    assert!(world.settle(&settings(), &mut node));
    assert_eq!([ZONE, OUR_ZONE].map(|key| node.labels[key].as_str()), ["pve2", "pve2"]);
    assert_eq!(world.asked, []);
}

#[test]
fn kubernetes_own_labels_stay_where_that_is_asked_for() {
    let mut world = world();
    let mut node = settled(&mut world);
    world.vm().vm.node = pve("pve2");
    let settings = Settings { follow: Follow::OursAlone, ..settings() };
    assert!(world.settle(&settings, &mut node));
    assert_eq!([ZONE, OUR_ZONE].map(|key| node.labels[key].as_str()), ["pve1", "pve2"]);
}

#[test]
fn the_sku_is_the_instance_type_where_it_makes_a_label() {
    for (sku, kind) in
        [("s1.4VCPU-16GB", "s1.4VCPU-16GB"), ("large box", "4VCPU-8GB"), ("-x", "4VCPU-8GB"), ("", "4VCPU-8GB")]
    {
        let mut world = world();
        world.vm().identity.sku = Some(sku.into());
        assert_eq!(settled(&mut world).labels[INSTANCE_TYPE], kind, "{sku}");
    }
}

#[test]
fn the_guest_agent_tells_addresses_where_it_is_asked_for() {
    let mut world = world();
    let interface = |name: &str, ips: &[&str]| Interface {
        name: name.into(),
        addresses: ips.iter().map(|ip| ip.parse().unwrap()).collect(),
    };
    world.interfaces = vec![
        interface("lo", &["127.0.0.1/8", "::1/128"]),
        interface("cilium_host", &["10.244.0.9/24"]),
        interface("cni0", &["10.244.3.1/24"]),
        interface(
            "eth0",
            &["10.0.0.7/24", "10.0.0.10/32", "192.0.2.9/24", "fe80::1/64", "fd00::1/64", "2001:db8::5/64"],
        ),
        interface("eth1", &["172.16.0.4/32"]),
    ];
    let network = Network {
        source: Source::Agent,
        external: vec!["192.0.2.0/24".parse().unwrap()],
        sort: vec!["172.16.0.0/12".parse().unwrap()],
        ignore: vec!["2001:db8::/32".parse().unwrap()],
        ipv6: true,
    };
    let settings = Settings { network, ..settings() };
    let mut node = registered();
    assert!(world.settle(&settings, &mut node));
    assert_eq!(
        node.addresses,
        [
            address(AddressKind::Hostname, "w-0"),
            address(AddressKind::InternalIp, "172.16.0.4"),
            address(AddressKind::InternalIp, "10.0.0.7"),
            address(AddressKind::ExternalIp, "192.0.2.9"),
        ]
    );
    world.asked.clear();
    assert!(world.settle(&settings, &mut node));
    assert_eq!(world.asked, [], "a guest agent is asked once");
}

#[test]
fn what_the_kubelet_said_of_itself_stays_where_nobody_knows_better() {
    let mut node = registered();
    node.annotations.clear();
    node.addresses = vec![address(AddressKind::InternalIp, "10.0.0.9"), address(AddressKind::InternalDns, "w-0.lan")];
    assert!(world().settle(&settings(), &mut node));
    let is =
        [("w-0", AddressKind::Hostname), ("10.0.0.9", AddressKind::InternalIp), ("w-0.lan", AddressKind::InternalDns)];
    assert_eq!(node.addresses, is.map(|(text, kind)| address(kind, text)));
}

//! The machine's plan, rule by rule; properties and the model that they hold against are beside it.

mod model;
mod properties;

use std::collections::BTreeMap;
use std::time::Duration;

use pve_types::{GuestConfig, Tags};

use super::*;
use crate::Seen;
use model::*;

#[test]
fn a_settled_machine_plans_nothing_and_asks_nothing() {
    let (mut world, want) = (world(), keep());
    let _plan = settle(&mut world, &want);
    world.joined = true;
    let _plan = settle(&mut world, &want);
    let plan = plan(&who(), &want, &world.observed());
    assert_eq!((plan.step, plan.look), (None, None));
    assert!(matches!(plan.why, Note::Settled { .. }));
}

#[test]
fn a_clone_that_does_not_show_its_name_yet_is_waited_for() {
    let (mut world, want) = (world(), keep());
    while world.clones == 0 {
        let _plan = pass(&mut world, &want, Fate::Whole);
    }
    let vm = world.vms.get_mut(&vmid(100)).unwrap();
    vm.cloning = true;
    let full = std::mem::replace(
        &mut vm.config,
        GuestConfig {
            lock: Some("clone".into()),
            description: Some("qmclone temporary file\n".into()),
            ..GuestConfig::default()
        },
    );
    for want in [&want, &Want::Remove] {
        let plan = world.plan(want);
        assert_eq!(plan.step, None);
        assert!(matches!(plan.why, Note::NotVisibleYet(_)), "{}", plan.why);
    }
    world.vms.get_mut(&vmid(100)).unwrap().config = full;
    let _plan = settle(&mut world, &want);
    assert_eq!(world.ours(), 1);
}

#[test]
fn a_vm_that_is_proven_gone_is_lost_and_not_made_again() {
    let (mut world, want) = (world(), keep());
    let _plan = settle(&mut world, &want);
    world.vms.remove(&vmid(100));
    let plan = world.plan(&want);
    assert_eq!(plan.step, None);
    assert!(matches!(plan.why, Note::Lost(_)));
    assert_eq!(plan.why.truth(true), Some(Truth::False));
    assert_eq!(Note::Unread("503".into()).truth(true), Some(Truth::Unknown), "unknown is not absent");
    assert_eq!(Note::Starting(vmid(100)).truth(false), Some(Truth::Unknown), "a VM being made is not to be replaced");
    assert_eq!(Note::NoVmid.truth(false), Some(Truth::Unknown), "a replacement would wait for the same");
}

/// Rejects a plan that trusts what it knew of a VM before its node was lost, or that starts it in the dark.
#[test]
fn a_vm_on_a_lost_node_is_unknown_and_left_alone() {
    let (mut world, want) = (world(), keep());
    let _plan = settle(&mut world, &want);
    for power in [None, Some(true), Some(false)] {
        let mut seen = world.observed();
        let mut inventory = world.inventory();
        inventory.nodes.iter_mut().for_each(|node| node.online = false);
        (seen.inventory, seen.power) = (Seen::Known(std::sync::Arc::new(inventory)), power);
        let plan = plan(&who(), &want, &seen);
        assert_eq!((plan.step, plan.look), (None, None));
        assert!(matches!(plan.why, Note::NodeLost { .. }), "{}", plan.why);
        assert_eq!(plan.why.truth(true), Some(Truth::Unknown), "not to be replaced: it may run");
    }
}

#[test]
fn a_stopped_vm_is_started_again_but_not_configured() {
    let (mut world, want) = (world(), keep());
    let _plan = settle(&mut world, &want);
    let vm = world.vms.get_mut(&vmid(100)).unwrap();
    vm.running = false;
    vm.config.cores = Some(1);
    let plan = world.plan(&want);
    assert!(matches!(plan.step, Some(Step::Start { .. })), "{:?}", plan.step);
}

/// Rejects a plan that clones unasked after a restart or a failed call, when a clone of ours may be under way unseen.
#[test]
fn only_a_vmid_that_was_just_reserved_is_cloned_to_without_asking() {
    let (mut world, want) = (world(), keep());
    while world.recorded.reserved.is_none() {
        let _plan = pass(&mut world, &want, Fate::Whole);
    }
    let ask = |untried: bool, exists: Seen<()>| {
        let mut seen = world.observed();
        seen.untried = untried;
        seen.answers.configs.insert(vmid(9000), Seen::Known(template()));
        seen.answers.exists = exists;
        plan(&who(), &want, &seen)
    };
    assert!(matches!(ask(true, Seen::Unasked).step, Some(Step::Clone(_))));
    assert_eq!(ask(false, Seen::Unasked).look, Some(Look::Exists(vmid(100))));
    assert_eq!(ask(true, Seen::Known(())).step, None, "what was asked all the same counts");
}

/// Rejects a plan that waits for a change: a VM that was turned off soon after we started it may never show one.
#[test]
fn a_vm_that_the_reading_shows_off_after_our_start_is_looked_at_again() {
    let (mut world, want) = (world(), keep());
    let _plan = settle(&mut world, &want);
    for joined in [false, true] {
        world.joined = joined;
        let _plan = settle(&mut world, &want);
        let mut seen = world.observed();
        seen.power = Some(true);
        assert_eq!(plan(&who(), &want, &seen).again, Again::OnChange, "the reading shows what the task told");
        world.vms.get_mut(&vmid(100)).unwrap().running = false;
        let mut seen = world.observed();
        seen.power = Some(true);
        let plan = plan(&who(), &want, &seen);
        assert_eq!(plan.step, None, "not started twice on an old reading");
        assert!(matches!(plan.again, Again::After(wait) if wait <= Duration::from_secs(10)), "{:?}", plan.again);
        world.vms.get_mut(&vmid(100)).unwrap().running = true;
    }
}

#[test]
fn a_locked_vm_is_left_alone() {
    let (mut world, want) = (world(), keep());
    let _plan = settle(&mut world, &want);
    world.vms.get_mut(&vmid(100)).unwrap().config.lock = Some("backup".into());
    world.vms.get_mut(&vmid(100)).unwrap().running = false;
    for want in [&want, &Want::Remove] {
        let plan = world.plan(want);
        assert_eq!(plan.step, None);
        assert!(matches!(plan.why, Note::Locked { .. }), "{}", plan.why);
    }
}

#[test]
fn status_that_was_lost_is_rebuilt_from_the_mark() {
    let (mut world, want) = (world(), keep());
    let _plan = settle(&mut world, &want);
    let before = world.clone();
    world.recorded = Recorded::default();
    world.done = Done::default();
    let plan = settle(&mut world, &want);
    assert!(plan.facts.ready);
    assert_eq!(world.recorded.vmid, before.recorded.vmid);
    assert_eq!(world.recorded.uuid, before.recorded.uuid);
    assert_eq!((world.clones, world.started), (1, 1));
    world.recorded = Recorded::default();
    let _plan = settle(&mut world, &Want::Remove);
    assert_eq!(world.ours(), 0);
}

#[test]
fn a_full_range_of_addresses_is_said_and_heals() {
    let (world, want) = (world(), keep());
    let mut seen = world.observed();
    seen.next_vmid = Some(vmid(100));
    seen.answers.configs.insert(vmid(9000), Seen::Known(template()));
    seen.taken = ["10.0.0.20", "10.0.0.21"].map(|text| text.parse().unwrap()).into();
    let full = plan(&who(), &want, &seen);
    assert_eq!(full.step, None);
    assert_eq!(
        full.why.to_string(),
        "all 2 addresses of `ipv4Config` are taken; extend the range of the ProxmoxCluster"
    );
    assert_ne!(full.again, Again::OnChange, "an address that another machine gives back is no change of this one");
    seen.taken.clear();
    assert!(matches!(plan(&who(), &want, &seen).step, Some(Step::Reserve { .. })));
}

#[test]
fn a_spec_that_cannot_be_names_the_field() {
    let mut bad = machine();
    bad.spec.network.network_devices[0].name = "eth0".into();
    bad.spec.pool = Some("no pool!".into());
    let wrong = Desired::read(&bad, &cluster()).unwrap_err();
    let said = Note::InvalidSpec(wrong).to_string();
    assert!(said.contains("`spec.pool`") && said.contains("`spec.network.networkDevices[0].name`"), "{said}");
}

#[test]
fn without_address_ranges_the_guest_asks_dhcp() {
    let mut cluster = cluster();
    cluster.spec.ipv4_config = None;
    let want = Desired::read(&machine(), &cluster).unwrap();
    let config = network_config(&want, &BTreeMap::new(), |n| mac("uid-1", n));
    assert!(config.nics[0].dhcp4);
    assert!(config.nics[0].addresses.is_empty());
    let fixed = Desired::read(&machine(), &self::cluster()).unwrap();
    let given = BTreeMap::from([(0, vec!["10.0.0.20".parse().unwrap()])]);
    let config = network_config(&fixed, &given, |n| mac("uid-1", n));
    assert!(!config.nics[0].dhcp4);
    assert_eq!(config.nics[0].addresses[0].to_string(), "10.0.0.20/24");
}

#[test]
fn tags_are_compared_as_proxmox_keeps_them() {
    let (mut world, want) = (world(), keep());
    let _plan = settle(&mut world, &want);
    let vm = &world.vms[&vmid(100)];
    assert!(vm.config.tags.contains(TAG_SEED));
    assert_eq!(Tags::parse(&vm.config.tags.to_string()), vm.config.tags);
}

/// Rejects: removing an ISO that nobody has seen leave its drive, and reading again what our own call was told.
#[test]
fn an_iso_that_we_took_out_is_removed_at_a_glance_and_any_other_only_after_a_look() {
    let (mut world, want) = (world(), keep());
    let _plan = settle(&mut world, &want);
    world.joined = true;
    let eject = pass(&mut world, &want, Fate::Whole);
    assert!(matches!(eject.step, Some(Step::Eject { .. })), "{eject:?}");
    let known = plan(&who(), &want, &world.observed());
    assert!(matches!(known.step, Some(Step::RemoveSeed { .. })), "{known:?}");
    world.done = Done::default();
    let forgotten = plan(&who(), &want, &world.observed());
    assert!(forgotten.step.is_none() && matches!(forgotten.look, Some(Look::Config { .. })), "{forgotten:?}");
}

//! A Node that does not report: its VM runs, is stopped, is lost, or is gone.

use super::*;

/// A Node of ours that does not report.
fn silent(world: &mut World) -> Node {
    Node { ready: false, ..settled(world) }
}

fn taints(node: &Node) -> Vec<Taint> {
    node.taints.iter().copied().collect()
}

#[test]
fn the_node_of_a_vm_that_runs_is_left_alone_and_costs_no_call() {
    let mut world = world();
    let node = silent(&mut world);
    let plan = world.pass(&settings(), &node);
    assert_eq!((plan.step, plan.why, world.asked.len()), (None, Note::Runs(vmid(101)), 0));
}

#[test]
fn a_stopped_vm_is_proven_stopped_then_tainted_and_the_taint_goes_when_it_runs() {
    let mut world = world();
    let mut node = silent(&mut world);
    world.vm().vm.power = Power::Off;
    assert!(world.settle(&settings(), &mut node));
    assert_eq!(taints(&node), [Taint::Shutdown]);
    assert_eq!(world.asked.len(), 1, "asked once, and not again");
    world.vm().vm.power = Power::On;
    assert!(world.settle(&settings(), &mut node));
    assert_eq!(taints(&node), []);
}

#[test]
fn a_broadcast_that_is_older_than_the_answer_taints_nothing() {
    let mut world = world();
    let mut node = silent(&mut world);
    world.vm().vm.power = Power::Off;
    world.vm().really = Some(Power::On);
    assert!(world.settle(&settings(), &mut node));
    assert_eq!(taints(&node), []);
}

#[test]
fn a_ready_node_is_never_tainted_nor_deleted() {
    let mut world = world();
    let mut node = settled(&mut world);
    world.vm().vm.power = Power::Off;
    assert!(world.settle(&settings(), &mut node));
    assert_eq!(taints(&node), []);
    world.vms.remove(&vmid(101));
    world.audit = Audit::All;
    assert!(world.settle(&settings(), &mut node));
}

/// `pve1` is lost with the VM on it.
fn lost(world: &mut World) -> Node {
    let mut node = silent(world);
    world.nodes.insert(pve("pve1"), false);
    world.vm().vm.power = Power::Unknown;
    assert!(world.settle(&settings(), &mut node));
    assert_eq!(taints(&node), [], "whether it runs is not known");
    node
}

#[test]
fn the_vm_of_a_lost_node_is_out_of_service_only_once_it_is_proven_stopped() {
    let mut world = world();
    let mut node = lost(&mut world);
    world.nodes.insert(pve("pve1"), true);
    assert!(world.settle(&settings(), &mut node));
    assert_eq!(taints(&node), [], "the node is back, the VM not broadcast yet");
    world.vm().vm.power = Power::Off;
    assert!(world.settle(&settings(), &mut node));
    assert_eq!(taints(&node), [Taint::Shutdown, Taint::OutOfService]);
    world.vm().vm.power = Power::On;
    assert!(world.settle(&settings(), &mut node));
    assert_eq!(taints(&node), []);
    node.ready = true;
    assert!(world.settle(&settings(), &mut node));
    assert!(!node.annotations.contains_key(LOST_NODE) && !node.annotations.contains_key(OUT_OF_SERVICE));
}

#[test]
fn a_vm_that_is_only_stopped_keeps_its_pods_and_volumes() {
    let mut world = world();
    let mut node = silent(&mut world);
    world.vm().vm.power = Power::Off;
    assert!(world.settle(&settings(), &mut node));
    assert!(!node.taints.contains(&Taint::OutOfService));
}

#[test]
fn a_vm_that_somebody_moved_away_from_a_lost_node_may_still_run_there() {
    let mut world = world();
    let mut node = lost(&mut world);
    world.vm().vm.node = pve("pve2");
    world.vm().vm.power = Power::Off;
    let plan = world.pass(&settings(), &node);
    assert!(matches!(plan.why, Note::MovedUnproven { .. }), "{}", plan.why);
    assert!(world.settle(&settings(), &mut node));
    assert_eq!((taints(&node), node.labels[OUR_ZONE].as_str()), (vec![], "pve1"));
    // The node is removed from the cluster, as one does with a dead one.
    world.nodes.remove(&pve("pve1"));
    assert!(world.settle(&settings(), &mut node));
    assert_eq!(taints(&node), [Taint::Shutdown, Taint::OutOfService]);
    assert_eq!(node.labels[OUR_ZONE], "pve2");
}

#[test]
fn a_vm_that_high_availability_starts_again_is_waited_for() {
    let mut world = world();
    world.vm().vm.ha = Some("started".into());
    let mut node = lost(&mut world);
    world.vm().vm.node = pve("pve2");
    world.vm().vm.power = Power::Off;
    world.vm().vm.ha = Some("recovery".into());
    assert!(world.settle(&settings(), &mut node));
    assert_eq!(taints(&node), [Taint::Shutdown]);
    world.vm().vm.ha = Some("error".into());
    assert!(world.settle(&settings(), &mut node));
    assert_eq!(taints(&node), [Taint::Shutdown, Taint::OutOfService], "it gave up");
}

#[test]
fn a_vm_that_sleeps_on_disk_keeps_its_volumes() {
    let mut world = world();
    let mut node = lost(&mut world);
    world.nodes.insert(pve("pve1"), true);
    world.vm().vm.power = Power::Off;
    world.vm().vm.lock = Some("suspended".into());
    assert!(world.settle(&settings(), &mut node));
    assert_eq!(taints(&node), [Taint::Shutdown]);
}

#[test]
fn an_administrators_out_of_service_stays() {
    let mut world = world();
    let mut node = silent(&mut world);
    node.taints.insert(Taint::OutOfService);
    assert!(world.settle(&settings(), &mut node));
    node.ready = true;
    assert!(world.settle(&settings(), &mut node));
    assert_eq!(taints(&node), [Taint::OutOfService]);
}

#[test]
fn the_node_of_a_vm_that_is_proven_gone_is_deleted() {
    for audit in [Audit::All, Audit::Some] {
        let mut world = world();
        let mut node = silent(&mut world);
        world.vms.remove(&vmid(101));
        world.audit = audit;
        assert!(!world.settle(&settings(), &mut node), "{audit:?}");
    }
}

#[test]
fn a_vm_whose_number_is_another_ones_now_is_gone() {
    let mut world = world();
    let mut node = silent(&mut world);
    world.vm().identity.uuid = Some(uuid("aaaaaaaa-0000-4180-b651-d71617da3e0b"));
    world.known.clear();
    assert!(!world.settle(&settings(), &mut node));
}

/// Each of these worlds hides the VM in another way: a Node must outlive all of them.
#[test]
fn what_is_not_seen_is_not_gone() {
    type Hide = fn(&mut World);
    let ways: [(&str, Hide); 12] = [
        ("rights lost on everything", |w| {
            w.audit = Audit::Nothing;
            w.vms.values_mut().for_each(|m| m.hidden = true);
        }),
        ("rights lost on one VM", |w| w.vm().hidden = true),
        ("the cluster cannot be read", |w| w.poll = Err("595".into())),
        ("the standing cannot be read", |w| {
            w.vms.remove(&vmid(101));
            w.standing = Err("403: Sys.Audit on /".into());
        }),
        ("a node is away", |w| {
            w.vms.remove(&vmid(101));
            w.nodes.insert(pve("pve3"), false);
        }),
        ("a node is away, but not in the reading", |w| {
            w.vms.remove(&vmid(101));
            w.members = Some(["pve1", "pve2", "pve3"].map(|name| (pve(name), name != "pve3")).into());
        }),
        ("a reading without one node", |w| {
            w.vms.remove(&vmid(101));
            w.members = Some(w.nodes.clone());
            w.nodes.remove(&pve("pve3"));
        }),
        ("an empty reading", |w| {
            w.members = Some(w.nodes.clone());
            w.nodes.clear();
            w.vms.values_mut().for_each(|m| m.hidden = true);
        }),
        ("no majority", |w| {
            w.vms.remove(&vmid(101));
            w.quorate = false;
        }),
        ("renamed", |w| w.vm().vm.name = Some("renamed".into())),
        ("given another number", |w| {
            let mut machine = w.vms.remove(&vmid(101)).unwrap();
            machine.vm.vmid = vmid(300);
            machine.vm.name = Some("restored".into());
            w.vms.insert(vmid(300), machine);
        }),
        ("a copy with its UUID", |w| {
            w.vms.remove(&vmid(101));
            w.vms.get_mut(&vmid(102)).unwrap().identity.uuid = Some(uuid(UUID));
        }),
    ];
    for (way, hide) in ways {
        for forget in [false, true] {
            let mut world = world();
            world.audit = Audit::All;
            let mut node = silent(&mut world);
            hide(&mut world);
            if forget {
                world.known.clear();
            } else {
                world.known.retain(|vmid, _| world.vms.get(vmid).is_some_and(|m| !m.hidden));
            }
            if way == "a copy with its UUID" {
                world.known.clear();
            }
            assert!(world.settle(&settings(), &mut node), "{way}: deleted");
            assert_eq!(taints(&node), [], "{way}: tainted");
        }
    }
}

#[test]
fn without_its_number_only_a_view_of_all_vms_proves_anything() {
    let mut world = world();
    let mut node = silent(&mut world);
    node.annotations.clear();
    world.vms.remove(&vmid(101));
    assert!(world.settle(&settings(), &mut node), "rights on a pool prove nothing of other VMs");
    world.audit = Audit::All;
    assert!(!world.settle(&settings(), &mut node));
}

#[test]
fn a_node_that_never_met_its_vm_is_not_deleted() {
    let mut world = world();
    world.vms.remove(&vmid(101));
    world.audit = Audit::All;
    let mut node = Node { ready: false, ..registered() };
    assert!(world.settle(&settings(), &mut node));
}

#[test]
fn a_region_that_cannot_be_read_may_hold_the_vm() {
    let mut world = world();
    world.audit = Audit::All;
    let node = silent(&mut world);
    world.vms.remove(&vmid(101));
    world.known = [(vmid(102), world.vms[&vmid(102)].identity.clone())].into();
    let mut regions = world.regions();
    regions.push(Region { name: "dc2".into(), view: crate::Seen::Unread("595".into()), ..regions[0].clone() });
    let plan = plan(&settings(), &node, &regions, &Answers::default());
    assert!(plan.step.is_none() && matches!(plan.why, Note::Unread(_)), "{}", plan.why);
}

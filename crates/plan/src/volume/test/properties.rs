//! What holds whatever happens, and planners that are wrong, each of which a property rejects.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::super::*;
use super::model::*;
use crate::Seen;

#[derive(Debug, Clone, Copy)]
enum What {
    Publish(u32),
    Unpublish(u32),
    Delete,
    Grow,
}

/// One request of the CO: what, with which volume, how each of its steps ends, how guests take disks meanwhile.
#[derive(Debug, Clone)]
struct Request {
    what: What,
    volume: usize,
    fates: Vec<Fate>,
    plug: Plug,
}

fn request() -> impl Strategy<Value = Request> {
    let worker = prop::sample::select(&WORKERS[..]);
    let what = prop_oneof![
        4 => worker.clone().prop_map(What::Publish),
        3 => worker.prop_map(What::Unpublish),
        1 => Just(What::Delete),
        1 => Just(What::Grow),
    ];
    let fate = prop_oneof![5 => Just(Fate::Whole), 1 => Just(Fate::Before), 1 => Just(Fate::After)];
    let plug = prop_oneof![4 => Just(Plug::Works), 1 => Just(Plug::Waits), 1 => Just(Plug::Ghost)];
    (what, 0..OURS.len() + THEIRS.len(), prop::collection::vec(fate, 0..6), plug)
        .prop_map(|(what, volume, fates, plug)| Request { what, volume, fates, plug })
}

/// A name of the request's volume as a planner that compares parts of names would find it.
fn named(world: &World, text: &str, flaw: Flaw, on: Option<u32>) -> String {
    let found = |n: &u32| {
        let files = world.vms[n].now.values().map(|disk| disk.split(',').next().unwrap_or_default().to_owned());
        files.into_iter().find(|file| file.starts_with(text))
    };
    let found = if flaw == Flaw::Substring { on.as_ref().and_then(found) } else { None };
    found.unwrap_or_else(|| text.to_owned())
}

/// Carries out one request; whether it was done.
fn carry_out(world: &mut World, request: &Request, flaw: Flaw) -> bool {
    let all: Vec<&str> = OURS.iter().chain(&THEIRS).copied().collect();
    let text = all[request.volume];
    let mut fates = request.fates.iter().copied();
    world.plug = request.plug;
    let mut freed = false;
    for _ in 0..12 {
        let (done, step) = match request.what {
            What::Publish(n) => {
                if !OURS.contains(&text) {
                    // The driver proves the owner first; see `Handle` and `Holder::owns`.
                    return false;
                }
                let want = Publish { vm: at(n), disk: disk(text) };
                let qemu = if flaw == Flaw::BlindToQemu { Qemu::Stopped } else { world.qemu(n) };
                let seen = Attachment {
                    others: Seen::Known(world.others(&volume(text), Some(n), flaw)),
                    config: Seen::Known(world.config(n, flaw)),
                    qemu: Seen::Known(qemu),
                    spoiled: world.memory.get(&n).cloned().unwrap_or_default(),
                };
                read(publish(&want, &seen))
            }
            What::Unpublish(n) => {
                let named = named(world, text, flaw, Some(n));
                let want = Unpublish { vm: at(n), volume: volume(&named) };
                read(unpublish(&want, &Seen::Known(world.config(n, flaw))))
            }
            What::Delete => {
                let volume = volume(text);
                let seen = Leftover {
                    others: Seen::Known(world.others(&volume, None, flaw)),
                    holder: world.holder(volume.owner().unwrap().get(), flaw),
                    volume: Seen::Unasked,
                    freed,
                };
                read(delete(&volume, &seen, TENANT))
            }
            What::Grow => {
                let volume = volume(text);
                let others = world.others(&volume, None, flaw);
                let vm = others.first().map(|(vm, _)| (at(vm.get()), world.config(vm.get(), flaw)));
                let seen = Growth {
                    others: Seen::Known(others),
                    vm: vm.map_or(Seen::Absent, Seen::Known),
                    holder: world.holder(volume.owner().unwrap().get(), flaw),
                    size: Seen::Unasked,
                };
                read(grow(&volume, Range { required: 2 << 30, limit: 0 }, &seen))
            }
        };
        let Some(step) = step else { return done };
        match fates.next().unwrap_or(Fate::Whole) {
            Fate::Before => return false,
            Fate::After => {
                let _lost = world.act(&step);
                return false;
            }
            Fate::Whole => {
                let outcome = world.act(&step);
                freed |= outcome.is_ok() && matches!(step, Step::Free { .. });
                match (outcome.as_ref().map_err(String::as_str), &step) {
                    (Err(HOTPLUG), Step::Attach { vm, slot, .. }) => {
                        world.memory.entry(vm.vm.get()).or_default().insert(*slot);
                    }
                    // Whatever else is wrong is told, and is not the slot's fault.
                    (Err(_), Step::Attach { .. }) => return false,
                    _ => {}
                }
            }
        }
    }
    false
}

fn read<D: std::fmt::Debug>(decision: Decision<D>) -> (bool, Option<Step>) {
    match decision {
        Decision::Do(step) => (false, Some(*step)),
        Decision::Done(_) => (true, None),
        Decision::Refuse(_) => (false, None),
        Decision::Look(look) => panic!("everything was looked at, but {look:?}"),
    }
}

/// Safe after each request: no volume in two VMs, nothing of others touched, nothing freed that a VM has.
fn safe(world: &World) -> Result<(), String> {
    for name in OURS.iter().chain(&THEIRS) {
        let has = |vm: &&u32| !world.config(**vm, Flaw::None).plugged(&volume(name)).is_empty();
        let holders: Vec<_> = world.vms.keys().filter(|n| **n < HOLDER).filter(has).collect();
        if holders.len() > 1 {
            return Err(format!("{name} is in {holders:?}"));
        }
        if world.freed.iter().any(|freed| freed == name) && !holders.is_empty() {
            return Err(format!("{name} was freed while {holders:?} has it"));
        }
    }
    if let Some(theirs) = THEIRS.iter().find(|name| !world.volumes.contains(**name)) {
        return Err(format!("{theirs} was freed, and is not ours"));
    }
    if !world.vms[&201].now.contains_key("scsi0") {
        return Err("the guest's own disk was pulled".to_owned());
    }
    Ok(())
}

/// Every request leaves the world safe, and one that says it is done is done.
fn lives(requests: &[Request], flaw: Flaw) -> Result<(), String> {
    let mut world = world();
    for request in requests {
        let before = world.clone();
        let done = carry_out(&mut world, request, flaw);
        safe(&world).map_err(|why| format!("{why} after {request:?}"))?;
        let text = OURS.iter().chain(&THEIRS).nth(request.volume).copied().unwrap_or_default();
        let has = |n: u32| {
            let vm = &world.vms[&n];
            let key = world.config(n, Flaw::None).plugged(&volume(text)).first().map(|of| of.key.clone());
            key.is_some_and(|key| !vm.running || vm.blocks.contains(&key))
        };
        match request.what {
            What::Publish(n) if done && !has(n) => {
                return Err(format!("{text} was said to be in {n} after {request:?}"));
            }
            What::Unpublish(n) if done && !world.config(n, Flaw::None).plugged(&volume(text)).is_empty() => {
                return Err(format!("{text} was said to be out of {n} after {request:?}"));
            }
            What::Delete if done && OURS.contains(&text) && world.volumes.contains(text) => {
                return Err(format!("{text} was said to be gone after {request:?}"));
            }
            // An unplug of one volume leaves all others where they were.
            What::Unpublish(n) => {
                for other in OURS.iter().filter(|other| **other != text) {
                    let was = before.config(n, Flaw::None).plugged(&volume(other)).len();
                    if world.config(n, Flaw::None).plugged(&volume(other)).len() != was {
                        return Err(format!("{other} went with {request:?}"));
                    }
                }
            }
            What::Publish(_) | What::Delete | What::Grow => {}
        }
    }
    Ok(())
}

/// Every interruption is got over: with guests that take disks and nobody dying, one request more does it. Slots that QEMU
/// has spoiled come back with a restart of the guest.
fn settles(requests: &[Request]) -> Result<(), String> {
    let mut world = world();
    for request in requests {
        carry_out(&mut world, request, Flaw::None);
    }
    world.restart_guests();
    let calm = |what, volume| Request { what, volume, fates: Vec::new(), plug: Plug::Works };
    for (index, text) in OURS.iter().enumerate() {
        for n in WORKERS {
            if !carry_out(&mut world, &calm(What::Unpublish(n), index), Flaw::None) {
                return Err(format!("{text} does not leave {n}"));
            }
        }
        if world.volumes.contains(*text) && !carry_out(&mut world, &calm(What::Publish(202), index), Flaw::None) {
            return Err(format!("{text} does not come into 202"));
        }
        carry_out(&mut world, &calm(What::Unpublish(202), index), Flaw::None);
        if !carry_out(&mut world, &calm(What::Delete, index), Flaw::None) || world.volumes.contains(*text) {
            return Err(format!("{text} cannot be deleted"));
        }
    }
    if !world.vms[&HOLDER].protection {
        return Err("the holder was left without protection".to_owned());
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_volume_is_ever_in_two_vms_nor_anything_of_others_touched(requests in prop::collection::vec(request(), 1..25)) {
        prop_assert_eq!(lives(&requests, Flaw::None), Ok(()));
    }

    #[test]
    fn whatever_was_interrupted_goes_on_when_it_is_asked_for_again(requests in prop::collection::vec(request(), 1..20)) {
        prop_assert_eq!(settles(&requests), Ok(()));
    }
}

/// The property finds out a planner with this flaw.
fn is_rejected(flaw: Flaw) -> bool {
    let mut runner = TestRunner::new(Config { cases: 2000, failure_persistence: None, ..Config::default() });
    let run = runner.run(&prop::collection::vec(request(), 1..25), |requests| {
        prop_assert_eq!(lives(&requests, flaw), Ok(()));
        Ok(())
    });
    run.is_err()
}

#[test]
fn a_planner_that_does_not_look_at_other_vms_is_rejected() {
    assert!(is_rejected(Flaw::BlindToOthers));
}

#[test]
fn a_planner_that_does_not_see_what_waits_is_rejected() {
    assert!(is_rejected(Flaw::BlindToPending));
}

#[test]
fn a_planner_that_compares_parts_of_names_is_rejected() {
    assert!(is_rejected(Flaw::Substring));
}

#[test]
fn a_planner_that_takes_any_vm_for_a_holder_is_rejected() {
    assert!(is_rejected(Flaw::AnyHolder));
}

#[test]
fn a_planner_that_does_not_look_at_qemu_is_rejected() {
    assert!(is_rejected(Flaw::BlindToQemu));
}

//! Single decisions, one by one.

use super::super::*;
use super::model::*;
use crate::Seen;

fn place() -> Place {
    Place { storage: "data".parse().unwrap(), kind: "dir".to_owned(), node: "pve1".parse().unwrap(), shared: false }
}

fn want(required: u64) -> Create {
    let range = Range { required, limit: required };
    Create { name: "pvc-1".to_owned(), place: place(), range, format: Format::Raw }
}

fn holders() -> Seen<Vec<Holder>> {
    let Seen::Known(holder) = world().holder(HOLDER, Flaw::None) else { panic!("no holder") };
    Seen::Known(vec![holder])
}

fn existing(volumes: Seen<Vec<(pve_types::VolumeId, pve_types::DiskSize)>>) -> Existing {
    Existing { holders: holders(), volumes, next: Seen::Absent }
}

#[test]
fn a_new_volume_is_asked_for_at_once_and_a_taken_name_is_looked_at() {
    let OrHolder::Go(Decision::Do(step)) = create(&want(1 << 30), &existing(Seen::Unasked), TENANT) else {
        panic!("it is allocated")
    };
    let Step::Allocate { file, size, .. } = *step else { panic!("{step:?}") };
    assert_eq!((file.as_str(), size.to_string().as_str()), ("vm-9100-pvc-1.raw", "1G"));
    let there = volume("data:9100/vm-9100-pvc-1.raw");
    let seen = existing(Seen::Known(vec![(there.clone(), "1G".parse().unwrap())]));
    let same = create(&want(1 << 30), &seen, TENANT);
    assert_eq!(same, OrHolder::Go(Decision::Done((there, "1G".parse().unwrap()))));
    let OrHolder::Go(Decision::Refuse(refusal)) = create(&want(2 << 30), &seen, TENANT) else {
        panic!("it is another")
    };
    assert_eq!(refusal.kind, Kind::AlreadyExists);
}

#[test]
fn without_a_holder_one_is_made_where_that_is_allowed_and_else_somebody_is_told_how() {
    let none = |next| Existing { holders: Seen::Known(Vec::new()), volumes: Seen::Unasked, next };
    let OrHolder::Make(order) = create(&want(1 << 30), &none(Seen::Known(vmid(9101))), TENANT) else { panic!("made") };
    assert_eq!(order.name, "csi-holder-team-a-9101");
    assert!(order.notes.ends_with("oxmox: holder=team-a"));
    let OrHolder::Go(Decision::Refuse(refusal)) = create(&want(1 << 30), &none(Seen::Absent), TENANT) else {
        panic!("refused")
    };
    assert_eq!(refusal.kind, Kind::FailedPrecondition);
    assert!(refusal.why.contains("csi-holder-team-a-") && refusal.why.contains("pve1"), "{refusal}");
    let unread = Existing { holders: Seen::Unread("timeout".to_owned()), ..none(Seen::Known(vmid(9101))) };
    let OrHolder::Go(Decision::Refuse(refusal)) = create(&want(1 << 30), &unread, TENANT) else { panic!("refused") };
    assert_eq!(refusal.kind, Kind::Unavailable, "unknown is not absent: no second holder is made");
}

#[test]
fn an_unread_vm_is_neither_attached_to_nor_taken_for_one_without_the_volume() {
    let unread = || Seen::Unread("403".to_owned());
    let want = Publish { vm: at(201), disk: disk(OURS[0]) };
    let seen = Attachment { others: Seen::Known(Vec::new()), config: unread(), ..Attachment::unasked([].into()) };
    for decision in
        [publish(&want, &seen), publish(&want, &Attachment { others: Seen::Unread("403".to_owned()), ..seen.clone() })]
    {
        assert!(matches!(decision, Decision::Refuse(Refusal { kind: Kind::Unavailable, .. })), "{decision:?}");
    }
    let out = Unpublish { vm: at(201), volume: volume(OURS[0]) };
    assert!(matches!(unpublish(&out, &unread_config()), Decision::Refuse(Refusal { kind: Kind::Unavailable, .. })));
    assert_eq!(unpublish(&out, &Seen::Absent), Decision::Done(()));
}

fn unread_config() -> Seen<VmConfig> {
    Seen::Unread("403".to_owned())
}

#[test]
fn a_locked_vm_is_waited_for() {
    let config = VmConfig { lock: Some("backup".to_owned()), ..world().config(201, Flaw::None) };
    let seen =
        Attachment { others: Seen::Known(Vec::new()), config: Seen::Known(config), ..Attachment::unasked([].into()) };
    let Decision::Refuse(refusal) = publish(&Publish { vm: at(201), disk: disk(OURS[0]) }, &seen) else { panic!() };
    assert_eq!(refusal.kind, Kind::Unavailable);
    assert!(refusal.why.contains("locked (backup)"), "{refusal}");
}

#[test]
fn a_disk_that_others_attached_is_not_taken_for_ours() {
    let mut world = world();
    world.vms.get_mut(&201).unwrap().now.insert("scsi1".to_owned(), OURS[0].to_owned());
    let seen = Attachment {
        others: Seen::Known(Vec::new()),
        config: Seen::Known(world.config(201, Flaw::None)),
        qemu: Seen::Known(world.qemu(201)),
        spoiled: [].into(),
    };
    let Decision::Refuse(refusal) = publish(&Publish { vm: at(201), disk: disk(OURS[0]) }, &seen) else { panic!() };
    assert_eq!(refusal.kind, Kind::FailedPrecondition);
    assert!(refusal.why.contains("scsi1"), "{refusal}");
}

#[test]
fn a_vm_without_a_free_slot_is_full() {
    let mut world = world();
    for slot in Slot::all().skip(1) {
        world.vms.get_mut(&203).unwrap().now.insert(slot.to_string(), "none,media=cdrom".to_owned());
    }
    let seen = Attachment {
        others: Seen::Known(Vec::new()),
        config: Seen::Known(world.config(203, Flaw::None)),
        qemu: Seen::Known(Qemu::Stopped),
        spoiled: ["scsi1".parse().unwrap()].into(),
    };
    let Decision::Refuse(refusal) = publish(&Publish { vm: at(203), disk: disk(OURS[0]) }, &seen) else { panic!() };
    assert_eq!(refusal.kind, Kind::ResourceExhausted);
    assert!(refusal.why.contains("scsi1 are spoiled"), "{refusal}");
}

fn copying(busy: Vec<(pve_types::Vmid, Use)>) -> Copying {
    Copying { busy: Seen::Known(busy), holders: holders(), task: None, next: Seen::Absent }
}

fn make(name: &str, source: &str) -> MakeCopy {
    let of = CopyOf { kind: CopyKind::Snapshot, name: name.to_owned(), source: volume(source) };
    MakeCopy { of, place: place(), format: None, now: 1_795_464_407 }
}

#[test]
fn a_copy_is_made_once_and_found_again_by_its_name() {
    let mut world = world();
    let OrHolder::Go(Decision::Do(step)) = copy(&make("s1", OURS[0]), &copying(Vec::new()), TENANT) else { panic!() };
    let Step::Copy { slot, of, notes, .. } = *step else { panic!("{step:?}") };
    let holder = world.vms.get_mut(&HOLDER).unwrap();
    holder.notes = notes;
    holder.now.insert(slot.to_string(), format!("data:9100/vm-9100-disk-0.raw,serial={},size=1G", of.serial()));
    let Seen::Known(holder) = world.holder(HOLDER, Flaw::None) else { panic!() };
    let seen = Copying { holders: Seen::Known(vec![holder]), ..copying(Vec::new()) };
    let OrHolder::Go(Decision::Done(State::Ready(copy))) = copy(&make("s1", OURS[0]), &seen, TENANT) else { panic!() };
    assert_eq!(copy.volume, volume("data:9100/vm-9100-disk-0.raw"));
    let OrHolder::Go(Decision::Refuse(refusal)) = super::super::copy(&make("s1", OURS[1]), &seen, TENANT) else {
        panic!()
    };
    assert_eq!(refusal.kind, Kind::AlreadyExists);
}

#[test]
fn a_volume_that_a_vm_may_write_to_is_not_copied_and_a_failed_copy_is_told() {
    let of = Use { key: "scsi1".to_owned(), phase: Phase::Now, disk: disk(OURS[0]) };
    let OrHolder::Go(Decision::Refuse(refusal)) = copy(&make("s1", OURS[0]), &copying(vec![(vmid(201), of)]), TENANT)
    else {
        panic!()
    };
    assert_eq!(refusal.kind, Kind::FailedPrecondition);
    assert!(refusal.why.contains("VM 201 (scsi1)"), "{refusal}");
    let failed = Copying { task: Some(Task::Failed("no space left".to_owned())), ..copying(Vec::new()) };
    let OrHolder::Go(Decision::Refuse(refusal)) = copy(&make("s1", OURS[0]), &failed, TENANT) else { panic!() };
    assert!(refusal.why.contains("no space left"), "{refusal}");
    let running = Copying { task: Some(Task::Running), ..copying(Vec::new()) };
    assert_eq!(copy(&make("s1", OURS[0]), &running, TENANT), OrHolder::Go(Decision::Done(State::UnderWay)));
}

#[test]
fn a_volume_of_another_tenant_is_neither_freed_nor_grown() {
    let world = world();
    let theirs = volume(THEIRS[1]);
    let seen = Leftover {
        others: Seen::Known(Vec::new()),
        holder: world.holder(9200, Flaw::None),
        volume: Seen::Unasked,
        freed: false,
    };
    let Decision::Refuse(refusal) = delete(&theirs, &seen, TENANT) else { panic!() };
    assert_eq!(refusal.kind, Kind::FailedPrecondition);
    let seen = Growth {
        others: Seen::Known(Vec::new()),
        vm: Seen::Absent,
        holder: world.holder(9200, Flaw::None),
        size: Seen::Unasked,
    };
    assert!(matches!(grow(&theirs, Range::default(), &seen), Decision::Refuse(_)));
}

//! VMs as callers see them; what tasks do is looked at when they have ended.

use serde_json::{Value, json};

use crate::calls::Stop;
use crate::calls::ask::{ask, begin, refused, world};
use crate::state::World;
use crate::state::guest::System;

/// Lets all tasks end; how the last one that began did.
fn settled(world: &mut World) -> String {
    for _ in 0..2000 {
        if world.active.is_empty() {
            break;
        }
        let now = world.now + 0.5;
        world.advance(now);
    }
    let last = world.tasks.values().max_by_key(|t| t.order);
    last.map(crate::state::task::Task::exitstatus).unwrap_or_default()
}

fn task(world: &mut World, verb: &str, path: &str, form: &[(&str, &str)]) -> String {
    ask(world, verb, path, form).unwrap();
    settled(world)
}

/// A VM with a disk that it boots from, on.
fn running(system: System) -> World {
    running_on(system, "local:1")
}

fn running_on(system: System, disk: &str) -> World {
    let mut world = world("9.2");
    let form = [("vmid", "301"), ("scsi0", disk), ("scsihw", "virtio-scsi-single"), ("memory", "64")];
    assert_eq!(task(&mut world, "POST", "/nodes/pve1/qemu", &form), "OK");
    world.guests.get_mut(&301).unwrap().system = system;
    assert_eq!(task(&mut world, "POST", "/nodes/pve1/qemu/301/status/start", &[]), "OK");
    world
}

fn pending(world: &mut World, key: &str) -> Value {
    let rows = ask(world, "GET", "/nodes/pve1/qemu/301/pending", &[]).unwrap();
    rows.as_array().unwrap().iter().find(|row| row["key"] == key).cloned().unwrap_or_default()
}

const CONFIG: &str = "/nodes/pve1/qemu/301/config";

#[test]
fn a_disk_that_the_guest_keeps_stays_in_qemu_and_its_removal_waits() {
    let mut world = running(System::Empty);
    ask(&mut world, "PUT", CONFIG, &[("scsi4", "local:1")]).unwrap();
    let text = refused(&mut world, "PUT", CONFIG, &[("delete", "scsi4")]);
    assert!(text.contains("scsi4: hotplug problem") && text.contains("'virtioscsi4' - still busy"), "{text}");
    assert_eq!(pending(&mut world, "scsi4")["delete"], 1);
    assert!(world.guests[&301].run.as_ref().unwrap().devices.as_ref().unwrap().contains_key("scsi4"));
    task(&mut world, "POST", "/nodes/pve1/qemu/301/status/stop", &[]);
    assert_eq!(world.guests[&301].get("unused0"), Some("local:301/vm-301-disk-1.raw"));
}

#[test]
fn while_disks_are_unplugged_the_lock_file_is_held_and_their_removal_waits() {
    let mut world = running(System::Paper);
    ask(&mut world, "PUT", CONFIG, &[("scsi4", "local:1"), ("scsi5", "local:1")]).unwrap();
    let outcome = begin(&mut world, "PUT", CONFIG, &[("delete", "scsi4,scsi5")]).unwrap();
    let Err(Stop::Again(seconds)) = outcome else { panic!("{outcome:?}") };
    assert!((seconds - 2.0 * world.pace.of("unplug")).abs() < 1e-6, "one after the other: {seconds}");
    assert_eq!(pending(&mut world, "scsi4")["delete"], 1);
    let text = refused(&mut world, "PUT", CONFIG, &[("memory", "128")]);
    assert!(text.contains("got timeout"), "{text}");
    let halfway = world.now + seconds / 2.0;
    world.advance(halfway);
    assert_eq!(pending(&mut world, "scsi5")["delete"], 1);
    crate::calls::qemu::hotplug::go_on(&mut world, "pve1", 301).unwrap();
    assert!(pending(&mut world, "scsi4").is_null() && pending(&mut world, "scsi5").is_null());
    ask(&mut world, "PUT", CONFIG, &[("name", "free")]).unwrap();
}

#[test]
fn what_qemu_need_not_be_asked_for_takes_no_time() {
    let mut world = running(System::Paper);
    for form in [("name", "quick"), ("memory", "128"), ("delete", "scsi0"), ("ide2", "none,media=cdrom")] {
        let outcome = begin(&mut world, "PUT", CONFIG, &[form]).unwrap();
        assert!(!matches!(outcome, Err(Stop::Again(_))), "{form:?}: {outcome:?}");
    }
    let outcome = begin(&mut world, "PUT", CONFIG, &[("scsi7", "local:1")]).unwrap();
    assert!(matches!(outcome, Err(Stop::Again(_))), "{outcome:?}");
}

#[test]
fn the_disk_that_a_vm_boots_from_is_never_unplugged() {
    let mut world = running(System::Paper);
    let text = refused(&mut world, "PUT", CONFIG, &[("delete", "scsi0")]);
    assert!(text.contains("can't unplug bootdisk 'scsi0'"), "{text}");
}

#[test]
fn a_serial_that_qemu_refuses_is_accepted_and_poisons_its_slot_until_the_next_start() {
    let mut world = running(System::Paper);
    let long = format!("local:1,serial={}", "s".repeat(40));
    ask(&mut world, "PUT", CONFIG, &[("scsi2", &long)]).unwrap();
    assert!(!world.guests[&301].run.as_ref().unwrap().devices.as_ref().unwrap().contains_key("scsi2"));
    ask(&mut world, "PUT", CONFIG, &[("delete", "scsi2")]).unwrap();
    let text = refused(&mut world, "PUT", CONFIG, &[("scsi2", "local:1,serial=fine")]);
    assert!(text.contains("throttle-drive-scsi2"), "{text}");
    task(&mut world, "POST", "/nodes/pve1/qemu/301/status/stop", &[]);
    let now = world.now + 60.0;
    world.advance(now);
    task(&mut world, "POST", "/nodes/pve1/qemu/301/status/start", &[]);
    ask(&mut world, "PUT", CONFIG, &[("scsi3", "local:1,serial=fine")]).unwrap();
}

#[test]
fn options_that_qemu_fixes_at_its_start_wait_and_limits_do_not() {
    let mut world = running(System::Paper);
    ask(&mut world, "PUT", CONFIG, &[("scsi1", "local:1")]).unwrap();
    let volume = "local:301/vm-301-disk-1.raw";
    ask(&mut world, "PUT", CONFIG, &[("scsi1", &format!("{volume},mbps_rd=9"))]).unwrap();
    assert!(pending(&mut world, "scsi1").get("pending").is_none());
    ask(&mut world, "PUT", CONFIG, &[("scsi1", &format!("{volume},ssd=1"))]).unwrap();
    assert!(pending(&mut world, "scsi1")["pending"].as_str().unwrap().contains("ssd=1"));
    ask(&mut world, "PUT", CONFIG, &[("revert", "scsi1")]).unwrap();
    assert!(pending(&mut world, "scsi1").get("pending").is_none());
}

#[test]
fn a_disk_moves_to_another_storage_and_the_old_volume_stays_unused_or_goes() {
    let mut world = running(System::Paper);
    let path = "/nodes/pve1/qemu/301/move_disk";
    let text = refused(&mut world, "POST", path, &[("disk", "scsi0"), ("storage", "local")]);
    assert!(text.contains("same storage with same format"), "{text}");
    assert_eq!(task(&mut world, "POST", path, &[("disk", "scsi0"), ("storage", "shared")]), "OK");
    assert!(world.guests[&301].get("scsi0").unwrap().starts_with("shared:301/"));
    assert_eq!(world.guests[&301].get("unused0"), Some("local:301/vm-301-disk-0.raw"));
    let back = [("disk", "scsi0"), ("storage", "local"), ("delete", "1")];
    assert_eq!(task(&mut world, "POST", path, &back), "OK");
    assert!(world.volumes.find("shared:301/vm-301-disk-0.raw", "pve1").is_none());
}

#[test]
fn a_disk_that_another_vm_gets_has_that_vms_number_in_its_name() {
    let mut world = running(System::Paper);
    task(&mut world, "POST", "/nodes/pve1/qemu", &[("vmid", "302")]);
    let form = [("disk", "scsi0"), ("target-vmid", "302"), ("target-disk", "virtio3")];
    let path = "/nodes/pve1/qemu/301/move_disk";
    assert!(refused(&mut world, "POST", path, &form).contains("detach first"));
    task(&mut world, "POST", "/nodes/pve1/qemu/301/status/stop", &[]);
    assert_eq!(task(&mut world, "POST", path, &form), "OK");
    assert_eq!(world.guests[&302].get("virtio3"), Some("local:302/vm-302-disk-0.raw,size=1G"));
    assert_eq!(world.guests[&301].get("scsi0"), None);
}

#[test]
fn a_vm_with_a_local_disk_goes_live_only_if_its_disk_may_go_along() {
    let mut world = running(System::Paper);
    let path = "/nodes/pve1/qemu/301/migrate";
    assert!(refused(&mut world, "POST", path, &[("target", "pve2")]).contains("without --online"));
    let online = [("target", "pve2"), ("online", "1")];
    assert_eq!(task(&mut world, "POST", path, &online), "migration aborted");
    assert_eq!((world.guests[&301].node.as_str(), world.guests[&301].get("lock")), ("pve1", None));
    let with = [("target", "pve2"), ("online", "1"), ("with-local-disks", "1")];
    assert_eq!(task(&mut world, "POST", path, &with), "OK");
    assert_eq!(world.guests[&301].node, "pve2");
    assert!(world.guests[&301].running());
    assert!(world.volumes.find("local:301/vm-301-disk-0.raw", "pve2").is_some());
}

#[test]
fn a_vm_that_is_suspended_to_disk_keeps_its_memory_in_a_volume_until_it_starts() {
    let mut world = running(System::Paper);
    assert_eq!(task(&mut world, "POST", "/nodes/pve1/qemu/301/status/suspend", &[("todisk", "1")]), "OK");
    let guest = &world.guests[&301];
    assert_eq!((guest.running(), guest.get("lock")), (false, Some("suspended")));
    let state = guest.get("vmstate").unwrap().to_owned();
    assert!(refused(&mut world, "PUT", CONFIG, &[("cores", "2")]).contains("VM is locked (suspended)"));
    assert_eq!(task(&mut world, "POST", "/nodes/pve1/qemu/301/status/start", &[]), "OK");
    assert!(world.guests[&301].running() && world.guests[&301].get("lock").is_none());
    assert!(world.volumes.find(&state, "pve1").is_none());
}

#[test]
fn a_task_whose_lock_file_somebody_holds_says_so_and_gives_up() {
    let mut world = running(System::Paper);
    let until = world.now + 1000.0;
    world.guests.get_mut(&301).unwrap().locked_until = until;
    let text = task(&mut world, "POST", "/nodes/pve1/qemu/301/status/stop", &[]);
    assert!(text.contains("lock-301.conf' - got timeout"), "{text}");
    let last = world.tasks.values().max_by_key(|t| t.order).unwrap();
    assert_eq!(last.log[0], "trying to acquire lock...");
}

#[test]
fn a_guest_of_paper_reads_what_was_written_and_tells_of_a_process_once() {
    let mut world = running(System::Linux);
    ask(&mut world, "PUT", CONFIG, &[("agent", "1")]).unwrap();
    task(&mut world, "POST", "/nodes/pve1/qemu/301/status/stop", &[]);
    let now = world.now + 60.0;
    world.advance(now);
    task(&mut world, "POST", "/nodes/pve1/qemu/301/status/start", &[]);
    let agent = |name: &str| format!("/nodes/pve1/qemu/301/agent/{name}");
    ask(&mut world, "POST", &agent("file-write"), &[("file", "/tmp/n"), ("content", "some text")]).unwrap();
    let read = ask(&mut world, "GET", &agent("file-read"), &[("file", "/tmp/n")]).unwrap();
    assert_eq!(read, json!({"content": "some text", "bytes-read": 9}));
    let pid = ask(&mut world, "POST", &agent("exec"), &[("command", r#"["echo","x"]"#)]).unwrap()["pid"].to_string();
    let done = ask(&mut world, "GET", &agent("exec-status"), &[("pid", &pid)]).unwrap();
    assert_eq!(done, json!({"exited": 1, "exitcode": 0, "out-data": "x\n", "out-truncated": 0}));
    assert!(refused(&mut world, "GET", &agent("exec-status"), &[("pid", &pid)]).contains("does not exist"));
}

#[test]
fn an_image_that_two_write_to_loses_its_snapshots_and_ends_the_vm_that_it_is_taken_from() {
    let mut world = running_on(System::Paper, "local:1,format=qcow2");
    let holder = [("vmid", "302"), ("scsi1", "local:1,format=qcow2"), ("memory", "64")];
    assert_eq!(task(&mut world, "POST", "/nodes/pve1/qemu", &holder), "OK");
    let volume = "local:302/vm-302-disk-0.qcow2";
    ask(&mut world, "PUT", CONFIG, &[("scsi4", volume)]).unwrap();
    let snapshot = "/nodes/pve1/qemu/302/snapshot";
    assert_eq!(task(&mut world, "POST", snapshot, &[("snapname", "a1")]), "OK", "nothing locks the image");
    let resize = [("disk", "scsi4"), ("size", "2G")];
    assert_eq!(task(&mut world, "PUT", "/nodes/pve1/qemu/301/resize", &resize), "OK");
    let own = task(&mut world, "POST", "/nodes/pve1/qemu/301/snapshot", &[("snapname", "b1")]);
    assert!(own.contains("'drive-scsi4': Input/output error"), "{own}");
    assert!(world.guests[&301].snapshots.is_empty());
    let text = refused(&mut world, "PUT", CONFIG, &[("delete", "scsi4")]);
    assert!(text.contains("client closed connection"), "{text}");
    assert!(!world.guests[&301].running());
    let gone = task(&mut world, "DELETE", &format!("{snapshot}/a1"), &[]);
    assert!(gone.ends_with("failed: exit code 1"), "{gone}");
    assert_eq!(world.guests[&302].get("lock"), Some("snapshot-delete"));
}

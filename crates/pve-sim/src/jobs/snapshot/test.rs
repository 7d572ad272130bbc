//! Snapshots of guests on storages of all kinds.

use serde_json::{Value, json};

use crate::calls::ask::{ask, ask_as, refused};
use crate::options::Options;
use crate::state::guest::{Config, Guest, GuestKind};
use crate::state::task::Task;
use crate::state::{World, default_world};

const VM: &str = "/nodes/pve1/qemu/301";

fn options(storages: &[&str]) -> Options {
    Options { storages: storages.iter().map(|s| (*s).to_owned()).collect(), speed: 1.0, ..Options::default() }
}

/// A VM that is off, with a disk on this storage.
fn with_disk(disk: &str) -> World {
    let mut world =
        default_world::build(&options(&["nfs", "lvm", "lvmthin", "zfspool", "rbd", "btrfs"]), 1.0e9, "AA:BB");
    let chain = ("snapshot-as-volume-chain".to_owned(), "1".to_owned());
    world.storages.get_mut("lvm").unwrap().more.extend([chain]);
    let form = [("vmid", "301"), ("scsi0", disk), ("memory", "64"), ("vmgenid", "1"), ("description", "first")];
    assert_eq!(task(&mut world, "POST", "/nodes/pve1/qemu", &form), "OK", "{disk}");
    world
}

/// Lets all tasks end; how the one that began last did.
fn settled(world: &mut World) -> String {
    while !world.active.is_empty() {
        let now = world.now + 0.5;
        world.advance(now);
    }
    world.tasks.values().max_by_key(|t| t.order).map(Task::exitstatus).unwrap_or_default()
}

fn task(world: &mut World, verb: &str, path: &str, form: &[(&str, &str)]) -> String {
    ask(world, verb, path, form).unwrap();
    settled(world)
}

fn take(world: &mut World, name: &str, form: &[(&str, &str)]) -> String {
    let form: Vec<(&str, &str)> = [("snapname", name)].into_iter().chain(form.iter().copied()).collect();
    task(world, "POST", &format!("{VM}/snapshot"), &form)
}

fn back(world: &mut World, name: &str) -> String {
    task(world, "POST", &format!("{VM}/snapshot/{name}/rollback"), &[])
}

fn drop_snapshot(world: &mut World, name: &str) -> String {
    task(world, "DELETE", &format!("{VM}/snapshot/{name}"), &[])
}

/// Each snapshot with what it comes from.
fn family(world: &mut World) -> Vec<(String, Value)> {
    let rows = ask(world, "GET", &format!("{VM}/snapshot"), &[]).unwrap();
    let pair = |row: &Value| (row["name"].as_str().unwrap().to_owned(), row["parent"].clone());
    rows.as_array().unwrap().iter().map(pair).collect()
}

fn named(pairs: &[(&str, Value)]) -> Vec<(String, Value)> {
    pairs.iter().map(|(name, parent)| ((*name).to_owned(), parent.clone())).collect()
}

fn log(world: &World) -> &[String] {
    world.tasks.values().max_by_key(|t| t.order).map(|t| t.log.as_slice()).unwrap()
}

#[test]
fn one_taken_from_the_middle_hands_its_children_to_its_parent() {
    let mut world = with_disk("shared:1,format=qcow2");
    for name in ["a1", "b2", "c3"] {
        assert_eq!(take(&mut world, name, &[]), "OK");
    }
    let chain = [("a1", Value::Null), ("b2", json!("a1")), ("c3", json!("b2")), ("current", json!("c3"))];
    assert_eq!(family(&mut world), named(&chain));
    assert_eq!(drop_snapshot(&mut world, "b2"), "OK");
    assert_eq!(family(&mut world), named(&[("a1", Value::Null), ("c3", json!("a1")), ("current", json!("c3"))]));
    assert_eq!(drop_snapshot(&mut world, "c3"), "OK");
    assert_eq!(family(&mut world), named(&[("a1", Value::Null), ("current", json!("a1"))]));
    assert_eq!(drop_snapshot(&mut world, "b2"), "snapshot 'b2' does not exist");
    assert!(world.guests[&301].get("lock").is_none());
}

#[test]
fn one_that_was_gone_back_to_is_what_the_next_comes_from() {
    let mut world = with_disk("rbd:1");
    take(&mut world, "a1", &[]);
    take(&mut world, "b2", &[]);
    assert_eq!(back(&mut world, "a1"), "OK", "this storage takes any");
    take(&mut world, "c3", &[]);
    let tree = [("a1", Value::Null), ("b2", json!("a1")), ("c3", json!("a1")), ("current", json!("c3"))];
    assert_eq!(family(&mut world), named(&tree));
}

#[test]
fn disks_that_can_have_none_refuse_and_nothing_is_left() {
    for disk in ["local:1,format=raw", "shared:1,format=vmdk", "lvm:1,format=raw"] {
        let mut world = with_disk(disk);
        assert_eq!(take(&mut world, "a1", &[]), "snapshot feature is not available", "{disk}");
        assert!(world.guests[&301].snapshots.is_empty() && world.guests[&301].get("lock").is_none());
    }
    for disk in ["local:1,format=qcow2", "local-lvm:1", "local-zfs:1", "rbd:1", "lvm:1,format=qcow2", "local-btrfs:1"] {
        assert_eq!(take(&mut with_disk(disk), "a1", &[]), "OK", "{disk}");
    }
}

#[test]
fn only_the_newest_is_gone_back_to_where_others_would_have_to_go_first() {
    for (disk, volume) in
        [("local-zfs:1", "local-zfs:vm-301-disk-0"), ("lvm:1,format=qcow2", "lvm:vm-301-disk-0.qcow2")]
    {
        let mut world = with_disk(disk);
        take(&mut world, "a1", &[]);
        take(&mut world, "b2", &[]);
        let text = format!("can't rollback, 'a1' is not most recent snapshot on '{volume}'");
        assert_eq!(back(&mut world, "a1"), text);
        assert!(world.guests[&301].get("lock").is_none());
        assert_eq!(back(&mut world, "b2"), "OK");
        assert_eq!(drop_snapshot(&mut world, "b2"), "OK");
        assert_eq!(back(&mut world, "a1"), "OK");
    }
    for disk in ["local-lvm:1", "rbd:1", "shared:1,format=qcow2"] {
        let mut world = with_disk(disk);
        take(&mut world, "a1", &[]);
        take(&mut world, "b2", &[]);
        assert_eq!(back(&mut world, "a1"), "OK", "{disk}");
    }
}

#[test]
fn a_disk_that_a_newer_snapshot_does_not_have_is_in_nobodys_way() {
    let mut world = with_disk("local-zfs:1");
    take(&mut world, "a1", &[]);
    let config = format!("{VM}/config");
    ask(&mut world, "PUT", &config, &[("delete", "scsi0")]).unwrap();
    take(&mut world, "b2", &[]);
    assert_eq!(back(&mut world, "a1"), "OK");
    assert!(world.guests[&301].get("scsi0").is_some());
}

#[test]
fn the_memory_is_a_volume_where_the_disks_are_and_goes_with_its_snapshot() {
    let mut world = with_disk("rbd:1");
    assert_eq!(take(&mut world, "off", &[("vmstate", "1")]), "OK");
    assert!(!world.guests[&301].snapshots["off"].vmstate, "a VM that is off has no memory");
    task(&mut world, "POST", &format!("{VM}/status/start"), &[]);
    assert_eq!(take(&mut world, "on", &[("vmstate", "1")]), "OK");
    assert!(log(&world).iter().any(|l| l == "saving VM state and RAM using storage 'rbd'"), "{:?}", log(&world));
    let kept = ask(&mut world, "GET", &format!("{VM}/snapshot/on/config"), &[]).unwrap();
    assert_eq!((&kept["vmstate"], &kept["parent"]), (&json!("rbd:vm-301-state-on"), &json!("off")));
    let volume = world.volumes.find("rbd:vm-301-state-on", "pve1").unwrap();
    assert!(volume.size > 128 << 20, "twice the memory and more: {}", volume.size);
    assert_eq!(drop_snapshot(&mut world, "on"), "OK");
    assert!(world.volumes.find("rbd:vm-301-state-on", "pve1").is_none());
}

#[test]
fn the_memory_goes_where_the_vm_says_and_without_room_there_is_no_snapshot() {
    let mut world = with_disk("shared:1,format=qcow2");
    ask(&mut world, "PUT", &format!("{VM}/config"), &[("vmstatestorage", "local")]).unwrap();
    task(&mut world, "POST", &format!("{VM}/status/start"), &[]);
    assert_eq!(take(&mut world, "on", &[("vmstate", "1")]), "OK");
    assert!(world.volumes.find("local:301/vm-301-state-on.raw", "pve1").is_some());
    world.storage_full("local");
    let text = take(&mut world, "more", &[("vmstate", "1")]);
    assert!(text.contains("No space left on device"), "{text}");
    assert!(log(&world).iter().any(|l| l == "snapshot create failed: starting cleanup"));
    assert!(!world.guests[&301].snapshots.contains_key("more") && world.guests[&301].get("lock").is_none());
}

#[test]
fn a_vm_is_as_it_was_but_for_its_description_and_disks_that_came_since() {
    let mut world = with_disk("shared:1,format=qcow2");
    assert_eq!(take(&mut world, "a1", &[("description", "of the snapshot")]), "OK");
    let config = format!("{VM}/config");
    let change = [("memory", "128"), ("description", "second"), ("scsi1", "shared:2,format=qcow2")];
    ask(&mut world, "PUT", &config, &change).unwrap();
    task(&mut world, "PUT", &format!("{VM}/resize"), &[("disk", "scsi0"), ("size", "3G")]);
    let before = world.guests[&301].get("vmgenid").unwrap().to_owned();
    assert_eq!(back(&mut world, "a1"), "OK");
    let guest = &world.guests[&301];
    assert_eq!((guest.get("memory"), guest.get("description")), (Some("64"), Some("second")));
    assert_eq!((guest.get("scsi1"), guest.get("unused0")), (None, Some("shared:301/vm-301-disk-1.qcow2")));
    assert_ne!(guest.get("vmgenid"), Some(before.as_str()));
    assert!(guest.get("scsi0").unwrap().ends_with("size=1G"));
    assert_eq!(world.volumes.find("shared:301/vm-301-disk-0.qcow2", "pve1").unwrap().size, 1 << 30);
    assert!(!guest.running() && guest.get("lock").is_none() && guest.get("vmstate").is_none());
}

#[test]
fn a_vm_runs_afterwards_if_its_memory_was_kept_or_if_that_is_asked_for() {
    let mut world = with_disk("shared:1,format=qcow2");
    task(&mut world, "POST", &format!("{VM}/status/start"), &[]);
    take(&mut world, "disk", &[]);
    take(&mut world, "memory", &[("vmstate", "1")]);
    assert_eq!(back(&mut world, "disk"), "OK");
    assert!(!world.guests[&301].running());
    assert_eq!(back(&mut world, "memory"), "OK");
    assert!(world.guests[&301].running() && world.guests[&301].get("vmstate").is_none());
    assert_eq!(task(&mut world, "POST", &format!("{VM}/snapshot/disk/rollback"), &[("start", "1")]), "OK");
    assert!(world.guests[&301].running());
}

#[test]
fn whoever_may_only_go_back_may_not_start() {
    let mut world = with_disk("shared:1,format=qcow2");
    take(&mut world, "a1", &[]);
    let form = [("roleid", "Back"), ("privs", "VM.Snapshot.Rollback")];
    ask(&mut world, "POST", "/access/roles", &form).unwrap();
    ask(&mut world, "POST", "/access/users", &[("userid", "b@pve")]).unwrap();
    ask(&mut world, "PUT", "/access/acl", &[("path", "/vms"), ("roles", "Back"), ("users", "b@pve")]).unwrap();
    let path = format!("{VM}/snapshot/a1/rollback");
    let fail = ask_as(&mut world, "b@pve", "POST", &path, &[("start", "1")]).unwrap_err();
    assert_eq!(fail.message.trim_end(), "Permission check failed (/vms/301, VM.PowerMgmt)");
    ask_as(&mut world, "b@pve", "POST", &path, &[]).unwrap();
}

#[test]
fn while_it_is_made_the_configuration_is_locked_and_stopping_it_leaves_nothing() {
    let mut world = with_disk("shared:1,format=qcow2");
    task(&mut world, "POST", &format!("{VM}/status/start"), &[]);
    let upid = ask(&mut world, "POST", &format!("{VM}/snapshot"), &[("snapname", "a1"), ("vmstate", "1")]).unwrap();
    let halfway = world.now + world.pace.of("snapshot") * 0.6;
    world.advance(halfway);
    let rows = ask(&mut world, "GET", &format!("{VM}/snapshot"), &[]).unwrap();
    assert_eq!((&rows[0]["name"], &rows[0]["snapstate"]), (&json!("a1"), &json!("prepare")));
    let text = refused(&mut world, "PUT", &format!("{VM}/config"), &[("memory", "128")]);
    assert_eq!(text, "VM is locked (snapshot)");
    let path = format!("/nodes/pve1/tasks/{}", upid.as_str().unwrap());
    ask(&mut world, "DELETE", &path, &[]).unwrap();
    assert!(world.guests[&301].snapshots.is_empty() && world.guests[&301].get("lock").is_none());
    assert!(world.volumes.of(301).all(|v| !v.name.contains("state")));
}

#[test]
fn the_log_tells_each_disk() {
    let mut world = with_disk("local-lvm:1");
    ask(&mut world, "PUT", &format!("{VM}/config"), &[("scsi1", "shared:1,format=qcow2")]).unwrap();
    task(&mut world, "POST", &format!("{VM}/status/start"), &[]);
    take(&mut world, "a1", &[]);
    let wanted = [
        "snapshotting 'drive-scsi0' (local-lvm:vm-301-disk-0)",
        "  Logical volume \"snap_vm-301-disk-0_a1\" created.",
        "snapshotting 'drive-scsi1' (shared:301/vm-301-disk-0.qcow2)",
        "internal qemu snapshot",
        "TASK OK",
    ];
    assert_eq!(log(&world), wanted);
}

#[test]
fn what_is_said_of_a_snapshot_can_be_changed_and_its_name_is_its_own() {
    let mut world = with_disk("shared:1,format=qcow2");
    take(&mut world, "a1", &[]);
    assert_eq!(take(&mut world, "a1", &[]), "snapshot name 'a1' already used");
    let config = format!("{VM}/snapshot/a1/config");
    ask(&mut world, "PUT", &config, &[("description", "before the upgrade")]).unwrap();
    assert_eq!(ask(&mut world, "GET", &config, &[]).unwrap()["description"], "before the upgrade");
    let text = refused(&mut world, "POST", &format!("{VM}/snapshot"), &[("snapname", "pending")]);
    assert_eq!(text, "unable to use snapshot name 'pending' (reserved name)");
}

#[test]
fn containers_have_the_same_rules() {
    let mut world = default_world::build(&options(&["zfspool"]), 1.0e9, "AA:BB");
    let config = Config::from([("rootfs".to_owned(), "local-zfs:subvol-302-disk-0,size=1G".to_owned())]);
    let guest = Guest { kind: GuestKind::Lxc, ..Guest::new(302, "pve1", config) };
    let volume = world.image("local-zfs", "pve1", "subvol-302-disk-0", "subvol", 1 << 30, 302);
    world.volumes.insert(volume);
    world.guests.insert(302, guest);
    let path = "/nodes/pve1/lxc/302/snapshot";
    for name in ["a1", "b2"] {
        assert_eq!(task(&mut world, "POST", path, &[("snapname", name)]), "OK");
    }
    let text = task(&mut world, "POST", &format!("{path}/a1/rollback"), &[]);
    assert_eq!(text, "can't rollback, 'a1' is not most recent snapshot on 'local-zfs:subvol-302-disk-0'");
    assert_eq!(task(&mut world, "DELETE", &format!("{path}/a1"), &[]), "OK");
    let rows = ask(&mut world, "GET", path, &[]).unwrap();
    assert_eq!((&rows[0]["name"], &rows[0]["parent"], &rows[0]["vmstate"]), (&json!("b2"), &Value::Null, &Value::Null));
    world.guests.get_mut(&302).unwrap().config.insert("lock".to_owned(), "backup".to_owned());
    assert_eq!(task(&mut world, "POST", path, &[("snapname", "c3")]), "CT is locked (backup)");
}

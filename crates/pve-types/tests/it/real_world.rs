//! Texts as a Proxmox VE writes them.

use pve_types::{
    DiskFile, DiskSize, DiskSpec, GuestConfig, Media, NetDevice, NodeName, PoolId, Smbios1, StorageId, Tags, Upid,
    Vmid, VolumeId,
};
use serde_json::json;

#[test]
fn a_vm_number_is_between_100_and_999999999() {
    for good in ["100", "101", "999999999"] {
        assert_eq!(good.parse::<Vmid>().unwrap().to_string(), good);
    }
    for bad in ["", "0", "99", "1000000000", "+100", "0100", "1e3", "-100", " 100", "4294967396"] {
        let error = bad.parse::<Vmid>().unwrap_err();
        assert_eq!(error.value, bad, "the error names what was given");
    }
    assert_eq!(
        "99".parse::<Vmid>().unwrap_err().to_string(),
        "`99` is not a VM number: Proxmox numbers guests from 100 to 999999999"
    );
}

#[test]
fn a_vm_number_reads_from_number_and_text() {
    for value in [json!(100), json!("100")] {
        assert_eq!(serde_json::from_value::<Vmid>(value).unwrap().get(), 100);
    }
    assert!(serde_json::from_value::<Vmid>(json!(99)).is_err());
    assert!(serde_json::from_value::<Vmid>(json!(100.5)).is_err());
}

#[test]
fn names_cannot_leave_their_place_in_a_path() {
    for bad in ["", ".", "..", "a/b", "a b", "-a", "a-", "a%2f", "ä"] {
        assert!(bad.parse::<NodeName>().is_err(), "node `{bad}`");
    }
    for bad in ["", "a", "..", "a/b", "1ab", "ab-", "a b"] {
        assert!(bad.parse::<StorageId>().is_err(), "storage `{bad}`");
    }
    for bad in ["", "/", "a//b", "..", "a/../b", "a/b/c/d", "a b"] {
        assert!(bad.parse::<PoolId>().is_err(), "pool `{bad}`");
    }
    assert!("local-lvm".parse::<StorageId>().is_ok());
    assert!("dev/team-1".parse::<PoolId>().is_ok());
    assert!("pve1".parse::<NodeName>().is_ok());
}

#[test]
fn a_task_id_of_a_token_reads_whole() {
    let text = "UPID:pve1:0001F4A2:00A3B1C4:6741B2F0:qmclone:9000:capi@pve!t:";
    let upid: Upid = text.parse().unwrap();
    assert_eq!(upid.node.as_str(), "pve1");
    assert_eq!(upid.pid, 128_162);
    assert_eq!(upid.starttime, 1_732_358_896);
    assert_eq!(upid.kind, "qmclone");
    assert_eq!(upid.vmid(), Some(9000.try_into().unwrap()));
    assert_eq!(upid.user, "capi@pve!t");
    assert_eq!(upid.to_string(), text);
}

#[test]
fn a_task_id_may_lack_its_object_and_have_a_long_start() {
    let text = "UPID:pve1:0001F4A2:10A3B1C40:6741B2F0:imgcopy::root@pam:";
    let upid: Upid = text.parse().unwrap();
    assert_eq!((upid.id.as_str(), upid.vmid()), ("", None));
    assert_eq!(upid.to_string(), text);
}

#[test]
fn what_is_no_task_id_is_refused() {
    for bad in [
        "",
        "OK",
        "UPID:pve1:0001F4A2:00A3B1C4:6741B2F0:qmclone:9000:capi@pve!t",
        "UPID:pve1:1F4A2:00A3B1C4:6741B2F0:qmclone:9000:capi@pve:",
        "UPID:pve1:0001F4A2:00A3B1C4:6741B2F0::9000:capi@pve:",
        "UPID:pve1:+001F4A2:00A3B1C4:6741B2F0:qmclone:9000:capi@pve:",
        "UPID:pv/1:0001F4A2:00A3B1C4:6741B2F0:qmclone:9000:capi@pve:",
    ] {
        assert!(bad.parse::<Upid>().is_err(), "`{bad}`");
    }
}

#[test]
fn a_volume_is_owned_by_whom_its_name_says() {
    for (text, owner) in [
        ("local-lvm:vm-101-disk-0", Some(101)),
        ("data:9001/vm-9001-disk-0.qcow2", Some(9001)),
        ("data:9000/base-9000-disk-0.raw/9001/vm-9001-disk-0.qcow2", Some(9001)),
        ("tank:base-100-disk-0/vm-101-disk-0", Some(101)),
        ("tank:base-100-disk-0", Some(100)),
        ("tank:subvol-200-disk-1", Some(200)),
        ("local-lvm:vm-101-cloudinit", Some(101)),
        ("data:9999/vm-9999-pvc-0b1c.raw", Some(9999)),
        ("local:iso/vm-101-disk-0.iso", None),
        ("local:backup/vzdump-qemu-101-2026_01_01-00_00_00.vma.zst", None),
        ("local:snippets/user.yaml", None),
        ("data:32", None),
        ("data:cloudinit", None),
        ("san:0.0.1.scsi-36001405", None),
    ] {
        let volume: VolumeId = text.parse().unwrap();
        assert_eq!(volume.owner().map(Vmid::get), owner, "`{text}`");
        assert_eq!(volume.to_string(), text);
    }
}

#[test]
fn a_linked_clone_names_its_base() {
    for (text, base) in [
        ("data:9000/base-9000-disk-0.raw/9001/vm-9001-disk-0.qcow2", Some("data:9000/base-9000-disk-0.raw")),
        ("tank:base-100-disk-0/vm-101-disk-0", Some("tank:base-100-disk-0")),
        ("local-lvm:vm-101-disk-0", None),
        ("data:9001/vm-9001-disk-0.qcow2", None),
    ] {
        let volume: VolumeId = text.parse().unwrap();
        assert_eq!(volume.base().map(|b| b.to_string()).as_deref(), base);
    }
}

#[test]
fn sizes_print_as_proxmox_prints_them() {
    for (text, bytes, printed) in [
        ("32G", 32 << 30, "32G"),
        ("528K", 528 << 10, "528K"),
        ("366K", 366 << 10, "366K"),
        ("4M", 4 << 20, "4M"),
        ("1024G", 1 << 40, "1T"),
        ("1025", 1025, "1025"),
        ("0.5G", 512 << 20, "512M"),
        ("1.5T", 1536 << 30, "1536G"),
        ("0", 0, "0"),
    ] {
        let size: DiskSize = text.parse().unwrap();
        assert_eq!(size.bytes(), bytes, "`{text}`");
        assert_eq!(size.to_string(), printed);
    }
    for bad in ["", "G", "32GB", "32g", "-1", "1.G", ".5G", "1 G", "99999999999T", "32GG"] {
        assert!(bad.parse::<DiskSize>().is_err(), "`{bad}`");
    }
}

#[test]
fn a_disk_keeps_the_options_we_have_no_word_for() {
    let text = "data:9000/base-9000-disk-0.raw,discard=on,iothread=1,size=1G";
    let disk: DiskSpec = text.parse().unwrap();
    assert_eq!(disk.size, Some(DiskSize::from_gib(1)));
    assert_eq!(disk.option("discard"), Some("on"));
    assert_eq!(disk.to_string(), text);
    let other_order: DiskSpec = "iothread=1,size=1G,file=data:9000/base-9000-disk-0.raw,discard=on".parse().unwrap();
    assert_eq!(other_order, disk);
}

#[test]
fn a_cd_drive_may_be_empty() {
    let disk: DiskSpec = "none,media=cdrom".parse().unwrap();
    assert_eq!((&disk.file, disk.media), (&DiskFile::Empty, Some(Media::Cdrom)));
    assert!(disk.is_cdrom() && disk.volume().is_none());
    assert_eq!(disk.to_string(), "none,media=cdrom");
    for bad in ["", "media=cdrom", "data:1,media=tape", "data:1,size=big", "justaname"] {
        assert!(bad.parse::<DiskSpec>().is_err(), "`{bad}`");
    }
}

#[test]
fn a_network_card_reads_in_all_its_spellings() {
    let stored: NetDevice = "virtio=BC:24:11:10:8E:60,bridge=vmbr0,tag=7".parse().unwrap();
    assert_eq!(stored.mac.unwrap().to_string(), "BC:24:11:10:8E:60");
    assert_eq!((stored.bridge.as_deref(), stored.vlan), (Some("vmbr0"), Some(7)));
    for same in [
        "model=virtio,macaddr=BC:24:11:10:8E:60,bridge=vmbr0,tag=7",
        "virtio,tag=7,macaddr=bc:24:11:10:8e:60,bridge=vmbr0",
        "bridge=vmbr0,virtio=bc:24:11:10:8e:60,tag=7,firewall=0",
    ] {
        assert_eq!(same.parse::<NetDevice>().unwrap(), stored, "`{same}`");
    }
    assert_eq!("virtio,bridge=vmbr0".parse::<NetDevice>().unwrap(), NetDevice::virtio("vmbr0"));
    for bad in ["", "bridge=vmbr0", "virtio,tag=0", "virtio,tag=4095", "virtio,mtu=x", "virtio,firewall=2"] {
        assert!(bad.parse::<NetDevice>().is_err(), "`{bad}`");
    }
}

#[test]
fn tags_compare_as_sets() {
    let a = Tags::parse("b;a");
    assert_eq!(a, Tags::parse("A, b"));
    assert_eq!(a.to_string(), "a;b");
    assert!(a.contains("B") && !a.contains("c"));
    let mut mine = Tags::new();
    assert!(mine.insert("ip_net0_10.0.0.1").unwrap());
    assert!(mine.insert("no:colon").is_err());
    assert!(mine.insert("-dash").is_err());
    assert!(mine.insert("").is_err());
}

#[test]
fn a_machine_uuid_is_lower_case() {
    let smbios: Smbios1 = "uuid=19EA7E83-9B06-4E1D-9EEA-700692261345,base64=1,serial=eA==".parse().unwrap();
    assert_eq!(smbios.uuid.unwrap().to_string(), "19ea7e83-9b06-4e1d-9eea-700692261345");
    assert_eq!(smbios.options["serial"], "eA==");
    assert!("uuid=19ea7e839b064e1d9eea700692261345".parse::<Smbios1>().is_err());
}

#[test]
fn a_configuration_reads_from_every_version() {
    let config: GuestConfig = serde_json::from_value(json!({
        "name": "node-1", "memory": "2048", "cores": 2, "sockets": "1", "template": 1,
        "tags": "b;a", "lock": "clone", "digest": "abc", "agent": "enabled=1,type=virtio",
        "boot": "order=ide2;scsi0", "smbios1": "uuid=19ea7e83-9b06-4e1d-9eea-700692261345",
        "net0": "virtio=BC:24:11:10:8E:60,bridge=vmbr0", "net31": "virtio,bridge=vmbr1",
        "scsi0": "data:9001/vm-9001-disk-0.qcow2,size=2G", "ide2": "local:iso/x.iso,media=cdrom,size=366K",
        "unused3": "data:9001/vm-9001-disk-3.raw", "efidisk0": "data:9001/vm-9001-disk-1.raw,size=528K",
        "scsihw": "virtio-scsi-single", "onboot": 1, "vmgenid": "x", "net07": "odd", "scsi1": "???",
        "description": "line\nline",
    }))
    .unwrap();
    assert_eq!((config.cores, config.sockets, config.memory), (Some(2), Some(1), Some(2048)));
    assert!(config.template && config.agent_enabled());
    assert_eq!(config.total_cores(), 2);
    assert_eq!(config.nets.keys().copied().collect::<Vec<_>>(), [0, 31]);
    assert_eq!(config.disks.keys().map(String::as_str).collect::<Vec<_>>(), ["efidisk0", "ide2", "scsi0", "unused3"]);
    assert_eq!(config.attached().count(), 3);
    assert_eq!(config.boot_disk().unwrap().0, "scsi0", "a CD is no disk");
    assert_eq!(config.other["onboot"], "1");
    assert_eq!(config.other["scsi1"], "???", "what does not parse is kept");
    assert_eq!(config.other["net07"], "odd");
    assert_eq!(config.description.as_deref(), Some("line\nline"));

    let old: GuestConfig = serde_json::from_value(json!({"memory": 512, "agent": 1})).unwrap();
    assert_eq!(old.memory, Some(512));
    assert!(old.agent_enabled());
    let off: GuestConfig = serde_json::from_value(json!({"agent": "0", "memory": "current=64"})).unwrap();
    assert!(!off.agent_enabled());
    assert_eq!(off.memory, Some(64));
}

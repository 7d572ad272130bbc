//! `parse(print(x)) == x`, for whatever x.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Display};
use std::str::FromStr;

use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use pve_types::{
    DiskFile, DiskSize, DiskSpec, GuestConfig, MacAddr, Media, NetDevice, NodeName, PropertyString, Smbios1,
    SmbiosUuid, StorageId, Tags, Upid, Vmid, VolumeId,
};

fn comes_back<T>(value: &T) -> Result<(), TestCaseError>
where
    T: Display + FromStr + PartialEq + Debug + serde::Serialize + serde::de::DeserializeOwned,
    T::Err: Debug,
{
    let text = value.to_string();
    let again: T = text
        .parse()
        .map_err(|e| TestCaseError::fail(format!("`{text}`, printed from {value:?}, does not parse: {e:?}")))?;
    prop_assert_eq!(&again, value, "by way of `{}`", text);
    let json = serde_json::to_string(value).unwrap();
    let again: T = serde_json::from_str(&json).unwrap();
    prop_assert_eq!(&again, value, "by way of {}", json);
    Ok(())
}

fn vmid() -> impl Strategy<Value = Vmid> {
    (Vmid::MIN..=Vmid::MAX).prop_map(|n| n.try_into().unwrap())
}

fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr)
}

fn volume() -> impl Strategy<Value = VolumeId> {
    ("[a-zA-Z][a-zA-Z0-9_.-]{0,8}[a-zA-Z0-9]", "[!-+.-~]{1,40}")
        .prop_map(|(storage, name)| VolumeId { storage: storage.parse().unwrap(), name: name.replace('=', "-") })
}

fn options(not: &'static [&'static str]) -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map("[a-z][a-z0-9_-]{1,12}", "[!-+.-~]{1,20}", 0..5).prop_map(move |mut map| {
        // A value that is an address reads as the card's own, as in Proxmox.
        map.retain(|key, value| !not.contains(&key.as_str()) && value.parse::<MacAddr>().is_err());
        map
    })
}

fn disk() -> impl Strategy<Value = DiskSpec> {
    let file = prop_oneof![
        volume().prop_map(DiskFile::Volume),
        Just(DiskFile::Empty),
        Just(DiskFile::HostDrive),
        "/[a-z0-9/._-]{1,20}".prop_map(DiskFile::Path),
    ];
    let media = prop_oneof![Just(Media::Disk), Just(Media::Cdrom)];
    (file, of(any::<u64>().prop_map(DiskSize::from_bytes)), of(media), options(&["file", "volume", "media", "size"]))
        .prop_map(|(file, size, media, options)| DiskSpec { file, size, media, options })
}

const CARD: &[&str] =
    &["model", "macaddr", "bridge", "tag", "mtu", "queues", "firewall", "link_down", "trunks", "rate"];

fn net() -> impl Strategy<Value = NetDevice> {
    (
        "(virtio|e1000|vmxnet3|rtl8139)",
        of(mac()),
        of("[a-z][a-z0-9]{1,8}"),
        of(1..=4094u16),
        of(any::<u32>()),
        of(any::<u32>()),
        any::<(bool, bool)>(),
        of("[0-9]{1,3};[0-9]{1,3}-[0-9]{1,3}"),
        of("[0-9]{1,4}[.][0-9]"),
        options(CARD),
    )
        .prop_map(|(model, mac, bridge, vlan, mtu, queues, (firewall, link_down), trunks, rate, other)| {
            NetDevice { model, mac, bridge, vlan, mtu, queues, firewall, link_down, trunks, rate, other }
        })
}

fn upid() -> impl Strategy<Value = Upid> {
    (
        "[a-zA-Z0-9]([a-zA-Z0-9-]{0,8}[a-zA-Z0-9])?",
        any::<u32>(),
        0..0x10_0000_0000u64,
        any::<u32>(),
        "[a-z]{2,12}",
        "[a-z0-9@>_-]{0,12}",
        "[a-z]{1,8}@(pam|pve)(![a-z][a-z0-9]{1,6})?",
    )
        .prop_map(|(node, pid, pstart, starttime, kind, id, user)| Upid {
            node: node.parse().unwrap(),
            pid,
            pstart,
            starttime,
            kind,
            id,
            user,
        })
}

fn tags() -> impl Strategy<Value = Tags> {
    vec("[a-zA-Z0-9_][a-zA-Z0-9_.+-]{0,10}", 0..6).prop_map(|all| {
        let mut tags = Tags::new();
        for tag in all {
            tags.insert(&tag).unwrap();
        }
        tags
    })
}

fn smbios() -> impl Strategy<Value = Smbios1> {
    (of(any::<[u8; 16]>()), options(&["uuid"]))
        .prop_map(|(uuid, options)| Smbios1 { uuid: uuid.map(SmbiosUuid::from_bytes), options })
}

proptest! {
    #[test]
    fn a_vm_number_comes_back(vmid in vmid()) {
        prop_assert_eq!(vmid.to_string().parse::<Vmid>().unwrap(), vmid);
        prop_assert_eq!(serde_json::to_string(&vmid).unwrap(), vmid.get().to_string());
        comes_back(&vmid)?;
    }

    #[test]
    fn a_mac_comes_back(mac in mac()) {
        comes_back(&mac)?;
        prop_assert_eq!(mac.to_string().to_lowercase().parse::<MacAddr>().unwrap(), mac);
    }

    #[test]
    fn a_volume_comes_back(volume in volume()) {
        comes_back(&volume)?;
    }

    #[test]
    fn a_size_comes_back(bytes in any::<u64>(), shift in 0..50u32) {
        comes_back(&DiskSize::from_bytes(bytes))?;
        comes_back(&DiskSize::from_bytes(bytes.wrapping_shl(shift)))?;
    }

    #[test]
    fn a_disk_comes_back(disk in disk()) {
        comes_back(&disk)?;
    }

    #[test]
    fn a_network_card_comes_back(net in net()) {
        comes_back(&net)?;
    }

    #[test]
    fn a_task_id_comes_back(upid in upid()) {
        comes_back(&upid)?;
    }

    #[test]
    fn tags_come_back(tags in tags()) {
        comes_back(&tags)?;
    }

    #[test]
    fn smbios_comes_back(smbios in smbios()) {
        comes_back(&smbios)?;
    }

    #[test]
    fn a_configuration_comes_back_whole(
        known in btree_map("(scsi|virtio|sata|ide|unused)[0-9]", disk(), 0..5),
        nets in btree_map(0..32u8, net(), 0..4),
        tags in tags(),
        smbios in of(smbios()),
        other in btree_map("[a-z]{3,10}x", "[ -~]{1,20}", 0..5),
        numbers in (of(1..64u32), of(1..4u32), of(16..999_999u64)),
    ) {
        let config = GuestConfig {
            name: Some("vm".to_owned()),
            tags,
            cores: numbers.0,
            sockets: numbers.1,
            memory: numbers.2,
            nets,
            disks: known,
            // An empty line prints as nothing to read.
            smbios: smbios.filter(|s| *s != Smbios1::default()),
            other,
            ..GuestConfig::default()
        };
        prop_assert_eq!(&GuestConfig::from_map(config.to_map()), &config);
        let json = serde_json::to_string(&config).unwrap();
        prop_assert_eq!(serde_json::from_str::<GuestConfig>(&json).unwrap(), config);
    }

    #[test]
    fn no_key_of_a_configuration_is_lost(
        map in btree_map("(net|scsi|ide|cores|memory|tags|smbios|agent|x)[0-9]{0,2}", "[ -~]{0,30}", 0..8),
    ) {
        let read = GuestConfig::from_map(map.clone());
        let again: BTreeSet<String> = read.to_map().into_keys().collect();
        let before: BTreeSet<String> = map.into_iter()
            // No tags is what an absent key means.
            .filter(|(key, value)| key != "tags" || !Tags::parse(value).is_empty())
            .map(|(key, _)| key)
            .collect();
        prop_assert_eq!(again, before);
    }

    #[test]
    fn nothing_makes_a_parser_panic(text in "\\PC{0,40}") {
        let _ = text.parse::<Vmid>();
        let _ = text.parse::<NodeName>();
        let _ = text.parse::<StorageId>();
        let _ = text.parse::<Upid>();
        let _ = text.parse::<VolumeId>().map(|v| (v.owner(), v.base()));
        let _ = text.parse::<NetDevice>();
        let _ = text.parse::<DiskSpec>();
        let _ = text.parse::<DiskSize>();
        let _ = text.parse::<Smbios1>();
        let _ = text.parse::<PropertyString>();
        let _ = Tags::parse(&text);
    }
}

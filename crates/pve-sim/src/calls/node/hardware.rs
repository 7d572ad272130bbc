//! The devices of a node: PCI, USB, disks. Every simulated node has the same.

use serde_json::{Value, json};

use super::load::ROOT_DISK;
use crate::calls::{Call, Outcome, names, now};
use crate::http::fail::Fail;
use crate::state::World;

pub(crate) fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("type", &["pci", "usb"]))
}

/// Id, class, device, name, group.
const DEVICES: [(&str, &str, &str, &str, i64); 3] = [
    ("0000:00:02.0", "0x030000", "0x1050", "Virtio 1.0 GPU", -1),
    ("0000:00:03.0", "0x020000", "0x1041", "Virtio 1.0 network device", -1),
    ("0000:00:04.0", "0x010000", "0x1042", "Virtio 1.0 block device", -1),
];

/// Classes that nobody passes on: memory, bridges, processors.
const HIDDEN: &str = "05;06;0b";

pub(crate) fn pci(_: &mut World, call: &Call<'_>) -> Outcome {
    let hidden: Vec<&str> =
        call.get("pci-class-blacklist").unwrap_or(HIDDEN).split([',', ';', ' ']).filter(|c| !c.is_empty()).collect();
    let seen = DEVICES.iter().filter(|d| !hidden.iter().any(|h| d.1[2..].starts_with(h)));
    let rows = seen.map(|(id, class, device, name, group)| {
        if call.get("verbose") == Some("0") {
            return json!({"id": id});
        }
        json!({
            "id": id, "class": class, "vendor": "0x1af4", "device": device, "iommugroup": group, "device_name": name,
            "vendor_name": "Red Hat, Inc.", "subsystem_vendor": "0x1af4", "subsystem_device": device,
            "subsystem_vendor_name": "Red Hat, Inc.",
        })
    });
    now(rows.collect())
}

pub(crate) fn pci_index(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("method", &["mdev"]))
}

/// None of the devices can be divided.
pub(crate) fn mdev(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.str("pci-id-or-mapping");
    let mapped = world.cluster.file("mapping/pci.cfg").is_some_and(|f| f.contains_key(id));
    if !id.contains(':') && !mapped {
        return Err(Fail::die(format!("PCI mapping not found for '{id}'")).into());
    }
    now(json!([]))
}

pub(crate) fn usb(_: &mut World, _: &Call<'_>) -> Outcome {
    now(json!([]))
}

pub(crate) fn disks_index(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("name", &["list", "initgpt", "smart", "lvm", "lvmthin", "directory", "wipedisk", "zfs"]))
}

/// Path, use, size.
const DISKS: [(&str, Option<&str>, u64); 2] = [("/dev/vda", Some("mounted"), ROOT_DISK), ("/dev/vdb", None, 200 << 30)];

pub(crate) fn disks(_: &mut World, call: &Call<'_>) -> Outcome {
    let free = call.get("type").is_some();
    let rows = DISKS.iter().filter(|(_, used, _)| !free || used.is_none()).map(|(path, used, size)| {
        let mut row = json!({
            "devpath": path, "size": size, "gpt": 0, "type": "unknown", "vendor": "0x1af4", "model": "unknown",
            "serial": "unknown", "wwn": "unknown", "health": "UNKNOWN", "wearout": "N/A", "rpm": -1, "osdid": -1,
            "osdid-list": null,
        });
        if let Some(used) = used {
            row["used"] = json!(used);
            row["mounted"] = json!(1);
        }
        row
    });
    now(rows.collect())
}

pub(crate) fn smart(_: &mut World, call: &Call<'_>) -> Outcome {
    let disk = call.str("disk");
    if !DISKS.iter().any(|(path, _, _)| *path == disk) {
        return Err(Fail::die(format!("unable to get device type: {disk} does not exist")).into());
    }
    let mut data = json!({"health": "UNKNOWN"});
    if !call.flag("healthonly") {
        data["type"] = json!("text");
        data["text"] = json!("\nSMART support is: Unavailable - device lacks SMART capability.\n");
    }
    now(data)
}

/// Volume groups, pools and directories that were made on spare disks: none.
pub(crate) fn lvm(_: &mut World, _: &Call<'_>) -> Outcome {
    now(json!({"leaf": 0, "children": []}))
}

pub(crate) fn none(_: &mut World, _: &Call<'_>) -> Outcome {
    now(json!([]))
}

pub(crate) fn zpool(_: &mut World, call: &Call<'_>) -> Outcome {
    let name = call.str("name");
    Err(Fail::die(format!("command '/sbin/zpool status -P {name}' failed: exit code 1")).into())
}

pub(crate) fn certificates_index(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("name", &["acme", "custom", "info"]))
}

/// The certificates of a node; the fingerprint is that of the one it shows.
pub(crate) fn certificates(world: &mut World, call: &Call<'_>) -> Outcome {
    let Some(node) = world.node(call.node()) else { return now(Value::Null) };
    let authority = format!("/CN=Proxmox Virtual Environment/OU={}/O=PVE Cluster Manager CA", world.cluster.name);
    let (from, to) = (world.seconds() - 86_400, world.seconds() + 3650 * 86_400);
    let pem = |name: &str| {
        use base64::Engine as _;
        let body = base64::engine::general_purpose::STANDARD.encode(format!("{name} of {}", node.name));
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    };
    now(json!([
        {
            "filename": "pve-root-ca.pem", "fingerprint": node.fingerprint, "subject": authority,
            "issuer": authority, "notbefore": from, "notafter": to, "san": [], "public-key-type": "rsaEncryption",
            "public-key-bits": 4096, "pem": pem("authority"),
        },
        {
            "filename": "pve-ssl.pem", "fingerprint": node.fingerprint, "issuer": authority, "notbefore": from,
            "subject": format!("/OU=PVE Cluster Node/O=Proxmox Virtual Environment/CN={}", node.name),
            "notafter": from + 730 * 86_400, "public-key-type": "rsaEncryption", "public-key-bits": 2048,
            "san": ["127.0.0.1", "0000:0000:0000:0000:0000:0000:0000:0001", "localhost", node.ip, node.name],
            "pem": pem("node"),
        },
    ]))
}

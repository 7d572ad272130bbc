//! The text of a small world, to the letter.

use std::collections::BTreeMap;

use exporter::{Collector, Format, Nodes, Onboot, Read, Selection, Snapshot, families, text};
use pve::{Fields, NotBackedUp, UsageRow};
use serde_json::{Value, json};

fn fields(of: &Value) -> Fields {
    of.as_object().unwrap().iter().map(|(k, v)| (k.clone(), v.as_str().map_or(v.to_string(), str::to_owned))).collect()
}

fn row(of: Value) -> UsageRow {
    serde_json::from_value(of).unwrap()
}

fn snapshot() -> Snapshot {
    Snapshot {
        selection: Selection::new(&Collector::ALL.into(), true, Nodes::Local),
        cluster: Read::Got(vec![
            fields(&json!({"type": "cluster", "id": "cluster", "name": "dc1", "nodes": 2, "version": 2, "quorate": 1})),
            fields(
                &json!({"type": "node", "id": "node/pve1", "name": "pve1", "nodeid": 1, "local": 1, "online": 1, "level": "c", "ip": "192.0.2.11"}),
            ),
            fields(
                &json!({"type": "node", "id": "node/pve2", "name": "pve2", "nodeid": 2, "local": 0, "online": 0, "level": "", "ip": "192.0.2.12"}),
            ),
        ]),
        resources: Read::Got(vec![
            row(
                json!({"id": "qemu/100", "type": "qemu", "vmid": 100, "node": "pve1", "name": "say \"hi\"", "status": "running",
                "template": 0, "tags": "a;b", "hastate": "started", "lock": "backup", "cpu": 0.25, "maxcpu": 4, "mem": 1_073_741_824_u64,
                "maxmem": 2_147_483_648_u64, "disk": 0, "maxdisk": 34_359_738_368_u64, "netin": 10, "netout": 1_234_567, "diskread": 1,
                "diskwrite": 2, "uptime": 60}),
            ),
            row(json!({"id": "lxc/101", "type": "lxc", "vmid": 101, "node": "pve2", "status": "unknown"})),
            row(
                json!({"id": "node/pve1", "type": "node", "node": "pve1", "status": "online", "hastate": "online", "cpu": 0.5, "maxcpu": 16}),
            ),
            row(
                json!({"id": "storage/pve1/local", "type": "storage", "node": "pve1", "storage": "local", "status": "available",
                "plugintype": "dir", "content": "vztmpl,iso,backup", "shared": 0, "disk": 5, "maxdisk": 10}),
            ),
            row(json!({"id": "/pool/kubernetes", "type": "pool", "pool": "kubernetes", "uptime": 60})),
        ]),
        version: Read::Got(fields(&json!({"version": "9.2.11", "release": "9.2", "repoid": "abc", "console": "x"}))),
        not_backed_up: Read::Got(vec![NotBackedUp { vmid: 101.try_into().unwrap(), kind: "lxc".into() }]),
        qdevice: Read::Got(fields(
            &json!({"Model": "Net", "Algorithm": "Fifty-Fifty split", "State": "Connected", "Tie-breaker": "lowest"}),
        )),
        subscription: Read::Got(fields(&json!({"status": "active", "level": "c", "nextduedate": "2027-01-31"}))),
        replication: Read::Got(vec![fields(
            &json!({"id": "100-0", "type": "local", "source": "pve1", "target": "pve2", "guest": 100,
            "vmtype": "qemu", "duration": 1.5, "last_sync": 1_767_225_600, "last_try": 1_767_225_600, "next_sync": 1_767_226_500, "fail_count": 0}),
        )]),
        onboot: Read::Got(vec![Onboot {
            node: "pve1".into(),
            set: vec![("qemu/100".into(), "qemu", "1".into())],
            known: 1,
            all: 1,
        }]),
    }
}

#[test]
fn the_text_of_everything() {
    insta::assert_snapshot!(text(&families(&snapshot()), Format::Classic));
}

#[test]
fn of_what_failed_there_is_nothing_but_word_of_it() {
    let mut snapshot = snapshot();
    snapshot.resources = Read::Failed("596".into());
    snapshot.qdevice = Read::Got(BTreeMap::new());
    snapshot.onboot = Read::Failed("596".into());
    let text = text(&families(&snapshot), Format::Classic);
    assert!(
        !text.contains("pve_memory_size_bytes") && !text.contains("pve_qdevice") && !text.contains("pve_onboot_status")
    );
    assert!(text.contains("pve_up{id=\"cluster/dc1\"} 1.0\n"), "what was read is told");
    for (collector, value) in
        [("resources", "0.0"), ("status", "0.0"), ("config", "0.0"), ("version", "1.0"), ("qdevice", "1.0")]
    {
        let line = format!("oxmox_exporter_collector_success{{collector=\"{collector}\"}} {value}\n");
        assert!(text.contains(&line), "{line}");
    }
}

//! What a node's QEMU can be: processor models, machine types.

use serde_json::{Value, json};

use crate::calls::{Call, Outcome, names, now};
use crate::state::World;

const MODELS: &str = include_str!("cpu_models.txt");

/// Versions of machine types, the newest first.
const VERSIONS: &[&str] = &[
    "10.0+pve1",
    "10.0",
    "9.2+pve1",
    "9.2",
    "9.1",
    "9.0",
    "8.2",
    "8.1",
    "8.0",
    "7.2",
    "7.1",
    "7.0",
    "6.2",
    "6.1",
    "6.0",
    "5.2",
    "5.1",
    "5.0",
    "4.2",
    "4.1+pve2",
    "4.1+pve1",
    "4.1",
    "4.0.1",
    "4.0",
    "3.1",
    "3.0",
    "2.12",
    "2.11",
    "2.10",
    "2.9",
    "2.8",
    "2.7",
    "2.6",
    "2.5",
    "2.4",
];

/// Flags that an administrator may switch for a VM.
const FLAGS: &[&str] = &[
    "md-clear",
    "pcid",
    "spec-ctrl",
    "ssbd",
    "ibpb",
    "virt-ssbd",
    "amd-ssbd",
    "amd-no-ssb",
    "pdpe1gb",
    "hv-tlbflush",
    "hv-evmcs",
    "aes",
    "nested-virt",
];

pub(crate) fn index(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("name", &["qemu"]))
}

pub(crate) fn qemu(_: &mut World, _: &Call<'_>) -> Outcome {
    now(names("name", &["cpu", "cpu-flags", "machines", "migration"]))
}

pub(crate) fn models(_: &mut World, call: &Call<'_>) -> Outcome {
    if call.get("arch") == Some("aarch64") {
        let arm = ["cortex-a35", "cortex-a53", "cortex-a55", "cortex-a57", "cortex-a72", "cortex-a76", "max", "host"];
        return now(arm.iter().map(|name| json!({"name": name, "vendor": "ARM", "custom": 0})).collect());
    }
    let lines = MODELS.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '));
    now(lines
        .flat_map(|(vendor, names)| {
            names.split(' ').map(move |name| {
                let mut model = json!({"name": name, "vendor": vendor, "custom": 0});
                // The levels of x86-64 are models of no real processor.
                if name.starts_with("x86-64-v") {
                    model["abstract"] = json!(1);
                }
                model
            })
        })
        .collect())
}

pub(crate) fn flags(_: &mut World, _: &Call<'_>) -> Outcome {
    now(FLAGS.iter().map(|name| json!({"name": name, "description": format!("the processor's {name}")})).collect())
}

pub(crate) fn machines(_: &mut World, call: &Call<'_>) -> Outcome {
    let types: &[(&str, &str)] = if call.get("arch") == Some("aarch64") {
        &[("virt", "virt")]
    } else {
        &[("pc-i440fx", "i440fx"), ("pc-q35", "q35")]
    };
    let mut rows = Vec::new();
    for version in VERSIONS {
        for (prefix, kind) in types {
            // A correction that only this chipset needed.
            if *version == "4.0.1" && *kind != "q35" {
                continue;
            }
            let mut row = json!({"id": format!("{prefix}-{version}"), "type": kind, "version": version});
            if let Some((base, revision)) = version.split_once("+pve") {
                row["changes"] = json!(format!("revision {revision} of {base}"));
            }
            rows.push(row);
        }
    }
    now(Value::Array(rows))
}

pub(crate) fn migration(_: &mut World, _: &Call<'_>) -> Outcome {
    now(json!({"has-dbus-vmstate": true}))
}

//! Ours beside prometheus-pve-exporter, on the same simulator.

use std::path::Path;

use pve_sim::Options;
use serde_json::{Value, json};

use crate::world::World;

const PACKAGES: [&str; 1] = ["prometheus-pve-exporter==3.10.2"];

/// Families of ours, which the peer does not have. All other differences are listed in docs/reference/exporter.md; on
/// this world there are none.
const OURS: [&str; 3] =
    ["oxmox_exporter_collector_success", "oxmox_exporter_guest_configs", "oxmox_exporter_guest_configs_known"];

#[tokio::test(flavor = "multi_thread")]
async fn the_peer_says_the_same_of_the_same_proxmox() {
    let name = "the_peer_says_the_same_of_the_same_proxmox";
    let python = match testkit::python(&PACKAGES, "import pve_exporter.collector") {
        Ok(python) => python,
        Err(why) => return eprintln!("SKIPPED {name}: {why}"),
    };
    let world =
        World::start(Options { vms: 8, storages: ["nfs", "zfspool"].map(str::to_owned).into(), ..Options::default() })
            .await;
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, world.sim.ca_pem()).unwrap();
    let exporter = world.exporter.to_string();
    let target = world.target();
    let args = [target.as_str(), ca.to_str().unwrap(), world.sim.root_password(), &exporter, world.sim.control_url()];
    let output = tokio::process::Command::new(python)
        .arg("-I")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peer.py"))
        .args(args)
        .env("TZ", "UTC")
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(found["samples"].as_u64().unwrap() > 300, "{found:#}");
    for nothing in ["families_only_theirs", "kinds_differ", "only_theirs", "values_differ", "lines_differ"] {
        assert_eq!(found[nothing], json!([]), "{nothing}: {found:#}");
    }
    assert_eq!(found["families_only_ours"], json!(OURS), "{found:#}");
    let only_ours = found["only_ours"].as_array().unwrap();
    assert!(only_ours.iter().all(|one| one.as_str().unwrap().starts_with("oxmox_")), "{found:#}");
    assert_eq!(found["same_order"], json!(true), "{found:#}");
    // A collector that had nothing to tell would prove nothing.
    for told in [
        "pve_onboot_status",
        "pve_subscription_info",
        "pve_not_backed_up_info",
        "pve_ha_state",
        "pve_replication_info",
        "pve_subscription_next_due_timestamp_seconds",
    ] {
        assert!(!found["empty_families"].as_array().unwrap().contains(&json!(told)), "{told}: {found:#}");
    }
    world.end().await;
}

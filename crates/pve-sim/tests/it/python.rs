//! Clients in Python that somebody else wrote: `proxmoxer`, `prometheus-pve-exporter`; and the quick start in Python.

use std::path::{Path, PathBuf};

use crate::client::World;

/// Packages, and what imports them.
const PROXMOXER: (&[&str], &str) = (&["proxmoxer==2.3.0", "requests"], "import proxmoxer, requests");
const EXPORTER: (&[&str], &str) = (&["prometheus-pve-exporter==3.10.2"], "import pve_exporter.collector");

/// A Python with these packages; none, said aloud, where that can't be done.
fn python(name: &str, (packages, import): (&[&str], &str)) -> Option<PathBuf> {
    testkit::python(packages, import).inspect_err(|why| eprintln!("SKIPPED {name}: {why}")).ok()
}

/// Runs a program of ours with a client, in a directory of its own that holds `ca.pem` and `sim.json`.
async fn run(world: &World, python: PathBuf, script: &str, args: &[&str]) {
    let dir = world.directory();
    let output = tokio::process::Command::new(python)
        .arg("-I")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script))
        .args(args)
        .current_dir(dir.path())
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn proxmoxer_leads_a_vm_through_its_life() {
    let Some(python) = python("proxmoxer", PROXMOXER) else { return };
    let world = World::quick().await;
    let (host, port) = world.address().split_once(':').unwrap();
    let secrets = [world.sim.token("capi@pve!oxmox").unwrap(), world.sim.root_password()];
    run(&world, python, "tests/proxmoxer.py", &[host, port, "ca.pem", secrets[0], secrets[1]]).await;
}

#[tokio::test]
async fn the_exporter_for_prometheus_collects_everything() {
    let Some(python) = python("prometheus-pve-exporter", EXPORTER) else { return };
    let world = World::quick().await;
    run(&world, python, "tests/exporter.py", &[world.address(), "ca.pem", world.sim.root_password()]).await;
}

#[tokio::test]
async fn the_quick_start_in_python_runs() {
    let Some(python) = python("proxmoxer", PROXMOXER) else { return };
    run(&World::quick().await, python, "examples/quickstart.py", &[]).await;
}

//! A client that somebody else wrote: `proxmoxer` for Python.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::client::World;

/// A Python with `proxmoxer`, made once; none, said aloud, where that can't be done.
async fn python() -> Option<PathBuf> {
    let home = std::env::home_dir()?;
    let place = home.join(".cache/oxmox/py");
    let python = place.join("bin/python");
    let has = async |python: &Path| {
        let check =
            Command::new(python).args(["-c", "import proxmoxer, requests"]).stderr(Stdio::null()).status().await;
        check.is_ok_and(|s| s.success())
    };
    if has(&python).await {
        return Some(python);
    }
    let made = Command::new("python3").args(["-m", "venv"]).arg(&place).status().await.is_ok_and(|s| s.success());
    if !made {
        eprintln!("SKIPPED: no python3 with venv");
        return None;
    }
    let pip = Command::new(&python).args(["-m", "pip", "install", "-q", "proxmoxer", "requests"]).status().await;
    if !pip.is_ok_and(|s| s.success()) || !has(&python).await {
        eprintln!("SKIPPED: pip can't install proxmoxer");
        return None;
    }
    Some(python)
}

#[tokio::test]
async fn a_foreign_client_leads_a_vm_through_its_life() {
    let Some(python) = python().await else { return };
    let world = World::quick().await;
    let address = world.sim.url().strip_prefix("https://").unwrap();
    let (host, port) = address.split_once(':').unwrap();
    let ca = std::env::temp_dir().join(format!("pve-sim-ca-{}-{port}.pem", std::process::id()));
    std::fs::write(&ca, world.sim.ca_pem()).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proxmoxer.py");
    let output = Command::new(python)
        .args(["-I", script, host, port])
        .arg(&ca)
        .args([world.sim.token("capi@pve!oxmox").unwrap(), world.sim.root_password()])
        .output()
        .await
        .unwrap();
    std::fs::remove_file(&ca).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

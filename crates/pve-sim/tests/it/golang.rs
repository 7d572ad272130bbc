//! Clients in Go that somebody else wrote: `luthermonson/go-proxmox`, `Telmate/proxmox-api-go`; and the quick start in
//! Go.

use std::path::PathBuf;
use std::process::Command;

use testkit::{Tool, Tools};

use crate::client::World;

/// The program, built once; none, said aloud, where there is no Go or no module proxy.
async fn program(tool: Tool) -> Option<PathBuf> {
    let built = tokio::task::spawn_blocking(move || Tools::ensure(&[tool], &|_| {})).await.unwrap();
    match built {
        Ok(tools) => Some(tools.path(tool).unwrap().to_owned()),
        Err(error) => {
            let text = format!("{error:#}");
            // What does not compile is our fault.
            assert!(!text.contains("main.go:"), "{text}");
            eprintln!("SKIPPED {tool}: {text}");
            None
        }
    }
}

async fn run(world: &World, program: PathBuf, args: &[&str]) {
    let dir = world.directory();
    let mut command = Command::new(program);
    command.args(args).current_dir(dir.path());
    let output = tokio::process::Command::from(command).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn go_proxmox_leads_a_vm_through_its_life() {
    let Some(program) = program(Tool::GoProxmox).await else { return };
    let world = World::quick().await;
    let root = world.root().await;
    let form = [("privsep", "0")];
    let made = world.call_as(&root, "POST", "/access/users/root@pam/token/go", &form).await.unwrap().data();
    let secret = made["value"].as_str().unwrap();
    run(&world, program, &[world.sim.url(), "ca.pem", "root@pam!go", secret]).await;
}

#[tokio::test]
async fn proxmox_api_go_leads_a_vm_through_its_life() {
    let Some(program) = program(Tool::ProxmoxApiGo).await else { return };
    let world = World::quick().await;
    run(&world, program, &[world.sim.url(), "ca.pem", "root@pam", world.sim.root_password()]).await;
}

#[tokio::test]
async fn the_quick_start_in_go_runs() {
    let Some(program) = program(Tool::PveQuickstart).await else { return };
    run(&World::quick().await, program, &[]).await;
}

//! `csi-sanity`, the judge that all drivers stand before, against controller and node on the simulator.
//!
//! The guest between them is played by this test: for each drive that the simulator plugs into the worker it sets up a
//! loop device over the volume's file, and shows it under a `/dev` and a `/sys` of its own, as a guest's kernel would.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use csi::host::LinuxHost;
use csi::{DRIVER, NodeSettings, Place, Roots};
use pve_sim::Options;
use serde_json::Value;
use testkit::{Tool, Tools, leash};
use tokio::io::AsyncBufReadExt as _;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::world::{World, channel};

const WORKER: u32 = 201;
const MIB: u64 = 1 << 20;

async fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().await.unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The guest's kernel, as far as disks go.
struct Guest {
    root: PathBuf,
    loops: BTreeMap<String, String>,
}

impl Guest {
    fn roots(root: &Path) -> Roots {
        Roots { dev: root.join("dev"), sys: root.join("sys"), proc: "/proc".into() }
    }

    fn places(&self, key: &str) -> (PathBuf, PathBuf) {
        let number = key.strip_prefix("scsi").unwrap();
        (
            self.root.join("dev").join(format!("sd-{number}")),
            self.root.join(format!("sys/bus/scsi/devices/2:0:0:{number}")),
        )
    }

    async fn plugged(&mut self, drive: &Value) {
        let text = |key: &str| drive[key].as_str().unwrap_or_default();
        let key = text("key").to_owned();
        if !key.starts_with("scsi") {
            return;
        }
        if let Some(device) = self.loops.get(&key) {
            run("losetup", &["-c", device]).await;
            return;
        }
        // The judge may have detached and deleted it by the time we hear of it.
        if !Path::new(text("file")).exists() {
            return;
        }
        let device = run("losetup", &["-f", "--show", text("file")]).await;
        let (node, scsi) = self.places(&key);
        let minor = device.strip_prefix("/dev/loop").unwrap();
        tokio::fs::create_dir_all(node.parent().unwrap()).await.unwrap();
        let name = node.file_name().unwrap().to_str().unwrap();
        tokio::fs::create_dir_all(scsi.join("block").join(name)).await.unwrap();
        let serial = text("serial");
        let page = [&[0, 0x80, 0, u8::try_from(serial.len()).unwrap()][..], serial.as_bytes()].concat();
        tokio::fs::write(scsi.join("vpd_pg80"), page).await.unwrap();
        run("mknod", &[node.to_str().unwrap(), "b", "7", minor]).await;
        let wwid = format!("naa.{}\n", text("wwn").strip_prefix("0x").unwrap_or_default());
        tokio::fs::write(scsi.join("wwid"), wwid).await.unwrap();
        self.loops.insert(key, device);
    }

    async fn unplugged(&mut self, key: &str) {
        let Some(device) = self.loops.remove(key) else { return };
        let (node, scsi) = self.places(key);
        tokio::fs::remove_dir_all(scsi).await.unwrap();
        tokio::fs::remove_file(node).await.unwrap();
        run("losetup", &["-d", &device]).await;
    }

    /// Follows the simulator's events until told to stop; every loop device is given back.
    async fn live(mut self, events: tokio::io::BufReader<tokio::net::TcpStream>, stop: CancellationToken) {
        let mut lines = events.lines();
        while let Some(line) = tokio::select! {
            line = lines.next_line() => line.unwrap(),
            () = stop.cancelled() => None,
        } {
            // Heads and lengths of chunks are between.
            let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
            match event["event"].as_str() {
                Some("drive-plugged") => self.plugged(&event["drive"]).await,
                Some("drive-unplugged") => self.unplugged(event["key"].as_str().unwrap()).await,
                _ => {}
            }
        }
        for key in self.loops.keys().cloned().collect::<Vec<_>>() {
            self.unplugged(&key).await;
        }
    }
}

/// How volumes are used in one run of the judge.
struct How {
    access: &'static str,
    fs: &'static str,
    /// Specs that cannot be tried here, and why.
    skip: &'static [(&'static str, &'static str)],
}

/// A kernel without CAP_SYS_RESOURCE refuses to grow a mounted ext4; a large enough machine runs these too.
const NO_ONLINE_EXT4: &[(&str, &str)] =
    &[("should work if node-expand is called after node-publish", "ext4 grows offline only on this machine")];

async fn judge(tool: &Path, how: &How) -> (String, String) {
    let backing = tempfile::tempdir().unwrap();
    let options = Options { speed: 200.0, backing: Some(backing.path().to_owned()), ..Options::default() };
    let world = World::with(options).await;
    let node = world.worker(WORKER, 1).await;
    let root = world.directory.path().join("guest");
    let stop = CancellationToken::new();
    let guest = Guest { root: root.clone(), loops: BTreeMap::new() };
    let guest = tokio::spawn(guest.live(world.door.events().await, stop.clone()));
    let socket = world.directory.path().join("node.sock");
    let settings = NodeSettings {
        socket: socket.clone(),
        driver: DRIVER.to_owned(),
        node,
        place: Place { region: "eu".to_owned(), zone: "pve1".to_owned() },
        max_volumes: 24,
        registration: None,
        roots: Guest::roots(&root),
        admin: None,
    };
    let served = tokio::spawn(csi::node(settings, LinuxHost::new(Guest::roots(&root)), stop.clone()));
    drop(channel(&socket).await);

    let directory = world.directory.path();
    let parameters = directory.join("parameters.yaml");
    let fs = if how.fs.is_empty() { String::new() } else { format!("csi.storage.k8s.io/fstype: {}\n", how.fs) };
    tokio::fs::write(&parameters, format!("storage: shared\n{fs}")).await.unwrap();
    let flag = |name: &str, value: &dyn std::fmt::Display| format!("--csi.{name}={value}");
    let mut command = Command::new(tool);
    command
        .arg(flag("endpoint", &format!("unix://{}", socket.display())))
        .arg(flag("controllerendpoint", &format!("unix://{}", directory.join("controller.sock").display())))
        .arg(flag("mountdir", &directory.join("mount").display()))
        .arg(flag("stagingdir", &directory.join("staging").display()))
        .arg(flag("testvolumeparameters", &parameters.display()))
        .arg(flag("testvolumesize", &(512 * MIB)))
        .arg(flag("testvolumeexpandsize", &(1024 * MIB)))
        .arg(flag("testvolumeaccesstype", &how.access))
        .arg("--ginkgo.no-color")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for (spec, _) in how.skip {
        command.arg(format!("--ginkgo.skip={spec}"));
    }
    let output = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let sum = said.lines().filter(|line| line.starts_with("Ran ") || line.contains(" Passed | ")).collect::<Vec<_>>();
    let sum = sum.join(" ");
    let verdict = if output.status.success() { String::new() } else { said };
    stop.cancel();
    served.await.unwrap().unwrap();
    guest.await.unwrap();
    world.stop().await;
    (sum, verdict)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_judge_of_all_drivers_passes_ours_with_ext4_xfs_and_as_a_device() {
    if !leash::inside() {
        eprintln!("SKIPPED the judge of all drivers: it mounts and needs loop devices, so it runs in the lab only");
        return;
    }
    let Ok(tools) = Tools::present(&[Tool::CsiSanity]) else {
        eprintln!("SKIPPED the judge of all drivers: not built; run `cargo xtask tools csi-sanity`");
        return;
    };
    let tool = tools.path(Tool::CsiSanity).unwrap();
    let all = [
        How { access: "mount", fs: "xfs", skip: &[] },
        How { access: "mount", fs: "", skip: NO_ONLINE_EXT4 },
        How { access: "block", fs: "", skip: &[] },
    ];
    let mut failed = Vec::new();
    for how in &all {
        for (spec, why) in how.skip {
            eprintln!("skipped a spec: `{spec}`: {why}");
        }
        let (sum, verdict) = judge(tool, how).await;
        eprintln!("{} {}: {sum}", how.access, how.fs);
        if !verdict.is_empty() {
            failed.push(verdict);
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

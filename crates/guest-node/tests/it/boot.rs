//! One guest, without a seed, in a lab of its own.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Enters namespaces without a way out, lays the bridge, becomes the command.
const LAB: &str = "mount --make-rprivate / && mount -t tmpfs tmpfs /run && ip link set lo up && \
    ip link add vmbr0 type bridge && ip addr add 10.10.10.1/24 dev vmbr0 && ip link set vmbr0 up && exec \"$@\"";

fn image() -> Option<PathBuf> {
    let cache = Path::new(&std::env::var("HOME").ok()?).join(".cache/oxmox");
    let mut images: Vec<_> = std::fs::read_dir(cache)
        .ok()?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("node-image-")))
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .collect();
    images.sort();
    images.pop().map(|(_, path)| path)
}

fn lines(from: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (tell, hear) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if tell.send(line).is_err() {
                return;
            }
        }
    });
    hear
}

fn until(hear: &Receiver<String>, what: &str) -> String {
    let mut heard = vec![];
    loop {
        match hear.recv_timeout(Duration::from_mins(2)) {
            Ok(line) if line.contains(what) => return line,
            Ok(line) => heard.push(line),
            Err(err) => panic!("waiting for `{what}`: {err}; heard {heard:#?}"),
        }
    }
}

/// The lab ends with the test, however that ends: the leash then cleans up behind the guest.
struct Lab(Child);

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_guest_boots_into_a_world_of_its_own_and_leaves_nothing() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: a guest's namespaces need root");
        return;
    }
    let Some(image) = image() else {
        eprintln!("skipped: no node image in the cache; `guest-node image` makes one");
        return;
    };
    let dir = tempfile::tempdir_in(image.parent().unwrap()).unwrap();
    let guest = dir.path().join("guest.json");
    // A number that no demo uses: the cgroup is named after it, and tests run beside demos.
    let json = r#"{"vmid":987654,"run":"1","name":"toy-0","uuid":"5f6a2b1c-0000-4000-8000-000000000009","agent":true,
        "nics":[{"key":"net0","mac":"BC:24:11:00:00:09","bridge":"vmbr0"}]}"#;
    std::fs::write(&guest, json).unwrap();
    let child = Command::new("unshare")
        .args([
            "--net",
            "--mount",
            "--pid",
            "--cgroup",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
            "-c",
            LAB,
            "lab",
        ])
        .args([env!("CARGO_BIN_EXE_guest-node"), "boot-one", "--guest"])
        .arg(&guest)
        .arg("--image")
        .arg(&image)
        .arg("--state")
        .arg(dir.path().join("state"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lab = Lab(child);
    let child = &mut lab.0;
    let mut order = child.stdin.take().unwrap();
    let said = lines(child.stdout.take().unwrap());
    let log = lines(child.stderr.take().unwrap());

    until(&log, "userland is up");
    writeln!(order, "guest-get-host-name").unwrap();
    assert!(until(&said, "return").contains(r#""host-name":"toy-0""#));
    writeln!(order, "guest-network-get-interfaces").unwrap();
    assert!(until(&said, "return").contains("bc:24:11:00:00:09"));
    writeln!(order, "exec cat /sys/class/dmi/id/product_uuid /etc/machine-id").unwrap();
    until(&said, "5f6a2b1c-0000-4000-8000-000000000009");
    until(&said, "5f6a2b1c000040008000000000000009");
    // The machine's files are out of reach.
    writeln!(order, "exec ls -d {}", image.display()).unwrap();
    until(&said, "No such file");
    until(&log, "container images are in");
    writeln!(order, "exec ctr -n k8s.io images list -q name~=pause").unwrap();
    until(&said, "registry.k8s.io/pause:");
    writeln!(order, "shutdown").unwrap();
    until(&log, "shut down by the host");
    assert!(child.wait().unwrap().success());

    let cgroups = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    for mount in cgroups.lines().filter(|line| line.contains(" - cgroup2 ")) {
        let mount = Path::new(mount.split(' ').nth(4).unwrap());
        assert!(!mount.join("guest-node-987654").exists(), "the guest's cgroup is left");
    }
}

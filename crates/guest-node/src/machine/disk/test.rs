//! Disks on real loop devices: root, Linux, and a directory that plays the guest's root.

use std::process::Command;

use super::*;

fn drive(key: &str, file: &Path) -> Drive {
    let json = serde_json::json!({"key": key, "volid": "local:100/disk", "media": "disk", "file": file,
        "wwn": "0x5000000000000001", "serial": "pvc-1"});
    serde_json::from_value(json).unwrap()
}

struct Guest {
    dir: tempfile::TempDir,
    disks: Disks,
}

/// None where this cannot run.
fn guest(test: &str) -> Option<Guest> {
    let may = rustix::process::geteuid().is_root()
        && Command::new("losetup").arg("--find").output().is_ok_and(|out| out.status.success());
    if !may {
        eprintln!("SKIPPED {test}: loop devices need root");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    for name in ["root/dev", "root/sys/bus/scsi/devices", "home"] {
        fs::create_dir_all(dir.path().join(name)).unwrap();
    }
    let disks = Disks::new(dir.path().join("home"));
    Some(Guest { dir, disks })
}

impl Guest {
    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn file(&self, name: &str, bytes: u64) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::File::create(&path).unwrap().set_len(bytes).unwrap();
        path
    }

    fn plug(&mut self, key: &str, file: &Path) -> Result<bool> {
        let root = self.root();
        self.disks.plug(&drive(key, file), Some(&root))
    }

    fn unplug(&mut self, key: &str) {
        let root = self.root();
        self.disks.unplug(key, Some(&root)).unwrap();
    }
}

/// A child that another test starts right now holds our devices until it has become its program.
fn is_free(file: &Path) {
    let looks = std::iter::repeat_with(|| loop_device::over(file).unwrap());
    assert!(looks.take(200).any(|device| device.is_none()), "a loop device is left over `{}`", file.display());
}

#[test]
fn a_disk_comes_with_its_link_and_facts_and_goes_without_a_trace() {
    let Some(mut guest) = guest("a_disk_comes_with_its_link_and_facts_and_goes_without_a_trace") else { return };
    let file = guest.file("volume", 1 << 20);
    assert!(guest.plug("scsi1", &file).unwrap());
    let root = guest.root();
    let link = root.join("dev/disk/by-id/wwn-0x5000000000000001");
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("../../sda"));
    fs::write(root.join("dev/sda"), b"written by the guest").unwrap();
    let scsi = root.join("sys/bus/scsi/devices/2:0:0:1");
    assert_eq!(fs::read(scsi.join("vpd_pg80")).unwrap(), b"\x00\x80\x00\x05pvc-1");
    assert_eq!(fs::read_to_string(scsi.join("block/sda/size")).unwrap(), "2048\n");

    // grown
    fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(2 << 20).unwrap();
    assert!(guest.plug("scsi1", &file).unwrap());
    assert_eq!(fs::read_to_string(scsi.join("block/sda/size")).unwrap(), "4096\n");

    guest.unplug("scsi1");
    assert!(link.symlink_metadata().is_err() && !root.join("dev/sda").exists() && !scsi.exists());
    is_free(&file);
    assert!(fs::read(&file).unwrap().starts_with(b"written by the guest"));
    assert!(!guest.dir.path().join("home").join(PULLED).exists());
}

#[test]
fn a_disk_pulled_while_it_is_open_is_noted_and_given_to_nobody_else_until_it_is_closed() {
    let name = "a_disk_pulled_while_it_is_open_is_noted_and_given_to_nobody_else_until_it_is_closed";
    let (Some(mut guest), Some(mut other)) = (guest(name), super::test::guest(name)) else { return };
    let file = guest.file("volume", 1 << 20);
    guest.plug("scsi1", &file).unwrap();
    // Another process than ours has it open.
    let node = guest.root().join("dev/sda");
    let mut user = Command::new("sh")
        .args(["-c", "exec 3<\"$1\"; echo; read line", "sh"])
        .arg(&node)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(user.stdout.take().unwrap()), &mut String::new()).unwrap();
    guest.unplug("scsi1");
    assert!(!node.exists());
    let notes = fs::read_to_string(guest.dir.path().join("home").join(PULLED)).unwrap();
    assert_eq!(notes, format!("scsi1 {}\n", file.display()));
    let refusal = other.plug("scsi1", &file).unwrap_err().to_string();
    assert!(refusal.contains("has not let go"), "{refusal}");

    drop(user.stdin.take());
    user.wait().unwrap();
    is_free(&file);
    assert!(other.plug("scsi1", &file).unwrap());
}

#[test]
fn a_disk_under_a_loop_device_of_the_guests_own_is_in_use() {
    let Some(mut guest) = guest("a_disk_under_a_loop_device_of_the_guests_own_is_in_use") else { return };
    let file = guest.file("volume", 1 << 20);
    guest.plug("scsi1", &file).unwrap();
    let node = guest.root().join("dev/sda");
    let laid = Command::new("losetup").args(["--find", "--show"]).arg(&node).output().unwrap();
    assert!(laid.status.success(), "{}", String::from_utf8_lossy(&laid.stderr));
    guest.unplug("scsi1");
    let notes = fs::read_to_string(guest.dir.path().join("home").join(PULLED)).unwrap_or_default();
    // What the leash does at the guest's end.
    sweep(&guest.dir.path().join("home")).unwrap();
    assert_eq!(notes, format!("scsi1 {}\n", file.display()));
    is_free(&file);
}

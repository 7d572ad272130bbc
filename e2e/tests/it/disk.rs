//! Disks of real guests: they come and go as PVE says, and are nobody else's.

use std::time::Duration;

use e2e::guests::{self, Guests, Hypervisor};
use reqwest::Method;
use testkit::{NotYet, eventually};

use crate::guest::two_guests;

const LIMIT: Duration = Duration::from_secs(20);
const WWN: &str = "0x5000c500a1b2c3d4";
const LINK: &str = "/dev/disk/by-id/wwn-0x5000c500a1b2c3d4";

/// Waits until a command in a guest says this.
async fn says(guests: &Guests, vmid: u64, words: &[&str], wanted: &str) {
    let said = eventually(LIMIT, || async {
        let said = guests.exec(vmid, words).await?;
        if said == wanted { Ok(()) } else { Err(NotYet::because(format!("`{}` says `{said}`", words.join(" ")))) }
    });
    said.await.unwrap_or_else(|why| panic!("{why}\nguest-node: {}", guests.log()));
}

async fn volume(sim: &Hypervisor, vmid: u64, key: &str) -> String {
    let config = sim.call(Method::GET, &format!("/nodes/pve1/qemu/{vmid}/config"), &[]).await.unwrap();
    config[key].as_str().unwrap_or_else(|| panic!("{config}")).split(',').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_comes_and_goes_with_its_data_and_one_pulled_while_mounted_is_nobody_elses() {
    let name = "a_disk_comes_and_goes_with_its_data_and_one_pulled_while_mounted_is_nobody_elses";
    let Some((dir, sim, guests)) = two_guests(name).await else { return };

    // it is there, by its own name, in its guest alone
    sim.configure(201, &[("scsi1", &format!("shared:1,wwn={WWN},serial=pvc-1"))]).await.unwrap();
    says(&guests, 201, &["readlink", "-f", LINK], "/dev/sdb").await;
    says(&guests, 201, &["blockdev", "--getsize64", "/dev/sdb"], "1073741824").await;
    says(&guests, 201, &["cat", "/sys/bus/scsi/devices/2:0:0:1/wwid"], "naa.5000c500a1b2c3d4").await;
    says(&guests, 201, &["tail", "-c5", "/sys/bus/scsi/devices/2:0:0:1/vpd_pg80"], "pvc-1").await;
    says(&guests, 202, &["sh", "-c", "ls /dev | grep ^sd"], "sda").await;

    // it holds a file system, and grows
    guests.exec(201, &["mkfs.ext4", "-q", LINK]).await.unwrap();
    guests.exec(201, &["mount", LINK, "/mnt"]).await.unwrap();
    guests.exec(201, &["sh", "-c", "echo kept > /mnt/file"]).await.unwrap();
    sim.call(Method::PUT, "/nodes/pve1/qemu/201/resize", &[("disk", "scsi1"), ("size", "2G")]).await.unwrap();
    says(&guests, 201, &["blockdev", "--getsize64", "/dev/sdb"], "2147483648").await;

    // it goes and comes back elsewhere on the bus, with its data
    guests.exec(201, &["umount", "/mnt"]).await.unwrap();
    let disk = volume(&sim, 201, "scsi1").await;
    sim.configure(201, &[("delete", "scsi1")]).await.unwrap();
    says(&guests, 201, &["sh", "-c", "ls /dev | grep ^sd"], "sda").await;
    let pulled = guests.state().join("201/pulled-while-mounted");
    assert!(!pulled.exists());
    let attach = format!("{disk},wwn={WWN}");
    sim.configure(201, &[("scsi3", &attach)]).await.unwrap();
    says(&guests, 201, &["readlink", "-f", LINK], "/dev/sdb").await;
    guests.exec(201, &["mount", LINK, "/mnt"]).await.unwrap();
    assert_eq!(guests.exec(201, &["cat", "/mnt/file"]).await.unwrap(), "kept");

    // PVE pulls it though it is mounted, and gives it to another
    sim.configure(201, &[("delete", "scsi3")]).await.unwrap();
    says(&guests, 201, &["sh", "-c", "ls /dev | grep ^sd"], "sda").await;
    let noted = std::fs::read_to_string(&pulled).unwrap();
    assert!(noted.starts_with("scsi3 "), "{noted}");
    sim.configure(202, &[("scsi1", &attach)]).await.unwrap();
    let refused = eventually(LIMIT, || async {
        let log = guests.log();
        if log.contains("has not let go") { Ok(()) } else { Err(NotYet::because(log)) }
    });
    refused.await.unwrap();
    assert_eq!(guests.exec(202, &["sh", "-c", "ls /dev | grep ^sd"]).await.unwrap(), "sda");
    guests.exec(201, &["umount", "/mnt"]).await.unwrap();
    says(&guests, 202, &["readlink", "-f", LINK], "/dev/sdb").await;
    guests.exec(202, &["mount", LINK, "/mnt"]).await.unwrap();
    assert_eq!(guests.exec(202, &["cat", "/mnt/file"]).await.unwrap(), "kept");

    // whatever a guest holds when it ends, and a loop device of its own over a disk as the kubelet makes, goes with it
    guests.exec(202, &["losetup", "--find", "--show", "/dev/sda"]).await.unwrap();
    guests.end().await.unwrap();
    let gone = eventually(LIMIT, || async {
        let left = guests::loops(&dir);
        if left.is_empty() { Ok(()) } else { Err(NotYet::because(left.join("\n"))) }
    });
    gone.await.unwrap();
    sim.kill().await.unwrap();
    std::fs::remove_dir_all(dir).unwrap();
}

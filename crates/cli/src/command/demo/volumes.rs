//! The stage with volumes: a StatefulSet whose data is proven by checksum at every step.
//!
//! ```text
//! driver ─► two pods, two disks ─► a pod moves ─► a volume grows under it ─► snapshot ─► restored beside it
//!        … monitoring, lost nodes … ─► its data is still what it was ─► all gone
//! ```

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use pve::{ConfigUpdate, Purge};
use serde_json::Value;
use testkit::{NotYet, eventually};

use super::driver;
use super::say::Stages;
use super::set::Set;
use super::workload::Workload;

const CLASSES: &str = include_str!("../../../../../examples/storage/classes.yaml");
const STORE: &str = include_str!("../../../../../examples/storage/statefulset.yaml");
const SNAPSHOT: &str = include_str!("../../../../../examples/storage/snapshot.yaml");
/// How holder VMs are called: docs/reference/csi.md.
const HOLDER: &str = "csi-holder-";
const GIB: u64 = 1 << 30;

/// The checksums of what `store-0` and `store-1` have written.
#[derive(Debug, Clone)]
pub(super) struct Sums([String; 2]);

/// The stage, with everything that it speaks to.
pub(super) struct Volumes<'a> {
    pub(super) set: &'a mut Set,
    pub(super) stages: &'a mut Stages,
    pub(super) workload: &'a Workload,
    pub(super) administrator: &'a pve::Client,
}

impl Volumes<'_> {
    /// Until there are two pods with data; their checksums.
    pub(super) async fn run(&mut self) -> Result<Sums> {
        self.stages.begin("volumes");
        let since = Instant::now();
        driver::start(self.set, self.workload).await.context("start the storage driver")?;
        driver::registered(self.workload, self.nodes().await?).await?;
        self.took("every kubelet knows the driver; provisioner, attacher and snapshotter are Kubernetes' own, csi-resizer is a stand-in of ours", since);
        let told = self.story().await;
        // what ended is why nothing came
        self.set.must_run()?;
        told
    }

    async fn story(&mut self) -> Result<Sums> {
        let since = Instant::now();
        for (name, text) in [("storage-classes", CLASSES), ("store", STORE)] {
            self.workload.apply(name, text).await?;
        }
        self.ready("store-0", Duration::from_mins(2)).await?;
        self.ready("store-1", Duration::from_mins(2)).await?;
        let sums = Sums([self.sum("store-0").await?, self.sum("store-1").await?]);
        self.took("two pods wrote 16 MiB and its checksum to a volume each", since);
        self.disks().await?;
        self.moves(&sums.0[0]).await?;
        self.grows(&sums.0[0]).await?;
        self.snapshot(&sums.0[0]).await?;
        self.hold(&sums, Duration::from_mins(1)).await?;
        Ok(sums)
    }

    /// Waits until both pods are Ready, and proves that their data is what they wrote.
    pub(super) async fn hold(&self, sums: &Sums, limit: Duration) -> Result<()> {
        for (pod, sum) in ["store-0", "store-1"].into_iter().zip(&sums.0) {
            self.ready(pod, limit).await?;
            // A machine that has just booted still calls a pod Ready whose container is not there yet.
            let same = eventually(limit, || async {
                match self.sum(pod).await.map_err(|why| format!("{why:#}")) {
                    Ok(now) if now == *sum => Ok(()),
                    Ok(_) => Err(NotYet::Never(format!("the checksum of `{pod}` has changed"))),
                    Err(why) if why.contains("command terminated") => Err(NotYet::Never(why)),
                    Err(why) => Err(NotYet::because(why)),
                }
            });
            same.await.with_context(|| format!("look at the data of `{pod}`"))?;
        }
        Ok(())
    }

    fn took(&mut self, text: &str, since: Instant) {
        self.stages.note(&format!("{text}: {:.1} s", since.elapsed().as_secs_f64()));
    }

    async fn nodes(&self) -> Result<usize> {
        Ok(self.workload.kubectl(&["get", "nodes", "--output=name"]).await?.lines().count())
    }

    async fn ready(&self, pod: &str, limit: Duration) -> Result<()> {
        let ready = eventually(limit, || async {
            let path = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status} {.status.phase}"#;
            let said = self.workload.kubectl(&["get", "pod", pod, "--ignore-not-found", "--output", path]).await?;
            if said.starts_with("True") {
                return Ok(());
            }
            let of = format!("--field-selector=involvedObject.name={pod}");
            let why = self.workload.kubectl(&["get", "events", &of, "--output=jsonpath={.items[-1:].message}"]).await;
            Err(NotYet::because(format!("pod `{pod}`: {said}; {}", why.unwrap_or_default())))
        });
        ready.await.with_context(|| format!("wait for the pod `{pod}`"))
    }

    /// The checksum that a pod wrote, once its data has proven to match.
    async fn sum(&self, pod: &str) -> Result<String> {
        let words = ["exec", pod, "--", "sh", "-c", "cd /data && sha256sum -c -s sum && cat sum"];
        let said = self.workload.kubectl(&words).await.with_context(|| format!("the data of `{pod}`"))?;
        Ok(said.trim().to_owned())
    }

    async fn list(&self, what: &str) -> Result<Vec<Value>> {
        let text = self.workload.kubectl(&["get", what, "--all-namespaces", "--output=json"]).await?;
        let list: Value = serde_json::from_str(&text).with_context(|| format!("read the {what}"))?;
        Ok(list.get("items").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// Where Proxmox VE has each volume.
    async fn disks(&mut self) -> Result<()> {
        let resources = self.administrator.resources().await.context("list the VMs")?;
        for volume in self.list("persistentvolumes").await? {
            let word = |at: &str| volume.pointer(at).and_then(Value::as_str).unwrap_or_default();
            let handle = word("/spec/csi/volumeHandle");
            let claim = word("/spec/claimRef/name");
            let disk = handle.rsplit('/').next().unwrap_or_default();
            let mut places = Vec::new();
            for row in resources.guests.values() {
                let config = self.administrator.guest_config(&row.node, row.vmid).await.context("read a VM")?;
                for (slot, spec) in config.disks.iter().filter(|(_, spec)| spec.to_string().contains(disk)) {
                    let wwn = spec.option("wwn").unwrap_or("none");
                    places.push(format!(
                        "{slot} of VM {} ({}), wwn {wwn}",
                        row.vmid,
                        row.name.clone().unwrap_or_default()
                    ));
                }
            }
            let [place] = &places[..] else {
                anyhow::bail!("the volume `{handle}` is in {} drives, and should be in one: {places:?}", places.len())
            };
            ensure!(place.contains("wwn 0x"), "the drive has no WWN: {place}");
            self.stages.note(&format!("{claim} is {handle}: {place}"));
        }
        let holders = resources.guests.values().filter(|row| row.name.as_deref().is_some_and(is_holder));
        let holders: Vec<String> = holders.map(|row| format!("VM {}", row.vmid)).collect();
        ensure!(!holders.is_empty(), "no holder VM is there");
        self.stages.note(&format!("they belong to {}, which never runs", holders.join(" and ")));
        Ok(())
    }

    async fn node_of(&self, pod: &str) -> Result<String> {
        self.workload.kubectl(&["get", "pod", pod, "--output=jsonpath={.spec.nodeName}"]).await
    }

    /// A pod goes to another node; its data with it.
    async fn moves(&mut self, sum: &str) -> Result<()> {
        let since = Instant::now();
        let from = self.node_of("store-0").await?;
        self.workload.kubectl(&["cordon", &from]).await?;
        self.workload.kubectl(&["delete", "pod", "store-0"]).await?;
        driver::killed(self.set, self.workload).await?;
        self.stages.note("SIGKILL meanwhile: the driver's controller with its sidecars, and every node plugin");
        self.ready("store-0", Duration::from_mins(2)).await?;
        self.workload.kubectl(&["uncordon", &from]).await?;
        driver::registered(self.workload, self.nodes().await?).await?;
        let to = self.node_of("store-0").await?;
        ensure!(to != from, "`store-0` is on `{to}` again");
        ensure!(self.sum("store-0").await? == sum, "the checksum of `store-0` has changed");
        self.took("store-0 moved to the other node, its checksum holds", since);
        Ok(())
    }

    /// A volume grows under its pod.
    async fn grows(&mut self, sum: &str) -> Result<()> {
        let since = Instant::now();
        let patch = r#"{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}"#;
        self.workload.kubectl(&["patch", "persistentvolumeclaim", "data-store-0", "--patch", patch]).await?;
        let path = "jsonpath={.status.conditions[*].type}";
        let told = eventually(Duration::from_mins(1), || async {
            let said = self.workload.kubectl(&["get", "pvc", "data-store-0", "--output", path]).await?;
            if said.contains("FileSystemResizePending") {
                Ok(())
            } else {
                Err(NotYet::because("the disk has not grown"))
            }
        });
        told.await.context("wait for the disk to grow")?;
        self.took("the disk has grown", since);
        // The kubelet looks at a pod's volumes when the pod changes, else about once in a minute.
        self.workload.kubectl(&["annotate", "pod", "store-0", "demo/look=now"]).await?;
        let grown = eventually(Duration::from_mins(3), || async {
            let path = "jsonpath={.status.capacity.storage} {.status.conditions[*].type}";
            let claim = self.workload.kubectl(&["get", "pvc", "data-store-0", "--output", path]).await?;
            let words = ["exec", "store-0", "--", "sh", "-c", "df -k /data | tail -n 1 | awk '{print $2}'"];
            let kib: u64 = self.workload.kubectl(&words).await?.trim().parse().unwrap_or_default();
            // a file system keeps a little for itself
            if claim.trim().starts_with("2Gi") && kib << 10 > 2 * GIB * 9 / 10 {
                return Ok(());
            }
            Err(NotYet::because(format!("the claim says {}, the file system {kib} KiB", claim.trim())))
        });
        grown.await.context("wait for the volume to grow")?;
        ensure!(self.sum("store-0").await? == sum, "the checksum of `store-0` has changed");
        self.took("data-store-0 grew from 1 to 2 GiB in use (xfs), its checksum holds", since);
        Ok(())
    }

    /// A snapshot, and a volume made of it beside its source.
    async fn snapshot(&mut self, sum: &str) -> Result<()> {
        let since = Instant::now();
        self.workload.kubectl(&["scale", "statefulset", "store", "--replicas=0"]).await?;
        self.gone("volumeattachments", Duration::from_mins(2)).await?;
        self.took("scaled down: both volumes are detached", since);
        let since = Instant::now();
        let (snapshot, restored) = SNAPSHOT.split_once("\n---\n").context("the example holds two objects")?;
        self.workload.apply("snapshot", snapshot).await?;
        let ready = eventually(Duration::from_mins(2), || async {
            let path = "jsonpath={.status.readyToUse} {.status.error.message}";
            let said = self.workload.kubectl(&["get", "volumesnapshot", "store-0", "--output", path]).await?;
            if said.trim() == "true" { Ok(()) } else { Err(NotYet::because(format!("ready: {}", said.trim()))) }
        });
        ready.await.context("wait for the snapshot")?;
        self.took("a snapshot of data-store-0 is ready", since);
        let since = Instant::now();
        self.workload.kubectl(&["scale", "statefulset", "store", "--replicas=2"]).await?;
        self.workload.apply("restored", restored).await?;
        for pod in ["restored", "store-0", "store-1"] {
            self.ready(pod, Duration::from_mins(3)).await?;
        }
        for pod in ["restored", "store-0"] {
            ensure!(self.sum(pod).await? == sum, "the checksum of `{pod}` is another");
        }
        self.took("a new volume out of it has the same checksum, beside its source", since);
        Ok(())
    }

    /// Until there are none of them.
    async fn gone(&self, what: &str, limit: Duration) -> Result<()> {
        let none = eventually(limit, || async {
            let left = self.workload.kubectl(&["get", what, "--all-namespaces", "--output=name"]).await?;
            if left.trim().is_empty() {
                return Ok(());
            }
            Err(NotYet::because(format!("left: {}", left.split_whitespace().collect::<Vec<_>>().join(", "))))
        });
        none.await.with_context(|| format!("wait for the {what} to go"))
    }

    /// Everything is deleted, and nothing of it is left on either side but empty holders.
    pub(super) async fn removed(&mut self) -> Result<()> {
        self.stages.begin("volumes-removed");
        let since = Instant::now();
        for name in ["restored", "snapshot", "store"] {
            let file = self.set.dir.join(format!("{name}.yaml"));
            // a lost node takes a pod that nobody looks after with it
            let file = file.display().to_string();
            self.workload.kubectl(&["delete", "--ignore-not-found", "--filename", &file]).await?;
        }
        for what in ["pvc", "volumesnapshotcontents", "volumeattachments", "pv"] {
            self.gone(what, Duration::from_mins(2)).await?;
        }
        let left = self.volumes_of_holders().await?;
        ensure!(left.is_empty(), "volumes are left at Proxmox VE: {}", left.into_iter().collect::<Vec<_>>().join(", "));
        self.took("deleted: no volume, attachment or snapshot is left on either side; holders stay, empty", since);
        Ok(())
    }

    async fn volumes_of_holders(&self) -> Result<BTreeSet<String>> {
        let resources = self.administrator.resources().await.context("list the VMs")?;
        let holders = resources.guests.values().filter(|row| row.name.as_deref().is_some_and(is_holder));
        let holders: BTreeSet<_> = holders.map(|row| row.vmid).collect();
        let mut left = BTreeSet::new();
        for row in &resources.storages {
            let content = self.administrator.storage_content(&row.node, &row.storage, None, None).await;
            let content = content.with_context(|| format!("list `{}` on `{}`", row.storage, row.node))?;
            let theirs = content.into_iter().filter(|volume| volume.vmid.is_some_and(|vmid| holders.contains(&vmid)));
            left.extend(theirs.map(|volume| volume.volid.to_string()));
        }
        Ok(left)
    }
}

fn is_holder(name: &str) -> bool {
    name.starts_with(HOLDER)
}

/// The administrator takes empty holders away, as docs/guide/storage.md has it for who no longer wants the driver.
pub(super) async fn remove_holders(administrator: &pve::Client) -> Result<usize> {
    let resources = administrator.resources().await.context("list the VMs")?;
    let mut removed = 0;
    for row in resources.guests.values().filter(|row| row.name.as_deref().is_some_and(is_holder)) {
        let config = administrator.guest_config(&row.node, row.vmid).await.context("read a holder")?;
        ensure!(config.disks.is_empty(), "the holder VM {} has volumes: {:?}", row.vmid, config.disks.keys());
        let free = ConfigUpdate { set: [("protection".to_owned(), "0".to_owned())].into(), ..ConfigUpdate::default() };
        administrator.update_config(&row.node, row.vmid, &free).await.context("switch a holder's protection off")?;
        let task = administrator.destroy(&row.node, row.vmid, Purge::No).await.context("destroy a holder")?;
        administrator.follow(&task).await.with_context(|| format!("destroy the holder VM {}", row.vmid))?;
        removed += 1;
    }
    Ok(removed)
}

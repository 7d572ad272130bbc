//! What backups leave behind: jobs, what is in archives, replication jobs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::World;
use super::guest::{Config, GuestKind};

/// A disk in an archive.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Disk {
    /// `scsi0`, `rootfs`.
    pub(crate) key: String,
    pub(crate) storage: String,
    pub(crate) format: String,
    pub(crate) size: u64,
}

/// What is in a backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Archive {
    pub(crate) kind: GuestKind,
    pub(crate) vmid: u32,
    pub(crate) config: Config,
    pub(crate) disks: Vec<Disk>,
    /// When it was made.
    pub(crate) ctime: i64,
}

/// A replication job and how it goes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Replication {
    pub(crate) guest: u32,
    pub(crate) number: u32,
    pub(crate) options: Config,
    #[serde(default)]
    pub(crate) last_sync: i64,
    #[serde(default)]
    pub(crate) last_try: i64,
    /// 0 for at once.
    #[serde(default)]
    pub(crate) next_sync: i64,
    #[serde(default)]
    pub(crate) fail_count: u32,
    #[serde(default)]
    pub(crate) duration: f64,
    #[serde(default)]
    pub(crate) error: Option<String>,
    #[serde(default)]
    pub(crate) log: Vec<String>,
    /// `local` or `full`: the job is to be removed at its next run.
    #[serde(default)]
    pub(crate) removing: Option<String>,
}

/// All of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Backup {
    /// Backup jobs by id.
    #[serde(default)]
    pub(crate) jobs: BTreeMap<String, Config>,
    /// Contents of archives by `NODE/VOLID`, `/VOLID` on shared storages.
    #[serde(default)]
    pub(crate) archives: BTreeMap<String, Archive>,
    #[serde(default)]
    pub(crate) replication: BTreeMap<String, Replication>,
    /// When the scheduler last looked.
    #[serde(default)]
    pub(crate) looked: i64,
}

impl Backup {
    /// The ids of a guest's replication jobs.
    pub(crate) fn replication_of(&self, vmid: u32) -> impl Iterator<Item = &str> {
        self.replication.iter().filter(move |(_, r)| r.guest == vmid).map(|(id, _)| id.as_str())
    }

    /// Takes a guest out of all jobs.
    pub(crate) fn purge(&mut self, vmid: u32) {
        self.replication.retain(|_, r| r.guest != vmid);
        let number = vmid.to_string();
        for job in self.jobs.values_mut() {
            for key in ["vmid", "exclude"] {
                let Some(list) = job.get(key) else { continue };
                let rest: Vec<&str> = list.split(',').filter(|v| *v != number).collect();
                let rest = rest.join(",");
                job.insert(key.to_owned(), rest);
            }
            job.retain(|k, v| !(k == "exclude" && v.is_empty()));
        }
        // A job that names nobody any more is none.
        self.jobs.retain(|_, job| job.get("vmid").is_none_or(|v| !v.is_empty()));
    }
}

/// Under which key an archive's content is kept.
pub(crate) fn key(node: Option<&str>, volid: &str) -> String {
    format!("{}/{volid}", node.unwrap_or_default())
}

impl World {
    /// What is in a backup; a file of which nothing is known holds an empty guest.
    pub(crate) fn archive(&self, volid: &str, node: &str) -> Result<Archive, String> {
        let Some(volume) = self.volumes.find(volid, node) else {
            return Err(format!("volume '{volid}' does not exist"));
        };
        if let Some(archive) = self.backup.archives.get(&key(volume.node.as_deref(), volid)) {
            return Ok(archive.clone());
        }
        let kind = if volid.contains("vzdump-lxc-") { GuestKind::Lxc } else { GuestKind::Qemu };
        Ok(Archive {
            kind,
            vmid: volume.vmid.unwrap_or(100),
            config: Config::new(),
            disks: Vec::new(),
            ctime: volume.ctime,
        })
    }

    /// Forgets the contents of archives that are gone.
    pub(crate) fn forget_archives(&mut self) {
        let volumes = &self.volumes;
        self.backup.archives.retain(|key, _| {
            let (node, volid) = key.split_once('/').unwrap_or_default();
            volumes.find(volid, node).is_some()
        });
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_purged_guest_leaves_jobs_and_a_job_of_nobody_else_goes_with_it() {
        let job = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let mut backup = Backup::default();
        backup.jobs.insert("both".to_owned(), job(&[("vmid", "301,302")]));
        backup.jobs.insert("one".to_owned(), job(&[("vmid", "301")]));
        backup.jobs.insert("all".to_owned(), job(&[("all", "1"), ("exclude", "301")]));
        backup.replication.insert("301-0".to_owned(), Replication { guest: 301, ..Replication::default() });
        backup.purge(301);
        assert_eq!(backup.jobs.keys().collect::<Vec<_>>(), ["all", "both"]);
        assert_eq!(backup.jobs["both"]["vmid"], "302");
        assert!(!backup.jobs["all"].contains_key("exclude"));
        assert!(backup.replication.is_empty());
    }
}

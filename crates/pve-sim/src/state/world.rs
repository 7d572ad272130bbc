//! The value that is the simulated cluster, and how time passes in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::backup::Backup;
use super::chance::Chance;
use super::cluster::Cluster;
use super::contents::Contents;
use super::firewall::{Firewall, key_of_guest};
use super::guest::{Guest, GuestKind, Run, System};
use super::node::Node;
use super::orders::Orders;
use super::pool::Pool;
use super::sdn::Sdn;
use super::storage::{Storage, Volumes};
use super::task::{Pace, Task};
use super::trouble::Trouble;
use crate::clock::micro;
use crate::hook::Hook;
use crate::http::fail::Fail;
use crate::jobs::{self, Job, Next};
use crate::perm::{Access, Pools, Who};

/// What the statistics daemon said of a guest at its last round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Published {
    pub(crate) node: String,
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) template: bool,
    pub(crate) uptime: i64,
    pub(crate) cpus: u32,
    pub(crate) memory: u64,
    pub(crate) disk: u64,
}

/// How many seconds the word of a node that is silent counts.
const SAID: f64 = 300.0;

/// Ended tasks that are remembered at least.
const TASKS_KEPT: usize = 20_000;

/// Everything there is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct World {
    pub(crate) version: String,
    pub(crate) chance: Chance,
    /// Seconds since the epoch.
    pub(crate) now: f64,
    pub(crate) pace: Pace,
    /// Seconds between two rounds of the statistics daemon.
    pub(crate) tick: f64,
    pub(crate) next_tick: f64,
    /// Seconds from power-on until a paper guest's agent answers; none for never.
    pub(crate) agent_after: Option<f64>,
    /// Programs that paper guests do not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) guests_lack: Vec<String>,
    /// What boots in VMs of which nothing else is said.
    #[serde(default)]
    pub(crate) boots: System,
    pub(crate) cluster: Cluster,
    pub(crate) nodes: Vec<Node>,
    pub(crate) storages: BTreeMap<String, Storage>,
    pub(crate) volumes: Volumes,
    pub(crate) guests: BTreeMap<u32, Guest>,
    pub(crate) pools: BTreeMap<String, Pool>,
    pub(crate) access: Access,
    pub(crate) tasks: BTreeMap<String, Task>,
    /// Those of them that have not ended.
    #[serde(default)]
    pub(crate) active: BTreeSet<String>,
    pub(crate) task_count: u64,
    pub(crate) published: BTreeMap<u32, Published>,
    /// When the tasks that have work are due, in order; the values are their UPIDs.
    #[serde(skip)]
    pub(super) queue: BTreeMap<(u64, u64), String>,
    /// Runs are numbered through the life of a VMID, even if the VM is made anew.
    #[serde(default)]
    pub(crate) runs: BTreeMap<u32, u32>,
    /// Firewalls by whose they are: `cluster`, `node/NAME`, `guest/VMID`, `vnet/NAME`.
    #[serde(default)]
    pub(crate) firewalls: BTreeMap<String, Firewall>,
    #[serde(default)]
    pub(crate) sdn: Sdn,
    #[serde(default)]
    pub(crate) backup: Backup,
    /// What the world outside would answer.
    #[serde(default)]
    pub(crate) fixtures: super::fixtures::Fixtures,
    #[serde(skip)]
    pub(crate) contents: Contents,
    #[serde(skip)]
    pub(crate) hook: Hook,
    /// What a fault ordered for the call or the task that is being done.
    #[serde(skip)]
    pub(crate) orders: Orders,
    #[serde(default)]
    pub(crate) trouble: Trouble,
    /// Calls that each daemon of a node does at a time, 0 for any number.
    #[serde(default = "usual_workers")]
    pub(crate) workers: u32,
    /// Changed at every step of a task, so that the edge can wait for the next.
    #[serde(skip)]
    pub(crate) changes: u64,
}

fn usual_workers() -> u32 {
    3
}

impl Pools for World {
    fn pool_of_vm(&self, vmid: &str) -> Option<String> {
        let vmid = vmid.parse().ok()?;
        self.pools.iter().find(|(_, p)| p.vms.contains(&vmid)).map(|(id, _)| id.clone())
    }

    fn pools_of_storage(&self, storage: &str) -> Vec<String> {
        self.pools.iter().filter(|(_, p)| p.storages.contains(storage)).map(|(id, _)| id.clone()).collect()
    }
}

impl World {
    /// What boots in a guest.
    pub(crate) fn system_of(&self, guest: &Guest) -> System {
        if guest.system == System::default() { self.boots } else { guest.system }
    }

    /// Whole seconds since the epoch.
    #[expect(clippy::cast_possible_truncation, reason = "seconds since the epoch fit")]
    pub(crate) fn seconds(&self) -> i64 {
        self.now as i64
    }

    pub(crate) fn may(&self, who: &Who, path: &str, privilege: &str) -> bool {
        self.access.has(self, who, path, privilege)
    }

    /// All of `privileges` on `path`, or the failure that names the first missing one.
    pub(crate) fn need(&self, who: &Who, path: &str, privileges: &[&str]) -> Result<(), Fail> {
        match privileges.iter().find(|p| !self.may(who, path, p)) {
            None => Ok(()),
            Some(missing) => Err(Fail::forbidden(&format!("{path}, {missing}"))),
        }
    }

    /// One of `privileges` on `path`.
    pub(crate) fn need_any(&self, who: &Who, path: &str, privileges: &[&str]) -> Result<(), Fail> {
        if privileges.iter().any(|p| self.may(who, path, p)) {
            return Ok(());
        }
        Err(Fail::forbidden(&format!("{path}, {}", privileges.join("|"))))
    }

    pub(crate) fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|n| n.name == name)
    }

    pub(crate) fn node_mut(&mut self, name: &str) -> Option<&mut Node> {
        self.nodes.iter_mut().find(|n| n.name == name)
    }

    /// The VM with this number on this node, or what Proxmox VE says if it isn't there.
    pub(crate) fn guest(&self, node: &str, vmid: u32) -> Result<&Guest, Fail> {
        self.guest_of(GuestKind::Qemu, node, vmid)
    }

    pub(crate) fn guest_mut(&mut self, node: &str, vmid: u32) -> Result<&mut Guest, Fail> {
        self.guest_of_mut(GuestKind::Qemu, node, vmid)
    }

    /// The guest of a kind with this number on this node, or what Proxmox VE says if it isn't there.
    pub(crate) fn guest_of(&self, kind: GuestKind, node: &str, vmid: u32) -> Result<&Guest, Fail> {
        let there = self.guests.get(&vmid).filter(|g| g.node == node && g.is(kind));
        there.ok_or_else(|| no_config(kind, node, vmid))
    }

    pub(crate) fn guest_of_mut(&mut self, kind: GuestKind, node: &str, vmid: u32) -> Result<&mut Guest, Fail> {
        let there = self.guests.get_mut(&vmid).filter(|g| g.node == node && g.is(kind));
        there.ok_or_else(|| no_config(kind, node, vmid))
    }

    pub(crate) fn storage(&self, id: &str) -> Result<&Storage, Fail> {
        self.storages.get(id).ok_or_else(|| Fail::die(format!("storage '{id}' does not exist")))
    }

    /// A storage that is usable on a node.
    pub(crate) fn storage_on(&self, id: &str, node: &str) -> Result<&Storage, Fail> {
        let storage = self.storage(id)?;
        if storage.disabled {
            return Err(Fail::die(format!("storage '{id}' is disabled")));
        }
        if !storage.on(node) {
            return Err(Fail::die(format!("storage '{id}' is not available on node '{node}'")));
        }
        Ok(storage)
    }

    /// A fresh hardware address.
    pub(crate) fn mac(&mut self) -> String {
        let prefix = self.cluster.options.get("mac_prefix").cloned().unwrap_or_else(|| "BC:24:11".to_owned());
        self.chance.mac(&prefix)
    }

    /// Starts a task; its UPID.
    pub(crate) fn spawn(&mut self, node: &str, kind: &str, id: &str, who: &Who, job: Job, after: f64) -> String {
        let now = self.now;
        let (pid, uptime) = match self.node_mut(node) {
            Some(n) => (n.pid(), now - n.booted),
            None => (1, 0.0),
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "hundredths of seconds of uptime")]
        let pstart = (uptime.max(0.0) * 100.0) as u64;
        let starttime = self.seconds();
        let upid = format!("UPID:{node}:{pid:08X}:{pstart:08X}:{starttime:08X}:{kind}:{id}:{}:", who.0);
        self.task_count += 1;
        let task = Task {
            upid: upid.clone(),
            node: node.to_owned(),
            pid,
            pstart,
            starttime,
            kind: kind.to_owned(),
            id: id.to_owned(),
            who: who.clone(),
            log: Vec::new(),
            endtime: None,
            exit: None,
            job: Some(job),
            due: micro(self.now + after),
            fails: self.orders.task_fails.take(),
            orders: std::mem::take(&mut self.orders),
            order: self.task_count,
        };
        self.cluster.note(starttime, node, &who.0, format!("starting task {upid}"));
        self.queue.insert(at(task.due, task.order), upid.clone());
        self.tasks.insert(upid.clone(), task);
        self.active.insert(upid.clone());
        self.changes += 1;
        upid
    }

    /// Adds a line to a task's log.
    pub(crate) fn log(&mut self, upid: &str, line: impl Into<String>) {
        if let Some(task) = self.tasks.get_mut(upid) {
            task.log.push(line.into());
        }
    }

    /// Lets time pass until `until`: in order, tasks do their due steps and the statistics daemon its rounds, each at
    /// its own time.
    pub(crate) fn advance(&mut self, until: f64) {
        let until = self.now.max(until);
        let round = self.tick.max(0.001);
        // Of very many rounds that nobody saw only the last matter.
        let unseen = ((until - self.next_tick) / round - 1000.0).floor().max(0.0);
        self.next_tick += unseen * round;
        while self.next_due() <= until {
            let next = self.next_due();
            self.now = self.now.max(next);
            if self.trouble.next_due() <= next {
                self.trouble_happens();
            } else if crate::ha::next_due(self) <= next {
                crate::ha::round(self);
            } else if self.next_tick <= next {
                self.publish();
                self.next_tick += round;
                crate::jobs::backup::scheduler::look(self);
            } else if let Some((_, upid)) = self.queue.pop_first() {
                self.step(&upid);
            }
        }
        self.now = until;
    }

    /// When something happens next without anybody calling.
    pub(crate) fn next_due(&self) -> f64 {
        let task = self.queue.first_key_value().map_or(f64::INFINITY, |((due, _), _)| f64::from_bits(*due));
        task.min(self.next_tick).min(self.trouble.next_due()).min(crate::ha::next_due(self))
    }

    /// Makes a task's next step due at another time.
    pub(crate) fn schedule(&mut self, upid: &str, due: f64) {
        let Some(task) = self.tasks.get_mut(upid) else { return };
        let due = micro(due);
        self.queue.remove(&at(task.due, task.order));
        task.due = due;
        if task.job.is_some() {
            self.queue.insert(at(due, task.order), upid.to_owned());
        }
    }

    /// Makes anew what follows from the rest; for a world that was saved.
    pub(crate) fn reindex(&mut self) {
        self.active = self.tasks.values().filter(|t| t.running()).map(|t| t.upid.clone()).collect();
        let waiting = self.active.iter().filter_map(|upid| self.tasks.get(upid)).filter(|t| t.job.is_some());
        self.queue = waiting.map(|t| (at(t.due, t.order), t.upid.clone())).collect();
    }

    fn step(&mut self, upid: &str) {
        let Some(task) = self.tasks.get_mut(upid) else { return };
        let Some(job) = task.job.take() else { return };
        let orders = task.orders.clone();
        if self.node(&upid_node(upid)).is_some_and(|n| !n.online) {
            // A node that is down does nothing; what ran there is gone when it is back.
            self.end(upid, None);
            return;
        }
        self.changes += 1;
        self.orders = orders;
        let next = jobs::step(self, upid, job);
        self.orders = Orders::default();
        // A task has not ended well before the bytes that it copied are there.
        let orders = self.contents.issued();
        let next = match next {
            Next::Done if !self.contents.settled(orders) => Next::Again(Box::new(Job::Settle), 0.02),
            other => other,
        };
        match next {
            Next::Again(job, seconds) => {
                // Never due at once again, or a waiting job would spin.
                let due = self.now + seconds.max(0.001);
                if let Some(task) = self.tasks.get_mut(upid) {
                    task.job = Some(*job);
                }
                self.schedule(upid, due);
            }
            Next::Done => self.end(upid, Some("OK".to_owned())),
            Next::Failed(text) => self.end(upid, Some(text)),
        }
    }

    /// Ends a task; without a text it was killed.
    pub(crate) fn end(&mut self, upid: &str, exit: Option<String>) {
        let seconds = self.seconds();
        self.active.remove(upid);
        if let Some(task) = self.tasks.get_mut(upid) {
            self.queue.remove(&at(task.due, task.order));
            match exit.as_deref() {
                Some("OK") => task.log.push("TASK OK".to_owned()),
                Some(text) => task.log.push(format!("TASK ERROR: {text}")),
                None => {}
            }
            task.exit = exit;
            task.endtime = Some(seconds);
            task.job = None;
            let text = format!("end task {upid}: {}", task.exitstatus());
            self.cluster.note(seconds, &task.node, &task.who.0, text);
            // A task is named after the guest whose lock file it held first; others' are let go when next looked at.
            let named = task.id.parse().ok();
            if let Some(guest) = named.and_then(|vmid: u32| self.guests.get_mut(&vmid)) {
                guest.holders.remove(upid);
            }
        }
        self.changes += 1;
    }

    /// Forgets the older half of very many ended tasks, as their archive does.
    fn prune_tasks(&mut self) {
        if self.tasks.len() < TASKS_KEPT * 2 {
            return;
        }
        let mut orders: Vec<u64> = self.tasks.values().map(|t| t.order).collect();
        let (_, middle, _) = orders.select_nth_unstable(TASKS_KEPT);
        let oldest = *middle;
        self.tasks.retain(|_, task| task.running() || task.order >= oldest);
    }

    /// The round of the statistics daemon.
    pub(crate) fn publish(&mut self) {
        let mut published = BTreeMap::new();
        let nodes: HashMap<&str, &Node> = self.nodes.iter().map(|n| (n.name.as_str(), n)).collect();
        for guest in self.guests.values() {
            let node = nodes.get(guest.node.as_str()).copied();
            if !node.is_some_and(|n| n.online) {
                // A node that is down says nothing; what it said stays for a while and then is unknown.
                let fresh = node.is_some_and(|n| self.now - n.lost < self.pace.scaled(SAID));
                if let Some(said) = self.published.get(&guest.vmid).filter(|_| fresh) {
                    published.insert(guest.vmid, said.clone());
                }
                continue;
            }
            let status = match &guest.run {
                Some(run) if run.paused => "paused",
                Some(_) => "running",
                None => "stopped",
            };
            #[expect(clippy::cast_possible_truncation, reason = "seconds")]
            let uptime = guest.run.as_ref().map_or(0, |r| (self.now - r.since) as i64);
            let entry = Published {
                node: guest.node.clone(),
                name: guest.name(),
                status: status.to_owned(),
                template: guest.is_template(),
                uptime,
                cpus: Some(guest.cpus()).filter(|n| *n > 0).or(node.map(|n| n.cores)).unwrap_or(1),
                memory: guest.memory(),
                disk: guest.max_disk(),
            };
            published.insert(guest.vmid, entry);
        }
        self.published = published;
        self.prune_tasks();
    }

    /// Powers a guest on.
    pub(crate) fn power_on(&mut self, vmid: u32) {
        let now = self.now;
        let run_number = {
            let n = self.runs.entry(vmid).or_insert(0);
            *n += 1;
            *n
        };
        let node = self.guests.get(&vmid).map(|g| g.node.clone()).unwrap_or_default();
        let pid = self.node_mut(&node).map_or(1, Node::pid);
        if let Some(guest) = self.guests.get_mut(&vmid) {
            guest.runs = run_number;
            let devices = guest.hardware();
            guest.run = Some(Run {
                id: format!("{vmid}-{run_number}"),
                since: now,
                pid,
                devices: Some(devices),
                ..Run::default()
            });
        }
        // Only VMs have guests that attach from outside.
        let described = crate::hook::describe(self, vmid);
        if let Some(described) = described {
            self.hook.send(&serde_json::json!({"event": "power-on", "guest": described}));
        }
    }

    /// The guest is off now, whatever the reason.
    pub(crate) fn powered_off(&mut self, vmid: u32) {
        let now = self.now;
        if let Some(guest) = self.guests.get_mut(&vmid) {
            guest.run = None;
            guest.stopped_at = now;
            self.changes += 1;
        }
        match self.guests.get(&vmid).map(|g| g.kind) {
            Some(GuestKind::Qemu) => crate::calls::qemu::config_change::apply_pending(self, vmid),
            Some(GuestKind::Lxc) => crate::calls::lxc::change::apply_pending(self, vmid),
            None => {}
        }
    }

    /// A clone has the firewall of its source.
    pub(crate) fn copy_firewall(&mut self, from: u32, to: u32) {
        if let Some(firewall) = self.firewalls.get(&key_of_guest(from)).cloned() {
            self.firewalls.insert(key_of_guest(to), firewall);
        }
    }

    /// Removes a guest and all that goes with it; its volumes are the caller's business.
    pub(crate) fn forget(&mut self, vmid: u32) {
        self.guests.remove(&vmid);
        self.published.remove(&vmid);
        self.firewalls.remove(&key_of_guest(vmid));
        for pool in self.pools.values_mut() {
            pool.vms.remove(&vmid);
        }
        self.access.acl.retain(|e| e.path != format!("/vms/{vmid}"));
        self.hook.send(&serde_json::json!({"event": "destroyed", "vmid": vmid}));
        self.changes += 1;
    }
}

fn no_config(kind: GuestKind, node: &str, vmid: u32) -> Fail {
    let folder = kind.folder();
    Fail::die(format!("Configuration file 'nodes/{node}/{folder}/{vmid}.conf' does not exist"))
}

/// The place in the queue: times that aren't negative sort as their bits do.
fn at(due: f64, order: u64) -> (u64, u64) {
    (due.max(0.0).to_bits(), order)
}

fn upid_node(upid: &str) -> String {
    upid.split(':').nth(1).unwrap_or_default().to_owned()
}

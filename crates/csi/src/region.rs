//! One cluster of Proxmox VE: its client, the reader that all operations share, and what this process remembers.
//!
//! Promises: other VMs' drives are known whole before anybody relies on them ([`Region::others`]); what could not be
//! read is told as such.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{StreamExt as _, stream};
use plan::Seen;
use plan::volume::{At, Handle, Holder, Power, Qemu, Refusal, Row, Slot, Use, VmConfig, holder_prefix};
use pve::{Client, GuestKind, GuestRow, GuestStatus, Poller, Resources, Snapshot, TaskSeen};
use pve_types::{DiskSize, NodeName, SmbiosUuid, StorageId, Upid, Vmid, VolumeId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::op_guard::Guards;
use crate::settings::{ControllerSettings, RegionSettings};
use crate::status::refusal;

/// Configurations that are read at the same time.
const AT_ONCE: usize = 6;

/// Room on a storage is asked for once a minute at most.
const ROOM: Duration = Duration::from_mins(1);

/// The list of volumes is read as often as this at most.
const CATALOGUE: Duration = Duration::from_mins(10);

/// A VM's configuration, and when it was read.
#[derive(Debug, Clone)]
pub(crate) struct Read {
    pub(crate) config: Arc<VmConfig>,
    at: Instant,
    /// Volumes that were written to it, or may have been, since it was read. For all others it still tells.
    doubt: BTreeSet<VolumeId>,
}

#[derive(Default)]
struct Memory {
    /// Every VM that was read.
    vms: BTreeMap<Vmid, Read>,
    /// How often each was written to: a reading that was begun before a write does not show it.
    writes: BTreeMap<Vmid, u64>,
    /// Slots that QEMU has spoiled.
    spoiled: BTreeMap<Vmid, BTreeSet<Slot>>,
    /// Tasks that copy, by the serial number of their copies.
    copies: BTreeMap<String, Upid>,
    /// What nodes call themselves, by their VMs.
    nodes: BTreeMap<Vmid, String>,
    /// Room on storages, and when that was.
    room: BTreeMap<(NodeName, StorageId), (Instant, u64)>,
    /// Every volume of ours, and when they were listed.
    catalogue: Option<(Instant, BTreeMap<Handle, DiskSize>)>,
}

/// One cluster of Proxmox VE.
pub(crate) struct Region {
    pub(crate) name: String,
    pub(crate) tenant: String,
    pub(crate) pool: Option<pve_types::PoolId>,
    pub(crate) make_holders: bool,
    pub(crate) client: Client,
    pub(crate) poller: Poller,
    pub(crate) guards: Guards,
    recheck: Duration,
    memory: Mutex<Memory>,
    /// Holders that were made here: for some seconds Proxmox VE shows them without name and state.
    made: Mutex<BTreeMap<Vmid, NodeName>>,
    filling: tokio::sync::Mutex<()>,
    pub(crate) making: tokio::sync::Mutex<()>,
}

/// A reading that succeeded.
pub(crate) struct View(Arc<Snapshot>);

static NOTHING: LazyLock<Resources> = LazyLock::new(Resources::default);

impl View {
    /// What was read. (A view is only made of a reading that succeeded.)
    pub(crate) fn resources(&self) -> &Resources {
        self.0.resources.as_ref().unwrap_or(&NOTHING)
    }

    /// A virtual machine.
    pub(crate) fn vm(&self, vm: Vmid) -> Option<&GuestRow> {
        self.resources().guests.get(&vm).filter(|row| row.kind == GuestKind::Qemu)
    }

    /// All virtual machines.
    pub(crate) fn vms(&self) -> impl Iterator<Item = &GuestRow> {
        self.resources().guests.values().filter(|row| row.kind == GuestKind::Qemu)
    }
}

impl Region {
    pub(crate) fn new(
        of: &RegionSettings,
        settings: &ControllerSettings,
        shutdown: CancellationToken,
    ) -> Result<Self, pve::ConfigError> {
        let client = Client::new(of.client.clone())?;
        Ok(Self {
            name: of.name.clone(),
            tenant: settings.tenant.clone(),
            pool: settings.pool.clone(),
            make_holders: settings.make_holders,
            poller: Poller::spawn(client.clone(), settings.pace, shutdown),
            client,
            guards: Guards::default(),
            recheck: settings.recheck,
            memory: Mutex::default(),
            made: Mutex::default(),
            filling: tokio::sync::Mutex::default(),
            making: tokio::sync::Mutex::default(),
        })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Every change under this lock is a single insertion or removal.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last reading of the cluster.
    pub(crate) async fn view(&self) -> Result<View, Refusal> {
        Self::good(self.poller.reading(1).await)
    }

    /// A reading that was begun after this call.
    pub(crate) async fn fresh_view(&self) -> Result<View, Refusal> {
        Self::good(self.poller.reading(self.poller.refresh_now()).await)
    }

    fn good(snapshot: Arc<Snapshot>) -> Result<View, Refusal> {
        match &snapshot.resources {
            Ok(_) => Ok(View(snapshot)),
            Err(why) => Err(refusal("read the cluster's resources", why)),
        }
    }

    /// Reads a VM's configuration, now and then.
    pub(crate) async fn read(&self, at: &At) -> Seen<VmConfig> {
        let before = self.memory().writes.get(&at.vm).copied();
        match self.client.guest_pending(&at.node, at.vm).await {
            Ok(rows) => {
                let config = VmConfig::read(rows.iter().map(|row| Row {
                    key: &row.key,
                    now: row.value.as_deref(),
                    coming: row.pending.as_deref(),
                    leaving: row.delete,
                }));
                let mut memory = self.memory();
                let overtaken = memory.writes.get(&at.vm).copied() != before;
                let doubt = match memory.vms.remove(&at.vm) {
                    Some(read) if overtaken => read.doubt,
                    Some(_) | None => BTreeSet::new(),
                };
                memory.vms.insert(at.vm, Read { config: Arc::new(config.clone()), at: Instant::now(), doubt });
                Seen::Known(config)
            }
            Err(error) if error.is_not_found() => self.gone(at.vm).await,
            Err(error) => Seen::Unread(refusal(&format!("read {at}"), &error).why),
        }
    }

    /// A VM that is not where it was: gone, or somewhere else.
    async fn gone(&self, vm: Vmid) -> Seen<VmConfig> {
        self.memory().vms.remove(&vm);
        match self.client.vmid_is_free(vm).await {
            Ok(true) => Seen::Absent,
            Ok(false) => {
                self.poller.refresh_now();
                Seen::Unread(format!("VM {vm} is on another node than it was: ask again"))
            }
            Err(error) => Seen::Unread(refusal(&format!("ask whether VM {vm} exists"), &error).why),
        }
    }

    /// What was last read of a VM, if nothing was written to it since.
    pub(crate) fn known(&self, vm: Vmid) -> Option<Read> {
        self.memory().vms.get(&vm).filter(|read| read.doubt.is_empty()).cloned()
    }

    /// The UUID of a VM's firmware, if it was ever read: what is written of volumes does not change it.
    pub(crate) fn uuid(&self, vm: Vmid) -> Seen<Option<SmbiosUuid>> {
        self.memory().vms.get(&vm).map_or(Seen::Unasked, |read| Seen::Known(read.config.uuid))
    }

    /// The VM is written to: what was read of it no longer tells of this volume.
    pub(crate) fn written(&self, vm: Vmid, volume: &VolumeId) {
        let mut memory = self.memory();
        *memory.writes.entry(vm).or_default() += 1;
        if let Some(read) = memory.vms.get_mut(&vm) {
            read.doubt.insert(volume.clone());
        }
    }

    /// What QEMU has.
    pub(crate) async fn qemu(&self, at: &At) -> Seen<Qemu> {
        match self.client.guest_status(&at.node, at.vm).await {
            Ok(state) => match (state.status.clone(), state.blocks()) {
                (GuestStatus::Stopped, _) => Seen::Known(Qemu::Stopped),
                (_, Some(blocks)) => Seen::Known(Qemu::Has(blocks)),
                (status, None) => Seen::Unread(format!("{at} is {status:?} and does not say what drives it has")),
            },
            Err(error) if error.is_not_found() => match self.gone(at.vm).await {
                Seen::Absent => Seen::Absent,
                Seen::Unread(why) => Seen::Unread(why),
                Seen::Known(_) | Seen::Unasked => Seen::Unread(format!("{at} moved while it was read")),
            },
            Err(error) => Seen::Unread(refusal(&format!("read the state of {at}"), &error).why),
        }
    }

    /// VMs that have to be read before they tell of the volume.
    fn due(&self, view: &View, volume: Option<&VolumeId>) -> Vec<At> {
        let memory = self.memory();
        let nodes = &view.resources().nodes;
        // Nobody writes to a VM whose node does not answer: what was read before stands.
        let online = |row: &GuestRow| nodes.get(&row.node).is_none_or(|node| node.online);
        let old = |row: &&GuestRow| match memory.vms.get(&row.vmid) {
            None => true,
            Some(read) if volume.is_some_and(|volume| read.doubt.contains(volume)) => true,
            Some(read) => read.at.elapsed() >= self.recheck && online(row),
        };
        view.vms().filter(old).map(|row| At { vm: row.vmid, node: row.node.clone() }).collect()
    }

    /// Reads every VM that is not known, or known for too long, or in doubt as to this volume. The text says what could
    /// not be read.
    pub(crate) async fn fill(&self, view: &View, volume: Option<&VolumeId>) -> Result<(), String> {
        if self.due(view, volume).is_empty() {
            return Ok(());
        }
        // Who waited finds that another has read it.
        let _one_at_a_time = self.filling.lock().await;
        let due = self.due(view, volume);
        let read = |at: At| async move { (self.read(&at).await, at) };
        let read: Vec<(Seen<VmConfig>, At)> = stream::iter(due).map(read).buffer_unordered(AT_ONCE).collect().await;
        for (seen, at) in read {
            match seen {
                Seen::Known(_) | Seen::Absent => {}
                // What was read before stands: nobody writes to a VM whose node does not answer.
                Seen::Unread(_) | Seen::Unasked if self.tells(at.vm, volume) => {}
                Seen::Unread(why) => return Err(why),
                Seen::Unasked => return Err(format!("{at} was not read")),
            }
        }
        Ok(())
    }

    /// Whether what was read of a VM tells of the volume.
    fn tells(&self, vm: Vmid, volume: Option<&VolumeId>) -> bool {
        let in_doubt = |read: &Read| volume.is_some_and(|volume| read.doubt.contains(volume));
        self.memory().vms.get(&vm).is_some_and(|read| !in_doubt(read))
    }

    /// Which VMs have the volume, but for one, and but for its own holder while that rests.
    pub(crate) async fn others(&self, volume: &VolumeId, but: Option<Vmid>) -> Seen<Vec<(Vmid, Use)>> {
        let view = match self.view().await {
            Ok(view) => view,
            Err(refusal) => return Seen::Unread(refusal.why),
        };
        if let Err(why) = self.fill(&view, Some(volume)).await {
            return Seen::Unread(why);
        }
        let known: Vec<(&GuestRow, Read)> = {
            let memory = self.memory();
            let but_one = view.vms().filter(|row| Some(row.vmid) != but);
            but_one.filter_map(|row| Some((row, memory.vms.get(&row.vmid)?.clone()))).collect()
        };
        let mut others = Vec::new();
        for (row, read) in known {
            let plugged = read.config.plugged(volume);
            if plugged.is_empty() || (volume.owner() == Some(row.vmid) && self.prove(row, &read.config).is_ok()) {
                continue;
            }
            others.extend(plugged.into_iter().map(|of| (row.vmid, of)));
        }
        Seen::Known(others)
    }

    /// Which VMs that run, or may, have the volume.
    pub(crate) async fn busy(&self, volume: &VolumeId) -> Seen<Vec<(Vmid, Use)>> {
        let others = match self.others(volume, None).await {
            Seen::Known(others) => others,
            unread => return unread,
        };
        match self.view().await {
            Err(refusal) => Seen::Unread(refusal.why),
            Ok(view) => {
                let stopped = |row: &GuestRow| row.status == Some(GuestStatus::Stopped);
                Seen::Known(others.into_iter().filter(|(vm, _)| !view.vm(*vm).is_some_and(stopped)).collect())
            }
        }
    }

    fn made(&self) -> MutexGuard<'_, BTreeMap<Vmid, NodeName>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn prove(&self, row: &GuestRow, config: &VmConfig) -> Result<Holder, String> {
        let fresh = row.status.is_none() || row.status == Some(GuestStatus::Unknown);
        let rests = row.status == Some(GuestStatus::Stopped) || (fresh && self.made().contains_key(&row.vmid));
        let power = if rests { Power::Rests } else { Power::MayRun };
        Holder::prove(At { vm: row.vmid, node: row.node.clone() }, config.clone(), power, &self.tenant)
    }

    /// A holder was made here.
    pub(crate) fn remember_made(&self, vm: Vmid, node: &NodeName) {
        self.made().insert(vm, node.clone());
    }

    /// The holder that owns the volume, as it is now or as it was last read.
    pub(crate) async fn holder_of(&self, volume: &VolumeId, how: How) -> Seen<Holder> {
        let Some(vm) = volume.owner() else {
            return Seen::Unread(format!("`{volume}` has no owner in its name"));
        };
        let view = match self.view().await {
            Ok(view) => view,
            Err(refusal) => return Seen::Unread(refusal.why),
        };
        let view = match view.vm(vm) {
            Some(_) => view,
            // It may have been made since.
            None => match self.fresh_view().await {
                Ok(view) => view,
                Err(refusal) => return Seen::Unread(refusal.why),
            },
        };
        let Some(row) = view.vm(vm) else {
            return match self.client.vmid_is_free(vm).await {
                Ok(true) => Seen::Absent,
                Ok(false) => Seen::Unread(format!("VM {vm}, which owns it, is not one that we may see")),
                Err(error) => Seen::Unread(refusal(&format!("ask whether VM {vm} exists"), &error).why),
            };
        };
        let config = match (how, self.known(vm)) {
            (How::AsLastRead, Some(read)) => (*read.config).clone(),
            (How::AsLastRead, None) | (How::Now, _) => match self.read(&At { vm, node: row.node.clone() }).await {
                Seen::Known(config) => config,
                Seen::Absent => return Seen::Absent,
                Seen::Unread(why) => return Seen::Unread(why),
                Seen::Unasked => return Seen::Unread(format!("VM {vm} was not read")),
            },
        };
        match self.prove(row, &config) {
            Ok(holder) => Seen::Known(holder),
            Err(why) => Seen::Unread(why),
        }
    }

    /// The holders of this tenant on a node, or on all of them.
    pub(crate) async fn holders(&self, node: Option<&NodeName>, how: How) -> Seen<Vec<Holder>> {
        let view = match self.view().await {
            Ok(view) => view,
            Err(refusal) => return Seen::Unread(refusal.why),
        };
        let prefix = holder_prefix(&self.tenant);
        let made: Vec<Vmid> = self.made().keys().copied().collect();
        let ours = |row: &&GuestRow| {
            let named = row.name.as_deref().is_some_and(|name| name.starts_with(&prefix));
            (named || made.contains(&row.vmid)) && node.is_none_or(|node| row.node == *node)
        };
        let mut holders = Vec::new();
        for row in view.vms().filter(ours) {
            let config = match (how, self.known(row.vmid)) {
                (How::AsLastRead, Some(read)) => (*read.config).clone(),
                (How::AsLastRead, None) | (How::Now, _) => {
                    match self.read(&At { vm: row.vmid, node: row.node.clone() }).await {
                        Seen::Known(config) => config,
                        Seen::Absent => continue,
                        Seen::Unread(why) => return Seen::Unread(why),
                        Seen::Unasked => return Seen::Unread(format!("VM {} was not read", row.vmid)),
                    }
                }
            };
            match self.prove(row, &config) {
                Ok(holder) => holders.push(holder),
                Err(why) => tracing::warn!(vm = %row.vmid, why, "a VM with a holder's name is left alone"),
            }
        }
        Seen::Known(holders)
    }

    /// Slots of a VM that QEMU has spoiled since it was started.
    pub(crate) fn spoiled(&self, vm: Vmid) -> BTreeSet<Slot> {
        self.memory().spoiled.get(&vm).cloned().unwrap_or_default()
    }

    /// QEMU has spoiled a slot.
    pub(crate) fn spoil(&self, vm: Vmid, slot: Slot) {
        self.memory().spoiled.entry(vm).or_default().insert(slot);
    }

    /// QEMU does not run: what it spoiled is forgotten.
    pub(crate) fn unspoil(&self, vm: Vmid) {
        self.memory().spoiled.remove(&vm);
    }

    /// The task that makes a copy.
    pub(crate) fn copy_task(&self, serial: &str) -> Option<Upid> {
        self.memory().copies.get(serial).cloned()
    }

    /// A task makes a copy, or does no longer.
    pub(crate) fn remember_copy(&self, serial: &str, task: Option<Upid>) {
        let mut memory = self.memory();
        match task {
            Some(upid) => memory.copies.insert(serial.to_owned(), upid),
            None => memory.copies.remove(serial),
        };
    }

    /// What a node calls itself.
    pub(crate) fn remember_node(&self, vm: Vmid, id: &str) {
        self.memory().nodes.insert(vm, id.to_owned());
    }

    /// What the node on this VM calls itself: as it said, else as our node plugin would say.
    pub(crate) fn node_id(&self, vm: Vmid) -> Option<String> {
        let memory = self.memory();
        memory.nodes.get(&vm).cloned().or_else(|| {
            let config = &memory.vms.get(&vm)?.config;
            Some(format!("{}/{}", config.name.as_ref()?, config.uuid?))
        })
    }

    /// Every volume of ours, if that was listed within ten minutes.
    pub(crate) fn catalogue(&self) -> Option<Vec<(Handle, DiskSize)>> {
        let memory = self.memory();
        let (at, volumes) = memory.catalogue.as_ref()?;
        (at.elapsed() < CATALOGUE).then(|| volumes.iter().map(|(handle, size)| (handle.clone(), *size)).collect())
    }

    /// Every volume of ours was listed.
    pub(crate) fn set_catalogue(&self, volumes: Vec<(Handle, DiskSize)>) {
        self.memory().catalogue = Some((Instant::now(), volumes.into_iter().collect()));
    }

    /// A volume is there with this size, or is gone.
    pub(crate) fn enter(&self, handle: &Handle, size: Option<DiskSize>) {
        if let Some((_, volumes)) = &mut self.memory().catalogue {
            match size {
                Some(size) => volumes.insert(handle.clone(), size),
                None => volumes.remove(handle),
            };
        }
    }

    /// Bytes free on a storage, a minute old at most.
    pub(crate) async fn room(&self, node: &NodeName, storage: &StorageId) -> Result<u64, Refusal> {
        let key = (node.clone(), storage.clone());
        let known = self.memory().room.get(&key).copied();
        if let Some((at, room)) = known
            && at.elapsed() < ROOM
        {
            return Ok(room);
        }
        let room = self.client.storage_room(node, storage).await;
        let room = room.map_err(|error| refusal(&format!("ask how much room `{storage}` has on {node}"), &error))?;
        self.memory().room.insert(key, (Instant::now(), room));
        Ok(room)
    }

    /// Waits for the end of a task that was started for `of`; none if it has not ended within the limit.
    pub(crate) async fn finish(&self, upid: &Upid, of: &str, limit: Duration) -> Option<Result<(), pve::Error>> {
        let mut changes = self.poller.changes();
        self.poller.watch_task_of(upid.clone(), of);
        let ended = async {
            loop {
                let seen = self.poller.task(upid);
                if let TaskSeen::Ended { .. } = seen {
                    return seen.failure(upid).map_or(Ok(()), Err);
                }
                // Whoever falls behind looks again, which is all that is done here anyway.
                let _news = changes.recv().await;
            }
        };
        tokio::time::timeout(limit, ended).await.ok()
    }
}

/// How old a fact may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// It is read now.
    Now,
    /// What was last read will do.
    AsLastRead,
}

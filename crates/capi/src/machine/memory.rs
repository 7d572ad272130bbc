//! What this process remembers of a machine between passes: the task under way, what ended tasks did, what failed.
//!
//! All of it is a hint that saves calls or closes the gap between a call and the next reading. A process that has
//! forgotten it finds the world as it is, and comes to the same end.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::MachineReason;
use plan::machine::Backoff;
use pve::{Busy, Refusal};
use pve_types::{GuestConfig, NodeName, Upid, Vmid, VolumeId};

/// For so long after a start or stop the inventory may still tell the state before: Proxmox VE gathers states every ten
/// seconds.
const LAG: Duration = Duration::from_secs(20);

/// One machine's.
#[derive(Default)]
pub(crate) struct Progress {
    /// The task under way.
    pub(crate) task: Option<Upid>,
    /// The ISO was uploaded.
    pub(crate) seed_uploaded: bool,
    /// The ISO that was taken out of its drive.
    pub(crate) ejected: Option<VolumeId>,
    /// The ISO was removed.
    pub(crate) seed_removed: bool,
    /// The VM was destroyed; readings from this one on show it.
    pub(crate) destroyed: Option<u64>,
    /// The VM was started (true) or stopped.
    power: Option<(bool, Instant)>,
    /// A configuration that was read, and that we have not changed since.
    pub(crate) config: Option<(Vmid, GuestConfig)>,
    /// The command that waits for cloud-init in the guest.
    pub(crate) cloud_init: Option<u64>,
    /// What was reserved.
    pub(crate) reserved: Option<Reservation>,
    /// It was reserved by this process, which has called nothing for the machine since.
    pub(crate) untried: bool,
    /// When a call was made last.
    last_call: Option<Instant>,
    failures: u32,
    backoff: Option<(MachineReason, String, Instant)>,
    /// While the machine is under way, the poller is quick.
    pub(crate) busy: Option<Busy>,
}

/// What a machine has reserved, from the moment of the decision.
#[derive(Debug, Clone)]
pub(crate) struct Reservation {
    pub(crate) vmid: Vmid,
    pub(crate) node: NodeName,
    pub(crate) addresses: BTreeMap<u8, Vec<IpAddr>>,
}

/// Whether a call may have changed a VM's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Config {
    Changed,
    Kept,
}

impl Progress {
    /// Notes that a call was made, and whether it may have changed the VM's configuration.
    pub(crate) fn called(&mut self, config: Config) {
        self.last_call = Some(Instant::now());
        self.untried = false;
        if config == Config::Changed {
            self.config = None;
        }
    }

    /// How long nothing can have been under way.
    pub(crate) fn quiet(&self, since_start: Instant) -> Duration {
        self.last_call.unwrap_or(since_start).elapsed()
    }

    /// What tasks tell of the VM's power that the inventory may not tell yet.
    pub(crate) fn power(&self) -> Option<bool> {
        self.power.filter(|(_, at)| at.elapsed() < LAG).map(|(on, _)| on)
    }

    /// A task of ours ended well.
    pub(crate) fn done(&mut self, upid: &Upid, reading: impl FnOnce() -> u64) {
        self.task = None;
        self.failures = 0;
        self.backoff = None;
        match upid.kind.as_str() {
            "imgcopy" => self.seed_uploaded = true,
            "imgdel" => self.seed_removed = true,
            "qmstart" | "hastart" => self.power = Some((true, Instant::now())),
            "qmstop" | "qmshutdown" => self.power = Some((false, Instant::now())),
            "qmdestroy" => self.destroyed = Some(reading()),
            _ => {}
        }
        // What moves files, or turns the VM on and off, leaves its configuration as it was read.
        if !matches!(upid.kind.as_str(), "imgcopy" | "imgdel" | "qmstart" | "hastart" | "qmstop" | "qmshutdown") {
            self.config = None;
        }
    }

    /// A step failed or was refused; it is left alone for a while, longer each time.
    pub(crate) fn failed(&mut self, doing: MachineReason, why: String, kind: Option<&Refusal>) {
        self.task = None;
        self.config = None;
        let exponent = self.failures.min(6);
        self.failures += 1;
        let pause = match kind {
            // the next look tells whose the VMID is
            Some(Refusal::VmidTaken | Refusal::DigestConflict) => Duration::from_millis(200),
            // the usual state of a busy Proxmox VE
            Some(Refusal::LockTimeout | Refusal::Locked(_)) => Duration::from_secs(2),
            _ => Duration::from_secs(1 << exponent),
        };
        self.backoff = Some((doing, why, Instant::now() + pause));
    }

    /// The failed step, while it is left alone.
    pub(crate) fn backoff(&self) -> Option<Backoff> {
        let (doing, why, until) = self.backoff.as_ref()?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| Backoff { doing: *doing, why: why.clone(), left })
    }
}

/// All machines', by UID.
#[derive(Default)]
pub(crate) struct Memory(Mutex<HashMap<String, Progress>>);

impl Memory {
    /// Works on what is remembered of a machine.
    pub(crate) fn with<T>(&self, uid: &str, work: impl FnOnce(&mut Progress) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        work(all.entry(uid.to_owned()).or_default())
    }

    /// What the others have reserved.
    pub(crate) fn reservations(&self, but: &str) -> Vec<Reservation> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|(uid, _)| *uid != but).filter_map(|(_, progress)| progress.reserved.clone()).collect()
    }

    /// Forgets a machine that is gone.
    pub(crate) fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

//! Guests' configurations, read slowly in the background: a scrape takes what is known.
//!
//! Each guest costs a call; all of them at each scrape would be most of what the exporter asks of Proxmox VE, for a flag
//! that changes once a year.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pve::{GuestKind, UsageRow};
use pve_types::{NodeName, Vmid};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::snapshot::Onboot;

/// Configurations that are read at the same time.
const AT_ONCE: usize = 4;
/// After a guest could not be read.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is known of guests' configurations.
#[derive(Clone)]
pub(crate) struct Configs(Arc<Inner>);

struct Inner {
    client: pve::Client,
    refresh: Duration,
    guests: Mutex<BTreeMap<Vmid, Guest>>,
    wake: Notify,
}

struct Guest {
    node: NodeName,
    kind: GuestKind,
    onboot: Key,
    due: Instant,
}

/// The key `onboot` of a configuration.
enum Key {
    NotRead,
    Absent,
    Is(String),
}

fn word(kind: GuestKind) -> &'static str {
    match kind {
        GuestKind::Qemu => "qemu",
        GuestKind::Lxc => "lxc",
    }
}

impl Configs {
    pub(crate) fn spawn(client: pve::Client, refresh: Duration, token: CancellationToken) -> Self {
        let inner = Arc::new(Inner { client, refresh, guests: Mutex::default(), wake: Notify::new() });
        tokio::spawn(keep(inner.clone(), token));
        Self(inner)
    }

    /// What is known of a node's guests, which are these; those that are new are read soon.
    pub(crate) fn of(&self, node: &str, rows: &[UsageRow]) -> Onboot {
        let mut guests = self.0.lock();
        let now = Instant::now();
        let mut out = Onboot { node: node.to_owned(), ..Onboot::default() };
        let mut seen = Vec::new();
        for row in rows {
            let kind = match row.kind.as_str() {
                "qemu" => GuestKind::Qemu,
                "lxc" => GuestKind::Lxc,
                _ => continue,
            };
            let (Some(vmid), Some(place)) = (row.vmid, row.node.as_deref()) else { continue };
            seen.push(vmid);
            if place != node {
                continue;
            }
            let Ok(place) = place.parse::<NodeName>() else { continue };
            let guest = guests.entry(vmid).or_insert_with(|| Guest {
                node: place.clone(),
                kind,
                onboot: Key::NotRead,
                due: now,
            });
            if guest.kind != kind {
                // the number is another guest's now
                (guest.kind, guest.onboot, guest.due) = (kind, Key::NotRead, now);
            }
            guest.node = place;
            out.all += 1;
            match &guest.onboot {
                Key::NotRead => {}
                Key::Absent => out.known += 1,
                Key::Is(value) => {
                    out.known += 1;
                    out.set.push((row.id.clone(), word(kind), value.clone()));
                }
            }
        }
        seen.sort_unstable();
        guests.retain(|vmid, _| seen.binary_search(vmid).is_ok());
        self.0.wake.notify_one();
        out
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Vmid, Guest>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Guests that are due, and when the next one is.
    fn due(&self, now: Instant) -> (Vec<(Vmid, NodeName, GuestKind)>, Option<Instant>) {
        let guests = self.lock();
        let due = guests.iter().filter(|(_, guest)| guest.due <= now);
        let due = due.take(AT_ONCE).map(|(vmid, guest)| (*vmid, guest.node.clone(), guest.kind)).collect();
        (due, guests.values().map(|guest| guest.due).min())
    }
}

async fn keep(inner: Arc<Inner>, token: CancellationToken) {
    loop {
        let (due, next) = inner.due(Instant::now());
        if due.is_empty() {
            // Nobody to read: until somebody comes, or is due.
            let due = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = inner.wake.notified() => {}
                () = due => {}
                () = token.cancelled() => return,
            }
            continue;
        }
        let mut readers = JoinSet::new();
        for (vmid, node, kind) in due {
            let inner = inner.clone();
            readers.spawn(async move { read(&inner, vmid, &node, kind).await });
        }
        tokio::select! {
            _ = readers.join_all() => {}
            () = token.cancelled() => return,
        }
    }
}

async fn read(inner: &Inner, vmid: Vmid, node: &NodeName, kind: GuestKind) {
    let read = inner.client.guest_fields(node, kind, vmid).await;
    let mut guests = inner.lock();
    let Some(guest) = guests.get_mut(&vmid) else { return };
    let wait = match read {
        Ok(mut fields) => {
            guest.onboot = fields.remove("onboot").map_or(Key::Absent, Key::Is);
            inner.refresh
        }
        Err(why) => {
            tracing::debug!(%vmid, why = daemon::chain(&why), "cannot read the guest's configuration");
            PATIENCE.min(inner.refresh)
        }
    };
    guest.due = Instant::now() + wait;
}

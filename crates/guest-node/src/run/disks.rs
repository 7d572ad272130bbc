//! The disks of one running VM, kept as the simulator says.
//!
//! Promises: orders are carried out in the order in which they come, once the guest has a file system of its own; a drive
//! that cannot be shown yet (its file is still being copied, or a guest that had it before has not let go) is tried again
//! until it can be, or is pulled. Assumes that it is dropped when the guest has ended, not before.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tracing::warn;

use crate::guest::Drive;
use crate::machine::disk::Disks;
use crate::machine::disk::face::Face;

/// Between two tries of a drive that cannot be shown yet.
const AGAIN: Duration = Duration::from_millis(250);

/// What happens to a drive.
#[derive(Debug)]
pub(super) enum Order {
    /// It is there, or another than it was.
    Plug(Drive),
    /// What was in this slot is not.
    Unplug(String),
}

/// Disks, and drives that are to become some.
#[derive(Debug)]
pub(super) struct Attending {
    vmid: u32,
    disks: Disks,
    waiting: BTreeMap<String, Drive>,
}

impl Attending {
    /// At power-on: all drives that can be had at once.
    pub(super) fn begin(vmid: u32, home: PathBuf, drives: &[Drive]) -> Self {
        let mut this = Self { vmid, disks: Disks::new(home), waiting: BTreeMap::new() };
        for drive in drives {
            this.plug(drive.clone(), None);
        }
        this
    }

    /// What the guest finds when it boots.
    pub(super) fn faces(&self) -> Vec<Face> {
        self.disks.faces()
    }

    /// Carries out orders until nobody can give any more. `root` is the guest's root once it has one.
    pub(super) async fn attend(
        &mut self,
        orders: &mut mpsc::UnboundedReceiver<Order>,
        root: &mut watch::Receiver<Option<PathBuf>>,
    ) {
        let Ok(root) = root.wait_for(Option::is_some).await.map(|root| root.clone()) else { return };
        loop {
            let again = async {
                if self.waiting.is_empty() {
                    std::future::pending::<()>().await;
                }
                #[expect(clippy::disallowed_methods, reason = "the edge: the kernel does not say when a file is free")]
                tokio::time::sleep(AGAIN).await;
            };
            let order = tokio::select! {
                order = orders.recv() => Some(order),
                () = again => None,
            };
            match order {
                Some(Some(Order::Plug(drive))) => self.plug(drive, root.as_ref()),
                Some(Some(Order::Unplug(key))) => {
                    self.waiting.remove(&key);
                    if let Err(err) = self.disks.unplug(&key, root.as_deref()) {
                        warn!(vmid = self.vmid, key, "unplug: {err:#}");
                    }
                }
                Some(None) => return,
                None => {
                    for drive in std::mem::take(&mut self.waiting).into_values() {
                        self.plug(drive, root.as_ref());
                    }
                }
            }
        }
    }

    fn plug(&mut self, drive: Drive, root: Option<&PathBuf>) {
        self.waiting.remove(&drive.key);
        if let Err(err) = self.disks.plug(&drive, root.map(PathBuf::as_path)) {
            warn!(vmid = self.vmid, drive = drive.key, "not shown yet: {err:#}");
            self.waiting.insert(drive.key.clone(), drive);
        }
    }
}

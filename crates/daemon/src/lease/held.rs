//! The lease while it is ours.
//!
//! * What it is: a task that renews, and the handle that ends it.
//! * What it promises: `lost` resolves when the renewal deadline passes, even while a call hangs;
//!   a release is written only if the lease is still ours.
//! * What it assumes: the work under the lease has ended before [`Held::release`].

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease as Object;
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{
    record::Record,
    rules::{self, Leading},
};
use crate::chain;

/// The lease while we hold it. Dropped without [`Held::release`], it is left to expire.
#[must_use = "a lease that is dropped at once is not held"]
pub struct Held {
    lost: CancellationToken,
    stop: CancellationToken,
    keeper: Option<JoinHandle<Option<(Record, Object)>>>,
}

impl Held {
    /// `sent` is when the write left that made it ours.
    pub(super) fn keep(record: Record, taken: Object, sent: Instant) -> Self {
        let lost = CancellationToken::new();
        let stop = CancellationToken::new();
        let keeper = tokio::spawn(keep(record, taken, sent, lost.clone(), stop.clone()));
        Self { lost, stop, keeper: Some(keeper) }
    }

    /// Resolves when the lease is lost, released or dropped: stop writing then.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + Sync + 'static + use<> {
        self.lost.clone().cancelled_owned()
    }

    /// Gives the lease back, so that the next one starts at once. Call it when all work has ended.
    pub async fn release(mut self) {
        self.stop.cancel();
        let Some(keeper) = self.keeper.take() else { return };
        if let Ok(Some((record, object))) = keeper.await {
            let name = record.to_string();
            match record.release(object).await {
                Ok(_) => info!(lease = name, "released"),
                // It expires by itself; the next leader only starts later.
                Err(why) => warn!(lease = name, why = chain(&why), "not released"),
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
        }
        self.lost.cancel();
    }
}

/// Renews until stopped (returns what to release) or lost.
async fn keep(
    record: Record,
    mut held: Object,
    sent: Instant,
    lost: CancellationToken,
    stop: CancellationToken,
) -> Option<(Record, Object)> {
    // The clock starts when the taking write left: all moments below are counted from it.
    let clock = || sent.elapsed();
    let mut renewed = Duration::ZERO;
    let mut tried = renewed;
    loop {
        let now = clock();
        let spec = held.spec.clone().unwrap_or_default();
        match rules::leading(&record.identity, record.settings, &spec, renewed, tried, now) {
            Leading::Lose => {
                error!(lease = %record, holder = rules::holder(&spec), "the lease is lost");
                lost.cancel();
                return None;
            }
            Leading::Wait(pause) => {
                if timeout(pause, stop.cancelled()).await.is_ok() {
                    return Some((record, held));
                }
            }
            Leading::Renew => {
                tried = now;
                let left = (renewed + record.settings.renew_deadline).saturating_sub(now);
                match record.renew(&held, left).await {
                    Ok(written) => {
                        renewed = tried;
                        held = written;
                    }
                    Err(why) if why.code() == Some(404) => {
                        // Deleted by somebody: another may have created it anew, and lead.
                        error!(lease = %record, "the lease is gone");
                        lost.cancel();
                        return None;
                    }
                    Err(why) => {
                        warn!(lease = %record, why = chain(&why), "not renewed");
                        let left = (renewed + record.settings.renew_deadline).saturating_sub(clock());
                        if why.code() == Some(409) {
                            held = timeout(left, look_again(&record, held.clone())).await.unwrap_or(held);
                        }
                    }
                }
            }
        }
    }
}

/// After a conflict: whoever wrote, maybe ourselves in a call without an answer.
async fn look_again(record: &Record, held: Object) -> Object {
    match record.read().await {
        Ok(Some(object)) => object,
        // Gone: nobody holds it, and so we do not.
        Ok(None) => Object { spec: None, ..held },
        Err(why) => {
            debug!(lease = %record, why = chain(&why), "cannot read the lease");
            held
        }
    }
}

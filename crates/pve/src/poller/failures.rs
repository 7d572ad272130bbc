//! Failed tasks of others: each told once.
//!
//! Promises: what had failed before the first look is not told; what is watched is told by whoever watches it, not here.
//! A task of ours that nobody watches (whoever started it died) is told when it is seen a second time.
//! Assumes: fewer than [`LIST`] tasks of a node fail between two looks; what is above is missed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pve_types::{NodeName, Upid, Vmid};
use tokio::time::MissedTickBehavior;

use super::{Shared, lock};
use crate::error::TaskFailed;
use crate::refusal::Refusal;
use crate::task::{TAIL, TaskRow, TaskStatus};

/// A task that failed.
#[derive(Debug)]
pub struct Failure {
    /// Which, how, and the end of its log.
    pub task: TaskFailed,
    /// The object that it was started for, if it was watched under one.
    pub of: Option<String>,
}

impl Failure {
    /// Writes it into the log, with its object: the one it was started for, else what `guest` makes of its guest's number.
    pub fn log(&self, guest: impl FnOnce(Vmid) -> Option<String>) {
        let Self { task: TaskFailed { upid, exit_status, .. }, of } = self;
        let vmid = upid.vmid();
        let object = of.clone().or_else(|| guest(vmid?)).unwrap_or_default();
        tracing::warn!(
            %upid,
            node = %upid.node,
            r#type = upid.kind,
            vmid = vmid.map(|vmid| vmid.to_string()).unwrap_or_default(),
            user = upid.user,
            exitstatus = exit_status,
            object,
            "a task of Proxmox VE failed"
        );
    }
}

/// Failed tasks of a node that are looked at.
const LIST: u32 = 50;

/// What was seen of a node.
#[derive(Debug, Default, PartialEq, Eq)]
struct Known {
    told: BTreeSet<Upid>,
    /// Ours, and not watched yet: perhaps the answer that names it is still on its way.
    doubtful: BTreeSet<Upid>,
}

/// What a list tells that was not known before; and what is known now.
fn news(
    known: Option<&Known>,
    listed: &[TaskRow],
    us: &str,
    watched: impl Fn(&Upid) -> bool,
) -> (Known, Vec<(Upid, String)>) {
    let mut now = Known::default();
    let mut news = Vec::new();
    for row in listed {
        let TaskStatus::Failed(why) = &row.status else { continue };
        let upid = row.upid.clone();
        let Some(known) = known else {
            now.told.insert(upid);
            continue;
        };
        if known.told.contains(&upid) || watched(&upid) {
            now.told.insert(upid);
        } else if (upid.user == us || row.status.is_doubtful()) && !known.doubtful.contains(&upid) {
            now.doubtful.insert(upid);
        } else {
            now.told.insert(upid.clone());
            news.push((upid, why.clone()));
        }
    }
    news.reverse(); // the oldest first
    (now, news)
}

/// Looks until shutdown.
pub(super) async fn read(shared: Arc<Shared>, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut all: BTreeMap<NodeName, Known> = BTreeMap::new();
    let mut first = shared.snapshot.subscribe();
    tokio::select! {
        _ = first.wait_for(|snapshot| snapshot.resources.is_ok()) => {}
        () = shared.shutdown.cancelled() => return,
    }
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shared.shutdown.cancelled() => return,
        }
        let snapshot = shared.snapshot.borrow().clone();
        let Ok(resources) = &snapshot.resources else { continue };
        for node in resources.nodes.values().filter(|node| node.online).map(|node| &node.node) {
            let listed = match shared.client.failed_tasks(node, LIST).await {
                Ok(listed) => listed,
                Err(error) => {
                    tracing::debug!(%node, error = &error as &dyn std::error::Error, "cannot read failed tasks");
                    continue;
                }
            };
            let watched = |upid: &Upid| lock(&shared.tasks).watches(upid);
            let (known, news) = news(all.get(node), &listed, shared.client.name(), watched);
            all.insert(node.clone(), known);
            for (upid, exit_status) in news {
                let log_tail = shared.client.task_log_tail(&upid, TAIL).await.unwrap_or_default();
                let task = TaskFailed { upid, kind: Refusal::of_text(&exit_status), exit_status, log_tail };
                shared.fail(Failure { task, of: None });
            }
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    const US: &str = "capi@pve!oxmox";

    fn row(vmid: u32, user: &str) -> TaskRow {
        let upid = format!("UPID:pve1:00000001:00000002:6A000000:qmstart:{vmid}:{user}:").parse().unwrap();
        TaskRow { upid, endtime: Some(1), status: TaskStatus::Failed("no".into()) }
    }

    fn vmids(news: &[(Upid, String)]) -> Vec<u32> {
        news.iter().map(|(upid, _)| upid.vmid().unwrap().get()).collect()
    }

    #[test]
    fn a_failed_task_of_somebody_else_is_told_once_and_what_was_there_before_never() {
        let nobody = |_: &Upid| false;
        let (known, told) = news(None, &[row(100, "root@pam")], US, nobody);
        assert_eq!(vmids(&told), [0; 0], "what failed before we came");
        let listed = [row(102, "root@pam"), row(101, "root@pam"), row(100, "root@pam")];
        let (known, told) = news(Some(&known), &listed, US, nobody);
        assert_eq!(vmids(&told), [101, 102], "the oldest first");
        let (_, told) = news(Some(&known), &listed, US, nobody);
        assert_eq!(vmids(&told), [0; 0], "told before");
    }

    #[test]
    fn what_is_watched_is_left_to_who_watches_it_even_when_it_is_forgotten_there() {
        let (known, _) = news(None, &[], US, |_| false);
        let (known, told) = news(Some(&known), &[row(101, US)], US, |_| true);
        assert_eq!(vmids(&told), [0; 0]);
        let (_, told) = news(Some(&known), &[row(101, US)], US, |_| false);
        assert_eq!(vmids(&told), [0; 0]);
    }

    #[test]
    fn a_task_of_ours_that_nobody_watches_is_told_at_the_second_look() {
        let (known, _) = news(None, &[], US, |_| false);
        let (known, told) = news(Some(&known), &[row(101, US)], US, |_| false);
        assert_eq!(vmids(&told), [0; 0]);
        let (_, told) = news(Some(&known), &[row(101, US)], US, |_| false);
        assert_eq!(vmids(&told), [101]);
    }
}

//! Watched tasks.
//!
//! ```text
//! watch_task ─► Running ─► Ended ─► forgotten after a quarter of an hour
//! ```
//! * Running to Ended: a list or the task's own status says so; "unexpected status" only when said twice,
//!   for it is also what one reads between a process's end and its last line.
//! * A list may be behind (Proxmox renews it every ten seconds), so a task that it shows as running is
//!   also asked for by itself, at growing intervals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pve_types::{NodeName, Upid, Vmid};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::failures::Failure;
use super::snapshot::{Changed, Changes};
use super::{Shared, lock};
use crate::error::{Error, TaskFailed};
use crate::figures::{Ended, TaskFigures};
use crate::refusal::Refusal;
use crate::task::{TAIL, TaskRow, TaskStatus};

/// How long an ended task is remembered.
const REMEMBER: Duration = Duration::from_mins(15);

/// More tasks than start on a node between the start of the oldest of ours and now, save in a storm;
/// what falls off the list is asked for by itself.
const LIST: u32 = 500;

/// The first look past the list comes after this many rounds; each later one after twice the time.
const OWN_LOOK_ROUNDS: u32 = 8;

/// Our words for tasks whose end nobody can tell any more.
const LOST: &str = "no such task: its node has no record of it";
const NODE_LOST: &str = "no such task: its node has left the cluster";

/// How a watched task stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskSeen {
    /// It is not watched, or was forgotten: ask Proxmox.
    Unknown,
    /// It runs, as far as we know.
    Running,
    /// It has ended.
    Ended {
        /// How.
        status: TaskStatus,
        /// The last lines of a failed task's log.
        log_tail: Vec<String>,
    },
}

impl TaskSeen {
    /// The failure as an error, with its log's last lines.
    pub fn failure(&self, upid: &Upid) -> Option<Error> {
        match self {
            Self::Ended { status: TaskStatus::Failed(exit_status), log_tail } => {
                Some(Error::TaskFailed(Box::new(TaskFailed {
                    upid: upid.clone(),
                    kind: Refusal::of_text(exit_status),
                    exit_status: exit_status.clone(),
                    log_tail: log_tail.clone(),
                })))
            }
            Self::Unknown | Self::Running | Self::Ended { .. } => None,
        }
    }
}

#[derive(Default)]
pub(super) struct Tasks {
    watched: BTreeMap<Upid, Watched>,
    rows: BTreeMap<Upid, (TaskRow, Instant)>,
    pub(super) figures: BTreeMap<(String, Ended), TaskFigures>,
    being_read: BTreeSet<NodeName>,
}

struct Watched {
    seen: TaskSeen,
    /// For what object.
    of: Option<String>,
    since: Instant,
    ended_at: Option<Instant>,
    doubtful: bool,
    own_look: Instant,
    own_pause: Duration,
}

impl Tasks {
    pub(super) fn watch(&mut self, upid: Upid, of: Option<&str>, now: Instant, round: Duration) {
        let own_pause = round.saturating_mul(OWN_LOOK_ROUNDS);
        // There from the start: what counts increases does not see a counter's first value.
        for ended in [Ended::Ok, Ended::Failed] {
            self.figures.entry((upid.kind.clone(), ended)).or_default();
        }
        self.watched.entry(upid).or_insert_with(|| Watched {
            seen: TaskSeen::Running,
            of: of.map(ToOwned::to_owned),
            since: now,
            ended_at: None,
            doubtful: false,
            own_look: now + own_pause,
            own_pause,
        });
    }

    pub(super) fn seen(&self, upid: &Upid) -> TaskSeen {
        self.watched.get(upid).map_or(TaskSeen::Unknown, |watched| watched.seen.clone())
    }

    pub(super) fn watches(&self, upid: &Upid) -> bool {
        self.watched.contains_key(upid)
    }

    /// A watched task has ended; the failure, if it is one.
    fn end(&mut self, upid: &Upid, status: TaskStatus, log_tail: Vec<String>, now: Instant) -> Option<Failure> {
        if let Some((row, at)) = self.rows.get_mut(upid) {
            row.status = status.clone();
            *at = now;
        }
        let ended = match &status {
            TaskStatus::Running => return None,
            TaskStatus::Ok => Ended::Ok,
            TaskStatus::Warnings(_) => Ended::Warnings,
            TaskStatus::Failed(_) => Ended::Failed,
        };
        let watched = self.watched.get_mut(upid)?;
        watched.seen = TaskSeen::Ended { status, log_tail };
        watched.ended_at = Some(now);
        let figures = self.figures.entry((upid.kind.clone(), ended)).or_default();
        figures.ended += 1;
        figures.waited += now.saturating_duration_since(watched.since);
        let Some(Error::TaskFailed(task)) = watched.seen.failure(upid) else { return None };
        Some(Failure { task: *task, of: watched.of.clone() })
    }

    pub(super) fn recent(&self, vmid: Vmid) -> Vec<TaskRow> {
        let mut rows: Vec<TaskRow> =
            self.rows.values().filter(|(row, _)| row.upid.vmid() == Some(vmid)).map(|(row, _)| row.clone()).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.upid.starttime));
        rows
    }

    fn forget_old(&mut self, now: Instant) {
        let young = |at: Instant| now.saturating_duration_since(at) < REMEMBER;
        self.watched.retain(|_, w| w.ended_at.is_none_or(young));
        self.rows.retain(|_, (_, at)| young(*at));
    }

    fn running(&self) -> impl Iterator<Item = (&Upid, &Watched)> {
        self.watched.iter().filter(|(_, w)| w.ended_at.is_none())
    }

    /// Nodes to read now; they count as being read.
    fn begin_round(&mut self) -> Vec<NodeName> {
        let nodes: BTreeSet<NodeName> =
            self.running().map(|(upid, _)| upid.node.clone()).filter(|node| !self.being_read.contains(node)).collect();
        self.being_read.extend(nodes.iter().cloned());
        nodes.into_iter().collect()
    }
}

pub(super) async fn read_tasks(shared: Arc<Shared>) {
    let mut ticks = tokio::time::interval(shared.options.tasks);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut readers = JoinSet::new();
    loop {
        let any = lock(&shared.tasks).running().next().is_some();
        if !any {
            tokio::select! {
                () = shared.tasks_wake.notified() => {}
                () = shared.shutdown.cancelled() => return,
            }
            // A task that has just started is given one round before the first look.
            ticks.reset();
            continue;
        }
        tokio::select! {
            _ = ticks.tick() => {}
            () = shared.shutdown.cancelled() => return,
        }
        let nodes = {
            let mut tasks = lock(&shared.tasks);
            tasks.forget_old(Instant::now());
            tasks.begin_round()
        };
        for node in nodes {
            let shared = shared.clone();
            readers.spawn(async move {
                read_node(&shared, &node).await;
                lock(&shared.tasks).being_read.remove(&node);
            });
        }
        while readers.try_join_next().is_some() {}
    }
}

/// One node, one list; then the tasks that it missed or that are due for a look of their own.
async fn read_node(shared: &Shared, node: &NodeName) {
    let ours: Vec<Upid> =
        lock(&shared.tasks).running().map(|(upid, _)| upid.clone()).filter(|upid| upid.node == *node).collect();
    let Some(since) = ours.iter().map(|upid| upid.starttime).min() else {
        return;
    };
    let listed = match shared.client.tasks(node, i64::from(since) - 1, LIST).await {
        Ok(rows) => rows,
        Err(error) => {
            tracing::debug!(%node, error = &error as &dyn std::error::Error, "cannot read the node's tasks");
            return;
        }
    };
    let listed: BTreeMap<Upid, TaskRow> = listed
        .into_iter()
        .filter(|row| row.upid.user == shared.client.name() || ours.contains(&row.upid))
        .map(|row| (row.upid.clone(), row))
        .collect();
    let now = Instant::now();
    {
        let mut tasks = lock(&shared.tasks);
        for row in listed.values() {
            tasks.rows.insert(row.upid.clone(), (row.clone(), now));
        }
    }
    let mut ended = BTreeSet::new();
    for upid in ours {
        let status = match listed.get(&upid).map(|row| &row.status) {
            Some(TaskStatus::Running) if !own_look_is_due(shared, &upid, now) => continue,
            None | Some(TaskStatus::Running) => own_look(shared, &upid).await,
            Some(status) if status.is_doubtful() => own_look(shared, &upid).await,
            Some(status) => Some(status.clone()),
        };
        if let Some(status) = status
            && settle(shared, &upid, status).await
        {
            ended.insert(upid);
        }
    }
    if !ended.is_empty() {
        shared.tell(Changes { sequence: shared.begun.load(Ordering::SeqCst), what: Changed::nothing(), tasks: ended });
    }
}

fn own_look_is_due(shared: &Shared, upid: &Upid, now: Instant) -> bool {
    let mut tasks = lock(&shared.tasks);
    let Some(watched) = tasks.watched.get_mut(upid) else {
        return false;
    };
    if now < watched.own_look {
        return false;
    }
    watched.own_pause = watched.own_pause.saturating_mul(2);
    watched.own_look = now + watched.own_pause;
    true
}

async fn own_look(shared: &Shared, upid: &Upid) -> Option<TaskStatus> {
    match shared.client.task_status(upid).await {
        Ok(status) => Some(status),
        Err(error) => match error.refusal() {
            Some(Refusal::NoSuchTask) => Some(TaskStatus::Failed(LOST.to_owned())),
            Some(Refusal::NoSuchNode) => Some(TaskStatus::Failed(NODE_LOST.to_owned())),
            _ => {
                tracing::debug!(%upid, error = &error as &dyn std::error::Error, "cannot read the task");
                None
            }
        },
    }
}

/// Writes down how a task ended; false while it has not.
async fn settle(shared: &Shared, upid: &Upid, status: TaskStatus) -> bool {
    if status == TaskStatus::Running {
        return false;
    }
    if status.is_doubtful() {
        let mut tasks = lock(&shared.tasks);
        let Some(watched) = tasks.watched.get_mut(upid) else {
            return false;
        };
        if !std::mem::replace(&mut watched.doubtful, true) {
            return false;
        }
    }
    let log_tail = match status {
        TaskStatus::Failed(_) => match shared.client.task_log_tail(upid, TAIL).await {
            Ok(lines) => lines,
            Err(error) => vec![format!("(its log could not be read: {error})")],
        },
        TaskStatus::Running | TaskStatus::Ok | TaskStatus::Warnings(_) => Vec::new(),
    };
    let now = Instant::now();
    let failure = lock(&shared.tasks).end(upid, status, log_tail, now);
    if let Some(failure) = failure {
        shared.fail(failure);
    }
    true
}

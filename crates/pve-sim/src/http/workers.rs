//! The workers of each node's daemons: how many calls a node does at a time.
//!
//! Proxmox VE's `pveproxy` and `pvedaemon` are some processes each, and a process does one call at a time. Promises that
//! calls begin in the order in which they came, and that a worker is free again whatever becomes of its call.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::oneshot;

/// Who does a call on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Daemon {
    /// `pveproxy`, which everybody talks to.
    Proxy,
    /// `pvedaemon`, which does what needs root.
    Privileged,
}

impl Daemon {
    const ALL: [Self; 2] = [Self::Proxy, Self::Privileged];

    fn name(self) -> &'static str {
        match self {
            Self::Proxy => "pveproxy",
            Self::Privileged => "pvedaemon",
        }
    }
}

/// The calls of one daemon.
#[derive(Debug, Default)]
struct Queue {
    busy: u32,
    waiting: VecDeque<oneshot::Sender<Worker>>,
}

#[derive(Debug, Default)]
struct Queues {
    /// Workers of each daemon, 0 for as many as there are calls.
    count: u32,
    /// By node, then by daemon.
    nodes: HashMap<String, [Queue; 2]>,
}

/// All workers of a cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct Workers(Arc<Mutex<Queues>>);

/// A worker that is busy; it is free when this is dropped.
#[derive(Debug)]
#[must_use = "a worker is free again when this is dropped"]
pub(crate) struct Worker {
    /// None for one that nobody waits for.
    of: Option<Workers>,
    node: String,
    daemon: Daemon,
}

impl Workers {
    pub(crate) fn new(count: u32) -> Self {
        let workers = Self::default();
        workers.set_count(count);
        workers
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A free worker, or where one will come when it is our turn.
    pub(crate) fn enter(&self, node: &str, daemon: Daemon) -> Result<Worker, oneshot::Receiver<Worker>> {
        let mut queues = self.queues();
        let count = queues.count;
        if !queues.nodes.contains_key(node) {
            queues.nodes.insert(node.to_owned(), Default::default());
        }
        let Some(queue) = queues.nodes.get_mut(node).map(|both| &mut both[daemon as usize]) else {
            return Ok(Worker { of: None, node: String::new(), daemon });
        };
        if queue.has_room(count) && queue.waiting.is_empty() {
            queue.busy += 1;
            return Ok(self.worker(node, daemon));
        }
        let (turn, come) = oneshot::channel();
        queue.waiting.push_back(turn);
        Err(come)
    }

    fn worker(&self, node: &str, daemon: Daemon) -> Worker {
        Worker { of: Some(self.clone()), node: node.to_owned(), daemon }
    }

    /// From now on each daemon has so many workers, 0 for as many as there are calls.
    pub(crate) fn set_count(&self, count: u32) {
        let mut queues = self.queues();
        queues.count = count;
        for (node, both) in &mut queues.nodes {
            for daemon in Daemon::ALL {
                self.admit(&mut both[daemon as usize], count, node, daemon);
            }
        }
    }

    /// Those who wait get the workers that are free.
    fn admit(&self, queue: &mut Queue, count: u32, node: &str, daemon: Daemon) {
        while queue.has_room(count)
            && let Some(turn) = queue.waiting.pop_front()
        {
            // Whoever went away has no use for it; a worker that nobody took must not free itself while we hold the lock.
            match turn.send(self.worker(node, daemon)) {
                Ok(()) => queue.busy += 1,
                Err(mut unwanted) => unwanted.of = None,
            }
        }
    }

    fn leave(&self, node: &str, daemon: Daemon) {
        let mut queues = self.queues();
        let count = queues.count;
        let Some(queue) = queues.nodes.get_mut(node).map(|both| &mut both[daemon as usize]) else { return };
        queue.busy = queue.busy.saturating_sub(1);
        self.admit(queue, count, node, daemon);
    }

    /// How many there are, and the daemons that have something to do.
    pub(crate) fn show(&self) -> Value {
        let queues = self.queues();
        let mut daemons: Vec<(&String, Daemon, &Queue)> = Vec::new();
        for (node, both) in &queues.nodes {
            daemons.extend(Daemon::ALL.map(|daemon| (node, daemon, &both[daemon as usize])));
        }
        daemons.retain(|(_, _, queue)| queue.busy > 0 || !queue.waiting.is_empty());
        daemons.sort_by_key(|(node, daemon, _)| (*node, *daemon as usize));
        let row = |(node, daemon, queue): (&String, Daemon, &Queue)| {
            let waiting = queue.waiting.iter().filter(|turn| !turn.is_closed()).count();
            json!({"node": node, "daemon": daemon.name(), "busy": queue.busy, "waiting": waiting})
        };
        json!({"count": queues.count, "daemons": daemons.into_iter().map(row).collect::<Vec<_>>()})
    }
}

impl Queue {
    fn has_room(&self, count: u32) -> bool {
        count == 0 || self.busy < count
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(workers) = self.of.take() {
            workers.leave(&self.node, self.daemon);
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    const D: Daemon = Daemon::Privileged;

    #[test]
    fn the_call_that_came_first_is_the_next_to_begin() {
        let workers = Workers::new(2);
        let (one, _two) = (workers.enter("pve1", D).unwrap(), workers.enter("pve1", D).unwrap());
        let mut third = workers.enter("pve1", D).unwrap_err();
        let mut fourth = workers.enter("pve1", D).unwrap_err();
        assert!(third.try_recv().is_err());
        drop(one);
        let third = third.try_recv().unwrap();
        assert!(fourth.try_recv().is_err(), "one worker became free, not two");
        drop(third);
        assert!(fourth.try_recv().is_ok());
    }

    #[test]
    fn another_node_and_the_other_daemon_have_workers_of_their_own() {
        let workers = Workers::new(1);
        let _busy = workers.enter("pve1", D).unwrap();
        assert!(workers.enter("pve1", D).is_err());
        assert!(workers.enter("pve2", D).is_ok() && workers.enter("pve1", Daemon::Proxy).is_ok());
    }

    #[test]
    fn nobody_waits_for_a_call_that_went_away() {
        let workers = Workers::new(1);
        let busy = workers.enter("pve1", D).unwrap();
        let gone = workers.enter("pve1", D).unwrap_err();
        let mut patient = workers.enter("pve1", D).unwrap_err();
        drop(gone);
        drop(busy);
        let worker = patient.try_recv().unwrap();
        // One that had its turn and went away before it looked gives the worker back.
        let came = workers.enter("pve1", D).unwrap_err();
        drop(worker);
        drop(came);
        assert!(workers.enter("pve1", D).is_ok());
    }

    #[test]
    fn more_workers_let_those_in_who_wait_and_none_means_without_limit() {
        let workers = Workers::new(1);
        let _busy = workers.enter("pve1", D).unwrap();
        let (mut second, mut third) = (workers.enter("pve1", D).unwrap_err(), workers.enter("pve1", D).unwrap_err());
        assert_eq!(
            workers.show(),
            json!({"count": 1, "daemons": [{"node": "pve1", "daemon": "pvedaemon", "busy": 1, "waiting": 2}]})
        );
        workers.set_count(2);
        let _second = second.try_recv().unwrap();
        assert!(third.try_recv().is_err());
        workers.set_count(0);
        assert!(third.try_recv().is_ok());
        assert!(workers.enter("pve1", D).is_ok());
    }
}

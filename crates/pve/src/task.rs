//! Proxmox's tasks: their state, their logs, and waiting for one.

use std::time::Duration;

use pve_types::{NodeName, Upid, lenient};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::MissedTickBehavior;

use crate::call::Call;
use crate::client::Client;
use crate::error::{Error, TaskFailed};
use crate::refusal::Refusal;

/// How a task stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskStatus {
    /// It runs.
    Running,
    /// It ended well.
    Ok,
    /// It ended well, with so many warnings.
    Warnings(u32),
    /// It failed, with its error in one line.
    Failed(String),
}

impl TaskStatus {
    /// Reads an exit status: the last line of the log.
    pub(crate) fn of_exit(status: &str) -> Self {
        if status == "OK" {
            return Self::Ok;
        }
        match status.strip_prefix("WARNINGS: ") {
            Some(count) => Self::Warnings(count.trim().parse().unwrap_or(1)),
            None => Self::Failed(status.to_owned()),
        }
    }

    /// Whether it ended well, warnings or not.
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Ok | Self::Warnings(_))
    }

    /// The state may be read between the process's end and its last line: look once more.
    pub(crate) fn is_doubtful(&self) -> bool {
        matches!(self, Self::Failed(why) if why == "unexpected status")
    }
}

/// A task in a node's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRow {
    /// Its name; kind, guest, starter and start are in it.
    pub upid: Upid,
    /// When it ended, in Unix seconds.
    pub endtime: Option<i64>,
    /// How it stands.
    pub status: TaskStatus,
}

#[derive(Deserialize)]
struct RawRow {
    upid: Upid,
    #[serde(default, deserialize_with = "lenient::opt_number")]
    endtime: Option<i64>,
    #[serde(default)]
    status: Option<String>,
}

#[derive(Deserialize)]
struct RawStatus {
    status: String,
    #[serde(default)]
    exitstatus: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    #[serde(default, deserialize_with = "lenient::opt_text")]
    t: Option<String>,
}

/// One call brings most logs whole; longer ones take a second for their end.
const LOG_PAGE: u64 = 500;

/// How many last lines of a failed task's log go with the error.
pub(crate) const TAIL: usize = 10;

/// How many lost or unsent looks `follow` bears in a row: about half a minute.
const PATIENCE: u32 = 30;

impl Client {
    /// How a task stands; its own node is asked.
    pub async fn task_status(&self, upid: &Upid) -> Result<TaskStatus, Error> {
        let values = [upid.node.as_str(), &upid.to_string()];
        let call = Call::get("/nodes/{node}/tasks/{upid}/status", &values)?;
        let words = call.to_string();
        let RawStatus { status, exitstatus } = self.fetch(call).await?;
        match (status.as_str(), exitstatus) {
            ("running", _) => Ok(TaskStatus::Running),
            ("stopped", Some(exit)) => Ok(TaskStatus::of_exit(&exit)),
            ("stopped", None) => Ok(TaskStatus::Failed("unexpected status".to_owned())),
            (other, _) => Err(Error::garbled(words, format!("status `{other}`"))),
        }
    }

    /// The last lines of a task's log, oldest first.
    pub async fn task_log_tail(&self, upid: &Upid, lines: usize) -> Result<Vec<String>, Error> {
        let (page, total) = self.task_log(upid, 0).await?;
        let start = total.saturating_sub(lines as u64);
        let (page, from) = if total > LOG_PAGE {
            (self.task_log(upid, start).await?.0, 0)
        } else {
            (page, usize::try_from(start).unwrap_or(0))
        };
        Ok(page.into_iter().skip(from).take(lines).collect())
    }

    async fn task_log(&self, upid: &Upid, start: u64) -> Result<(Vec<String>, u64), Error> {
        let values = [upid.node.as_str(), &upid.to_string()];
        let call =
            Call::get("/nodes/{node}/tasks/{upid}/log", &values)?.with("start", start)?.with("limit", LOG_PAGE)?;
        let answer = self.answer(&call).await?;
        let lines: Vec<Line> =
            serde_json::from_value(answer.data).map_err(|e| Error::garbled(call.to_string(), e.to_string()))?;
        let lines: Vec<String> = lines.into_iter().filter_map(|line| line.t).collect();
        let total = answer.total.unwrap_or(lines.len() as u64);
        Ok((lines, total))
    }

    /// A node's tasks since then (Unix seconds), running ones included, newest first, at most `limit`.
    /// A token sees its own; all need Sys.Audit on the node.
    pub async fn tasks(&self, node: &NodeName, since: i64, limit: u32) -> Result<Vec<TaskRow>, Error> {
        let call = Call::get("/nodes/{node}/tasks", &[node.as_str()])?
            .with("source", "all")?
            .with("since", since)?
            .with("limit", limit)?;
        self.task_rows(call).await
    }

    /// A node's last failed tasks, newest first, at most `limit`. Who may not see a task is not told of it.
    pub async fn failed_tasks(&self, node: &NodeName, limit: u32) -> Result<Vec<TaskRow>, Error> {
        let call = Call::get("/nodes/{node}/tasks", &[node.as_str()])?.with("errors", 1)?.with("limit", limit)?;
        self.task_rows(call).await
    }

    async fn task_rows(&self, call: Call) -> Result<Vec<TaskRow>, Error> {
        let rows: Vec<Value> = self.fetch(call).await?;
        // A row that does not read is passed over; a task of ours among them is asked for by itself.
        let rows = rows.into_iter().filter_map(|row| serde_json::from_value::<RawRow>(row).ok());
        let read = |RawRow { upid, endtime, status }| TaskRow {
            upid,
            endtime,
            status: match status.as_deref() {
                None | Some("RUNNING") if endtime.is_none() => TaskStatus::Running,
                None => TaskStatus::Failed("unexpected status".to_owned()),
                Some(exit) => TaskStatus::of_exit(exit),
            },
        };
        Ok(rows.map(read).collect())
    }

    /// Waits for a task's end. For the command line and tests; controllers use the [`crate::Poller`].
    ///
    /// A failure carries the log's last lines. Lost answers are borne for about half a minute.
    pub async fn follow(&self, upid: &Upid) -> Result<TaskStatus, Error> {
        let mut ticks = tokio::time::interval(Duration::from_millis(250));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut lost, mut doubtful, mut looks) = (0, false, 0u32);
        loop {
            // Four looks a second at first, one a second later.
            looks += 1;
            let pause = if lost > 0 || looks > 20 { 4 } else { 1 };
            for _ in 0..pause {
                ticks.tick().await;
            }
            match self.task_status(upid).await {
                Ok(TaskStatus::Running) => lost = 0,
                Ok(status) if status.is_doubtful() && !doubtful => doubtful = true,
                Ok(TaskStatus::Failed(exit_status)) => {
                    return Err(self.task_failed(upid, exit_status).await);
                }
                Ok(status @ (TaskStatus::Ok | TaskStatus::Warnings(_))) => return Ok(status),
                Err(Error::Unsent(_) | Error::Unanswered(_)) if lost < PATIENCE => lost += 1,
                Err(error) => return Err(error),
            }
        }
    }

    async fn task_failed(&self, upid: &Upid, exit_status: String) -> Error {
        let log_tail = match self.task_log_tail(upid, TAIL).await {
            Ok(lines) => lines,
            Err(error) => vec![format!("(its log could not be read: {error})")],
        };
        Error::TaskFailed(Box::new(TaskFailed {
            upid: upid.clone(),
            kind: Refusal::of_text(&exit_status),
            exit_status,
            log_tail,
        }))
    }
}

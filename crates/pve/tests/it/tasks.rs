//! Tasks by themselves: how they stand, their logs, waiting for one.

use std::sync::atomic::{AtomicUsize, Ordering};

use pve::{Error, Refusal, TaskStatus};
use pve_types::Upid;
use serde_json::{Value, json};

use crate::stub::{Reply, Stub};

fn upid() -> Upid {
    "UPID:pve1:0001F4A2:00A3B1C4:6741B2F0:qmclone:9000:capi@pve!t:".parse().unwrap()
}

fn lines(from: usize, to: usize) -> Value {
    (from..to).map(|n| json!({"n": n + 1, "t": format!("line {}", n + 1)})).collect()
}

/// Answers the status questions in turn, the last one for ever; the log has `total` lines.
async fn task(answers: Vec<Reply>, total: usize) -> Stub {
    let asked_before = AtomicUsize::new(0);
    Stub::start(move |asked| {
        if asked.path().ends_with("/status") {
            let at = asked_before.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            return answers[at].clone();
        }
        let query = asked.target.split_once('?').unwrap().1;
        let number =
            |key: &str| -> usize { query.split('&').find_map(|p| p.strip_prefix(key)).unwrap().parse().unwrap() };
        let start = number("start=");
        let page = lines(start.min(total), (start + number("limit=")).min(total));
        Reply::json(200, "OK", &json!({"data": page, "total": total}))
    })
    .await
}

fn running() -> Reply {
    Reply::data(json!({"status": "running"}))
}

fn stopped(exit: &str) -> Reply {
    Reply::data(json!({"status": "stopped", "exitstatus": exit}))
}

#[tokio::test]
async fn an_exit_status_is_read_with_its_warnings() {
    for (reply, meant) in [
        (running(), TaskStatus::Running),
        (stopped("OK"), TaskStatus::Ok),
        (stopped("WARNINGS: 3"), TaskStatus::Warnings(3)),
        (stopped("clone failed: no"), TaskStatus::Failed("clone failed: no".to_owned())),
    ] {
        let stub = task(vec![reply], 0).await;
        assert_eq!(stub.client().task_status(&upid()).await.unwrap(), meant);
    }
    let stub = task(vec![Reply::data(json!({"status": "pondering"}))], 0).await;
    assert_eq!(stub.client().task_status(&upid()).await.unwrap_err().category(), "Garbled");
}

#[tokio::test]
async fn a_followed_task_ends_with_its_status() {
    let stub = task(vec![running(), Reply::Drop, running(), stopped("WARNINGS: 1")], 0).await;
    assert_eq!(stub.client().follow(&upid()).await.unwrap(), TaskStatus::Warnings(1));
    assert_eq!(stub.calls().len(), 4, "a lost answer is borne");
}

#[tokio::test]
async fn a_failed_task_carries_the_end_of_its_log() {
    let stub = task(vec![stopped("clone failed: not enough free space")], 25).await;
    let error = stub.client().follow(&upid()).await.unwrap_err();
    let Error::TaskFailed(failed) = &error else { panic!("{error:?}") };
    assert_eq!(failed.upid, upid());
    assert_eq!(failed.kind, Refusal::NoSpace);
    assert_eq!(failed.log_tail.len(), 10);
    assert_eq!((failed.log_tail[0].as_str(), failed.log_tail[9].as_str()), ("line 16", "line 25"));
    assert_eq!(error.category(), "TaskFailed");
    assert!(error.to_string().ends_with("| line 25)"), "{error}");
}

#[tokio::test]
async fn an_unexpected_status_is_believed_only_when_said_twice() {
    let stub = task(vec![stopped("unexpected status"), stopped("OK")], 0).await;
    assert_eq!(stub.client().follow(&upid()).await.unwrap(), TaskStatus::Ok);
    let stub = task(vec![stopped("unexpected status")], 0).await;
    let error = stub.client().follow(&upid()).await.unwrap_err();
    assert_eq!(error.refusal(), Some(&Refusal::Aborted));
}

#[tokio::test]
async fn a_refusal_ends_the_waiting() {
    let stub = task(vec![Reply::fails(403, "Permission check failed (/nodes/pve1, Sys.Audit)")], 0).await;
    let error = stub.client().follow(&upid()).await.unwrap_err();
    assert_eq!(error.category(), "Refused");
    assert_eq!(stub.calls().len(), 1);
}

#[tokio::test]
async fn the_end_of_a_long_log_takes_two_calls_and_of_a_short_one_takes_one() {
    for (total, calls, first) in [(3, 1, "line 1"), (25, 1, "line 16"), (2000, 2, "line 1991")] {
        let stub = task(vec![running()], total).await;
        let tail = stub.client().task_log_tail(&upid(), 10).await.unwrap();
        assert_eq!((stub.calls().len(), tail[0].as_str()), (calls, first), "{total} lines");
        assert_eq!(tail.last().unwrap(), &format!("line {total}"));
    }
}

#[tokio::test]
async fn a_nodes_list_shows_running_and_ended_tasks() {
    let stub = Stub::start(|_| {
        let upid = upid().to_string();
        Reply::data(json!([
            {"upid": upid, "status": "RUNNING", "user": "capi@pve", "tokenid": "t"},
            {"upid": upid},
            {"upid": upid, "status": "OK", "endtime": "1732358900"},
            {"upid": upid, "status": "WARNINGS: 2", "endtime": 1_732_358_900},
            {"upid": upid, "status": "it broke", "endtime": 1_732_358_900},
        ]))
    })
    .await;
    let rows = stub.client().tasks(&"pve1".parse().unwrap(), 1_732_358_000, 50).await.unwrap();
    let seen: Vec<&TaskStatus> = rows.iter().map(|row| &row.status).collect();
    assert_eq!(
        seen,
        [
            &TaskStatus::Running,
            &TaskStatus::Running,
            &TaskStatus::Ok,
            &TaskStatus::Warnings(2),
            &TaskStatus::Failed("it broke".to_owned()),
        ]
    );
    assert_eq!(rows[2].endtime, Some(1_732_358_900));
    assert!(stub.asked()[0].target.ends_with("/nodes/pve1/tasks?source=all&since=1732358000&limit=50"));
}

//! One transcript against one fresh simulator.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use percent_encoding::{AsciiSet, utf8_percent_encode};
use pve_sim::{Options, Running, Sim};
use serde_json::{Value, json};

use super::ids::{ENCODED, Ids};
use super::report;
use super::request::{Outgoing, outgoing};
use super::start::{self, Call, Plan};
use super::wire::{Answer, Server, door};

/// Everything that takes time takes this many times less than on the recorded server.
const SPEED: f64 = 20.0;
/// The thirty seconds that a proxy waits, at that speed.
const PATIENCE: Duration = Duration::from_millis(1500);
/// The longest that a task is waited for.
const TASK: Duration = Duration::from_secs(30);
/// Between two looks at a task.
const LOOK: Duration = Duration::from_millis(10);

struct Replay {
    name: String,
    sim: Running,
    server: Server,
    ids: Ids,
    plan: Plan,
    /// When something was last changed.
    changed: tokio::time::Instant,
    /// When an expiry that was set comes.
    expires: Option<u64>,
    /// The guest that was spoken of last.
    guest: Option<u64>,
}

#[expect(clippy::disallowed_methods, reason = "the recording took its time too; nothing else tells when it has passed")]
async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// Replays a transcript; what was answered, in the same format.
pub(crate) async fn replay(name: &str, items: &[Value]) -> Result<Vec<Value>> {
    let sim =
        Sim::start(Options { nodes: 1, speed: SPEED, patience: PATIENCE, agent_after: None, ..Options::default() })
            .await?;
    let server = Server::new(sim.url(), sim.ca_pem())?;
    let fresh = door(sim.control_url(), "GET", "/sim/state", None).await?;
    let plan = start::plan(name, items, fresh).context("infer what it starts from")?;
    let changed = tokio::time::Instant::now();
    let ids = Ids::default();
    let mut replay = Replay { name: name.to_owned(), sim, server, ids, plan, changed, expires: None, guest: None };
    replay.prepare().await?;
    let mut out = Vec::new();
    let mut at = 0;
    while at < items.len() {
        for call in replay.plan.before.remove(&at).unwrap_or_default() {
            replay.set_up(&call).await?;
        }
        let run = concurrent(&items[at..]);
        if run > 1 {
            replay.together(&items[at..at + run], &mut out).await?;
            at += run;
            continue;
        }
        if let Some(item) = replay.one(at, &items[at]).await? {
            out.push(item);
        }
        at += 1;
    }
    replay.sim.stop().await;
    Ok(out)
}

/// How many items from here on were sent at the same time, with their tasks; 1 for none.
fn concurrent(items: &[Value]) -> usize {
    let together = |i: &Value| i["note"].as_str().is_some_and(|n| n.starts_with("concurrent"));
    let task = |i: &Value| i["request"]["path"].as_str().is_some_and(|p| p.contains("/tasks/"));
    let run = items.iter().enumerate().take_while(|(n, i)| together(i) || *n > 0 && task(i)).count();
    if items.iter().take(run).filter(|i| together(i)).count() > 1 { run } else { 1 }
}

impl Replay {
    async fn prepare(&mut self) -> Result<()> {
        let url = self.sim.control_url().to_owned();
        door(&url, "POST", "/sim/load", Some(&self.plan.state)).await.context("load the starting state")?;
        let rule = start::no_container_starts();
        door(&url, "POST", "/sim/faults", Some(&rule)).await.context("keep containers from starting")?;
        for (user, password) in std::mem::take(&mut self.plan.passwords) {
            self.ids.set_password(&user, &password);
            let form = json!({"username": user, "password": password});
            let login = json!({"request": {"method": "POST", "path": "/api2/json/access/ticket", "form": form}});
            let answer = self.send(&outgoing(&login, &self.ids)).await;
            self.ids.learn("", &Value::Null, &answer["body"]);
        }
        ensure!(self.ids.session("root@pam").is_some(), "log in as `root@pam`: refused");
        for call in std::mem::take(&mut self.plan.setup) {
            self.set_up(&call).await?;
        }
        self.boot_systems().await?;
        door(&url, "POST", "/sim/tick", None).await?;
        Ok(())
    }

    /// Guests that the transcript makes itself and whose agents answer have a system, too.
    async fn boot_systems(&mut self) -> Result<()> {
        let url = self.sim.control_url().to_owned();
        if self.plan.systems.is_empty() {
            return Ok(());
        }
        let mut state = door(&url, "GET", "/sim/state", None).await?;
        let mut changed = false;
        for vmid in &self.plan.systems {
            let guest = &mut state["guests"][vmid.to_string()];
            if guest.is_object() && guest["system"] != "linux" {
                guest["system"] = json!("linux");
                changed = true;
            }
        }
        if changed {
            door(&url, "POST", "/sim/load", Some(&state)).await.context("load the state with its systems")?;
        }
        Ok(())
    }

    /// A call as root, to its end; what fails of it is told, for the differences that it will make.
    async fn set_up(&mut self, call: &Call) -> Result<()> {
        let path = format!("/api2/json{}", utf8(&call.path));
        let path = if call.method == "DELETE" && !call.form.is_empty() {
            let query: Vec<String> = call.form.iter().map(|(k, v)| format!("{k}={}", utf8(v))).collect();
            format!("{path}?{}", query.join("&"))
        } else {
            path
        };
        let mut request = json!({"method": call.method, "path": path, "headers": {
            "Cookie": "PVEAuthCookie=PVE:root@pam:<time>::<signature>", "CSRFPreventionToken": "<time>:<signature>"}});
        if call.method != "DELETE" && call.method != "GET" {
            request["form"] = json!(call.form);
        }
        let answer = self.send(&outgoing(&json!({"request": request}), &self.ids)).await;
        self.ids.learn("", &Value::Null, &answer["body"]);
        if answer["status"] != 200 {
            report::aside(&format!("{}: set up {} {}: {}", self.name, call.method, call.path, answer["reason"]));
        } else if let Some(upid) = answer["body"]["data"].as_str().filter(|d| d.starts_with("UPID:")) {
            let headers = request["headers"].clone();
            let end = self.finished(&status_path(upid), &headers).await;
            if end["body"]["data"]["exitstatus"] != "OK" {
                let why = &end["body"]["data"]["exitstatus"];
                report::aside(&format!("{}: set up {} {}: {why}", self.name, call.method, call.path));
            }
        }
        Ok(())
    }

    async fn send(&self, request: &Outgoing) -> Value {
        match self.server.send(&request.bytes, request.tls, request.raw).await {
            Ok(came) if request.raw => {
                json!({"raw": String::from_utf8_lossy(&came.bytes), "connection_closed_by_server": came.closed})
            }
            Ok(came) => Answer::read(&came.bytes).map_or_else(
                || failed("RemoteDisconnected('Remote end closed connection without response')"),
                |answer| answer.recorded(),
            ),
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => failed("TimeoutError('timed out')"),
            Err(error) => failed(&format!("ConnectionResetError('{error}')")),
        }
    }

    /// The status of a task when it has ended, or what else is said of it.
    async fn finished(&self, path: &str, headers: &Value) -> Value {
        let request = json!({"request": {"method": "GET", "path": path, "headers": headers}});
        let until = tokio::time::Instant::now() + TASK;
        loop {
            let answer = self.send(&outgoing(&request, &self.ids)).await;
            let running = answer["body"]["data"]["status"] == "running";
            if !running || tokio::time::Instant::now() > until {
                return answer;
            }
            pause(LOOK).await;
        }
    }

    /// Waits as the recording must have waited before this exchange.
    async fn wait(&mut self, item: &Value) {
        let path = item["request"]["path"].as_str().unwrap_or_default();
        let data = &item["response"]["body"]["data"];
        if let Some((task, what)) = path.rsplit_once('/').filter(|(task, _)| task.contains("/tasks/UPID")) {
            let lines = data.as_array();
            let ended =
                lines.and_then(|l| l.last()).and_then(|l| l["t"].as_str()).is_some_and(|t| t.starts_with("TASK "));
            if what == "status" && data["status"] == "stopped" || what.starts_with("log") && ended {
                self.finished(&format!("{task}/status"), &item["request"]["headers"]).await;
            }
        }
        let note = item["note"].as_str().unwrap_or_default();
        if let Some(seconds) = seconds_after(note) {
            let until = self.changed + Duration::from_secs_f64(seconds / SPEED);
            pause(until.saturating_duration_since(tokio::time::Instant::now())).await;
        }
        if item["response"]["status"] == 401
            && note.contains("expired")
            && let Some(at) = self.expires.take()
        {
            pause(Duration::from_secs((at + 1).saturating_sub(now()))).await;
        }
        // Two archives of a guest are not made in the same second.
        if path.ends_with("/vzdump") && item["request"]["method"] == "POST" {
            let parts = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.subsec_millis());
            pause(Duration::from_millis(u64::from(1005 - parts.min(1000)))).await;
        }
    }

    /// An exchange on its own; none if nothing of it can be replayed.
    async fn one(&mut self, at: usize, item: &Value) -> Result<Option<Value>> {
        if item.get("observed").is_some() {
            return self.observed(item).await.map(Some);
        }
        if item["request"]["method"] == "EXEC" {
            return Ok(None);
        }
        self.wait(item).await;
        let mut asked = item.clone();
        if let Some(from_now) = self.plan.expiries.get(&at) {
            let time = now().saturating_add_signed(*from_now);
            asked["request"]["form"]["expire"] = json!(time);
            self.expires = (*from_now > 0).then_some(time);
        }
        let refused = item["response"]["reason"].as_str().is_some_and(|r| r.starts_with("EXC ConnectionRefusedError"));
        if refused {
            // Nothing listened where that request went.
            let mut out = item.clone();
            out["response"] = failed("ConnectionRefusedError(111, 'Connection refused')");
            return Ok(Some(out));
        }
        let path = item["request"]["path"].as_str().unwrap_or_default();
        if item["request"]["method"] == "POST" && path.ends_with("/status/start") {
            self.boot_systems().await?;
        }
        let request = outgoing(&asked, &self.ids);
        let answer = self.send(&request).await;
        Ok(Some(self.took(item, &request, answer)))
    }

    /// Remembers what an answer brought, and makes the item of it.
    fn took(&mut self, item: &Value, request: &Outgoing, answer: Value) -> Value {
        let path = item["request"]["path"].as_str().unwrap_or_default();
        self.ids.learn(path, &item["response"]["body"], &answer["body"]);
        if item["request"]["method"] != "GET" {
            self.changed = tokio::time::Instant::now();
        }
        let form = &item["request"]["form"];
        let number = |v: &Value| v.as_u64().or_else(|| v.as_str().and_then(|s| s.parse().ok()));
        if let Some(vmid) = number(&form["newid"]).or_else(|| number(&form["vmid"])) {
            self.guest = Some(vmid);
        }
        if let (Some(user), Some(password), 200) =
            (form["userid"].as_str(), form["password"].as_str(), answer["status"].as_u64().unwrap_or(0))
        {
            self.ids.set_password(user, password);
        }
        let mut out = item.clone();
        if !request.raw {
            out["request"]["path"] = json!(request.path);
        }
        out["response"] = answer;
        out
    }

    /// What the statistics say of one guest; only that was kept.
    async fn observed(&mut self, item: &Value) -> Result<Value> {
        self.wait(item).await;
        let request = json!({"request": {"method": "GET", "path": "/api2/json/cluster/resources?type=vm", "headers": {
            "Cookie": "PVEAuthCookie=PVE:root@pam:<time>::<signature>"}}});
        let answer = self.send(&outgoing(&request, &self.ids)).await;
        let vmid = item["observed"]["cluster_resources_entry"]["vmid"].as_u64().or(self.guest);
        let rows = answer["body"]["data"].as_array().cloned().unwrap_or_default();
        let entry = rows.into_iter().find(|r| r["vmid"].as_u64() == vmid).unwrap_or_default();
        let mut out = item.clone();
        out["observed"]["cluster_resources_entry"] = entry;
        Ok(out)
    }

    /// Exchanges that were sent at the same time, each followed by those of its task.
    async fn together(&mut self, items: &[Value], out: &mut Vec<Value>) -> Result<()> {
        let mut groups: Vec<Vec<&Value>> = Vec::new();
        for item in items {
            if item["note"].as_str().is_some_and(|n| n.starts_with("concurrent")) {
                groups.push(vec![item]);
            } else if let Some(group) = groups.last_mut() {
                group.push(item);
            }
        }
        let requests: Vec<Outgoing> = groups.iter().map(|g| outgoing(g[0], &self.ids)).collect();
        let mut answers: Vec<Option<Value>> =
            futures::future::join_all(requests.iter().map(|r| self.send(r))).await.into_iter().map(Some).collect();
        // Who won is not the same twice: the recording's groups take the answers that are most like theirs.
        let started = |v: &Value| v["body"]["data"].as_str().is_some_and(|d| d.starts_with("UPID:"));
        for (n, group) in groups.iter().enumerate() {
            let like = |v: &Value| {
                v["status"] == group[0]["response"]["status"] && started(v) == started(&group[0]["response"])
            };
            let own = answers[n].as_ref().is_some_and(like).then_some(n);
            let other = || answers.iter().position(|a| a.as_ref().is_some_and(like));
            let Some(at) = own.or_else(other).or_else(|| answers.iter().position(Option::is_some)) else { continue };
            let Some(answer) = answers[at].take() else { continue };
            let task = started(&answer);
            out.push(self.took(group[0], &requests[at], answer));
            for item in group.iter().skip(1).filter(|_| task) {
                self.wait(item).await;
                let request = outgoing(item, &self.ids);
                let answer = self.send(&request).await;
                out.push(self.took(item, &request, answer));
            }
        }
        Ok(())
    }
}

/// As a recording tells that no answer came.
fn failed(why: &str) -> Value {
    json!({"status": null, "reason": format!("EXC {why}"), "headers": [], "body_text": ""})
}

fn utf8(text: &str) -> String {
    const PATH: &AsciiSet = &ENCODED.remove(b'/').remove(b':').remove(b'@').remove(b'!');
    utf8_percent_encode(text, PATH).to_string()
}

fn status_path(upid: &str) -> String {
    let node = upid.split(':').nth(1).unwrap_or_default();
    format!("/api2/json/nodes/{node}/tasks/{}/status", utf8_percent_encode(upid, ENCODED))
}

/// `3.1 s after create`.
fn seconds_after(note: &str) -> Option<f64> {
    let (before, _) = note.split_once(" s after")?;
    before.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn notes_tell_how_long_after_something_it_was() {
        assert_eq!(seconds_after("3.5 s after create"), Some(3.5));
        assert_eq!(seconds_after("again, 12 s after"), Some(12.0));
        assert_eq!(seconds_after("after it stopped"), None);
    }

    #[test]
    fn a_run_of_concurrent_calls_has_its_tasks_with_it() {
        let call = json!({"note": "concurrent clone", "request": {"path": "/x"}});
        let task = json!({"request": {"path": "/n/tasks/UPID/status"}});
        let other = json!({"request": {"path": "/y"}});
        assert_eq!(concurrent(&[call.clone(), task.clone(), call.clone(), other.clone()]), 3);
        assert_eq!(concurrent(&[call, other.clone()]), 1);
        assert_eq!(concurrent(&[other, task]), 1);
    }
}

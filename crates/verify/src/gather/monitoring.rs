//! Reading stores of metrics and logs, by the query API that Prometheus and VictoriaMetrics share, and by LogsQL.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::evidence::{Cause, FiringAlert, MachineInfo, Monitoring, Read, ScrapeTarget};

/// Stores answer such questions in milliseconds.
const ANSWER: Duration = Duration::from_secs(15);
/// Lines of logs that are looked for; the pipe counts them.
const LINES: &str = "_time:15m | stats count() lines";

const NO_METRICS: &str = "no store of metrics was named (`--prometheus-url`)";
const NO_LOGS: &str = "no store of logs was named (`--logs-url`)";

/// Reads the stores that were named.
pub(super) async fn read(metrics: Option<&str>, logs: Option<&str>) -> Monitoring {
    let mut seen = Monitoring::not_asked(NO_METRICS);
    seen.lines = Read::not_asked(NO_LOGS);
    if metrics.is_none() && logs.is_none() {
        return seen;
    }
    // one that the program has chosen before stays
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().timeout(ANSWER).build();
    let client = match client {
        Ok(client) => client,
        Err(why) => return broken(metrics, logs, seen, &super::chain(&why)),
    };
    if let Some(url) = metrics {
        let store = Store { client: client.clone(), url: url.trim_end_matches('/').to_owned() };
        let (targets, ages, up, machines, rules, firing) =
            tokio::join!(store.targets(), store.ages(), store.up(), store.machines(), store.rules(), store.firing());
        seen = Monitoring { targets, ages, up, machines, rules, firing, ..seen };
    }
    if let Some(url) = logs {
        let store = Store { client, url: url.trim_end_matches('/').to_owned() };
        seen.lines = store.lines().await;
    }
    seen
}

/// A client that cannot be made reads nothing.
fn broken(metrics: Option<&str>, logs: Option<&str>, seen: Monitoring, why: &str) -> Monitoring {
    let unread = |cause| (cause, why.to_owned());
    let mut out = seen;
    if metrics.is_some() {
        let (cause, why) = unread(Cause::NoConnection);
        out = Monitoring {
            targets: Read::unread(cause, why.clone()),
            ages: Read::unread(cause, why.clone()),
            up: Read::unread(cause, why.clone()),
            machines: Read::unread(cause, why.clone()),
            rules: Read::unread(cause, why.clone()),
            firing: Read::unread(cause, why),
            lines: out.lines,
        };
    }
    if logs.is_some() {
        out.lines = Read::unread(Cause::NoConnection, why);
    }
    out
}

struct Store {
    client: reqwest::Client,
    url: String,
}

#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

#[derive(Deserialize)]
struct Found {
    result: Vec<Sample>,
}

#[derive(Deserialize)]
struct Sample {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

impl Sample {
    fn label(&self, name: &str) -> String {
        self.metric.get(name).cloned().unwrap_or_default()
    }

    fn number(&self) -> f64 {
        self.value.1.parse().unwrap_or(f64::NAN)
    }
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    name: String,
    r#type: String,
    #[serde(default)]
    health: String,
    #[serde(default, rename = "lastError")]
    last_error: String,
}

#[derive(Deserialize)]
struct Alerts {
    alerts: Vec<Alert>,
}

#[derive(Deserialize)]
struct Alert {
    state: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Store {
    async fn text(&self, path: &str, query: &[(&str, &str)]) -> Read<String> {
        // An address may hold a password: it is not told.
        let told = |why: reqwest::Error| super::chain(&why.without_url());
        let answer = match self.client.get(format!("{}{path}", self.url)).query(query).send().await {
            Ok(answer) => answer,
            Err(why) if why.is_timeout() => return Read::unread(Cause::NoAnswer, told(why)),
            Err(why) => return Read::unread(Cause::NoConnection, told(why)),
        };
        let status = answer.status();
        let text = match answer.text().await {
            Ok(text) => text,
            Err(why) => return Read::unread(Cause::NoAnswer, told(why)),
        };
        if status.is_success() {
            return Read::Known(text);
        }
        let cause = match status.as_u16() {
            401 => Cause::NotKnown,
            403 => Cause::Forbidden,
            _ => Cause::Refused,
        };
        let words: String = text.trim().chars().take(200).collect();
        Read::unread(cause, format!("the store answers `{path}` with {status}: {words}"))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Read<T> {
        match self.text(path, query).await {
            Read::Unread { cause, why } => Read::unread(cause, why),
            Read::Known(text) => match serde_json::from_str::<Envelope<T>>(&text) {
                Ok(answer) => Read::Known(answer.data),
                Err(why) => Read::unread(Cause::Garbled, format!("the answer to `{path}`: {why}")),
            },
        }
    }

    async fn ask(&self, expr: &str) -> Read<Vec<Sample>> {
        self.get::<Found>("/api/v1/query", &[("query", expr)]).await.map(|found| found.result)
    }

    async fn targets(&self) -> Read<Vec<ScrapeTarget>> {
        let target = |sample: Sample| ScrapeTarget {
            job: sample.label("job"),
            instance: sample.label("instance"),
            component: sample.label("component"),
            up: sample.number() > 0.0,
        };
        let all = self.ask(r#"up{job=~"oxmox|oxmox-pve"}"#).await;
        all.map(|samples| samples.into_iter().map(target).collect())
    }

    async fn ages(&self) -> Read<BTreeMap<String, i64>> {
        let all = self.ask("min by (instance) (time() - timestamp(pve_up))").await;
        #[expect(clippy::cast_possible_truncation, reason = "an age in milliseconds")]
        all.map(|samples| samples.iter().map(|one| (one.label("instance"), (one.number() * 1000.0) as i64)).collect())
    }

    async fn up(&self) -> Read<BTreeMap<String, bool>> {
        let all = self.ask("max by (id) (pve_up)").await;
        all.map(|samples| samples.iter().map(|one| (one.label("id"), one.number() > 0.0)).collect())
    }

    async fn machines(&self) -> Read<BTreeMap<String, MachineInfo>> {
        let info =
            |one: &Sample| (one.label("id"), MachineInfo { machine: one.label("machine"), node: one.label("node") });
        self.ask("oxmox_machine_info").await.map(|samples| samples.iter().map(info).collect())
    }

    async fn rules(&self) -> Read<BTreeMap<String, String>> {
        let all: Read<Groups> = self.get("/api/v1/rules", &[]).await;
        let wrong = |rule: &Rule| match rule.health.as_str() {
            "err" => format!("it cannot be evaluated: {}", rule.last_error),
            _ => String::new(),
        };
        all.map(|all| {
            let rules = all.groups.into_iter().flat_map(|group| group.rules);
            rules.filter(|rule| rule.r#type == "alerting").map(|rule| (rule.name.clone(), wrong(&rule))).collect()
        })
    }

    async fn firing(&self) -> Read<Vec<FiringAlert>> {
        let all: Read<Alerts> = self.get("/api/v1/alerts", &[]).await;
        let word = |of: &BTreeMap<String, String>, key: &str| of.get(key).cloned().unwrap_or_default();
        let alert = |one: Alert| FiringAlert {
            name: word(&one.labels, "alertname"),
            severity: word(&one.labels, "severity"),
            summary: word(&one.annotations, "summary"),
        };
        all.map(|all| all.alerts.into_iter().filter(|one| one.state == "firing").map(alert).collect())
    }

    async fn lines(&self) -> Read<u64> {
        #[derive(Deserialize)]
        struct Count {
            lines: String,
        }
        match self.text("/select/logsql/query", &[("query", LINES)]).await {
            Read::Unread { cause, why } => Read::unread(cause, why),
            Read::Known(text) => {
                let count = text.lines().next().and_then(|line| serde_json::from_str::<Count>(line).ok());
                match count.and_then(|count| count.lines.parse().ok()) {
                    Some(count) => Read::Known(count),
                    None => Read::unread(Cause::Garbled, "the store of logs does not answer LogsQL with a count"),
                }
            }
        }
    }
}

//! Step 7: the exporter and the roles scraped by a real store, the shipped alerts and dashboards on it, logs in another.
//!
//! ```text
//! roles, exporter ──scraped──▶ VictoriaMetrics ◀──asks── vmalert (the shipped rules), the dashboards' queries
//! log files ──shipped──▶ VictoriaLogs
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{NotYet, ProcessSpec, Tool, Tools, eventually, service_account_kubeconfig};

use super::logs;
use super::set::{NAMESPACE, Set};
use super::stages::Story;
use super::workload::Workload;

/// Where the store of metrics answers; it passes questions about alerts on to vmalert.
pub(super) const METRICS: &str = "http://127.0.0.1:8428";
/// Where the store of logs answers.
pub(super) const LOGS: &str = "http://127.0.0.1:9428";
const ALERTS: &str = "http://127.0.0.1:8880";
const EXPORTER: &str = "127.0.0.1:9221";

/// Roles that are scraped where they run, and where.
const ROLES: [(&str, &str); 4] = [
    ("capi", "127.0.0.1:8081"),
    ("ccm", "127.0.0.1:8082"),
    ("csi-controller", "127.0.0.1:8085"),
    ("exporter", EXPORTER),
];

const RBAC: &str = include_str!("../../../../../charts/oxmox/files/exporter-rbac.yaml");
/// What the role `PVEAuditor` has.
const AUDITOR: &str = "Datastore.Audit,Mapping.Audit,Pool.Audit,SDN.Audit,Sys.Audit,VM.Audit";

/// The alert that is made to fire.
const ALERT: &str = "ProxmoxClusterNotQuorate";

impl Set {
    /// The exporter, as the chart runs it, beside both clusters.
    async fn exporter(&mut self, workload: &Workload) -> Result<()> {
        let secret = self.administrator.token("monitoring@pve", "exporter", AUDITOR, &["/"]).await;
        let secret = secret.context("make a token for the exporter")?;
        let config = self.dir.join("pve.yml");
        let text = format!(
            "default: {{user: monitoring@pve, token_name: exporter, token_value: {secret}, fingerprint: '{}'}}\n",
            self.sim.fingerprint
        );
        std::fs::write(&config, text).context("write the exporter's pve.yml")?;
        self.plane.apply(RBAC).await?;
        let management = service_account_kubeconfig(&self.plane, NAMESPACE, "oxmox-exporter").await?;
        let also = workload.account(NAMESPACE, "oxmox-exporter", RBAC).await?;
        let spec = ProcessSpec::new("exporter", super::set::beside("oxmox")?, self.dir.join("exporter.log"))
            .args([
                "run",
                "exporter",
                "--web.listen-address",
                EXPORTER,
                "--allowed-target",
                "127.0.0.1",
                "--kubernetes",
            ])
            .arg("--config.file")
            .arg(config)
            .arg("--also-kubeconfig")
            .arg(also)
            .env("KUBECONFIG", management)
            .env("OXMOX_LOG_FORMAT", "json");
        self.start(spec)
    }

    /// Stores of metrics and logs, and the judge of alerts.
    fn stores(&mut self) -> Result<()> {
        let tools = Tools::ensure(&Tool::MONITORING, &|_| {})?;
        let (scrape, rules) = (self.dir.join("scrape.yml"), self.dir.join("rules.yaml"));
        // the storage driver runs in some stories only
        let roles = ROLES.into_iter().filter(|(role, _)| *role == "capi" || self.runs(role));
        std::fs::write(&scrape, scraping(&self.sim.url, roles).to_string()).context("write what is scraped")?;
        std::fs::write(&rules, monitoring::rules().context("print the rules")?).context("write the rules")?;
        let spec = |name: &str, tool: Tool| -> Result<ProcessSpec> {
            Ok(ProcessSpec::new(name, tools.path(tool)?, self.dir.join("stores").join(format!("{name}.log"))))
        };
        let data = |name: &str| format!("-storageDataPath={}", self.dir.join("stores").join(name).display());
        let metrics = spec("victoria-metrics", Tool::VictoriaMetrics)?
            .args([data("metrics"), format!("-promscrape.config={}", scrape.display())])
            .args([format!("-vmalert.proxyURL={ALERTS}"), "-httpListenAddr=127.0.0.1:8428".to_owned()])
            // what was just scraped is answered at once
            .args(["-search.latencyOffset=0s", "-retentionPeriod=1d"]);
        let logs = spec("victoria-logs", Tool::VictoriaLogs)?.args([
            data("logs"),
            "-httpListenAddr=127.0.0.1:9428".to_owned(),
            "-retentionPeriod=1d".to_owned(),
        ]);
        let alerts = spec("vmalert", Tool::Vmalert)?
            .args([format!("-rule={}", rules.display()), format!("-datasource.url={METRICS}")])
            .args([format!("-remoteWrite.url={METRICS}"), "-httpListenAddr=127.0.0.1:8880".to_owned()])
            .args(["-notifier.blackhole", "-evaluationInterval=3s", "-rule.evalDelay=0s"]);
        for spec in [metrics, logs, alerts] {
            self.start(spec)?;
        }
        Ok(())
    }
}

/// What is scraped, as JSON, which is YAML.
fn scraping(url: &str, roles: impl Iterator<Item = (&'static str, &'static str)>) -> Value {
    let target = url.trim_start_matches("https://").trim_end_matches('/');
    let roles: Vec<Value> =
        roles.map(|(role, address)| json!({"targets": [address], "labels": {"component": role}})).collect();
    json!({
        "global": {"scrape_interval": "3s"},
        "scrape_configs": [
            {"job_name": "oxmox", "static_configs": roles},
            {
                "job_name": "oxmox-pve", "metrics_path": "/pve", "params": {"target": [target], "node": ["all"]},
                "static_configs": [{"targets": [EXPORTER]}],
                "relabel_configs": [{"target_label": "instance", "replacement": "pve1"}],
            },
        ],
    })
}

impl Story<'_> {
    /// All of step 7.
    pub(super) async fn monitoring(&mut self, workload: &Workload) -> Result<()> {
        self.stages.begin("monitoring");
        self.set.exporter(workload).await?;
        self.set.stores()?;
        tokio::spawn(logs::ship(self.set.dir.clone(), LOGS));
        let up = eventually(Duration::from_secs(30), || async {
            let up = ask("sum(up)").await?;
            let first = up.first().and_then(|one| one.pointer("/value/1")).and_then(Value::as_str);
            let count: f64 = first.and_then(|text| text.parse().ok()).unwrap_or_default();
            if count >= 4.0 { Ok(count) } else { Err(NotYet::because(format!("{count} targets answer"))) }
        });
        let up = up.await.context("wait for the scraping to begin")?;
        self.set.must_run()?;
        self.stages.note(&format!("VictoriaMetrics scrapes {up} targets: roles, the exporter, Proxmox VE"));
        self.failed_task().await?;
        self.alert().await?;
        self.dashboards().await
    }

    /// A task of somebody else that fails on a VM of ours: a line in the log, with its object.
    async fn failed_task(&mut self) -> Result<()> {
        let machine = self.running_worker().await?;
        let vmid = machine.vmid.context("the worker has no VMID")?;
        let rule = json!({
            "match": {"user": "root@pam", "vmid": vmid, "writes": true},
            "then": {"task_fails": "the demo lets this task fail"},
        });
        self.set.sim.meddle("/sim/faults", &rule).await?;
        let guests = self.set.administrator.call("GET", "/cluster/resources?type=vm", &[]).await?;
        let row = guests.as_array().into_iter().flatten().find(|row| row["vmid"].as_u64() == Some(vmid));
        let node = row.and_then(|row| row["node"].as_str()).with_context(|| format!("VM {vmid} is not listed"))?;
        let path = format!("/nodes/{node}/qemu/{vmid}/config");
        let upid = self.set.administrator.call("POST", &path, &[("onboot", "0")]).await?;
        let upid = upid.as_str().context("the call started no task")?.to_owned();
        let lines = eventually(Duration::from_secs(30), || async {
            let lines = logs::ask(LOGS, &format!(r#""a task of Proxmox VE failed" upid:="{upid}""#)).await?;
            if lines.is_empty() { Err(NotYet::because("no line in VictoriaLogs")) } else { Ok(lines) }
        });
        let lines = lines.await.context("look for the failed task in VictoriaLogs")?;
        ensure!(lines.len() == 1, "the failed task was told {} times", lines.len());
        let object = lines[0]["object"].as_str().unwrap_or_default();
        ensure!(object.starts_with("ProxmoxMachine "), "the failed task was told with the object `{object}`");
        self.stages.note(&format!("a task fails on VM {vmid}: one line in VictoriaLogs, with {object}"));
        Ok(())
    }

    /// Quorum is lost and comes back: the shipped alert fires and goes away.
    async fn alert(&mut self) -> Result<()> {
        let before = firing().await.map_err(|why| anyhow::anyhow!("ask for alerts: {why:?}"))?;
        ensure!(!before.contains_key(ALERT), "{ALERT} fires before there is a reason");
        self.set.sim.meddle("/sim/quorum/off", &Value::Null).await?;
        let fired = eventually(Duration::from_secs(90), || async {
            let all = firing().await?;
            all.get(ALERT).cloned().ok_or_else(|| NotYet::because(format!("firing: {:?}", all.keys())))
        });
        let summary = fired.await.context("wait for the alert")?;
        self.stages.note(&format!("the simulator has no quorum: {ALERT} fires: {summary}"));
        self.set.sim.meddle("/sim/quorum/on", &Value::Null).await?;
        let gone = eventually(Duration::from_mins(1), || async {
            if firing().await?.contains_key(ALERT) { Err(NotYet::because("it still fires")) } else { Ok(()) }
        });
        gone.await.context("wait for the alert to go away")?;
        self.stages.note("quorum is back: the alert is gone");
        Ok(())
    }

    /// Every question of the dashboards is answered.
    async fn dashboards(&mut self) -> Result<()> {
        let queries = monitoring::queries();
        let mut left: Vec<&monitoring::Query> = queries.iter().collect();
        let mut round = 0;
        let deadline = std::time::Instant::now() + Duration::from_secs(90);
        while !left.is_empty() {
            round += 1;
            // machines are looked at anew, so that there is something to show
            let touched = format!("demo.oxmox.io/round={round}");
            let all = ["annotate", "proxmoxmachines,proxmoxclusters", "--all", "--overwrite", &touched];
            self.set.plane.kubectl(&all).await?;
            let mut empty = Vec::new();
            for query in left {
                let answer = ask(&query.expr).await;
                let answer = answer.map_err(|why| anyhow::anyhow!("{}: {}: {why:?}", query.place, query.expr))?;
                if answer.is_empty() && query.empty.is_none() {
                    empty.push(query);
                }
            }
            let names: Vec<&str> = empty.iter().map(|query| query.place.as_str()).collect();
            ensure!(
                names.is_empty() || std::time::Instant::now() < deadline,
                "panels without data: {}; the first asks: {}",
                names.join(", "),
                empty.first().map(|query| query.expr.as_str()).unwrap_or_default()
            );
            left = empty;
        }
        let may = queries.iter().filter(|query| query.empty.is_some()).count();
        self.stages.note(&format!(
            "{} questions of {} dashboards: each is answered, but for {may} that may be empty in health",
            queries.len(),
            monitoring::dashboards().len(),
        ));
        Ok(())
    }
}

async fn get(url: &str, parameters: &[(&str, &str)]) -> Result<Value, NotYet> {
    let not_yet = |why: reqwest::Error| NotYet::because(why.to_string());
    let answer = reqwest::Client::new().get(url).query(parameters).send().await.map_err(not_yet)?;
    let text = answer.text().await.map_err(not_yet)?;
    serde_json::from_str(&text).map_err(|_| NotYet::because(format!("{url} answers: {text}")))
}

/// What the store answers now.
async fn ask(expr: &str) -> Result<Vec<Value>, NotYet> {
    let answer = get(&format!("{METRICS}/api/v1/query"), &[("query", expr)]).await?;
    let rows = answer.pointer("/data/result").and_then(Value::as_array).cloned();
    rows.ok_or_else(|| NotYet::because(answer.to_string()))
}

/// Alerts that fire, with their summaries.
async fn firing() -> Result<BTreeMap<String, String>, NotYet> {
    let answer = get(&format!("{METRICS}/api/v1/alerts"), &[]).await?;
    let rows = answer.pointer("/data/alerts").and_then(Value::as_array).cloned();
    let rows = rows.ok_or_else(|| NotYet::because(answer.to_string()))?;
    let word = |row: &Value, at: &str| row.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned();
    let firing = rows.iter().filter(|row| row["state"] == "firing");
    Ok(firing.map(|row| (word(row, "/labels/alertname"), word(row, "/annotations/summary"))).collect())
}

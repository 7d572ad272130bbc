use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use testkit::{NotYet, ProcessSpec, Prometheus, eventually, free_port};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const LIMIT: Duration = Duration::from_secs(40);

/// A Proxmox VE as the exporter tells of it; quorate or not.
async fn exporter(quorate: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut asker, _)) = listener.accept().await {
            let up = u8::from(quorate.load(Ordering::SeqCst));
            let text = format!("pve_up{{id=\"cluster/lab\"}} {up}\n");
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", text.len());
            let mut request = [0; 2048];
            let _read = asker.read(&mut request).await;
            let _unheard = asker.write_all((head + &text).as_bytes()).await;
        }
    });
    port
}

/// Debian's Alertmanager reads its templates from `/usr/share`: it sees ours there, and nobody else does.
fn alertmanager(programs: &Prometheus, dir: &Path, port: u16) -> ProcessSpec {
    let share = programs.share();
    let script = format!(
        "mount -t overlay overlay -o lowerdir={share}:/usr/share /usr/share && exec {program} \
         --config.file={dir}/alertmanager.yml --storage.path={dir}/alertmanager --cluster.listen-address= \
         --web.listen-address=127.0.0.1:{port}",
        share = share.display(),
        program = programs.alertmanager().display(),
        dir = dir.display(),
    );
    ProcessSpec::new("alertmanager", "/usr/bin/unshare", dir.join("alertmanager.log")).args([
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        &script,
    ])
}

async fn get(url: String) -> Result<serde_json::Value, NotYet> {
    let not_yet = |why: reqwest::Error| NotYet::because(why.to_string());
    let text = reqwest::get(&url).await.map_err(not_yet)?.text().await.map_err(not_yet)?;
    serde_json::from_str(&text).map_err(|why| NotYet::because(format!("{url}: {why}: {text}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_quorum_goes_from_prometheus_to_alertmanager_and_is_resolved_there() {
    let name = "a_lost_quorum_goes_from_prometheus_to_alertmanager_and_is_resolved_there";
    let Some(programs) = super::rules::programs(name) else { return };
    // another test of this process may have done it
    let _done = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let quorate = Arc::new(AtomicBool::new(false));
    let (ours, alerts, metrics) = (exporter(quorate.clone()).await, free_port().unwrap(), free_port().unwrap());
    // Half a minute is too long for a test; the rest of the rule is as shipped.
    let rules = monitoring::rules().unwrap().replace("for: 30s", "for: 1s");
    std::fs::write(dir.path().join("rules.yaml"), rules).unwrap();
    std::fs::write(dir.path().join("alertmanager.yml"), "route: {receiver: none}\nreceivers: [{name: none}]\n")
        .unwrap();
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
         rule_files: [rules.yaml]\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alerts}']}}]}}]}}\n\
         scrape_configs: [{{job_name: oxmox-pve, static_configs: [{{targets: ['127.0.0.1:{ours}']}}]}}]\n"
    );
    std::fs::write(dir.path().join("prometheus.yml"), config).unwrap();
    let manager = alertmanager(&programs, dir.path(), alerts).start().unwrap();
    let prometheus = ProcessSpec::new("prometheus", programs.prometheus(), dir.path().join("prometheus.log"))
        .arg(format!("--config.file={}", dir.path().join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", dir.path().join("prometheus").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{metrics}"))
        .start()
        .unwrap();
    let fired = eventually(LIMIT, || async {
        let all = get(format!("http://127.0.0.1:{alerts}/api/v2/alerts")).await?;
        let one = |alert: &serde_json::Value| alert["labels"]["alertname"] == "ProxmoxClusterNotQuorate";
        all.as_array()
            .and_then(|all| all.iter().find(|alert| one(alert)).cloned())
            .ok_or(NotYet::because(all.to_string()))
    });
    let alert = match fired.await {
        Ok(alert) => alert,
        Err(why) => panic!("{why}\n{}\n{}", manager.tail(), prometheus.tail()),
    };
    assert_eq!(alert["labels"]["severity"], "critical");
    assert_eq!(alert["annotations"]["summary"], "cluster/lab has no quorum");
    assert_eq!(alert["annotations"]["runbook_url"], "docs/runbooks/ProxmoxClusterNotQuorate.md");
    quorate.store(true, Ordering::SeqCst);
    let gone = eventually(LIMIT, || async {
        let all = get(format!("http://127.0.0.1:{alerts}/api/v2/alerts?active=true")).await?;
        if all.as_array().is_some_and(Vec::is_empty) { Ok(()) } else { Err(NotYet::because(all.to_string())) }
    });
    gone.await.unwrap();
    let grace = Duration::from_secs(10);
    prometheus.stop(grace).await.unwrap();
    manager.stop(grace).await.unwrap();
}

//! The chart, as far as it can be judged without Helm: what is plain YAML is YAML, values and their schema agree, and
//! the flags that it passes exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/oxmox")
}

fn files(directory: &str) -> Vec<PathBuf> {
    fs::read_dir(chart().join(directory)).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn yaml(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    serde_saphyr::from_multiple(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

#[test]
fn what_is_no_template_is_yaml() {
    let plain = ["Chart.yaml", "values.yaml"].map(|name| chart().join(name));
    for path in plain.into_iter().chain(files("crds")).chain(files("files")) {
        assert!(!yaml(&path).is_empty(), "{}", path.display());
    }
}

/// Keys of objects, deeply, as far as the schema names them.
fn agree(at: &str, values: &Value, schema: &Value) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    let values = values.as_object().unwrap_or_else(|| panic!("{at} is no object"));
    let has: BTreeSet<&str> = values.keys().map(String::as_str).collect();
    let named: BTreeSet<&str> = properties.keys().map(String::as_str).filter(|key| *key != "global").collect();
    assert_eq!(has, named, "{at}");
    for (key, value) in values {
        agree(&format!("{at}.{key}"), value, &properties[key]);
    }
}

#[test]
fn every_value_is_in_the_schema_and_the_other_way_round() {
    let values = yaml(&chart().join("values.yaml")).remove(0);
    let schema = fs::read_to_string(chart().join("values.schema.json")).unwrap();
    agree("", &values, &serde_json::from_str(&schema).unwrap());
}

/// Roles of the binary that the chart runs, and how.
const ROLES: [(&str, &str); 5] = [
    ("capi", "deployment"),
    ("ccm", "deployment"),
    ("exporter", "deployment"),
    ("csi-controller", "deployment"),
    ("csi-node", "daemonset"),
];

/// The template that runs a role, and of it what our own container is told: sidecars have other flags.
fn runs(role: &str, kind: &str) -> (String, String) {
    let text = fs::read_to_string(chart().join(format!("templates/{role}-{kind}.yaml"))).unwrap();
    let own = text.split_once("Each sidecar").map_or(text.as_str(), |(own, _)| own).to_owned();
    (text, own)
}

#[test]
fn the_generated_rights_name_the_namespace_that_the_template_replaces() {
    for (role, kind) in ROLES {
        let rights = fs::read_to_string(chart().join(format!("files/{role}-rbac.yaml"))).unwrap();
        let template = fs::read_to_string(chart().join(format!("templates/{role}-rbac.yaml"))).unwrap();
        assert!(template.contains(r#"replace "oxmox-system" .Release.Namespace"#));
        assert!(rights.contains("namespace: oxmox-system\n"));
        let (deployment, _) = runs(role, kind);
        let account = format!("oxmox-{role}\n");
        assert!(deployment.contains(&format!("serviceAccountName: {account}")));
        assert!(rights.contains(&format!("name: {account}")));
    }
}

#[test]
fn every_flag_of_the_chart_exists() {
    let oxmox = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/debug/oxmox");
    if !oxmox.exists() {
        eprintln!("SKIPPED every_flag_of_the_chart_exists: `oxmox` is not built; run `make build`");
        return;
    }
    for (role, kind) in ROLES {
        let help = Command::new(&oxmox).args(["run", role, "--help"]).output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        let known: BTreeSet<&str> = help
            .lines()
            .filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")))
            .map(|word| word.split(['=', '[']).next().unwrap_or(word))
            .collect();
        let (_, own) = runs(role, kind);
        let used: Vec<&str> = own
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- ")?.strip_prefix("--"))
            .map(|flag| flag.split(['=', ' ']).next().unwrap_or(flag))
            .collect();
        assert!(used.len() >= 5, "{used:?}");
        for flag in used {
            assert!(
                known.contains(format!("--{flag}").as_str()),
                "`oxmox run {role}` has no --{flag}; it has {known:?}"
            );
        }
    }
}

#[test]
fn the_demos_node_plugin_is_the_charts() {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/src/command/demo/csi-node.yaml");
    let demo = fs::read_to_string(demo).unwrap();
    let (chart, _) = runs("csi-node", "daemonset");
    let chart = chart.replace("{{ $node.kubeletDirectory }}", "/var/lib/kubelet");
    let chart: BTreeSet<&str> = chart.lines().collect();
    // Labels, image and image policy are written in another way, for they have values there.
    let pod = demo.split_once("      serviceAccountName:").unwrap().1;
    let differs: Vec<&str> = pod
        .lines()
        .skip(1)
        .filter(|line| !["image:", "imagePullPolicy:", "- operator: Exists"].iter().any(|key| line.contains(key)))
        .filter(|line| !chart.contains(line))
        .collect();
    assert!(differs.is_empty(), "the chart has no such lines: {differs:#?}");
    let privileged = ["            privileged: true", "              mountPropagation: Bidirectional"];
    assert!(privileged.iter().all(|line| chart.contains(line) && demo.contains(line)));
}

/// What Helm makes of the chart in a namespace of another name; `None`, said aloud, without Helm.
fn rendered(who: &str, set: &[&str]) -> Option<Vec<Value>> {
    let set = set.iter().flat_map(|value| ["--set", value]);
    let mut helm = Command::new("helm");
    helm.args(["template", "mine", "--namespace", "elsewhere"]).arg(chart()).args(set);
    let Ok(output) = helm.output() else {
        eprintln!("SKIPPED {who}: `helm` is not installed");
        return None;
    };
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("oxmox-system"), "{text}");
    let all: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap_or_else(|why| panic!("{why}\n{text}"));
    Some(all.into_iter().filter(|object| !object.is_null()).collect())
}

fn manager(all: &[Value]) -> Value {
    let deployment = all.iter().find(|object| object["kind"] == "Deployment").unwrap();
    deployment.pointer("/spec/template/spec/containers/0").unwrap().clone()
}

#[test]
fn without_credentials_the_manager_has_no_secret() {
    let Some(all) = rendered("without_credentials_the_manager_has_no_secret", &[]) else { return };
    assert!(all.iter().all(|object| object["kind"] != "Secret"));
    let manager = manager(&all);
    assert_eq!(manager["name"], "manager");
    assert_eq!(manager["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(manager["env"].as_array().unwrap().len(), 1, "{}", manager["env"]);
}

#[test]
fn credentials_of_the_values_become_a_secret_that_the_manager_reads() {
    let set = [
        "proxmox.url=https://pve1:8006",
        "proxmox.token=capi@pve!oxmox",
        "proxmox.secret=s",
        "proxmox.rootCA=PEM",
        "networkPolicy.enabled=true",
        "manager.watchNamespace=team-a",
    ];
    let Some(all) = rendered("credentials_of_the_values_become_a_secret", &set) else { return };
    let secret = all.iter().find(|object| object["kind"] == "Secret").unwrap();
    assert_eq!(secret["stringData"]["root_ca"], "PEM");
    assert!(all.iter().any(|object| object["kind"] == "NetworkPolicy"));
    let manager = manager(&all);
    let names: BTreeSet<&str> =
        manager["env"].as_array().unwrap().iter().filter_map(|variable| variable["name"].as_str()).collect();
    for name in ["PROXMOX_URL", "PROXMOX_TOKEN", "PROXMOX_SECRET", "PROXMOX_ROOT_CA_FILE", "PROXMOX_FINGERPRINT"] {
        assert!(names.contains(name), "{name} of {names:?}");
    }
    assert!(manager["args"].as_array().unwrap().contains(&"--namespace=team-a".into()));
}

#[test]
fn monitoring_makes_what_prometheus_and_grafana_read_and_nothing_unless_it_is_switched_on() {
    let who = "monitoring_makes_what_prometheus_and_grafana_read";
    let Some(all) = rendered(who, &[]) else { return };
    assert!(all.iter().all(|object| object["apiVersion"] != "monitoring.coreos.com/v1"));
    let set = [
        "monitoring.scrape=true",
        "monitoring.rules=true",
        "monitoring.dashboards=true",
        "monitoring.targets={pve1,pve2}",
        "monitoring.labels.release=kps",
        "monitoring.runbooks=https://example.com/runbooks",
        "exporter.enabled=true",
        "exporter.configSecret=pve",
    ];
    let Some(all) = rendered(who, &set) else { return };
    let of = |kind: &str| all.iter().find(|object| object["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"));
    let rules = of("PrometheusRule").pointer("/spec/groups/0/rules").and_then(Value::as_array).unwrap();
    assert_eq!(rules.len(), 10);
    for rule in rules {
        let page = rule.pointer("/annotations/runbook_url").and_then(Value::as_str).unwrap();
        assert!(page.starts_with("https://example.com/runbooks/"), "{page}");
    }
    assert_eq!(of("PrometheusRule")["metadata"]["labels"]["release"], "kps");
    let endpoints = of("ServiceMonitor").pointer("/spec/endpoints").and_then(Value::as_array).unwrap();
    assert_eq!(endpoints.len(), 2);
    assert_eq!(endpoints[1]["params"]["target"][0], "pve2");
    assert_eq!(of("PodMonitor").pointer("/spec/podMetricsEndpoints/1/relabelings/0/replacement").unwrap(), "oxmox");
    let boards = all.iter().find(|object| object["metadata"]["name"] == "oxmox-dashboards").unwrap();
    for board in boards["data"].as_object().unwrap().values() {
        let _json: Value = serde_json::from_str(board.as_str().unwrap()).unwrap();
    }
}

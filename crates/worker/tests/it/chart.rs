//! The chart `proxmox-worker`: values and schema agree, nothing of it ever runs anywhere, and its bundles are bundles. What
//! Helm makes of it is judged where there is a Helm.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/proxmox-worker")
}

fn text(file: &str) -> String {
    fs::read_to_string(chart().join(file)).unwrap()
}

#[test]
fn every_value_is_in_the_schema_and_the_other_way_round() {
    let values: Value = serde_saphyr::from_str(&text("values.yaml")).unwrap();
    let schema: Value = serde_json::from_str(&text("values.schema.json")).unwrap();
    let has: BTreeSet<&str> = values.as_object().unwrap().keys().map(String::as_str).collect();
    let named = schema["properties"].as_object().unwrap().keys().map(String::as_str);
    assert_eq!(has, named.filter(|key| *key != "global").collect());
}

#[test]
fn nothing_of_the_chart_runs_anywhere() {
    let kinds: BTreeSet<String> = fs::read_dir(chart().join("templates"))
        .unwrap()
        .flat_map(|entry| {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            text.lines().filter_map(|line| line.strip_prefix("kind: ")).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(kinds, ["Role", "RoleBinding", "Secret"].map(str::to_owned).into());
}

#[test]
fn the_bundle_has_only_fields_that_a_bundle_has() {
    let template = text("templates/hosts.yaml");
    let line = template.lines().find(|line| line.contains("$bundle := dict")).unwrap();
    let mut keys: Vec<&str> = line.split('"').skip(1).step_by(2).filter(|word| !word.contains('%')).collect();
    keys.extend(template.lines().filter_map(|line| line.split("set $bundle \"").nth(1)?.split('"').next()));
    keys.sort_unstable();
    let fields =
        ["caCertHashes", "caData", "cloudProvider", "labels", "nodeName", "providerID", "server", "taints", "token"];
    assert_eq!(keys, fields);
    // and these are the bundle's own: all of them together are read
    let hash = format!("sha256:{}", "00".repeat(32));
    let whole = serde_json::json!({"server": "https://a:6443", "token": "abcdef.0123456789abcdef", "caCertHashes": [hash],
        "caData": null, "nodeName": "pve1", "cloudProvider": "none", "labels": {"a": "b"}, "providerID": "x://1",
        "taints": [{"key": "a", "value": "b", "effect": "NoSchedule"}]});
    let bundle = worker::Bundle::parse(&whole.to_string()).unwrap();
    assert_eq!(bundle.node_name.as_deref(), Some("pve1"));
}

/// What Helm makes of the chart; `None`, said aloud, without Helm.
fn rendered(who: &str, set: &[&str]) -> Option<Vec<Value>> {
    let mut helm = Command::new("helm");
    helm.args(["template", "mine", "--namespace", "elsewhere"]).arg(chart());
    helm.args(set.iter().flat_map(|value| ["--set", value]));
    let Ok(output) = helm.output() else {
        eprintln!("SKIPPED {who}: `helm` is not installed");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let all: Vec<Value> = serde_saphyr::from_multiple(&String::from_utf8(output.stdout).unwrap()).unwrap();
    Some(all.into_iter().filter(|object| !object.is_null()).collect())
}

#[test]
fn each_host_has_a_bundle_with_a_token_of_its_own() {
    let hash = format!("caCertHashes[0]=sha256:{}", "00".repeat(32));
    let set = [
        "server=https://10.0.0.1:6443",
        &hash,
        "hosts[0].name=pve1",
        "hosts[1].name=pve2",
        "readers[0].kind=User",
        "readers[0].name=op",
    ];
    let Some(all) = rendered("each_host_has_a_bundle_with_a_token_of_its_own", &set) else { return };
    let bundles: Vec<worker::Bundle> = all
        .iter()
        .filter_map(|object| object.pointer("/stringData/bundle.json")?.as_str())
        .map(|text| worker::Bundle::parse(text).unwrap())
        .collect();
    assert_eq!(bundles.len(), 2);
    assert_ne!(bundles[0].token_id(), bundles[1].token_id());
    for bundle in &bundles {
        let name = format!("bootstrap-token-{}", bundle.token_id());
        assert!(
            all.iter()
                .any(|object| object["metadata"]["name"] == name && object["metadata"]["namespace"] == "kube-system")
        );
    }
    assert_eq!(all.iter().filter(|object| object["kind"] == "RoleBinding").count(), 2);
}

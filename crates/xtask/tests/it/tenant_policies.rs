//! The chart of a tenant's network policies, as far as it can be judged without Helm.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts/tenant-policies")
}

fn read(path: &str) -> String {
    fs::read_to_string(chart().join(path)).unwrap()
}

fn objects(text: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_else(|why| panic!("{why}\n{text}"));
    all.into_iter().filter(|object| !object.is_null()).collect()
}

fn named<'a>(all: &'a [Value], name: &str) -> &'a Value {
    all.iter().find(|one| one["metadata"]["name"] == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn everything_is_closed_first_and_only_what_is_named_is_opened() {
    let all = objects(&read("files/network-policies.yaml"));
    let deny = named(&all, "default-deny");
    assert_eq!(deny["spec"], json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}));
    // a rule without `to`, `from` or with an empty one opens everything
    for policy in &all {
        for (rules, peers) in [("ingress", "from"), ("egress", "to")] {
            for rule in policy["spec"][rules].as_array().into_iter().flatten() {
                assert!(rule[peers].as_array().is_some_and(|peers| !peers.is_empty()), "{policy}");
            }
        }
        assert!(policy["metadata"].get("namespace").is_none(), "the release's namespace is the tenant's");
    }
    let dns = &named(&all, "allow-dns")["spec"]["egress"][0];
    assert!(dns["to"][0]["podSelector"].is_object() && dns["to"][0]["namespaceSelector"].is_object(), "{dns}");
}

#[test]
fn what_the_template_replaces_is_in_the_file() {
    let template = read("templates/policies.yaml");
    for word in ["192.0.2.0/24", "port: 6443"] {
        assert!(template.contains(&format!("replace \"{word}\"")), "{template}");
        assert_eq!(read("files/network-policies.yaml").matches(word).count(), 1, "{word}");
    }
    assert!(!objects(&read("files/cilium-network-policies.yaml")).is_empty());
}

#[test]
fn helm_makes_policies_for_either_engine() {
    let render = |set: &[&str]| {
        let mut helm = Command::new("helm");
        helm.args(["template", "mine", "--namespace", "tenant"]).arg(chart());
        let output = helm.args(set.iter().flat_map(|value| ["--set", value])).output().ok()?;
        Some((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
    };
    let Some((made, text)) = render(&["api.cidr=10.0.0.0/8", "api.port=443"]) else {
        eprintln!("SKIPPED helm_makes_policies_for_either_engine: `helm` is not installed");
        return;
    };
    assert!(made && text.contains("cidr: 10.0.0.0/8") && text.contains("port: 443"), "{text}");
    let (made, text) = render(&["cilium.enabled=true"]).unwrap();
    assert!(made && objects(&text).iter().all(|one| one["kind"] == "CiliumNetworkPolicy"), "{text}");
    assert!(!render(&[]).unwrap().0, "without a network of the API server nothing is made");
}

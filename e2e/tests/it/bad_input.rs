//! Bad input ends in a condition that names the field, what was found and the next move; makes nothing; and heals.

use std::time::Duration;

use e2e::{MachineWish, Stage, StageOptions, TOKEN};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testkit::{NotYet, eventually};

/// Long enough for the slowest look at a cause that was fixed: half a minute.
const LIMIT: Duration = Duration::from_secs(45);

async fn set(name: &str) -> Option<Stage> {
    Stage::set(name, StageOptions::default()).await.unwrap()
}

/// Waits until a condition is what it should be, and says all of the words.
async fn says<F: Future<Output = anyhow::Result<(bool, String, String)>>>(
    who: &str,
    reason: &str,
    words: &[&str],
    look: impl Fn() -> F,
) {
    let told = eventually(LIMIT, || async {
        let (ready, is, message) = look().await?;
        if !ready && is == reason && words.iter().all(|word| message.contains(word)) {
            return Ok(());
        }
        Err(NotYet::because(format!("{who}: {is}: {message} (wanted: {reason}, {words:?})")))
    });
    told.await.unwrap();
}

async fn cluster_ready(stage: &Stage, name: &str) {
    let ready = eventually(LIMIT, || async {
        match stage.cluster_ready(name).await? {
            (true, ..) => Ok(()),
            (false, reason, message) => Err(NotYet::because(format!("{name}: {reason}: {message}"))),
        }
    });
    ready.await.unwrap();
}

async fn nothing_was_written(stage: &Stage) {
    assert_eq!(stage.sim.writes().await.unwrap(), Vec::<Value>::new(), "nothing is created for bad input");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_do_not_work_are_told_and_heal_when_they_are_mended() {
    let Some(stage) = set("credentials_that_do_not_work_are_told_and_heal_when_they_are_mended").await else { return };
    let (url, secret, ca) = (stage.sim.url(), stage.sim.secret().unwrap(), stage.sim.ca());
    let good = json!({"url": url, "token": TOKEN, "secret": secret, "root_ca": ca});
    let with = |key: &str, value: &str| {
        let mut keys = good.clone();
        keys[key] = value.into();
        keys
    };
    let mut without_ca = good.clone();
    without_ca.as_object_mut().unwrap().remove("root_ca");
    let cases: [(&str, Value, &str, &[&str]); 6] = [
        ("wrong-secret", with("secret", "00000000-0000-4000-8000-000000000000"), "ProxmoxUnreachable", &["token"]),
        ("no-such-token", with("token", "capi@pve!nosuch"), "ProxmoxUnreachable", &["token"]),
        ("unreachable", with("url", "https://127.0.0.1:9"), "ProxmoxUnreachable", &["127.0.0.1:9", "check the URL"]),
        ("self-signed", without_ca, "ProxmoxUnreachable", &["certificate", "fingerprint"]),
        ("no-url", with("url", ""), "CredentialsNotFound", &["spec.credentialsRef", "`url`"]),
        ("bad-url", with("url", "gopher://x"), "CredentialsNotFound", &["gopher://x"]),
    ];
    for (name, keys, ..) in &cases {
        stage.credentials(name, keys).await.unwrap();
        stage.cluster_named(name, json!({"credentialsRef": {"name": name}})).await.unwrap();
        stage.machine(&MachineWish::named(format!("m-{name}")).of(name)).await.unwrap();
    }
    stage.cluster_named("no-secret", json!({"credentialsRef": {"name": "no-secret"}})).await.unwrap();
    // what works: the path that the documentation shows, and a slash too many
    stage.credentials("long-url", &with("url", &format!("{url}/api2/json/"))).await.unwrap();
    stage.cluster_named("long-url", json!({"credentialsRef": {"name": "long-url"}})).await.unwrap();
    cluster_ready(&stage, "long-url").await;
    for (name, _, reason, words) in &cases {
        says(name, reason, words, || stage.cluster_ready(name)).await;
        let machine = format!("m-{name}");
        says(&machine, "ProxmoxUnreachable", &[], || stage.ready(&machine)).await;
    }
    let words: &[&str] = &["spec.credentialsRef", "there is no Secret `default/no-secret`"];
    says("no-secret", "CredentialsNotFound", words, || stage.cluster_ready("no-secret")).await;
    nothing_was_written(&stage).await;
    // mended where it was wrong; the clusters and machines are not touched
    for (name, ..) in &cases {
        stage.credentials(name, &good).await.unwrap();
    }
    stage.credentials("no-secret", &good).await.unwrap();
    cluster_ready(&stage, "no-secret").await;
    for (name, ..) in &cases {
        cluster_ready(&stage, name).await;
        stage.until_ready(&format!("m-{name}"), LIMIT).await.unwrap();
    }
    stage.strike().await.unwrap();
}

/// What the API server says to a machine of this spec.
async fn refused(stage: &Stage, name: &str, spec: Value) -> String {
    let object = json!({
        "apiVersion": "infrastructure.cluster.x-k8s.io/v1alpha2", "kind": "ProxmoxMachine",
        "metadata": {"name": name}, "spec": spec,
    });
    let applied = stage.machines().patch(name, &PatchParams::apply("user").force(), &Patch::Apply(object)).await;
    applied.err().map_or_else(|| panic!("{name} was accepted"), |why| why.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_manifests_are_refused_by_the_api_server() {
    let Some(stage) = set("malformed_manifests_are_refused_by_the_api_server").await else { return };
    let good = json!({
        "sourceNode": "pve1", "templateID": 9000, "full": true,
        "network": {"networkDevices": [{"name": "net0", "bridge": "vmbr0"}]},
    });
    let but = |change: &dyn Fn(&mut Value)| {
        let mut spec = good.clone();
        change(&mut spec);
        spec
    };
    let no_template = but(&|spec| {
        let spec = spec.as_object_mut().unwrap();
        spec.remove("sourceNode");
        spec.remove("templateID");
    });
    let cases = [
        ("no-template", no_template, "must define either a sourceNode with a templateID or a templateSelector"),
        (
            "two-templates",
            but(&|spec| spec["templateSelector"] = json!({"matchTags": ["ubuntu"]})),
            "must define either",
        ),
        (
            "linked-with-format",
            but(&|spec| {
                spec["full"] = false.into();
                spec["format"] = "raw".into();
            }),
            "must set full=true when specifying format",
        ),
        ("odd-memory", but(&|spec| spec["memoryMiB"] = 1001.into()), "spec.memoryMiB"),
        ("no-cores", but(&|spec| spec["numCores"] = 0.into()), "spec.numCores"),
        ("bad-tag", but(&|spec| spec["tags"] = json!(["with space"])), "spec.tags"),
        ("backwards", but(&|spec| spec["vmIDRange"] = json!({"start": 200, "end": 100})), "end should be greater"),
        (
            "bad-nic",
            but(&|spec| spec["network"]["networkDevices"][0]["name"] = "eth0".into()),
            "spec.network.networkDevices[0].name",
        ),
        (
            "same-nic",
            but(&|spec| spec["network"]["networkDevices"] = json!([{"name": "net0"}, {"name": "net0"}])),
            "networkDevices",
        ),
        ("words", but(&|spec| spec["templateID"] = "ubuntu".into()), "spec.templateID"),
    ];
    let mut wrong = Vec::new();
    for (name, spec, words) in cases {
        let said = refused(&stage, name, spec).await;
        if !said.contains(words) {
            wrong.push(format!("{name}: {said} (wanted: {words})"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    nothing_was_written(&stage).await;
    stage.strike().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_that_cannot_be_made_say_why_and_are_made_once_they_can() {
    let Some(stage) = set("machines_that_cannot_be_made_say_why_and_are_made_once_they_can").await else { return };
    stage.cluster(json!({})).await.unwrap();
    stage.cluster_named("inside", json!({"controlPlaneEndpoint": {"host": "10.10.0.20"}})).await.unwrap();
    stage.cluster_named("elsewhere", json!({"allowedNodes": ["pve1", "pve9"]})).await.unwrap();
    let cases: [(&str, Value, &str, &[&str], Value); 6] = [
        (
            "no-template",
            json!({"templateID": 9001}),
            "TemplateNotFound",
            &["no VM 9001", "there are: ", "9000"],
            json!({"templateID": 9000}),
        ),
        (
            "no-storage",
            json!({"storage": "fast"}),
            "PlacementFailed",
            &["spec.storage", "`fast`", "there are: shared"],
            json!({"storage": "shared"}),
        ),
        (
            "no-node",
            json!({"allowedNodes": ["pve7"]}),
            "PlacementFailed",
            &["no node `pve7`", "pve1, pve2, pve3"],
            json!({"allowedNodes": ["pve2"]}),
        ),
        (
            "no-vmid",
            json!({"vmIDRange": {"start": 9000, "end": 9000}}),
            "VMIDExhausted",
            &["spec.vmIDRange", "widen"],
            json!({"vmIDRange": {"start": 9000, "end": 9010}}),
        ),
        (
            "no-memory",
            json!({"allowedNodes": ["pve1"], "memoryMiB": 1_048_576}),
            "InsufficientMemory",
            &["1048576 MiB", "`pve1`"],
            json!({"memoryMiB": 2048}),
        ),
        ("inside", json!({}), "WaitingForClusterInfrastructureReady", &["ProxmoxCluster"], json!({})),
    ];
    // the check of memory is off in the usual cluster
    stage.change_cluster(e2e::CLUSTER, &json!({"spec": {"schedulerHints": {"memoryAdjustment": 100}}})).await.unwrap();
    for (name, spec, ..) in &cases {
        let cluster = if *name == "inside" { "inside" } else { e2e::CLUSTER };
        let wish = MachineWish { spec: spec.clone(), ..MachineWish::named(*name) }.of(cluster);
        stage.machine(&wish).await.unwrap();
    }
    for (name, _, reason, words, _) in &cases {
        says(name, reason, words, || stage.ready(name)).await;
    }
    let words: &[&str] = &["spec.controlPlaneEndpoint.host", "10.10.0.20", "spec.ipv4Config", "take it out"];
    says("inside", "InvalidSpec", words, || stage.cluster_ready("inside")).await;
    let words: &[&str] = &["spec.allowedNodes", "no node `pve9`", "pve1, pve2, pve3"];
    says("elsewhere", "NodeNotFound", words, || stage.cluster_ready("elsewhere")).await;
    nothing_was_written(&stage).await;
    let range = json!({"spec": {"ipv4Config": {"addresses": ["10.10.1.10-10.10.1.90"]}}});
    stage.change_cluster("inside", &range).await.unwrap();
    stage.change_cluster("elsewhere", &json!({"spec": {"allowedNodes": ["pve1"]}})).await.unwrap();
    for (name, _, _, _, fixed) in &cases {
        stage.change_machine(name, &json!({"spec": fixed})).await.unwrap();
    }
    cluster_ready(&stage, "elsewhere").await;
    for (name, ..) in &cases {
        stage.until_ready(name, LIMIT).await.unwrap();
    }
    assert_eq!(stage.vms().await.unwrap().len(), cases.len());
    stage.strike().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_and_storages_that_run_out_are_waited_for() {
    let Some(stage) = set("addresses_and_storages_that_run_out_are_waited_for").await else { return };
    stage.cluster(json!({"ipv4Config": {"addresses": ["10.10.0.10"]}})).await.unwrap();
    // no storage takes ISO images: the machine waits, nothing is made
    let state = stage.sim.state().await.unwrap();
    let mut without_iso = state.clone();
    for storage in without_iso["storages"].as_object_mut().unwrap().values_mut() {
        storage["content"].as_array_mut().unwrap().retain(|kind| kind != "iso");
    }
    stage.sim.post("/sim/load", &without_iso).await.unwrap();
    stage.machine(&MachineWish::named("first")).await.unwrap();
    says("first", "PlacementFailed", &["takes ISO images", "content type `iso`"], || stage.ready("first")).await;
    nothing_was_written(&stage).await;
    stage.sim.post("/sim/load", &state).await.unwrap();
    stage.until_ready("first", LIMIT).await.unwrap();
    // one address, two machines
    stage.sim.forget_calls().await.unwrap();
    stage.machine(&MachineWish::named("second")).await.unwrap();
    let words: &[&str] = &["all 1 addresses", "`ipv4Config`", "extend the range"];
    says("second", "WaitingForStaticIPAllocation", words, || stage.ready("second")).await;
    nothing_was_written(&stage).await;
    let range = json!({"spec": {"ipv4Config": {"addresses": ["10.10.0.10-10.10.0.11"]}}});
    stage.change_cluster(e2e::CLUSTER, &range).await.unwrap();
    stage.until_ready("second", LIMIT).await.unwrap();
    // a machine that goes gives its address back
    stage.machine(&MachineWish::named("third")).await.unwrap();
    says("third", "WaitingForStaticIPAllocation", &["all 2 addresses"], || stage.ready("third")).await;
    stage.delete_machine("first").await.unwrap();
    stage.until_ready("third", LIMIT).await.unwrap();
    let third = stage.machines().get("third").await.unwrap().status.unwrap();
    assert!(third.addresses.iter().any(|one| one.address == "10.10.0.10"), "{:?}", third.addresses);
    stage.strike().await.unwrap();
}

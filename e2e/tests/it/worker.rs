//! `oxmox worker` on real guests: one is a control plane that kubeadm made, the other joins it, leaves, and joins again.

use std::time::Duration;

use e2e::guests::Guests;
use serde_json::Value;
use testkit::{NotYet, eventually};

use crate::guest::two_guests;

const LIMIT: Duration = Duration::from_mins(3);
const PLANE: u64 = 201;
const WORKER: u64 = 202;
const OXMOX: &str = "/usr/local/bin/oxmox";
const ADMIN: &str = "/etc/kubernetes/admin.conf";
const RECORD: &str = "/var/lib/oxmox/worker.json";
/// What kubeadm writes when it has found the control plane, before it starts the kubelet.
const HALF: &str = "/etc/kubernetes/bootstrap-kubelet.conf";
/// What a guest's bare cgroup tree and a machine that others fill cannot have.
const LENIENT: [&str; 4] = ["--ignore", "host.cgroups", "--ignore", "host.disk"];

struct Story {
    guests: Guests,
}

impl Story {
    async fn plane(&self, words: &[&str]) -> String {
        self.guests.exec(PLANE, words).await.unwrap()
    }

    async fn kubectl(&self, words: &[&str]) -> String {
        let words: Vec<&str> = ["kubectl", "--kubeconfig", ADMIN].iter().chain(words).copied().collect();
        self.plane(&words).await
    }

    /// A bundle, made where the control plane is.
    async fn bundle(&self, more: &[&str]) -> Value {
        let words: Vec<&str> = [OXMOX, "worker", "bundle", "--kubeconfig", ADMIN].iter().chain(more).copied().collect();
        serde_json::from_str(&self.plane(&words).await).unwrap()
    }

    /// Lays a bundle before the worker, and runs one of its commands with it.
    async fn with(&self, bundle: &Value, command: &str, more: &[&str]) -> (i32, String) {
        let script = format!("umask 077; printf %s '{bundle}' > /root/bundle.json");
        self.guests.exec(WORKER, &["sh", "-c", &script]).await.unwrap();
        let mut words = vec![OXMOX, "worker", command, "--bundle", "/root/bundle.json"];
        words.extend(LENIENT);
        words.extend(more);
        self.guests.tries(WORKER, &words).await.unwrap()
    }

    /// Files, links and packet filters of the worker. What programs log, what containerd keeps, and
    /// the guest's own kubectl's cache, is no trace of a join.
    async fn everything(&self) -> Vec<String> {
        let script = "find /etc /opt /var /root /usr/local -path /var/lib/containerd -prune -o -path /var/lib/guest-node -prune \
            -o -path /root/.kube -prune -o -name '*.log' -o -name bundle.json -o -print; ls /sys/class/net | sed 's/^/link /'; \
            nft list tables 2>/dev/null; for t in iptables ip6tables; do $t-save 2>/dev/null | grep -E '^(:KUBE|:CNI|-A .*KUBE)'; done; true";
        let mut all: Vec<String> =
            self.guests.exec(WORKER, &["sh", "-c", script]).await.unwrap().lines().map(str::to_owned).collect();
        // an empty table of nftables' stands there once iptables was asked
        all.retain(|line| !line.starts_with("table ip filter") && !line.starts_with("table ip6 filter"));
        all.retain(|line| !line.starts_with("table ip nat") && !line.starts_with("table ip6 nat"));
        all.retain(|line| !line.starts_with("table ip mangle") && !line.starts_with("table ip6 mangle"));
        all.sort();
        all
    }

    /// What cannot join says so.
    async fn refusals(&self, bundle: &Value) {
        let mut wrong = bundle.clone();
        wrong["token"] = format!("{}.aaaaaaaaaaaaaaaa", &bundle["token"].as_str().unwrap()[..6]).into();
        // a token of which the control plane has not told yet is not told from one that is not there
        let told = eventually(LIMIT, || async {
            let (code, said) = self.with(&wrong, "join", &[]).await;
            let right = code == 2 && said.contains("host.token: the control plane has another secret");
            if right { Ok(()) } else { Err(NotYet::because(format!("{code}: {said}"))) }
        });
        told.await.unwrap();
        let mut taken = bundle.clone();
        taken["nodeName"] = "vm-201".into();
        let (code, said) = self.with(&taken, "join", &[]).await;
        assert!(code == 2 && said.contains("Node `vm-201` is there already"), "{code}: {said}");
        let mut other = bundle.clone();
        other["caData"] = Value::Null;
        other["caCertHashes"] = serde_json::json!([format!("sha256:{}", "ab".repeat(32))]);
        let (code, said) = self.with(&other, "join", &[]).await;
        assert!(code == 2 && said.contains("which is not the bundle's"), "{code}: {said}");
        let late = self.bundle(&[]).await;
        let secret = format!("bootstrap-token-{}", &late["token"].as_str().unwrap()[..6]);
        let past = r#"{"stringData":{"expiration":"2020-01-01T00:00:00Z"}}"#;
        self.kubectl(&["-n", "kube-system", "patch", "secret", &secret, "-p", past]).await;
        let expired = eventually(LIMIT, || async {
            let (code, said) = self.with(&late, "join", &[]).await;
            if code == 2 && said.contains("it has expired") { Ok(()) } else { Err(NotYet::because(said)) }
        });
        expired.await.unwrap();
        let mut nowhere = bundle.clone();
        nowhere["server"] = "https://10.10.0.51:1".into();
        let (code, said) = self.with(&nowhere, "join", &[]).await;
        assert!(code == 2 && said.contains("host.server: https://10.10.0.51:1 does not answer"), "{code}: {said}");
    }

    async fn unchanged(&self, before: &[String], after: &str) {
        let now = self.everything().await;
        let new: Vec<&String> = now.iter().filter(|line| !before.contains(line)).collect();
        let lost: Vec<&String> = before.iter().filter(|line| !now.contains(line)).collect();
        assert!(new.is_empty() && lost.is_empty(), "after {after}: new {new:#?}, lost {lost:#?}");
    }
}

/// Two guests without cloud-init: each gets its address by hand; the first becomes a control plane.
async fn set(guests: &Guests) {
    let program = e2e::binary("oxmox").unwrap();
    for vmid in [PLANE, WORKER] {
        let script = format!(
            "ip address add 10.10.0.{}/16 dev ens18 && ip link set ens18 up && ip route add default via 10.10.0.1",
            vmid % 100 + 50
        );
        guests.exec(vmid, &["sh", "-c", &script]).await.unwrap();
        guests.put(vmid, &program, OXMOX).await.unwrap();
    }
    let init = ["kubeadm", "init", "--apiserver-advertise-address=10.10.0.51", "--pod-network-cidr=10.244.0.0/16"];
    let (code, said) = guests.tries(PLANE, &init).await.unwrap();
    assert_eq!(code, 0, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_joins_leaves_without_a_trace_and_joins_again() {
    let name = "a_machine_joins_leaves_without_a_trace_and_joins_again";
    let Some((dir, sim, guests)) = two_guests(name).await else { return };
    set(&guests).await;
    let story = Story { guests };
    let labels = ["--label", "disk=ssd", "--taint", "hypervisor=true:PreferNoSchedule"];
    let bundle = story.bundle(&labels).await;
    let before = story.everything().await;

    // it is fit to join, and nothing was changed by looking
    let (code, said) = story.with(&bundle, "check", &["-o", "json"]).await;
    let report: Value = serde_json::from_str(&said).unwrap_or_else(|why| panic!("{why}: {said}"));
    let bad = |outcome: &str| report["findings"].as_array().unwrap().iter().any(|one| one["outcome"] == outcome);
    assert!(code <= 1 && !bad("failed") && !bad("unread"), "{said}");
    let (code, said) = story.with(&bundle, "join", &["--dry-run"]).await;
    let secret = bundle["token"].as_str().unwrap().split('.').nth(1).unwrap();
    assert!(code == 0 && said.contains("JoinConfiguration") && !said.contains(secret), "{said}");
    story.unchanged(&before, "a check").await;

    story.refusals(&bundle).await;
    story.unchanged(&before, "joins that were refused").await;

    // kubeadm fails at its very end: what it has made goes again, and the Node that it leaves is known for our own
    let fails = "printf '#!/bin/sh\nPATH=$(echo $PATH | cut -d: -f2-) kubeadm \"$@\" && [ \"$1\" != join ]\n' > /usr/local/sbin/kubeadm \
        && chmod 755 /usr/local/sbin/kubeadm";
    story.guests.exec(WORKER, &["sh", "-c", fails]).await.unwrap();
    let (code, said) = story.with(&bundle, "join", &[]).await;
    assert!(code == 2 && said.contains("kubeadm failed: taking away what it has made"), "{code}: {said}");
    story.guests.exec(WORKER, &["rm", "/usr/local/sbin/kubeadm"]).await.unwrap();
    story.unchanged(&before, "a join that failed").await;

    // killed in the middle, with everything it had started
    let (_, said) = story.with(&bundle, "check", &[]).await;
    let killed = format!(
        "setsid {OXMOX} worker join --bundle /root/bundle.json {} & p=$!; until [ -e {HALF} ]; do :; done; kill -9 -$p; wait $p",
        LENIENT.join(" ")
    );
    story.guests.tries(WORKER, &["sh", "-c", &killed]).await.unwrap();
    let record = story.guests.exec(WORKER, &["cat", RECORD]).await.unwrap();
    assert!(record.contains("\"joining\""), "{record}\n{said}");

    // the next takes it up, or goes on waiting where a kubelet runs already; and the Node is as the bundle says
    let (code, said) = story.with(&bundle, "join", &[]).await;
    let healed = said.contains("an earlier join did not end") || said.contains("waiting for the Node");
    assert!(code == 0 && healed, "{code}: {said}");
    let node: Value = serde_json::from_str(&story.kubectl(&["get", "node", "vm-202", "-o", "json"]).await).unwrap();
    assert_eq!(node["metadata"]["labels"]["disk"], "ssd");
    assert_eq!(node["spec"]["taints"][0]["key"], "hypervisor", "{}", node["spec"]);
    let (code, said) = story.with(&bundle, "join", &[]).await;
    assert!(code == 0 && said.contains("Node `vm-202` is Ready"), "{code}: {said}");
    let (code, said) = story.with(&bundle, "check", &[]).await;
    assert!(code == 2 && said.contains("this machine has joined already"), "{code}: {said}");

    // it has left traces, and we would see them
    let traces = eventually(LIMIT, || async {
        let now = story.everything().await;
        let filter = |line: &&String| {
            line.starts_with([':', '-', 't']) && (line.contains("KUBE") || line.contains("kube-proxy"))
        };
        let file = |path: &str| now.iter().any(|line| line == path);
        let all = file("/etc/kubernetes/kubelet.conf") && file("/etc/cni/net.d/90-guest-node.conflist");
        if all && now.iter().any(|line| filter(&line)) { Ok(()) } else { Err(NotYet::because("not all of them")) }
    });
    traces.await.unwrap();

    // out again, with the cluster's part
    let kubeconfig = story.plane(&["cat", ADMIN]).await;
    story
        .guests
        .exec(WORKER, &["sh", "-c", "umask 077; printf %s \"$0\" > /root/bundle.json", &kubeconfig])
        .await
        .unwrap();
    let leave = [OXMOX, "worker", "leave", "--kubeconfig", "/root/bundle.json"];
    let (code, said) = story.guests.tries(WORKER, &leave).await.unwrap();
    assert!(code == 0 && said.contains("Node `vm-202` is deleted"), "{code}: {said}");
    assert_eq!(story.kubectl(&["get", "nodes", "-o", "name"]).await, "node/vm-201");
    story.unchanged(&before, "leaving").await;
    let (code, said) = story.guests.tries(WORKER, &[OXMOX, "worker", "leave"]).await.unwrap();
    assert!(code == 0 && said.contains("nothing of Kubernetes is left"), "a second time: {code}: {said}");

    // and in again: nothing stands in the way
    let again = story.bundle(&[]).await;
    let (code, said) = story.with(&again, "check", &[]).await;
    assert!(code <= 1, "{code}: {said}");
    let (code, said) = story.with(&again, "join", &[]).await;
    assert!(code == 0 && said.contains("Node `vm-202` is Ready"), "{code}: {said}");
    let (code, said) = story.guests.tries(WORKER, &[OXMOX, "worker", "leave"]).await.unwrap();
    assert!(code == 0 && said.contains("`kubectl delete node vm-202`"), "{code}: {said}");
    story.unchanged(&before, "leaving again").await;

    story.guests.end().await.unwrap();
    sim.kill().await.unwrap();
    std::fs::remove_dir_all(dir).unwrap();
}

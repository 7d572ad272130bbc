//! Control planes: two at once, a ServiceAccount's rights, an orderly end.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use testkit::{ControlPlane, Controllers, NotYet, Options, Tool, eventually, service_account_kubeconfig};

use crate::world::{Dir, in_lab, tools};

#[tokio::test]
async fn two_control_planes_live_side_by_side_and_end_in_order() {
    let Some(tools) = tools("two_control_planes_live_side_by_side", &Tool::CONTROL_PLANE) else { return };
    let dir = Dir::new("two-planes");
    let options = |name: &str| Options::on_loopback(dir.path().join(name)).unwrap().with_controllers(Controllers::None);
    let begun = Instant::now();
    let (one, two) =
        tokio::join!(ControlPlane::start(&tools, options("one")), ControlPlane::start(&tools, options("two")));
    let (one, two) = (one.unwrap(), two.unwrap());
    eprintln!("two control planes ready in {:?}", begun.elapsed());
    one.kubectl(&["create", "namespace", "only-here"]).await.unwrap();
    let error = two.kubectl(&["get", "namespace", "only-here"]).await.unwrap_err().to_string();
    assert!(error.contains("NotFound"), "{error}");
    let url = one.url();
    let log = one.log("etcd");
    one.stop().await.unwrap();
    assert!(fs::read_to_string(log).unwrap().contains("received signal; shutting down"), "etcd was not asked to end");
    assert!(std::net::TcpStream::connect(url.trim_start_matches("https://")).is_err(), "somebody still listens");
    two.kill().await.unwrap();
}

#[tokio::test]
async fn a_service_accounts_kubeconfig_has_its_rights_and_no_more() {
    let test = "a_service_accounts_kubeconfig_has_its_rights";
    let Some(tools) = tools(test, &Tool::CONTROL_PLANE) else { return };
    let dir = Dir::new("service-account");
    let begun = Instant::now();
    let plane = ControlPlane::start(&tools, Options::on_loopback(dir.path()).unwrap()).await.unwrap();
    eprintln!("control plane with controllers ready in {:?}", begun.elapsed());
    plane.kubectl(&["create", "serviceaccount", "reader"]).await.unwrap();
    plane.kubectl(&["create", "role", "reader", "--verb=get", "--resource=configmaps"]).await.unwrap();
    plane
        .kubectl(&["create", "rolebinding", "reader", "--role=reader", "--serviceaccount=default:reader"])
        .await
        .unwrap();
    let kubeconfig = service_account_kubeconfig(&plane, "default", "reader").await.unwrap();
    let as_reader = |args: &[&str]| {
        Command::new(tools.path(Tool::Kubectl).unwrap())
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .args(args)
            .env("KUBECACHEDIR", dir.path().join("reader-cache"))
            .output()
            .unwrap()
    };
    let allowed = as_reader(&["get", "configmap", "kube-root-ca.crt", "-o", "name"]);
    assert_eq!(String::from_utf8_lossy(&allowed.stdout), "configmap/kube-root-ca.crt\n");
    let refused = as_reader(&["get", "secrets"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("system:serviceaccount:default:reader"));
    plane.kill().await.unwrap();
}

#[tokio::test]
async fn a_control_plane_that_cannot_start_says_why() {
    let Some(tools) = tools("a_control_plane_that_cannot_start_says_why", &Tool::CONTROL_PLANE) else { return };
    let dir = Dir::new("cannot-start");
    let mut options = Options::on_loopback(dir.path()).unwrap().with_controllers(Controllers::None);
    options.apiserver_args.push("--no-such-flag".to_owned());
    let error = format!("{:#}", ControlPlane::start(&tools, options).await.err().unwrap());
    assert!(error.contains("unknown flag: --no-such-flag"), "{error}");
}

const NODE_AND_POD: &str = r"
apiVersion: v1
kind: Node
metadata: { name: paper }
---
apiVersion: v1
kind: Pod
metadata: { name: guest, namespace: default }
spec:
  tolerations: [ { operator: Exists } ]
  containers: [ { name: main, image: none } ]
";

#[tokio::test]
async fn a_control_plane_on_a_bridge_serves_its_network_and_places_pods() {
    let test = "a_control_plane_on_a_bridge";
    if !in_lab(test) {
        return;
    }
    let Some(tools) = tools(test, &Tool::CONTROL_PLANE) else { return };
    let dir = Dir::new("bridge");
    for words in ["link add testkit0 type bridge", "addr add 10.99.0.1/24 dev testkit0", "link set testkit0 up"] {
        assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success(), "ip {words}");
    }
    let mut options = Options::on_loopback(dir.path()).unwrap().with_controllers(Controllers::ManagerAndScheduler);
    options.address = "10.99.0.1".parse().unwrap();
    let plane = ControlPlane::start(&tools, options).await.unwrap();
    assert!(plane.url().starts_with("https://10.99.0.1:"));
    let behind = "jsonpath={.endpoints[0].addresses[0]}";
    assert_eq!(plane.kubectl(&["get", "endpointslice", "kubernetes", "-o", behind]).await.unwrap(), "10.99.0.1");

    plane.apply(NODE_AND_POD).await.unwrap();
    let room = r#"--patch={"status":{"capacity":{"cpu":"1","memory":"1Gi","pods":"9"}}}"#;
    plane.kubectl(&["patch", "node", "paper", "--subresource=status", "--type=merge", room]).await.unwrap();
    let node = eventually(Duration::from_secs(30), || async {
        let node = plane.kubectl(&["get", "pod", "guest", "-o", "jsonpath={.spec.nodeName}"]).await?;
        if node.is_empty() { Err(NotYet::because("the pod has no node")) } else { Ok(node) }
    })
    .await
    .unwrap();
    assert_eq!(node, "paper");
    plane.kill().await.unwrap();
    assert!(Command::new("ip").args(["link", "delete", "testkit0"]).status().unwrap().success());
}

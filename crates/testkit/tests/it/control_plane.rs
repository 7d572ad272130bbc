//! Control planes: two at once, a ServiceAccount's rights, an orderly end.

use std::fs;
use std::process::Command;
use std::time::Instant;

use testkit::{ControlPlane, Controllers, Options, Tool, service_account_kubeconfig};

use crate::world::{Dir, tools};

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

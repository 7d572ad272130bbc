//! Cluster API: real defaulting, validation, conversion and reconciling, or its CRDs alone.

use std::time::{Duration, Instant};

use testkit::capi::{self, ClusterApi};
use testkit::{ControlPlane, Controllers, NotYet, Options, Tool, eventually};

use crate::world::{Dir, tools};

const CLUSTER: &str = r"
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: { name: first, namespace: default }
spec:
  clusterNetwork: { pods: { cidrBlocks: [10.244.0.0/16] } }
  controlPlaneEndpoint: { host: 127.0.0.1, port: 1 }
  infrastructureRef: { apiGroup: infrastructure.cluster.x-k8s.io, kind: ProxmoxCluster, name: first }
";

/// Refused by its webhook: a replica count that etcd cannot have.
const EVEN_CONTROL_PLANE: &str = r"
apiVersion: controlplane.cluster.x-k8s.io/v1beta2
kind: KubeadmControlPlane
metadata: { name: even, namespace: default }
spec:
  replicas: 2
  version: v1.36.3
  machineTemplate: { spec: { infrastructureRef: { apiGroup: infrastructure.cluster.x-k8s.io, kind: ProxmoxMachineTemplate, name: even } } }
  kubeadmConfigSpec: { format: cloud-config }
";

const KUBEADM_CONFIG: &str = r#"
apiVersion: bootstrap.cluster.x-k8s.io/v1beta2
kind: KubeadmConfig
metadata: { name: join, namespace: default }
spec: { joinConfiguration: { nodeRegistration: { kubeletExtraArgs: [ { name: v, value: "4" } ] } } }
"#;

#[tokio::test]
async fn cluster_api_takes_a_cluster_and_refuses_a_bad_one() {
    let which: Vec<Tool> = Tool::CONTROL_PLANE.into_iter().chain(Tool::CLUSTER_API).collect();
    let Some(tools) = tools("cluster_api_takes_a_cluster", &which) else { return };
    let dir = Dir::new("cluster-api");
    let begun = Instant::now();
    let plane = ControlPlane::start(&tools, Options::on_loopback(dir.path()).unwrap()).await.unwrap();
    eprintln!("control plane ready after {:?}", begun.elapsed());
    let capi = ClusterApi::start(&plane, &tools, &capi::Options::default()).await.unwrap();
    eprintln!("Cluster API ready after {:?}", begun.elapsed());

    plane.apply(CLUSTER).await.unwrap();
    // The core manager has seen it: it puts its finalizer on and says what it waits for.
    let finalizers = eventually(Duration::from_secs(30), || async {
        let seen = plane.kubectl(&["get", "cluster", "first", "-o", "jsonpath={.metadata.finalizers}"]).await?;
        if seen.is_empty() { Err(NotYet::because("no finalizer yet")) } else { Ok(seen) }
    })
    .await
    .unwrap();
    assert!(finalizers.contains("cluster.cluster.x-k8s.io"), "{finalizers}");

    let error = plane.apply(EVEN_CONTROL_PLANE).await.unwrap_err().to_string();
    assert!(error.contains("cannot be an even number"), "{error}");

    // Conversion: what is a list in the newer version is a map in the older one.
    plane.apply(KUBEADM_CONFIG).await.unwrap();
    let path = "jsonpath={.spec.joinConfiguration.nodeRegistration.kubeletExtraArgs.v}";
    let old = "kubeadmconfigs.v1beta1.bootstrap.cluster.x-k8s.io";
    assert_eq!(plane.kubectl(&["get", old, "join", "-o", path]).await.unwrap(), "4");

    capi.stop().await.unwrap();
    plane.kill().await.unwrap();
}

#[tokio::test]
async fn crds_alone_let_a_test_play_the_managers() {
    let which: Vec<Tool> = Tool::CONTROL_PLANE.into_iter().chain([Tool::CapiManifests]).collect();
    let Some(tools) = tools("crds_alone_let_a_test_play_the_managers", &which) else { return };
    let dir = Dir::new("crds-alone");
    let options = Options::on_loopback(dir.path()).unwrap().with_controllers(Controllers::None);
    let plane = ControlPlane::start(&tools, options).await.unwrap();
    capi::install_crds(&plane, &tools).await.unwrap();
    plane.apply(CLUSTER).await.unwrap();
    let patch = r#"--patch={"status":{"initialization":{"infrastructureProvisioned":true}}}"#;
    plane.kubectl(&["patch", "cluster", "first", "--subresource=status", "--type=merge", patch]).await.unwrap();
    let shown = "jsonpath={.status.initialization.infrastructureProvisioned}";
    assert_eq!(plane.kubectl(&["get", "cluster", "first", "-o", shown]).await.unwrap(), "true");
    plane.kill().await.unwrap();
}

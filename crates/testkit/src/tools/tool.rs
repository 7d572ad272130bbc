//! The tools we know by name.

use std::fmt;
use std::path::PathBuf;

use super::family::Family;

/// A tool. In the order in which tests want them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is the binary of that name")]
pub enum Tool {
    Etcd,
    KubeApiserver,
    Kubectl,
    KubeControllerManager,
    KubeScheduler,
    /// CRDs and webhook configurations of Cluster API: a directory of YAML.
    CapiManifests,
    CapiCore,
    CapiControlPlane,
    CapiBootstrap,
    Kubelet,
    Kubeadm,
    KubeProxy,
    CniBridge,
    CniLoopback,
    CniHostLocal,
    CniPortmap,
    Coredns,
    /// A VM's life, led by `luthermonson/go-proxmox`.
    GoProxmox,
    /// A VM's life, led by `Telmate/proxmox-api-go`.
    ProxmoxApiGo,
    /// The Go program of `docs/pve-sim.md`.
    PveQuickstart,
    /// CRDs of volume snapshots: a directory of YAML.
    SnapshotCrds,
    CsiProvisioner,
    CsiAttacher,
    CsiSnapshotter,
    SnapshotController,
    /// The judge of storage drivers.
    CsiSanity,
    KubeRouter,
    VictoriaMetrics,
    Vmalert,
    VictoriaLogs,
    /// What Cilium's agent compiles (`bpf/`) and its CRDs (`crds/`): a directory.
    CiliumFiles,
    CiliumAgent,
    CiliumOperator,
    CiliumCni,
    CiliumDbg,
}

impl Tool {
    /// Every one of Kubernetes: what the demo needs.
    pub const ALL: [Self; 23] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::Kubectl,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::CapiManifests,
        Self::CapiCore,
        Self::CapiControlPlane,
        Self::CapiBootstrap,
        Self::Kubelet,
        Self::Kubeadm,
        Self::KubeProxy,
        Self::CniBridge,
        Self::CniLoopback,
        Self::CniHostLocal,
        Self::CniPortmap,
        Self::Coredns,
        Self::KubeRouter,
        Self::SnapshotCrds,
        Self::CsiProvisioner,
        Self::CsiAttacher,
        Self::CsiSnapshotter,
        Self::SnapshotController,
    ];

    /// What a control plane needs.
    pub const CONTROL_PLANE: [Self; 5] =
        [Self::Etcd, Self::KubeApiserver, Self::Kubectl, Self::KubeControllerManager, Self::KubeScheduler];

    /// What Cluster API needs beside it.
    pub const CLUSTER_API: [Self; 4] =
        [Self::CapiManifests, Self::CapiCore, Self::CapiControlPlane, Self::CapiBootstrap];

    /// What a real node needs (and what its own control plane's images are made of).
    pub const NODE: [Self; 8] = [
        Self::Kubelet,
        Self::Kubeadm,
        Self::KubeProxy,
        Self::CniBridge,
        Self::CniLoopback,
        Self::CniHostLocal,
        Self::CniPortmap,
        Self::Coredns,
    ];

    /// Clients of Proxmox VE that others wrote, for tests of the simulator.
    pub const PVE_CLIENTS: [Self; 3] = [Self::GoProxmox, Self::ProxmoxApiGo, Self::PveQuickstart];

    /// What Kubernetes puts beside a storage driver.
    pub const CSI: [Self; 5] =
        [Self::SnapshotCrds, Self::CsiProvisioner, Self::CsiAttacher, Self::CsiSnapshotter, Self::SnapshotController];

    /// Stores of metrics and logs.
    pub const MONITORING: [Self; 3] = [Self::VictoriaMetrics, Self::Vmalert, Self::VictoriaLogs];

    /// Cilium, for those who ask for it: the first build takes minutes.
    pub const CILIUM: [Self; 5] =
        [Self::CiliumFiles, Self::CiliumAgent, Self::CiliumOperator, Self::CiliumCni, Self::CiliumDbg];

    /// The name of its file.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::Kubectl => "kubectl",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::CapiManifests => "capi-manifests",
            Self::CapiCore => "capi-core",
            Self::CapiControlPlane => "capi-kcp",
            Self::CapiBootstrap => "capi-cabpk",
            Self::Kubelet => "kubelet",
            Self::Kubeadm => "kubeadm",
            Self::KubeProxy => "kube-proxy",
            Self::CniBridge => "bridge",
            Self::CniLoopback => "loopback",
            Self::CniHostLocal => "host-local",
            Self::CniPortmap => "portmap",
            Self::Coredns => "coredns",
            Self::GoProxmox => "go-proxmox",
            Self::ProxmoxApiGo => "proxmox-api-go",
            Self::PveQuickstart => "pve-quickstart",
            Self::SnapshotCrds => "snapshot-crds",
            Self::CsiProvisioner => "csi-provisioner",
            Self::CsiAttacher => "csi-attacher",
            Self::CsiSnapshotter => "csi-snapshotter",
            Self::SnapshotController => "snapshot-controller",
            Self::CsiSanity => "csi-sanity",
            Self::KubeRouter => "kube-router",
            Self::VictoriaMetrics => "victoria-metrics",
            Self::Vmalert => "vmalert",
            Self::VictoriaLogs => "victoria-logs",
            Self::CiliumFiles => "cilium-files",
            Self::CiliumAgent => "cilium-agent",
            Self::CiliumOperator => "cilium-operator",
            Self::CiliumCni => "cilium-cni",
            Self::CiliumDbg => "cilium-dbg",
        }
    }

    /// Where it lies in a directory of tools: CNI plugins have one of their own, as a kubelet wants it.
    pub(super) fn relative_path(self) -> PathBuf {
        match self.family() {
            Family::Cni => PathBuf::from("cni").join(self.file_name()),
            _ => PathBuf::from(self.file_name()),
        }
    }

    pub(super) const fn family(self) -> Family {
        match self {
            Self::Etcd => Family::Etcd,
            Self::KubeApiserver
            | Self::Kubectl
            | Self::KubeControllerManager
            | Self::KubeScheduler
            | Self::Kubelet
            | Self::Kubeadm
            | Self::KubeProxy => Family::K8s,
            Self::CapiManifests | Self::CapiCore | Self::CapiControlPlane | Self::CapiBootstrap => Family::Capi,
            Self::CniBridge | Self::CniLoopback | Self::CniHostLocal | Self::CniPortmap => Family::Cni,
            Self::Coredns => Family::Coredns,
            Self::GoProxmox | Self::ProxmoxApiGo | Self::PveQuickstart => Family::PveClients,
            Self::SnapshotCrds
            | Self::CsiProvisioner
            | Self::CsiAttacher
            | Self::CsiSnapshotter
            | Self::SnapshotController => Family::CsiSidecars,
            Self::CsiSanity => Family::CsiSanity,
            Self::KubeRouter => Family::KubeRouter,
            Self::VictoriaMetrics | Self::Vmalert => Family::VictoriaMetrics,
            Self::VictoriaLogs => Family::VictoriaLogs,
            Self::CiliumFiles | Self::CiliumAgent | Self::CiliumOperator | Self::CiliumCni | Self::CiliumDbg => {
                Family::Cilium
            }
        }
    }

    /// The Go package of its main; none for what is not a binary.
    pub(super) const fn package(self) -> Option<&'static str> {
        Some(match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::KubeApiserver => "k8s.io/kubernetes/cmd/kube-apiserver",
            Self::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
            Self::KubeControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
            Self::KubeScheduler => "k8s.io/kubernetes/cmd/kube-scheduler",
            Self::CapiManifests | Self::SnapshotCrds | Self::CiliumFiles => return None,
            Self::CapiCore => "sigs.k8s.io/cluster-api/core",
            Self::CapiControlPlane => "sigs.k8s.io/cluster-api/controlplane/kubeadm",
            Self::CapiBootstrap => "sigs.k8s.io/cluster-api/bootstrap/kubeadm",
            Self::Kubelet => "k8s.io/kubernetes/cmd/kubelet",
            Self::Kubeadm => "k8s.io/kubernetes/cmd/kubeadm",
            Self::KubeProxy => "k8s.io/kubernetes/cmd/kube-proxy",
            Self::CniBridge => "github.com/containernetworking/plugins/plugins/main/bridge",
            Self::CniLoopback => "github.com/containernetworking/plugins/plugins/main/loopback",
            Self::CniHostLocal => "github.com/containernetworking/plugins/plugins/ipam/host-local",
            Self::CniPortmap => "github.com/containernetworking/plugins/plugins/meta/portmap",
            Self::Coredns => "github.com/coredns/coredns",
            Self::GoProxmox => "./go-proxmox",
            Self::ProxmoxApiGo => "./proxmox-api-go",
            Self::PveQuickstart => "./quickstart",
            Self::CsiProvisioner => "github.com/kubernetes-csi/external-provisioner/v6/cmd/csi-provisioner",
            Self::CsiAttacher => "github.com/kubernetes-csi/external-attacher/v4/cmd/csi-attacher",
            Self::CsiSnapshotter => "github.com/kubernetes-csi/external-snapshotter/v8/cmd/csi-snapshotter",
            Self::SnapshotController => "github.com/kubernetes-csi/external-snapshotter/v8/cmd/snapshot-controller",
            Self::CsiSanity => "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity",
            Self::KubeRouter => "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",
            Self::VictoriaMetrics => "github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics",
            Self::Vmalert => "github.com/VictoriaMetrics/VictoriaMetrics/app/vmalert",
            Self::VictoriaLogs => "github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs",
            Self::CiliumAgent => "github.com/cilium/cilium/daemon",
            Self::CiliumOperator => "github.com/cilium/cilium/operator",
            Self::CiliumCni => "github.com/cilium/cilium/plugins/cilium-cni",
            Self::CiliumDbg => "github.com/cilium/cilium/cilium-dbg",
        })
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.file_name())
    }
}

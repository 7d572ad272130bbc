//! A booted guest that is real: a VM that `pve-sim` starts becomes a machine in namespaces of this one.
//!
//! Outside ([`run`], [`machine`]) it talks to the simulator's guest hook, lays network cards onto bridges and holds the
//! leash; inside (`init`) it is PID 1: mounts, network, cloud-init, containerd, kubelet. [`image`] makes what a guest's
//! disk would hold. A third face, `front`, stands inside the guest under the names of programs that a small machine
//! needs differently (`runc`, `kubeadm`, `systemctl`).
//!
//! Promises: what a guest does stays in its namespaces, its state directory and one cgroup; ending the leash ends it
//! all. Assumes root, Linux, a network namespace without a way out, and bridges that exist.

pub mod boot_one;
pub mod front;
pub mod guest;
pub mod hook;
pub mod image;
pub mod init;
pub mod iso;
pub mod machine;
pub mod network;
pub mod run;
pub mod seed;

mod tool;

/// Where a guest finds our own program.
pub const GUEST_PROGRAM: &str = "/.guest-node";

/// A container image every node has, for pods of a demo: busybox with its applets.
pub const DEMO_IMAGE: &str = "docker.io/library/busybox:1.35";

/// A container image every node has, for a demo's network policies: kube-router with its firewall tools.
pub const KUBE_ROUTER_IMAGE: &str = "docker.io/cloudnativelabs/kube-router:v2.1.0";

/// Cilium's agent, in node images that [`image::cilium`] made.
pub const CILIUM_IMAGE: &str = "quay.io/cilium/cilium:v1.18.4";

/// Cilium's operator, in the same node images.
pub const CILIUM_OPERATOR_IMAGE: &str = "quay.io/cilium/operator-generic:v1.18.4";

/// The container image of `oxmox` itself ([`image::oxmox`]), as the chart names it by default.
pub const OXMOX_IMAGE: &str = concat!("docker.io/library/oxmox:", env!("CARGO_PKG_VERSION"));

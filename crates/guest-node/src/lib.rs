//! A booted guest that is real: namespaces, cloud-init, containerd, kubeadm

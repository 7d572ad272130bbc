//! What a caller may choose about a control plane.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use ipnet::IpNet;

/// Which controllers run beside the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controllers {
    /// None: objects stay as they are written.
    None,
    /// The controller-manager: ServiceAccounts, garbage collection, certificates.
    Manager,
    /// The scheduler as well: pods find nodes.
    ManagerAndScheduler,
}

/// The ports of one control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// kube-apiserver.
    pub apiserver: u16,
    /// etcd for clients.
    pub etcd: u16,
    /// etcd for peers.
    pub etcd_peer: u16,
    /// kube-controller-manager.
    pub controller_manager: u16,
    /// kube-scheduler.
    pub scheduler: u16,
}

impl Ports {
    /// Five that are free now. Another process may take one before we do; then the start fails and says so.
    pub fn free() -> Result<Self> {
        // Held together, so that they differ.
        let held: Vec<TcpListener> = (0..5).map(|_| listener()).collect::<Result<_>>()?;
        let ports: Vec<u16> = held.iter().map(port_of).collect::<Result<_>>()?;
        let [apiserver, etcd, etcd_peer, controller_manager, scheduler] = ports[..] else {
            bail!("find five free ports: found {}", ports.len());
        };
        Ok(Self { apiserver, etcd, etcd_peer, controller_manager, scheduler })
    }

    /// The usual numbers, for a network namespace of its own.
    pub const fn usual() -> Self {
        Self { apiserver: 6443, etcd: 2379, etcd_peer: 2380, controller_manager: 10257, scheduler: 10259 }
    }
}

/// A port of loopback that is free now.
pub fn free_port() -> Result<u16> {
    port_of(&listener()?)
}

fn listener() -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port on loopback")
}

fn port_of(listener: &TcpListener) -> Result<u16> {
    Ok(listener.local_addr().context("read the port of a listener")?.port())
}

/// How to start a control plane.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where data, certificates and logs go. Made; must not hold a control plane yet.
    pub dir: PathBuf,
    /// Its ports.
    pub ports: Ports,
    /// The address that nodes and kubeconfigs use. Loopback: nothing else can reach it.
    pub address: IpAddr,
    /// Which controllers run.
    pub controllers: Controllers,
    /// Addresses of Services.
    pub service_cidr: IpNet,
    /// More names for the API server's certificate.
    pub names: Vec<String>,
    /// More flags for the API server.
    pub apiserver_args: Vec<String>,
}

impl Options {
    /// On loopback, on free ports, with a controller-manager.
    pub fn on_loopback(dir: impl Into<PathBuf>) -> Result<Self> {
        Ok(Self {
            dir: dir.into(),
            ports: Ports::free()?,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            controllers: Controllers::Manager,
            service_cidr: IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(10, 96, 0, 0)), 16),
            names: Vec::new(),
            apiserver_args: Vec::new(),
        })
    }

    /// With these controllers.
    #[must_use]
    pub fn with_controllers(mut self, controllers: Controllers) -> Self {
        self.controllers = controllers;
        self
    }

    /// The first Service address: the API server's own.
    pub(super) fn service_address(&self) -> Result<IpAddr> {
        self.service_cidr
            .hosts()
            .next()
            .with_context(|| format!("take the first address of the service network `{}`", self.service_cidr))
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn five_free_ports_are_five_different_ones() {
        let ports = Ports::free().unwrap();
        let all = [ports.apiserver, ports.etcd, ports.etcd_peer, ports.controller_manager, ports.scheduler];
        let distinct: std::collections::BTreeSet<u16> = all.into_iter().collect();
        assert_eq!(distinct.len(), 5, "{all:?}");
    }

    #[test]
    fn the_api_server_has_the_first_service_address() {
        let options = Options::on_loopback("/nowhere").unwrap();
        assert_eq!(options.service_address().unwrap().to_string(), "10.96.0.1");
    }
}

//! A control plane: etcd, kube-apiserver and, if wanted, controller-manager and scheduler, as children of ours.
//!
//! Promises: `start` returns once the API server is ready and the controllers have done their first work, or with an
//! error that carries the end of the log; `stop` ends clients first and etcd last; dropped, everything is killed.
//! Assumes: it runs in a namespace that leads nowhere, or on loopback: an API server dials the nodes it knows.

mod authority;
mod kubeconfig;
mod kubectl;
mod options;
mod ready;
mod token;

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

pub(crate) use self::authority::write_secret;
pub use self::authority::{Authority, Certificate, Identity};
use self::kubeconfig::{Credential, kubeconfig};
pub use self::options::{Controllers, Options, Ports, free_port};
pub(crate) use self::ready::{client, look};
pub use self::token::{service_account_kubeconfig, token_kubeconfig};
use crate::process::{Process, ProcessSpec};
use crate::tools::{Tool, Tools};

/// Orderly ends take an API server up to 14 s; nothing in here is worth waiting longer for.
const GRACE: Duration = Duration::from_secs(15);

/// A running control plane.
#[must_use = "dropped, it is killed"]
pub struct ControlPlane {
    options: Options,
    authority: Authority,
    kubectl: PathBuf,
    /// In the order of their start: etcd, API server, then its clients.
    processes: Vec<Process>,
}

impl ControlPlane {
    /// Starts one and waits until it is ready.
    pub async fn start(tools: &Tools, options: Options) -> Result<Self> {
        ensure!(
            options.address.is_loopback() || crate::leash::inside(),
            "start a control plane on `{}`: outside of the lab only loopback is allowed\nhint: run it under `cargo xtask lab -- …`",
            options.address
        );
        let data = options.dir.join("etcd");
        ensure!(!data.exists(), "start a control plane: `{}` holds one already", options.dir.display());
        let pki = options.dir.join("pki");
        fs::create_dir_all(&pki).with_context(|| format!("make `{}`", pki.display()))?;
        let authority = write_certificates(&options, &pki)?;
        let kubectl = tools.path(Tool::Kubectl)?.to_owned();
        let mut plane = Self { options, authority, kubectl, processes: Vec::new() };
        plane.start_etcd(tools)?;
        plane.start_apiserver(tools)?;
        ready::apiserver(&mut plane).await?;
        match plane.options.controllers {
            Controllers::None => {}
            Controllers::Manager => plane.start_controller_manager(tools)?,
            Controllers::ManagerAndScheduler => {
                plane.start_controller_manager(tools)?;
                plane.start_scheduler(tools)?;
            }
        }
        if plane.options.controllers != Controllers::None {
            ready::default_service_account(&mut plane).await?;
        }
        Ok(plane)
    }

    /// `https://ADDRESS:PORT`.
    pub fn url(&self) -> String {
        url(&self.options)
    }

    /// Where its files are.
    pub fn dir(&self) -> &Path {
        &self.options.dir
    }

    /// Where its certificates are: `ca.crt`, `ca.key`, `sa.key`, … under kubeadm's names.
    pub fn pki(&self) -> PathBuf {
        self.options.dir.join("pki")
    }

    /// The authority that signs its certificates.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A kubeconfig of a member of system:masters.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.options.dir.join("admin.kubeconfig")
    }

    /// A log of one of its processes: `etcd`, `kube-apiserver`, ….
    pub fn log(&self, process: &str) -> PathBuf {
        self.options.dir.join("logs").join(format!("{process}.log"))
    }

    /// An error if one of its processes has ended.
    pub fn must_run(&mut self) -> Result<()> {
        self.processes.iter_mut().try_for_each(Process::must_run)
    }

    /// Ends it in order: clients, API server, and etcd once that is gone.
    pub async fn stop(mut self) -> Result<()> {
        while let Some(process) = self.processes.pop() {
            process.stop(GRACE).await?;
        }
        Ok(())
    }

    /// Ends it at once. For data that nobody wants any more.
    pub async fn kill(mut self) -> Result<()> {
        while let Some(process) = self.processes.pop() {
            process.kill().await?;
        }
        Ok(())
    }

    fn start_etcd(&mut self, tools: &Tools) -> Result<()> {
        let Ports { etcd, etcd_peer, .. } = self.options.ports;
        let (client, peer) = (format!("http://127.0.0.1:{etcd}"), format!("http://127.0.0.1:{etcd_peer}"));
        self.start_one(
            ProcessSpec::new("etcd", tools.path(Tool::Etcd)?, self.log("etcd"))
                .arg("--data-dir")
                .arg(self.options.dir.join("etcd"))
                .args([
                    format!("--listen-client-urls={client}"),
                    format!("--advertise-client-urls={client}"),
                    format!("--listen-peer-urls={peer}"),
                    format!("--initial-advertise-peer-urls={peer}"),
                    format!("--initial-cluster=default={peer}"),
                    "--unsafe-no-fsync".to_owned(), // its data is thrown away
                ]),
        )
    }

    fn start_apiserver(&mut self, tools: &Tools) -> Result<()> {
        let Options { ports, address, service_cidr, .. } = &self.options;
        let pki = self.pki();
        let file = |flag: &str, name: &str| format!("--{flag}={}", pki.join(name).display());
        let mut args = vec![
            format!("--etcd-servers=http://127.0.0.1:{}", ports.etcd),
            format!("--secure-port={}", ports.apiserver),
            format!("--advertise-address={address}"),
            format!("--service-cluster-ip-range={service_cidr}"),
            file("tls-cert-file", "apiserver.crt"),
            file("tls-private-key-file", "apiserver.key"),
            file("client-ca-file", "ca.crt"),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            file("service-account-signing-key-file", "sa.key"),
            file("service-account-key-file", "sa.pub"),
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            "--allow-privileged=true".to_owned(),
            "--enable-bootstrap-token-auth=true".to_owned(),
            file("kubelet-client-certificate", "apiserver-kubelet-client.crt"),
            file("kubelet-client-key", "apiserver-kubelet-client.key"),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
            file("requestheader-client-ca-file", "front-proxy-ca.crt"),
            "--requestheader-allowed-names=front-proxy-client".to_owned(),
            "--requestheader-username-headers=X-Remote-User".to_owned(),
            "--requestheader-group-headers=X-Remote-Group".to_owned(),
            "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
            file("proxy-client-cert-file", "front-proxy-client.crt"),
            file("proxy-client-key-file", "front-proxy-client.key"),
            "--profiling=false".to_owned(),
        ];
        if address.is_loopback() {
            // The `kubernetes` Service cannot have a loopback address behind it.
            args.extend([format!("--bind-address={address}"), "--endpoint-reconciler-type=none".to_owned()]);
        } else {
            args.push(format!("--bind-address={}", if address.is_ipv6() { "::" } else { "0.0.0.0" }));
        }
        args.extend(self.options.apiserver_args.iter().cloned());
        let log = self.log("kube-apiserver");
        self.start_one(ProcessSpec::new("kube-apiserver", tools.path(Tool::KubeApiserver)?, log).args(args))
    }

    fn start_controller_manager(&mut self, tools: &Tools) -> Result<()> {
        let pki = self.pki();
        let file = |flag: &str, name: &str| format!("--{flag}={}", pki.join(name).display());
        let args = vec![
            file("service-account-private-key-file", "sa.key"),
            file("root-ca-file", "ca.crt"),
            file("cluster-signing-cert-file", "ca.crt"),
            file("cluster-signing-key-file", "ca.key"),
            "--use-service-account-credentials=true".to_owned(),
            // One token request a controller at the usual 20 a second would take five seconds.
            "--kube-api-qps=500".to_owned(),
            "--kube-api-burst=1000".to_owned(),
            "--controllers=*,bootstrapsigner,tokencleaner,-node-ipam-controller,-cloud-node-lifecycle-controller"
                .to_owned(),
        ];
        self.start_controller(tools, Tool::KubeControllerManager, self.options.ports.controller_manager, args)
    }

    fn start_scheduler(&mut self, tools: &Tools) -> Result<()> {
        self.start_controller(tools, Tool::KubeScheduler, self.options.ports.scheduler, Vec::new())
    }

    fn start_controller(&mut self, tools: &Tools, tool: Tool, port: u16, args: Vec<String>) -> Result<()> {
        let name = tool.file_name();
        let signed = self.authority.sign(&Identity::client(&format!("system:{name}"), &[]))?;
        let config = self.options.dir.join(format!("{name}.kubeconfig"));
        write_secret(
            &config,
            &kubeconfig(&self.url(), self.authority.certificate(), name, &Credential::Certificate(&signed)),
        )?;
        let config = config.display();
        self.start_one(
            ProcessSpec::new(name, tools.path(tool)?, self.log(name))
                .args([
                    format!("--kubeconfig={config}"),
                    format!("--authentication-kubeconfig={config}"),
                    format!("--authorization-kubeconfig={config}"),
                    "--bind-address=127.0.0.1".to_owned(),
                    format!("--secure-port={port}"),
                    "--leader-elect=false".to_owned(),
                ])
                .args(args),
        )
    }

    fn start_one(&mut self, spec: ProcessSpec) -> Result<()> {
        self.processes.push(spec.start()?);
        Ok(())
    }
}

fn url(options: &Options) -> String {
    format!("https://{}", std::net::SocketAddr::new(options.address, options.ports.apiserver))
}

/// Everything under kubeadm's names, so that `kubeadm init phase …` finds it.
fn write_certificates(options: &Options, pki: &Path) -> Result<Authority> {
    let authority = Authority::new("kubernetes")?;
    let front_proxy = Authority::new("front-proxy-ca")?;
    authority.write(pki, "ca")?;
    front_proxy.write(pki, "front-proxy-ca")?;
    authority::write_service_account_keys(pki)?;
    let mut names: Vec<String> = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ]
    .map(str::to_owned)
    .to_vec();
    names.extend(options.names.iter().cloned());
    let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST), options.service_address()?];
    if !addresses.contains(&options.address) {
        addresses.push(options.address);
    }
    authority
        .sign(&Identity::Server { name: "kube-apiserver".to_owned(), names, addresses })?
        .write(pki, "apiserver")?;
    authority
        .sign(&Identity::client("kube-apiserver-kubelet-client", &["system:masters"]))?
        .write(pki, "apiserver-kubelet-client")?;
    front_proxy.sign(&Identity::client("front-proxy-client", &[]))?.write(pki, "front-proxy-client")?;
    let admin = authority.sign(&Identity::client("admin", &["system:masters"]))?;
    write_secret(
        &options.dir.join("admin.kubeconfig"),
        &kubeconfig(&url(options), authority.certificate(), "admin", &Credential::Certificate(&admin)),
    )?;
    Ok(authority)
}

//! The set: network, simulator, guests, management cluster, manager.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::capi::{self, ClusterApi};
use testkit::{
    Administrator, ControlPlane, NotYet, Options, Process, ProcessSpec, Tool, Tools, eventually,
    service_account_kubeconfig,
};
use tokio::net::{TcpStream, UnixListener};

use super::Cni;
use super::outside::SIM_SOCKET;
use super::say::Stages;

/// The bridge that stands for vmbr0 of all three nodes, and the router's address on it.
const BRIDGE: &str = "vmbr0";
const GATEWAY: &str = "10.10.10.1/24";
/// Where the chart puts the manager.
pub(super) const NAMESPACE: &str = "oxmox-system";
const ACCOUNT: &str = "oxmox-capi";
/// The provider's token.
pub(super) const TOKEN: &str = "capi@pve!oxmox";

/// What runs. Dropped, all of it is killed; what lies in the namespaces goes with them.
pub(super) struct Set {
    pub(super) dir: PathBuf,
    pub(super) cni: Cni,
    pub(super) tools: PathBuf,
    pub(super) plane: ControlPlane,
    pub(super) sim: Simulator,
    /// `root@pam` of the simulator.
    pub(super) administrator: Administrator,
    processes: Vec<(ProcessSpec, Process)>,
    /// Those that were killed or told to end, and may be started again.
    halted: Vec<ProcessSpec>,
    pub(super) capi: ClusterApi,
}

/// The simulator, as it says of itself.
#[derive(Debug, Clone)]
pub(super) struct Simulator {
    pub(super) url: String,
    pub(super) control: String,
    pub(super) fingerprint: String,
    pub(super) root_password: String,
    pub(super) secret: String,
    pub(super) ca_file: PathBuf,
}

impl Simulator {
    /// Does something to the simulated world by its control door; `Null`: nothing more to say about it.
    pub(super) async fn meddle(&self, path: &str, body: &Value) -> Result<()> {
        self.tell("POST", path, body).await
    }

    /// The same with any method.
    pub(super) async fn tell(&self, method: &str, path: &str, body: &Value) -> Result<()> {
        let url = format!("{}{path}", self.control.trim_end_matches('/'));
        let request = reqwest::Client::new().request(method.parse().context("a method")?, &url);
        let request = if body.is_null() { request } else { request.json(body) };
        let answer = request.send().await.with_context(|| format!("tell the simulator {url}"))?;
        let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
        ensure!(status.is_success(), "the simulator says {status} to {method} {url}: {text}");
        Ok(())
    }
}

impl Set {
    /// Starts everything, one after the other.
    pub(super) async fn set_up(dir: &Path, image: &Path, cni: Cni, stages: &mut Stages) -> Result<Self> {
        stages.begin("proxmox");
        network()?;
        let mut processes = Vec::new();
        let sim = simulator(dir, &mut processes, stages).await?;
        let images = dir.join("images");
        std::fs::create_dir_all(&images).with_context(|| format!("make `{}`", images.display()))?;
        guest_node::image::oxmox(&guest_node::image::NodeImage::open(image)?, &std::env::current_exe()?, &images)
            .context("make the container image of oxmox")?;
        let guests = ProcessSpec::new("guest-node", beside("guest-node")?, dir.join("guest-node.log"))
            .args(["run", "--sim", &sim.control])
            .arg("--image")
            .arg(image)
            .arg("--more-images")
            .arg(&images)
            .args(["--pod-network", if cni == Cni::Cilium { "cluster" } else { "node" }])
            .arg("--state")
            .arg(dir.join("nodes"));
        keep(&mut processes, guests)?;
        tokio::spawn(relay(
            dir.join(SIM_SOCKET),
            sim.url.trim_start_matches("https://").trim_end_matches('/').to_owned(),
        ));
        stages.note(&format!("answers at {}; VMs that it starts become real nodes", sim.url));

        stages.begin("management");
        let all = Tools::ensure(&Tool::ALL, &|_| {})?;
        let mut options = Options::on_loopback(dir.join("management"))?;
        options.service_cidr = "10.95.0.0/16".parse().context("the management cluster's Services")?;
        let plane = ControlPlane::start(&all, options).await?;
        stages.note("API server is ready");
        let capi = ClusterApi::start(&plane, &all, &capi::Options::default()).await?;
        stages.note("Cluster API v1.14.2 is ready: core, kubeadm bootstrap, kubeadm control plane");
        manager(dir, &plane, &sim, &mut processes).await?;
        stages.note("oxmox runs under the ServiceAccount and RBAC of its chart");
        let tools = testkit::cache_dir()?.join("tools/demo");
        let ca = std::fs::read_to_string(&sim.ca_file).context("read the simulator's CA")?;
        let administrator = Administrator::log_in(&sim.url, &ca, &sim.root_password).await?;
        // `oxmox verify` runs with the provider's token, and looks at storages that only the driver uses
        administrator.call("POST", "/access/roles", &[("roleid", "OxmoxVerify"), ("privs", "Datastore.Audit")]).await?;
        let (user, _) = TOKEN.split_once('!').context("the token's user")?;
        let form = [("path", "/storage"), ("roles", "OxmoxVerify"), ("users", user), ("tokens", TOKEN)];
        administrator.call("PUT", "/access/acl", &form).await?;
        // and at the cluster's votes, which hang on the root of all paths
        administrator.call("POST", "/access/roles", &[("roleid", "OxmoxVotes"), ("privs", "Sys.Audit")]).await?;
        let form = [("path", "/"), ("roles", "OxmoxVotes"), ("users", user), ("tokens", TOKEN), ("propagate", "0")];
        administrator.call("PUT", "/access/acl", &form).await?;
        Ok(Self { dir: dir.to_owned(), cni, tools, plane, sim, administrator, processes, halted: Vec::new(), capi })
    }

    /// Starts a process, which has to run until the end from now on.
    pub(super) fn start(&mut self, spec: ProcessSpec) -> Result<()> {
        keep(&mut self.processes, spec)
    }

    /// Whether a process of this name was started.
    pub(super) fn runs(&self, name: &str) -> bool {
        self.processes.iter().any(|(spec, _)| spec.name == name)
    }

    /// Kills a process and starts it again, as a failing machine would.
    pub(super) async fn restart(&mut self, name: &str) -> Result<()> {
        self.kill(name).await?;
        self.resume(name)
    }

    /// Kills a process, which need not run from now on.
    pub(super) async fn kill(&mut self, name: &str) -> Result<()> {
        self.halt(name)?.kill().await.map(drop)
    }

    /// Has a process end in order; it need not run from now on.
    pub(super) async fn end(&mut self, name: &str) -> Result<()> {
        self.halt(name)?.stop(Duration::from_secs(15)).await.map(drop)
    }

    fn halt(&mut self, name: &str) -> Result<Process> {
        let at = self.processes.iter().position(|(spec, _)| spec.name == name);
        let (spec, process) = self.processes.remove(at.with_context(|| format!("nothing is called {name}"))?);
        self.halted.push(spec);
        Ok(process)
    }

    /// Starts again what was killed, or told to end.
    pub(super) fn resume(&mut self, name: &str) -> Result<()> {
        let at = self.halted.iter().position(|spec| spec.name == name);
        let spec = self.halted.remove(at.with_context(|| format!("nothing is halted that is called {name}"))?);
        keep(&mut self.processes, spec)
    }

    /// An error with the log's end if something that should run has ended.
    pub(super) fn must_run(&mut self) -> Result<()> {
        self.processes.iter_mut().try_for_each(|(_, process)| process.must_run())?;
        self.plane.must_run()?;
        self.capi.must_run()
    }

    /// Ends everything, those first that were started last.
    pub(super) async fn stop(self) -> Result<()> {
        for (_, process) in self.processes.into_iter().rev() {
            process.stop(Duration::from_secs(15)).await?;
        }
        self.capi.stop().await?;
        self.plane.kill().await
    }
}

fn keep(processes: &mut Vec<(ProcessSpec, Process)>, spec: ProcessSpec) -> Result<()> {
    let process = spec.clone().start()?;
    processes.push((spec, process));
    Ok(())
}

fn network() -> Result<()> {
    let ip = |words: &[&str]| -> Result<()> {
        let status = std::process::Command::new("ip").args(words).status().context("start `ip` (iproute2)")?;
        ensure!(status.success(), "`ip {}` failed", words.join(" "));
        Ok(())
    };
    ip(&["link", "add", BRIDGE, "type", "bridge"])?;
    ip(&["address", "add", GATEWAY, "dev", BRIDGE])?;
    ip(&["link", "set", BRIDGE, "up"])?;
    // the router between the nodes' pod networks; only this network namespace's setting
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").context("let the router forward")
}

/// A binary that cargo has put beside ours.
pub(super) fn beside(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    ensure!(path.is_file(), "`{}` is not built\nhint: cargo build --bins", path.display());
    Ok(path)
}

async fn simulator(dir: &Path, processes: &mut Vec<(ProcessSpec, Process)>, stages: &mut Stages) -> Result<Simulator> {
    let ready = dir.join("sim.json");
    let sim = ProcessSpec::new("pve-sim", beside("pve-sim")?, dir.join("pve-sim.log"))
        .args(["--nodes", "3", "--port", "8006", "--control-port", "8007", "-o", "json", "--ready-file"])
        .arg(&ready)
        .arg("--backing")
        .arg(dir.join("volumes"));
    keep(processes, sim)?;
    let text = eventually(Duration::from_secs(10), || async {
        match std::fs::read_to_string(&ready) {
            Ok(text) if text.trim_end().ends_with('}') => Ok(text),
            Ok(_) | Err(_) => Err(NotYet::because("the simulator does not listen yet")),
        }
    })
    .await?;
    let said: Value = serde_json::from_str(&text).context("read what the simulator says of itself")?;
    let word = |key: &str| {
        said.get(key)
            .and_then(Value::as_str)
            .map(ToOwned::to_owned)
            .with_context(|| format!("the simulator names no {key}"))
    };
    let ca_file = dir.join("pve-ca.pem");
    std::fs::write(&ca_file, word("ca")?).context("write the simulator's CA")?;
    let tokens = said.get("tokens").and_then(Value::as_array).cloned().unwrap_or_default();
    let secret = tokens
        .iter()
        .find(|token| token.get("id").and_then(Value::as_str) == Some(TOKEN))
        .and_then(|token| token.get("secret")?.as_str())
        .context("the simulator has no token for the provider")?
        .to_owned();
    stages.note("TLS, users, a token with the least privileges");
    Ok(Simulator {
        url: word("url")?,
        control: word("control_url")?,
        fingerprint: word("fingerprint")?,
        root_password: word("root_password")?,
        secret,
        ca_file,
    })
}

/// Passes connections of those outside on to the simulator.
async fn relay(socket: PathBuf, to: String) {
    let listener = match UnixListener::bind(&socket) {
        Ok(listener) => listener,
        Err(why) => {
            tracing::warn!(socket = %socket.display(), %why, "the simulator cannot be reached from outside");
            return;
        }
    };
    while let Ok((mut outside, _)) = listener.accept().await {
        let to = to.clone();
        tokio::spawn(async move {
            if let Ok(mut inside) = TcpStream::connect(&to).await {
                // either side may hang up
                let _ended = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            }
        });
    }
}

async fn manager(
    dir: &Path,
    plane: &ControlPlane,
    sim: &Simulator,
    processes: &mut Vec<(ProcessSpec, Process)>,
) -> Result<()> {
    for definition in api::definitions() {
        plane.apply(&api::definition_yaml(&definition)?).await?;
    }
    plane.apply(&format!(r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{NAMESPACE}"}}}}"#)).await?;
    plane.apply(include_str!("../../../../../charts/oxmox/files/capi-rbac.yaml")).await?;
    let account = service_account_kubeconfig(plane, NAMESPACE, ACCOUNT).await?;
    let ready = dir.join("manager.log");
    let manager = ProcessSpec::new("oxmox", std::env::current_exe()?, &ready)
        .args(["run", "capi", "--admin-addr", "127.0.0.1:8081", "--lease-namespace", NAMESPACE])
        .args(["--poll-failures", "2"])
        .env("OXMOX_LOG_FORMAT", "json")
        .env("KUBECONFIG", &account)
        .env("PROXMOX_URL", &sim.url)
        .env("PROXMOX_TOKEN", TOKEN)
        .env("PROXMOX_SECRET", &sim.secret)
        .env("PROXMOX_ROOT_CA_FILE", &sim.ca_file);
    keep(processes, manager)?;
    eventually(Duration::from_secs(20), || async {
        let answer =
            reqwest::get("http://127.0.0.1:8081/readyz").await.map_err(|why| NotYet::because(why.to_string()))?;
        if answer.status().is_success() { Ok(()) } else { Err(NotYet::because(answer.status().to_string())) }
    })
    .await
    .context("wait for the manager to be ready")
}

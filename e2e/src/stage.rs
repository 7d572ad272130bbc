//! The set of a story: control plane, simulator, and our manager.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use pve_sim::Options as SimOptions;
use testkit::{
    ControlPlane, Controllers, Options, Process, ProcessSpec, Tool, Tools, capi, service_account_kubeconfig,
};

use crate::binary::binary;
use crate::simulator::{Simulator, TOKEN};

/// Tools that a stage needs.
const TOOLS: [Tool; 4] = [Tool::Etcd, Tool::KubeApiserver, Tool::Kubectl, Tool::CapiManifests];
/// Where the chart puts the manager.
pub(crate) const NAMESPACE: &str = "oxmox-system";
const ACCOUNT: &str = "oxmox-capi";

/// How a stage is set.
#[derive(Debug, Clone, Default)]
pub struct StageOptions {
    /// The simulator.
    pub sim: SimOptions,
    /// More flags of the manager.
    pub manager_args: Vec<String>,
    /// How often the manager reads Proxmox VE.
    pub pace: Pace,
    /// Whether managers elect a leader.
    pub leader: Leader,
    /// The manager's binary, where it is not the one beside ours.
    pub program: Option<PathBuf>,
}

/// How often the manager reads Proxmox VE.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pace {
    /// Quick, so that stories are short.
    #[default]
    Quick,
    /// As shipped.
    Shipped,
}

/// Whether managers elect a leader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Leader {
    /// The one manager leads.
    #[default]
    Alone,
    /// They compete for a Lease.
    Elected,
}

/// The set.
pub struct Stage {
    /// The simulated Proxmox VE.
    pub sim: Simulator,
    /// A client that may do everything.
    pub kube: kube::Client,
    pub(crate) plane: ControlPlane,
    manager: Option<Process>,
    account: PathBuf,
    pub(crate) options: StageOptions,
    pub(crate) dir: PathBuf,
    starts: usize,
}

impl Stage {
    /// Sets the stage; `None`, said aloud, where it cannot be set.
    pub async fn set(name: &str, options: StageOptions) -> Result<Option<Self>> {
        if !testkit::leash::inside() {
            // a test that is not run says so
            skip(name, "it needs private namespaces; run it through `make test` or `cargo xtask lab -- …`");
            return Ok(None);
        }
        let tools = match Tools::present(&TOOLS) {
            Ok(tools) => tools,
            Err(missing) => {
                skip(name, &format!("these tools are not built: {missing:?}; `cargo xtask tools` builds them"));
                return Ok(None);
            }
        };
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let dir = std::env::temp_dir().join(format!("oxmox-e2e-{name}-{}", std::process::id()));
        let _old = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).with_context(|| format!("make `{}`", dir.display()))?;
        let plane_options = Options::on_loopback(dir.join("plane"))?.with_controllers(Controllers::None);
        let (plane, sim) =
            tokio::try_join!(ControlPlane::start(&tools, plane_options), Simulator::start(options.sim.clone()),)?;
        capi::install_crds(&plane, &tools).await?;
        for definition in api::definitions() {
            plane.apply(&api::definition_yaml(&definition)?).await?;
        }
        let namespace = format!(r#"{{"apiVersion":"v1","kind":"Namespace","metadata":{{"name":"{NAMESPACE}"}}}}"#);
        plane.apply(&namespace).await?;
        plane.apply(&rbac()?).await?;
        let account = service_account_kubeconfig(&plane, NAMESPACE, ACCOUNT).await?;
        std::fs::write(dir.join("ca.pem"), sim.ca()).context("write the simulator's CA")?;
        let kubeconfig = Kubeconfig::read_from(plane.admin_kubeconfig())?;
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let kube = kube::Client::try_from(config)?;
        let mut stage = Self { sim, kube, plane, manager: None, account, options, dir, starts: 0 };
        stage.start_manager()?;
        Ok(Some(stage))
    }

    /// Starts the manager.
    pub fn start_manager(&mut self) -> Result<()> {
        self.manager = Some(self.another_manager()?);
        Ok(())
    }

    /// Starts one more manager, the caller's to end.
    pub fn another_manager(&mut self) -> Result<Process> {
        self.starts += 1;
        let name = format!("manager-{}", self.starts);
        let elects = format!("--leader-elect={}", self.options.leader == Leader::Elected);
        let program = self.options.program.clone().map_or_else(|| binary("oxmox"), Ok)?;
        let pace: &[&str] = match self.options.pace {
            Pace::Quick => &["--poll-busy=0.2", "--poll-tasks=0.1"],
            Pace::Shipped => &[],
        };
        ProcessSpec::new(&name, program, self.dir.join(format!("{name}.log")))
            .args(["run", "capi", &elects, "--admin-addr=127.0.0.1:0", "--log=info,kube=warn"])
            .args(pace)
            .args(self.options.manager_args.iter().map(String::as_str))
            .env("KUBECONFIG", &self.account)
            .env("PROXMOX_URL", self.sim.url())
            .env("PROXMOX_TOKEN", TOKEN)
            .env("PROXMOX_SECRET", self.sim.secret()?)
            .env("PROXMOX_ROOT_CA_FILE", self.dir.join("ca.pem"))
            .start()
    }

    /// Kills the manager as a power cut would.
    pub async fn kill_manager(&mut self) -> Result<()> {
        if let Some(manager) = self.manager.take() {
            manager.kill().await?;
        }
        Ok(())
    }

    /// The manager's process number.
    pub fn manager_pid(&self) -> Option<u32> {
        self.manager.as_ref().and_then(Process::pid)
    }

    /// The last lines of the manager's log.
    pub fn manager_log(&self) -> String {
        self.manager.as_ref().map(Process::tail).unwrap_or_default()
    }

    /// The logs and data of the story.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Ends everything and removes its files.
    pub async fn strike(mut self) -> Result<()> {
        if let Some(manager) = self.manager.take() {
            manager.stop(Duration::from_secs(10)).await?;
        }
        self.sim.stop().await;
        self.plane.kill().await?;
        std::fs::remove_dir_all(&self.dir).with_context(|| format!("remove `{}`", self.dir.display()))
    }
}

/// The rights that the chart ships.
fn rbac() -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/oxmox/files/capi-rbac.yaml");
    std::fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))
}

fn skip(name: &str, why: &str) {
    say(&format!("SKIPPED {name}: {why}"));
}

/// Tells who watches a long test how far it is.
pub fn say(words: &str) {
    use std::io::Write as _;
    let _unheard = writeln!(std::io::stderr(), "{words}");
}

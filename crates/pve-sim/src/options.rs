//! What a simulator is started with.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::latency::Latency;
use crate::state::storage::stock;
use crate::state::task::Pace;

/// How a simulator is to be. The default is quick, for tests: tasks take a twentieth of their usual
/// time, refused logins answer at once.
#[derive(Debug, Clone)]
pub struct Options {
    /// Nodes, named `pve1` and on.
    pub nodes: u32,
    /// VMs that are there from the start, spread over the nodes; most of them run.
    pub vms: u32,
    /// Kinds of storages (`dir`, `nfs`, `lvmthin`, `zfspool`, `rbd`, …); none means `dir` and `nfs`.
    pub storages: Vec<String>,
    /// The number of this cluster, from 1; it makes names that differ.
    pub cluster: u32,
    /// A state to start from, as `/sim/state` gives it; the world's options above count for nothing then.
    pub state: Option<serde_json::Value>,
    /// Where chance starts: the same seed makes the same ids and secrets.
    pub seed: u64,
    /// Where the API listens; the control door is always on loopback.
    pub listen: IpAddr,
    /// The port of the API, 0 for any.
    pub port: u16,
    /// The port of the control door, 0 for any.
    pub control_port: u16,
    /// The release that `/version` tells.
    pub pve: String,
    /// Further names and addresses in the certificate.
    pub names: Vec<String>,
    /// Everything that takes time takes this many times less.
    pub speed: f64,
    /// Seconds that tasks take, by kind (`clone`, `start`, …), before `speed`.
    pub task_seconds: BTreeMap<String, f64>,
    /// Added to every answer of the API.
    pub latency: Duration,
    /// Latencies of methods, before those of `latency`; see [`crate::Latency`].
    pub latencies: Vec<Latency>,
    /// Simulated seconds in a real one: tasks and everything that looks at the clock.
    pub clock_rate: f64,
    /// Calls that each daemon of a node does at a time, 0 for any number. A state that is loaded says it itself.
    pub workers: u32,
    /// How long the proxy waits for a daemon until it answers 596; `speed` doesn't shorten it.
    pub patience: Duration,
    /// Rules for faults that are there from the start, as they are posted to `/sim/faults`.
    pub faults: Vec<serde_json::Value>,
    /// Limits on calls; see [`Running::broken_budgets`](crate::Running::broken_budgets).
    pub budgets: Vec<String>,
    /// Seconds between two rounds of the statistics daemon, before `speed`.
    pub tick: f64,
    /// Seconds from power-on until a paper guest's agent answers; none for never.
    pub agent_after: Option<f64>,
    /// Programs that paper guests do not have.
    pub guests_lack: Vec<String>,
    /// How long a refused login takes.
    pub login_delay: Duration,
    /// A directory for uploaded files; none keeps them in memory.
    pub backing: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nodes: 3,
            vms: 0,
            storages: Vec::new(),
            cluster: 1,
            state: None,
            seed: 1,
            listen: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            control_port: 0,
            pve: "9.2".to_owned(),
            names: Vec::new(),
            speed: 20.0,
            task_seconds: BTreeMap::new(),
            latency: Duration::ZERO,
            latencies: Vec::new(),
            clock_rate: 1.0,
            workers: 3,
            patience: Duration::from_secs(30),
            faults: Vec::new(),
            budgets: Vec::new(),
            tick: 10.0,
            agent_after: Some(0.0),
            guests_lack: Vec::new(),
            login_delay: Duration::ZERO,
            backing: None,
        }
    }
}

impl Options {
    /// Whether a simulator can be so. The error names the option by its name on the command line, and what it may be.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if let Some(kind) = self.storages.iter().find(|kind| !stock::has(kind)) {
            anyhow::bail!("--storage: no kind of storage is called `{kind}`; there are {}", stock::kinds().join(", "));
        }
        let known = Pace::kinds();
        for (kind, seconds) in &self.task_seconds {
            ensure!(
                known.contains(&kind.as_str()),
                "--task-seconds: no kind of task is called `{kind}`; there are {}",
                known.join(", ")
            );
            ensure!(
                seconds.is_finite() && *seconds >= 0.0,
                "--task-seconds: `{kind}={seconds}` is no number of seconds from 0 on"
            );
        }
        ensure!(self.tick.is_finite() && self.tick > 0.0, "--tick: `{}` is no number of seconds above 0", self.tick);
        if let Some(name) = self.names.iter().find(|name| name.trim().is_empty()) {
            anyhow::bail!("--san: `{name}` is neither a name nor an address");
        }
        if let Some(dir) = &self.backing {
            std::fs::create_dir_all(dir).with_context(|| format!("--backing: make `{}`", dir.display()))?;
            let mut files = std::fs::read_dir(dir).with_context(|| format!("--backing: read `{}`", dir.display()))?;
            // A new disk of the same name would hold what somebody else's did.
            ensure!(
                self.state.is_some() || files.next().is_none(),
                "--backing: `{}` holds what an earlier simulator left; give an empty directory, or the world that goes \
                 with it (--load)",
                dir.display()
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused_and_named_and_not_left_out_in_silence() {
        let refused = |options: Options| format!("{:#}", options.check().unwrap_err());
        let words = |kind: &str| vec![kind.to_owned()];
        let seconds = |kind: &str, of| BTreeMap::from([(kind.to_owned(), of)]);
        let says = refused(Options { storages: words("zfss"), ..Options::default() });
        assert!(says.contains("`zfss`") && says.contains("zfspool"), "{says}");
        let says = refused(Options { task_seconds: seconds("clones", 1.0), ..Options::default() });
        assert!(says.contains("`clones`") && says.contains("clone-full"), "{says}");
        refused(Options { task_seconds: seconds("clone", -1.0), ..Options::default() });
        refused(Options { tick: 0.0, ..Options::default() });
        refused(Options { names: words(""), ..Options::default() });
        refused(Options { backing: Some("/proc/none".into()), ..Options::default() });
        let used = tempfile::tempdir().unwrap();
        let options = Options { backing: Some(used.path().to_owned()), ..Options::default() };
        options.check().unwrap();
        std::fs::write(used.path().join("disk"), "another world's").unwrap();
        let says = refused(options);
        assert!(says.contains("--load"), "{says}");
        for kind in stock::kinds() {
            Options { storages: words(kind), ..Options::default() }.check().unwrap();
        }
        Options { task_seconds: seconds("vzdump", 0.0), ..Options::default() }.check().unwrap();
    }
}

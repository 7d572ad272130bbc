//! kubectl against one control plane.
//!
//! Promises: a discovery cache of its own (kubectl keys its cache by host and port, and two control planes in two
//! namespaces may share both), no kubeconfig of the user's, stderr in the error.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::ControlPlane;

/// A kubectl call, ready to run.
pub(crate) struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    cache: PathBuf,
    args: Vec<String>,
    input: Option<String>,
}

impl ControlPlane {
    /// Runs kubectl as admin; returns what it prints.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.kubectl_command(args).run().await
    }

    /// `kubectl apply --server-side -f -` with these manifests (YAML or JSON).
    pub async fn apply(&self, manifests: &str) -> Result<String> {
        let command = self.kubectl_command(&["apply", "--server-side", "--force-conflicts", "-f", "-"]);
        command.with_input(manifests).run().await
    }

    pub(crate) fn kubectl_command(&self, args: &[&str]) -> Kubectl {
        Kubectl {
            program: self.kubectl.clone(),
            kubeconfig: self.admin_kubeconfig(),
            cache: self.dir().join("kubectl-cache"),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            input: None,
        }
    }
}

impl Kubectl {
    pub(crate) fn with_input(mut self, input: &str) -> Self {
        self.input = Some(input.to_owned());
        self
    }

    pub(crate) async fn run(self) -> Result<String> {
        let words = format!("kubectl {}", self.args.join(" "));
        let mut child = Command::new(&self.program)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(&self.args)
            .env("KUBECACHEDIR", &self.cache)
            .env_remove("KUBECONFIG")
            .stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start `{}`", self.program.display()))?;
        let stdin = child.stdin.take();
        let feed = async {
            if let (Some(mut stdin), Some(input)) = (stdin, self.input) {
                // A broken pipe means that kubectl gave up; its own words say why.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), feed);
        let output = output.with_context(|| format!("run `{words}`"))?;
        if !output.status.success() {
            bail!("`{words}`: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        String::from_utf8(output.stdout).with_context(|| format!("read what `{words}` printed"))
    }
}

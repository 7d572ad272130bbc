//! The other roles of the binary, each under the rights that the chart ships for it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use testkit::{Process, ProcessSpec, service_account_kubeconfig};

use crate::binary::binary;
use crate::stage::{NAMESPACE, Stage};

impl Stage {
    /// Starts `oxmox run ROLE` with a token of Proxmox VE; the caller's to end.
    pub async fn role(&self, role: &str, args: &[&str], (token, secret): (&str, &str)) -> Result<Process> {
        self.spec(role)
            .await?
            .args(["--admin-addr=127.0.0.1:0"])
            .args(args.iter().copied())
            .env("PROXMOX_URL", self.sim.url())
            .env("PROXMOX_TOKEN", token)
            .env("PROXMOX_SECRET", secret)
            .env("PROXMOX_ROOT_CA_FILE", self.dir.join("ca.pem"))
            .start()
    }

    /// Starts the exporter on a port, as root of Proxmox VE; the caller's to end.
    pub async fn exporter(&self, port: u16, args: &[&str]) -> Result<Process> {
        self.spec("exporter")
            .await?
            .args([&format!("--web.listen-address=127.0.0.1:{port}")])
            .args(args.iter().copied())
            .env("PVE_USER", "root@pam")
            .env("PVE_PASSWORD", self.sim.root_password())
            .env("PVE_VERIFY_SSL", "false")
            .start()
    }

    async fn spec(&self, role: &str) -> Result<ProcessSpec> {
        let account = self.account(role).await?;
        let program = self.options.program.clone().map_or_else(|| binary("oxmox"), Ok)?;
        Ok(ProcessSpec::new(role, program, self.dir.join(format!("{role}.log")))
            .args(["run", role, "--log=info,kube=warn"])
            .env("KUBECONFIG", account))
    }

    /// A kubeconfig of the role's ServiceAccount, with the rights of the chart.
    async fn account(&self, role: &str) -> Result<PathBuf> {
        let rights = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../charts/oxmox/files/{role}-rbac.yaml"));
        let rights = std::fs::read_to_string(&rights).with_context(|| format!("read `{}`", rights.display()))?;
        self.plane.apply(&rights).await?;
        service_account_kubeconfig(&self.plane, NAMESPACE, &format!("oxmox-{role}")).await
    }
}

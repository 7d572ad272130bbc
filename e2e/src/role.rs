//! The other roles of the binary, each under the rights that the chart ships for it.

use std::path::Path;

use anyhow::{Context as _, Result};
use testkit::{Process, ProcessSpec, service_account_kubeconfig};

use crate::binary::binary;
use crate::stage::{NAMESPACE, Stage};

impl Stage {
    /// Starts `oxmox run ROLE` with a token of Proxmox VE; the caller's to end.
    pub async fn role(&self, role: &str, args: &[&str], (token, secret): (&str, &str)) -> Result<Process> {
        let rights = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../charts/oxmox/files/{role}-rbac.yaml"));
        let rights = std::fs::read_to_string(&rights).with_context(|| format!("read `{}`", rights.display()))?;
        self.plane.apply(&rights).await?;
        let account = service_account_kubeconfig(&self.plane, NAMESPACE, &format!("oxmox-{role}")).await?;
        let program = self.options.program.clone().map_or_else(|| binary("oxmox"), Ok)?;
        ProcessSpec::new(role, program, self.dir.join(format!("{role}.log")))
            .args(["run", role, "--admin-addr=127.0.0.1:0", "--log=info,kube=warn"])
            .args(args.iter().copied())
            .env("KUBECONFIG", account)
            .env("PROXMOX_URL", self.sim.url())
            .env("PROXMOX_TOKEN", token)
            .env("PROXMOX_SECRET", secret)
            .env("PROXMOX_ROOT_CA_FILE", self.dir.join("ca.pem"))
            .start()
    }
}

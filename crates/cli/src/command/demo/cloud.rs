//! The roles that look after the workload cluster: each a process beside the management plane, under the
//! ServiceAccount and rights that the chart ships, with a token of Proxmox VE of its own.

use anyhow::{Context as _, Result};
use testkit::ProcessSpec;

use super::set::{NAMESPACE, Set, beside};
use super::workload::Workload;

/// A role, and what it may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Role {
    /// As in `oxmox run NAME`.
    pub(super) name: &'static str,
    /// What the chart lets it do in Kubernetes.
    pub(super) rbac: &'static str,
    /// What its token may do at Proxmox VE, on `/`.
    pub(super) privileges: &'static str,
}

pub(super) const CCM: Role = Role {
    name: "ccm",
    rbac: include_str!("../../../../../charts/oxmox/files/ccm-rbac.yaml"),
    privileges: "VM.Audit,Sys.Audit,VM.GuestAgent.Audit",
};

/// Region of the simulated Proxmox VE.
pub(super) const REGION: &str = "demo";

impl Set {
    /// Makes the role's token and ServiceAccount, and starts it with these arguments.
    pub(super) async fn role(&mut self, workload: &Workload, role: Role, args: &[&str]) -> Result<()> {
        let name = role.name;
        let user = format!("{name}@pve");
        let secret = self.administrator.token(&user, "oxmox", role.privileges, &["/"]).await;
        let secret = secret.with_context(|| format!("make a token for {user}"))?;
        let account = workload.account(NAMESPACE, &format!("oxmox-{name}"), role.rbac).await?;
        let spec = ProcessSpec::new(name, beside("oxmox")?, self.dir.join(format!("{name}.log")))
            .args(["run", name])
            .args(args.iter().copied())
            .env("KUBECONFIG", account)
            .env("POD_NAMESPACE", NAMESPACE)
            .env("OXMOX_LOG_FORMAT", "json")
            .env("PROXMOX_URL", &self.sim.url)
            .env("PROXMOX_TOKEN", format!("{user}!oxmox"))
            .env("PROXMOX_SECRET", secret)
            .env("PROXMOX_REGION", REGION)
            .env("PROXMOX_ROOT_CA_FILE", &self.sim.ca_file);
        self.start(spec)
    }

    /// The cloud controller manager.
    pub(super) async fn cloud_controller_manager(&mut self, workload: &Workload) -> Result<()> {
        self.role(workload, CCM, &["--admin-addr", "127.0.0.1:8082", "--poll", "2"]).await
    }
}

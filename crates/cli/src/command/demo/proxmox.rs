//! What Proxmox VE holds, seen as its administrator sees it: the proof that nothing is left.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use pve::{Auth, ClientConfig, Trust};
use secrecy::SecretString;

use super::set::Simulator;

/// A client with all rights.
pub(super) fn administrator(sim: &Simulator) -> Result<pve::Client> {
    let auth = Auth::Password { user: "root@pam".into(), password: SecretString::from(sim.root_password.clone()) };
    let mut config = ClientConfig::new(vec![sim.url.parse().context("the simulator's URL")?], auth);
    config.trust = Trust::Fingerprint(sim.fingerprint.parse().context("the simulator's fingerprint")?);
    pve::Client::new(config).context("make the administrator's client")
}

/// Every VM, volume, HA entry and pool member, a line each.
pub(super) async fn inventory(client: &pve::Client) -> Result<BTreeSet<String>> {
    let resources = client.resources().await.context("list the resources")?;
    let mut all: BTreeSet<String> = resources.guests.keys().map(|vmid| format!("VM {vmid}")).collect();
    for row in &resources.storages {
        let content = client.storage_content(&row.node, &row.storage, None, None).await;
        let content = content.with_context(|| format!("list `{}` on `{}`", row.storage, row.node))?;
        all.extend(content.into_iter().map(|volume| format!("volume {} on {}", volume.volid, row.node)));
    }
    let ha = client.ha_resources().await.context("list the HA entries")?;
    all.extend(ha.into_iter().map(|entry| format!("HA entry {}", entry.sid)));
    for row in &resources.pools {
        let pool = client.pool(&row.pool).await.with_context(|| format!("list the pool `{}`", row.pool))?;
        all.extend(pool.members.iter().map(|member| format!("member {member:?} of pool {}", row.pool)));
    }
    Ok(all)
}

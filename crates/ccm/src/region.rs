//! One Proxmox VE cluster: its client, its shared reading, and what was read of single VMs.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use plan::Seen;
use plan::node::{Audit, Fresh, Identity, Region, Standing, View};
use pve::{Permissions, Poller, PollerOptions, Refusal};
use pve_types::{GuestConfig, NodeName, Vmid, lenient::Scalar};
use tokio_util::sync::CancellationToken;

use crate::settings::{Cluster, Settings};
use crate::view;

/// One Proxmox VE cluster.
pub(crate) struct Connection {
    pub(crate) name: String,
    pub(crate) client: pve::Client,
    pub(crate) poller: Poller,
    known: Mutex<Known>,
    /// Who reads a VM's configuration now; others who want the same wait.
    reading: Mutex<HashMap<Vmid, Arc<tokio::sync::Mutex<()>>>>,
    /// One at a time asks for the standing.
    asking: tokio::sync::Mutex<()>,
}

/// What was made of the last reading.
struct Known {
    sequence: u64,
    view: Seen<Arc<View>>,
    identities: Arc<BTreeMap<Vmid, Identity>>,
    standing: Option<(u64, Seen<Standing>)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connection {
    pub(crate) fn open(
        cluster: &Cluster,
        settings: &Settings,
        shutdown: &CancellationToken,
    ) -> Result<Self, pve::ConfigError> {
        let client = pve::Client::new(cluster.client.clone())?;
        let options = PollerOptions { idle: settings.poll, busy: settings.poll, ..PollerOptions::default() };
        let poller = Poller::spawn(client.clone(), options, shutdown.clone());
        Ok(Self {
            name: cluster.region.clone(),
            client,
            poller,
            known: Mutex::new(Known { sequence: 0, view: Seen::Unasked, identities: Arc::default(), standing: None }),
            reading: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        })
    }

    /// What is known now.
    pub(crate) fn region(&self) -> Region {
        let snapshot = self.poller.snapshot();
        let mut known = lock(&self.known);
        if snapshot.sequence > known.sequence {
            known.sequence = snapshot.sequence;
            known.view = view::read(&snapshot);
            // Who is not in view any more may come back as another.
            if let Seen::Known(view) = known.view.clone()
                && known.identities.keys().any(|vmid| !view.vms.contains_key(vmid))
            {
                Arc::make_mut(&mut known.identities).retain(|vmid, _| view.vms.contains_key(vmid));
            }
        }
        Region { name: self.name.clone(), view: known.view.clone(), identities: known.identities.clone() }
    }

    /// Who a VM is, read from its configuration.
    pub(crate) async fn identity(&self, node: &NodeName, vmid: Vmid, fresh: Fresh) -> Seen<Identity> {
        let turn = lock(&self.reading).entry(vmid).or_default().clone();
        let _turn = turn.lock().await;
        let before = lock(&self.known).identities.get(&vmid).cloned();
        if let (Some(known), Fresh::Cached) = (before, fresh) {
            return Seen::Known(known);
        }
        let seen = match self.client.guest_config(node, vmid).await {
            Ok(config) => Seen::Known(identity(&config)),
            Err(why) if why.refusal() == Some(&Refusal::NotFound) => Seen::Absent,
            Err(why) => Seen::Unread(view::words(&why)),
        };
        if let Seen::Known(identity) = &seen {
            let mut known = lock(&self.known);
            Arc::make_mut(&mut known.identities).insert(vmid, identity.clone());
        }
        lock(&self.reading).remove(&vmid);
        seen
    }

    /// Quorum, membership and our rights, asked once for each reading.
    pub(crate) async fn standing(&self) -> Seen<Standing> {
        let _turn = self.asking.lock().await;
        let sequence = self.poller.snapshot().sequence;
        if let Some((of, standing)) = &lock(&self.known).standing
            && *of == sequence
        {
            return standing.clone();
        }
        let standing = match tokio::try_join!(self.client.membership(), self.client.permissions()) {
            Ok((members, permissions)) => {
                Seen::Known(Standing { quorate: members.quorate, members: members.nodes, audit: audit(&permissions) })
            }
            Err(why) => Seen::Unread(view::words(&why)),
        };
        lock(&self.known).standing = Some((sequence, standing.clone()));
        standing
    }
}

/// What a configuration says of who the VM is.
fn identity(config: &GuestConfig) -> Identity {
    let options = config.smbios.as_ref().map(|smbios| &smbios.options);
    let encoded = options.and_then(|all| all.get("base64")).and_then(|flag| Scalar(flag.clone()).as_bool());
    let sku = options.and_then(|all| all.get("sku")).and_then(|sku| {
        if encoded != Some(true) {
            return Some(sku.clone());
        }
        let bytes = base64::engine::general_purpose::STANDARD.decode(sku).ok()?;
        String::from_utf8(bytes).ok()
    });
    Identity { uuid: config.smbios_uuid(), sku: sku.map(|sku| sku.trim().to_owned()) }
}

const AUDIT: &str = "VM.Audit";

/// Where we may see VMs.
fn audit(permissions: &Permissions) -> Audit {
    // A path that no VM has stands for all that have no entry of their own.
    let everywhere = permissions.has("/vms/0", AUDIT);
    let own = |path: &str| path.starts_with("/vms/") || path.starts_with("/pool/");
    let mut entries = permissions.iter().filter(|(path, _)| own(path)).map(|(path, _)| permissions.has(path, AUDIT));
    if everywhere && entries.all(|granted| granted) {
        Audit::All
    } else if everywhere || permissions.iter().any(|(path, _)| permissions.has(path, AUDIT)) {
        Audit::Some
    } else {
        Audit::Nothing
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_sku_is_read_in_clear_and_in_base64() {
        let sku = |line: &str| {
            let smbios = Some(line.parse().unwrap());
            identity(&GuestConfig { smbios, ..GuestConfig::default() }).sku
        };
        let uuid = "uuid=46ff6553-ec42-4180-b651-d71617da3e0b";
        assert_eq!(sku(&format!("{uuid},sku=czEuNFZDUFU=,base64=1")).as_deref(), Some("s1.4VCPU"));
        assert_eq!(sku(&format!("{uuid},sku=plain")).as_deref(), Some("plain"));
        assert_eq!(sku(uuid), None);
        assert_eq!(sku(&format!("{uuid},sku=%%,base64=1")), None, "what does not decode is nothing");
    }
}

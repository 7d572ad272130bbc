//! Whose firewall a call is about.

use crate::calls::Call;
use crate::http::fail::Fail;
use crate::state::World;
use crate::state::firewall::{Firewall, key_of_guest};

/// Where rules stand; it decides what they may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Cluster,
    Group(String),
    Node(String),
    Guest(u32),
    Vnet(String),
}

impl Place {
    pub(super) fn of(call: &Call<'_>) -> Self {
        let path = call.method.path.as_str();
        if path.starts_with("/cluster/firewall/groups/{group}") {
            Self::Group(call.str("group").to_owned())
        } else if path.starts_with("/cluster/firewall") {
            Self::Cluster
        } else if path.starts_with("/cluster/sdn") {
            Self::Vnet(call.str("vnet").to_owned())
        } else if path.starts_with("/nodes/{node}/firewall") {
            Self::Node(call.node().to_owned())
        } else {
            Self::Guest(call.vmid())
        }
    }

    fn key(&self) -> String {
        match self {
            Self::Cluster | Self::Group(_) => "cluster".to_owned(),
            Self::Node(node) => format!("node/{node}"),
            Self::Guest(vmid) => key_of_guest(*vmid),
            Self::Vnet(vnet) => format!("vnet/{vnet}"),
        }
    }

    /// The firewall as it is; an empty one if nobody ever wrote it.
    pub(super) fn read(&self, world: &World) -> Firewall {
        world.firewalls.get(&self.key()).cloned().unwrap_or_default()
    }

    pub(super) fn write(&self, world: &mut World, firewall: Firewall) {
        world.firewalls.insert(self.key(), firewall);
    }

    /// Vnets check permissions themselves: they need the zone.
    pub(super) fn check(&self, world: &World, call: &Call<'_>, privileges: &[&str]) -> Result<(), Fail> {
        let Self::Vnet(vnet) = self else { return Ok(()) };
        let Some(zone) = world.sdn.zone_of_vnet(vnet) else { return Err(Fail::die("invalid vnet specified")) };
        world.need_any(call.who, &format!("/sdn/zones/{zone}/{vnet}"), privileges)
    }

    /// To look.
    pub(super) fn may_read(&self, world: &World, call: &Call<'_>) -> Result<(), Fail> {
        self.check(world, call, &["SDN.Audit", "SDN.Allocate"])
    }

    /// To change.
    pub(super) fn may_write(&self, world: &World, call: &Call<'_>) -> Result<(), Fail> {
        self.check(world, call, &["SDN.Allocate"])
    }
}

/// The digest that a call names must be the current one.
pub(super) fn unchanged(call: &Call<'_>, digest: &str) -> Result<(), Fail> {
    match call.get("digest").filter(|d| !d.is_empty() && *d != digest) {
        None => Ok(()),
        Some(_) => Err(Fail::die("detected modified configuration - file changed by other user? Try again.")),
    }
}

/// A comment as a file keeps it; blank ones are none.
pub(super) fn comment(call: &Call<'_>) -> Option<String> {
    let text = call.get("comment")?.replace('\n', " ");
    Some(text.trim().to_owned()).filter(|c| !c.is_empty())
}

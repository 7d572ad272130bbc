//! Network cards: a veth pair each, one end on the bridge, the other in the guest.
//!
//! Promises: the guest's end has the VM's MAC address and the name that Linux gives the card in a real VM; taking it
//! away ends every conversation at once. Assumes the bridge exists; one for a VLAN is made when it is first needed.

use anyhow::{Context, Result};

use crate::guest::{Guest, Nic};
use crate::tool;

/// The name in the guest: PVE's virtio cards sit in the PCI slots from 18 on.
pub fn guest_name(nic: &Nic) -> String {
    format!("ens{}", 18 + number(nic))
}

/// The name on our side.
pub fn host_name(vmid: u32, nic: &Nic) -> String {
    format!("v{vmid}i{}", number(nic))
}

fn number(nic: &Nic) -> u32 {
    nic.key.trim_start_matches("net").parse().unwrap_or(0)
}

/// The bridge on this machine, for a card that hangs on one.
fn bridge(nic: &Nic, prefix: &str) -> Option<String> {
    let bridge = nic.bridge.as_ref()?;
    Some(match nic.tag {
        Some(tag) => format!("{prefix}{bridge}v{tag}"),
        None => format!("{prefix}{bridge}"),
    })
}

/// Lays all cards of the guest whose network namespace process `pid` is in.
pub(super) fn lay(guest: &Guest, prefix: &str, pid: i32) -> Result<()> {
    let pid = pid.to_string();
    for nic in &guest.nics {
        let (host, inside) = (host_name(guest.vmid, nic), guest_name(nic));
        let mut words = vec!["link", "add", "name", &host, "type", "veth", "peer", "name", &inside];
        words.extend(["address", &nic.mac, "netns", &pid]);
        tool::ip(&words).with_context(|| format!("card `{}`", nic.key))?;
        if let Some(mtu) = nic.mtu.filter(|&mtu| mtu > 1) {
            tool::ip(&["link", "set", "dev", &host, "mtu", &mtu.to_string()])?;
        }
        let Some(bridge) = bridge(nic, prefix) else { continue };
        if nic.tag.is_some() && tool::ip(&["link", "show", "dev", &bridge]).is_err() {
            tool::ip(&["link", "add", "name", &bridge, "type", "bridge"])?;
            tool::ip(&["link", "set", "dev", &bridge, "up"])?;
        }
        tool::ip(&["link", "set", "dev", &host, "master", &bridge])
            .with_context(|| format!("card `{}`: is there a bridge `{bridge}` on this machine?", nic.key))?;
        tool::ip(&["link", "set", "dev", &host, if nic.link_down { "down" } else { "up" }])?;
    }
    Ok(())
}

/// Takes all cards away; those already gone are no loss.
pub(super) fn take_away(guest: &Guest) {
    for nic in &guest.nics {
        let _ = tool::ip(&["link", "delete", "dev", &host_name(guest.vmid, nic)]);
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn nic(tag: Option<u16>) -> Nic {
        Nic {
            key: "net1".to_owned(),
            mac: "BC:24:11:00:00:01".to_owned(),
            bridge: Some("vmbr0".to_owned()),
            tag,
            mtu: None,
            link_down: false,
        }
    }

    #[test]
    fn names_are_those_of_a_real_vm_and_fit_the_kernels_limit() {
        assert_eq!(guest_name(&nic(None)), "ens19");
        assert!(host_name(999_999_999, &nic(None)).len() <= 15);
    }

    #[test]
    fn a_vlan_is_a_bridge_of_its_own() {
        assert_eq!(bridge(&nic(None), "").as_deref(), Some("vmbr0"));
        assert_eq!(bridge(&nic(Some(20)), "x-").as_deref(), Some("x-vmbr0v20"));
    }
}

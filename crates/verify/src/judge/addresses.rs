//! Step 2: enough addresses for the machines that are wanted, and one more.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ::api::IpConfig;
use ipnet::IpNet;

use super::verdict::{Tally, Verdict, need};
use super::{CheckInfo, Of, scope};
use crate::evidence::{Cause, Evidence, Read};
use crate::step::StepId;

pub(super) const ADDRESS_RANGE: CheckInfo = CheckInfo {
    id: "network-storage.address-range",
    step: StepId::NetworkStorage,
    title: "There are enough addresses",
    looks_at: "Counts the usable addresses of `ipv4Config` and `ipv6Config` (without gateway, network, broadcast and \
               the endpoint), takes away those that machines have, and compares with the machines that are still \
               wanted and one more for a rolling update. An endpoint inside a range is an error.",
    matters: "A machine without an address is not made. With no address to spare a rolling update stands still at its \
              first machine. An endpoint inside a range is given to a machine one day.",
    fix: "Widen `addresses` in the ProxmoxCluster, or keep the endpoint out of it.",
    of: Of::Cluster,
    needs: &[],
    judge: address_range,
};

/// Ranges greater than this are never exhausted by machines; counting on would only take time.
const ENOUGH: u128 = 1 << 20;

fn address_range(evidence: &Evidence) -> Verdict {
    let (cluster, machines) = match need("the ProxmoxCluster", &evidence.management.cluster).and_then(|cluster| {
        need("the ProxmoxMachines", &evidence.management.machines).map(|machines| (cluster, machines))
    }) {
        Ok(both) => both,
        Err(verdict) => return verdict,
    };
    let have = machines.iter().filter(|machine| !machine.deleting).count();
    let mut tally = Tally::default();
    let wanted = match &evidence.management.replicas {
        Read::Known(replicas) => replicas.values().map(|n| *n as usize).sum::<usize>(),
        Read::Unread { cause: Cause::NotAsked | Cause::Missing, .. } => have,
        Read::Unread { why, .. } => {
            tally.unread(format!("how many machines are wanted could not be read: {why}"));
            have
        }
    };
    let taken: BTreeSet<IpAddr> = machines
        .iter()
        .flat_map(|machine| machine.status.ip_addresses.values().flatten())
        .flat_map(|addresses| addresses.ipv4.iter().chain(&addresses.ipv6))
        .filter_map(|text| text.split('/').next()?.parse().ok())
        .collect();
    let endpoint: Option<IpAddr> =
        cluster.spec.control_plane_endpoint.as_ref().and_then(|endpoint| endpoint.host.parse().ok());
    let ask = Ask { more: wanted.saturating_sub(have) + 1, taken: &taken, endpoint };
    let pools = [("ipv4Config", &cluster.spec.ipv4_config), ("ipv6Config", &cluster.spec.ipv6_config)];
    for (field, config) in pools {
        if let Some(config) = config {
            ask.pool(field, config, &mut tally);
        }
    }
    let dhcp = pools.iter().all(|(_, config)| config.is_none());
    let passed = if dhcp {
        "machines get their addresses by DHCP; nothing to count".to_owned()
    } else {
        format!("enough for {} and one more", scope::count(wanted.max(have), "machine"))
    };
    tally.verdict(passed, "widen `addresses` in the ProxmoxCluster, or keep the endpoint out of it")
}

struct Ask<'a> {
    more: usize,
    taken: &'a BTreeSet<IpAddr>,
    endpoint: Option<IpAddr>,
}

impl Ask<'_> {
    fn pool(&self, field: &str, config: &IpConfig, tally: &mut Tally) {
        let gateway = config.gateway.parse::<IpAddr>().ok();
        if gateway.is_none() {
            tally.error(format!("`{}` in `{field}.gateway` is no address", config.gateway));
        }
        let mut free: u128 = 0;
        for text in &config.addresses {
            let Some((first, last)) = ends(text) else {
                tally.error(format!("`{text}` in `{field}.addresses` is no address, range or CIDR"));
                continue;
            };
            let inside = |address: IpAddr| {
                address.is_ipv4() == first.is_ipv4() && (number(first)..=number(last)).contains(&number(address))
            };
            if let Some(endpoint) = self.endpoint.filter(|endpoint| inside(*endpoint)) {
                tally.error(format!("the endpoint {endpoint} lies inside `{text}` of `{field}`"));
            }
            let edges =
                IpNet::new(first, u8::try_from(config.prefix).unwrap_or(0)).map(|net| [net.network(), net.broadcast()]);
            let unusable: BTreeSet<IpAddr> = edges
                .into_iter()
                .flatten()
                .chain(gateway)
                .chain(self.endpoint)
                .chain(self.taken.iter().copied())
                .filter(|address| inside(*address))
                .collect();
            let size = (number(last) - number(first)).saturating_add(1);
            free = free.saturating_add(size.saturating_sub(unusable.len() as u128)).min(ENOUGH);
        }
        let more = self.more;
        let free_says = if free == ENOUGH { "plenty of addresses are".to_owned() } else { plural(free) };
        let line = format!("`{field}`: {free_says} free, {more} may be needed");
        match free {
            0 if more > 1 => tally.error(line),
            free if free + 1 < more as u128 => tally.error(line),
            free if free < more as u128 => tally.warning(format!("{line}: none is to spare for a rolling update")),
            _ => tally.fine(line),
        }
    }
}

fn plural(free: u128) -> String {
    if free == 1 { "1 address is".to_owned() } else { format!("{free} addresses are") }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// First and last of an address, a range `a-b` or a CIDR, when they are of one family and in order.
fn ends(text: &str) -> Option<(IpAddr, IpAddr)> {
    let text = text.trim();
    let (first, last) = match (text.split_once('-'), text.contains('/')) {
        (Some((first, last)), _) => (first.trim().parse().ok()?, last.trim().parse().ok()?),
        (None, true) => {
            let net: IpNet = text.parse().ok()?;
            (net.network(), net.broadcast())
        }
        (None, false) => {
            let one: IpAddr = text.parse().ok()?;
            (one, one)
        }
    };
    (first.is_ipv4() == last.is_ipv4() && number(first) <= number(last)).then_some((first, last))
}

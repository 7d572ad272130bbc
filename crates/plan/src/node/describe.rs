//! What a Node is told of its VM: provider ID, labels, annotations, addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::observed::{Address, AddressKind, Answers, Identity, Interface, Node, Region, Taint, Vm};
use super::{
    Change, Follow, INSTANCE_ID, INSTANCE_TYPE, Look, Network, OUR_REGION, OUR_ZONE, PROVIDED_IP, ProviderId, REGION,
    Settings, Source, ZONE,
};
use crate::Seen;

/// What to write of what the VM is; or what to ask first.
pub(super) fn describe(
    settings: &Settings,
    node: &Node,
    (region, vm, identity): (&Region, &Vm, &Identity),
    answers: &Answers,
) -> Result<Change, Look> {
    let first = node.taints.contains(&Taint::Uninitialized);
    let mut change = Change::default();
    if node.provider_id == ProviderId::None
        && let Some(uuid) = identity.uuid
    {
        change.provider_id = Some(ProviderId::write(settings.form, &region.name, vm.vmid, uuid));
    }
    let follow = first || settings.follow == Follow::All;
    let zone = vm.node.to_string();
    let labels = [
        (OUR_REGION, region.name.clone(), true),
        (OUR_ZONE, zone.clone(), true),
        (REGION, region.name.clone(), follow),
        (ZONE, zone, follow),
        (INSTANCE_TYPE, instance_type(vm, identity), first),
    ];
    for (key, value, overwrite) in labels {
        let has = node.labels.get(key);
        if has.is_none() || (overwrite && has != Some(&value)) {
            change.labels.insert(key.to_owned(), value);
        }
    }
    let vmid = vm.vmid.to_string();
    if node.annotations.get(INSTANCE_ID) != Some(&vmid) {
        change.annotations.insert(INSTANCE_ID.to_owned(), Some(vmid));
    }
    let addresses = addresses(settings, node, (region, vm), answers, first)?;
    if addresses != node.addresses {
        change.addresses = Some(addresses);
    }
    if first {
        change.remove.insert(Taint::Uninitialized);
    }
    Ok(change)
}

/// The SKU of the VM's firmware, or its size.
fn instance_type(vm: &Vm, identity: &Identity) -> String {
    let fits = |sku: &&String| {
        !sku.is_empty() && sku.len() <= 63 && sku.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)) && {
            let ends = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
            ends(sku.bytes().next()) && ends(sku.bytes().last())
        }
    };
    match identity.sku.as_ref().filter(fits) {
        Some(sku) => sku.clone(),
        #[expect(clippy::cast_precision_loss, reason = "bytes of memory, shown in whole GiB")]
        None => format!("{:.0}VCPU-{:.0}GB", vm.cpus, vm.memory as f64 / f64::from(1 << 30)),
    }
}

fn addresses(
    settings: &Settings,
    node: &Node,
    (region, vm): (&Region, &Vm),
    answers: &Answers,
    first: bool,
) -> Result<Vec<Address>, Look> {
    let mut ips: BTreeMap<IpAddr, AddressKind> = BTreeMap::new();
    let mut order: Vec<IpAddr> = Vec::new();
    let mut put = |ip: IpAddr, kind| {
        if ips.insert(ip, kind).is_none() {
            order.push(ip);
        }
    };
    let provided = node.annotations.get(PROVIDED_IP).map(String::as_str).unwrap_or_default();
    for ip in provided.split(',').filter_map(|text| text.trim().parse::<IpAddr>().ok()) {
        put(ip, AddressKind::InternalIp);
    }
    if settings.network.source == Source::Agent {
        let has_ip = node.addresses.iter().any(|a| matches!(a.kind, AddressKind::InternalIp | AddressKind::ExternalIp));
        let key = (region.name.clone(), vm.vmid);
        match answers.agents.get(&key) {
            Some(Seen::Known(interfaces)) => {
                for ip in interfaces.iter().filter(|i| is_real(&i.name)).flat_map(own) {
                    put(ip, settings.network.kind(ip));
                }
            }
            None | Some(Seen::Unasked) if first || !has_ip => {
                let (region, node) = (region.name.clone(), vm.node.clone());
                return Err(Look::Agent { region, node, vmid: vm.vmid });
            }
            // Not asked again: what it said at first stays.
            _ if !first => return Ok(node.addresses.clone()),
            _ => {}
        }
    }
    let mut ips: Vec<(IpAddr, AddressKind)> = order.into_iter().filter_map(|ip| Some((ip, *ips.get(&ip)?))).collect();
    settings.network.arrange(&mut ips);
    if ips.is_empty() {
        // Nothing better is known than what the kubelet said of itself.
        let kept =
            node.addresses.iter().filter(|a| a.kind == AddressKind::InternalIp || a.kind == AddressKind::ExternalIp);
        ips = kept.filter_map(|a| Some((a.address.parse().ok()?, a.kind))).collect();
    }
    let names = node.addresses.iter().filter(|a| matches!(a.kind, AddressKind::InternalDns | AddressKind::ExternalDns));
    Ok(std::iter::once(Address { kind: AddressKind::Hostname, address: node.name.clone() })
        .chain(ips.into_iter().map(|(ip, kind)| Address { kind, address: ip.to_string() }))
        .chain(names.cloned())
        .collect())
}

/// Whether an interface leads out of the guest: not those that container networks and kube-proxy make.
fn is_real(name: &str) -> bool {
    const INNER: [&str; 12] = [
        "cali",
        "cilium_",
        "cni",
        "docker",
        "dummy",
        "flannel",
        "kube-",
        "lxc",
        "nodelocaldns",
        "ovn0",
        "veth",
        "vxlan",
    ];
    name != "lo" && !INNER.iter().any(|inner| name.starts_with(inner))
}

/// The addresses at which others reach the interface, without those of a single host beside one with a network: these
/// are virtual ones, such as the API server's, which move between machines.
fn own(interface: &Interface) -> impl Iterator<Item = IpAddr> {
    let single = |net: &IpNet| net.prefix_len() == net.max_prefix_len();
    let all: Vec<&IpNet> = interface.addresses.iter().filter(|net| reachable(net.addr())).collect();
    let beside = |net: &IpNet| all.iter().any(|other| !single(other) && other.addr().is_ipv4() == net.addr().is_ipv4());
    let own: Vec<IpAddr> = all.iter().filter(|net| !(single(net) && beside(net))).map(|net| net.addr()).collect();
    own.into_iter()
}

/// Whether others may reach the address.
fn reachable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local() && !ip.is_unspecified(),
        IpAddr::V6(ip) => {
            !ip.is_loopback() && !ip.is_unicast_link_local() && !ip.is_unique_local() && !ip.is_unspecified()
        }
    }
}

impl Network {
    fn kind(&self, ip: IpAddr) -> AddressKind {
        if self.external.iter().any(|net| net.contains(&ip)) {
            AddressKind::ExternalIp
        } else {
            AddressKind::InternalIp
        }
    }

    /// Leaves out what is not wanted, and sorts by the first network that an address is in.
    fn arrange(&self, ips: &mut Vec<(IpAddr, AddressKind)>) {
        ips.retain(|(ip, _)| (self.ipv6 || ip.is_ipv4()) && !self.ignore.iter().any(|net| net.contains(ip)));
        let place = |ip: &IpAddr| self.sort.iter().position(|net: &IpNet| net.contains(ip)).unwrap_or(self.sort.len());
        ips.sort_by_key(|(ip, _)| place(ip));
    }
}

//! Which tables, chains, sets and links are Kubernetes' own, by their names.
//!
//! Sources: kube-proxy's and kubelet's chains begin with `KUBE-`; the CNI plugins `portmap` and `firewall` use `CNI-`;
//! Cilium `CILIUM_` and `OLD_CILIUM_`; Calico `cali-`; flannel `FLANNEL-`; kube-router `KUBE-ROUTER-` and ipsets `kube-router-`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

const CHAINS: [&str; 6] = ["KUBE-", "CNI-", "CILIUM_", "OLD_CILIUM_", "cali-", "FLANNEL-"];
const SETS: [&str; 5] = ["KUBE-", "inet6:KUBE-", "kube-router-", "inet6:kube-router-", "cali"];
const TABLES: [&str; 4] = ["ip kube-proxy", "ip6 kube-proxy", "inet cni_hostport", "ip kube-router"];
const LINKS: [&str; 12] = [
    "cni0",
    "cbr0",
    "kube-bridge",
    "kube-dummy-if",
    "kube-ipvs0",
    "nodelocaldns",
    "cilium_host",
    "cilium_net",
    "cilium_vxlan",
    "cilium_geneve",
    "vxlan.calico",
    "lxc_health",
];

/// Whether a link's name is one that only Kubernetes' networks use.
pub fn is_our_link(name: &str) -> bool {
    let hexes = |rest: &str| rest.len() == 11 && rest.bytes().all(|b| b.is_ascii_hexdigit());
    LINKS.contains(&name)
        || name.strip_prefix("flannel.").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
        || name.strip_prefix("cali").is_some_and(hexes)
}

/// Whether a table of nftables, `FAMILY NAME`, is Kubernetes' own.
pub fn is_our_table(table: &str) -> bool {
    TABLES.contains(&table)
}

/// Whether a set of ipset is Kubernetes' own.
pub fn is_our_set(name: &str) -> bool {
    SETS.iter().any(|prefix| name.starts_with(prefix))
}

fn is_our_chain(name: &str) -> bool {
    CHAINS.iter().any(|prefix| name.starts_with(prefix))
}

/// Kubernetes' own chains in what `iptables-save` prints, as `TABLE CHAIN`.
pub fn chains(saved: &str) -> BTreeSet<String> {
    let mut table = "";
    let mut all = BTreeSet::new();
    for line in saved.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if let Some(chain) = line.strip_prefix(':').and_then(|rest| rest.split(' ').next())
            && is_our_chain(chain)
        {
            all.insert(format!("{table} {chain}"));
        }
    }
    all
}

/// What `iptables-restore --noflush` needs to take these chains (`TABLE CHAIN`) away, and every rule that leads to them;
/// other rules stay untouched. `None`: there is nothing to take away.
pub fn without(saved: &str, gone: &BTreeSet<String>) -> Option<String> {
    let mut tables: BTreeMap<&str, (Vec<String>, BTreeSet<&str>)> = BTreeMap::new();
    let mut table = "";
    for line in saved.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if let Some(chain) = line.strip_prefix(':').and_then(|rest| rest.split(' ').next()) {
            if gone.contains(&format!("{table} {chain}")) {
                tables.entry(table).or_default().1.insert(chain);
            }
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let of = rule.split(' ').next().unwrap_or_default();
            let leads = |words: &str| {
                let mut words = words.split(' ');
                words.any(|word| word == "-j" || word == "-g").then(|| words.next().unwrap_or_default().to_owned())
            };
            let goes = leads(rule).is_some_and(|to| gone.contains(&format!("{table} {to}")));
            if goes && !gone.contains(&format!("{table} {of}")) {
                tables.entry(table).or_default().0.push(format!("-D {rule}"));
            }
        }
    }
    let mut script = String::new();
    for (table, (rules, chains)) in tables {
        // a String takes everything
        let _ = writeln!(script, "*{table}");
        let rules = rules.iter().cloned();
        let emptied = chains.iter().map(|chain| format!("-F {chain}"));
        let removed = chains.iter().map(|chain| format!("-X {chain}"));
        for line in rules.chain(emptied).chain(removed) {
            let _ = writeln!(script, "{line}");
        }
        script.push_str("COMMIT\n");
    }
    (!script.is_empty()).then_some(script)
}

#[cfg(test)]
mod test {
    use super::*;

    const SAVED: &str = "*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-MARK-MASQ - [0:0]
:DOCKER - [0:0]
-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A KUBE-SERVICES -d 10.96.0.1/32 -j KUBE-MARK-MASQ
COMMIT
*filter
:FORWARD ACCEPT [0:0]
:PVEFW-FORWARD - [0:0]
-A FORWARD -j PVEFW-FORWARD
COMMIT
";

    #[test]
    fn only_kubernetes_chains_and_what_leads_to_them_go() {
        let ours = chains(SAVED);
        assert_eq!(ours, ["nat KUBE-MARK-MASQ", "nat KUBE-SERVICES"].map(str::to_owned).into());
        let script = without(SAVED, &ours).unwrap();
        let words = "*nat\n-D PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
            -F KUBE-MARK-MASQ\n-F KUBE-SERVICES\n-X KUBE-MARK-MASQ\n-X KUBE-SERVICES\nCOMMIT\n";
        assert_eq!(script, words);
        for other in ["PVEFW", "DOCKER", "filter"] {
            assert!(!script.contains(other), "{script}");
        }
    }

    #[test]
    fn without_chains_of_kubernetes_nothing_is_done() {
        assert_eq!(without(SAVED, &BTreeSet::new()), None);
    }

    #[test]
    fn a_hypervisors_links_are_not_kubernetes_own() {
        for own in ["cni0", "flannel.1", "cali0123456789a", "cilium_host"] {
            assert!(is_our_link(own), "{own}");
        }
        for other in ["vmbr0", "tap101i0", "fwbr101i0", "veth102i0", "lxcbr0", "calix", "flannel", "docker0"] {
            assert!(!is_our_link(other), "{other}");
        }
    }
}

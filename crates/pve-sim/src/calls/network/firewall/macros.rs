//! Macros: names for the ports of well-known services.

use serde_json::{Value, json};

use crate::calls::{Call, Outcome, now};
use crate::state::World;
use crate::state::firewall::Rule;

/// Name, then protocol and port of each of its rules.
const MACROS: &str = "\
Amanda udp/10080 tcp/10080
Auth tcp/113
BGP tcp/179
BitTorrent tcp/6881:6889 udp/6881
BitTorrent32 tcp/6881:6999 udp/6881
CVS tcp/2401
Ceph tcp/6789 tcp/3300 tcp/6800:7300
Citrix tcp/1494 udp/1604 tcp/2598
DAAP tcp/3689 udp/3689
DCC tcp/6277
DHCPfwd udp/67:68
DHCPv6 udp/546:547
DNS udp/53 tcp/53
Distcc tcp/3632
FTP tcp/21
Finger tcp/79
GNUnet tcp/2086 udp/2086 tcp/1080 udp/1080
GRE 47
Git tcp/9418
HKP tcp/11371
HTTP tcp/80
HTTPS tcp/443
ICPV2 udp/3130
ICQ tcp/5190
IMAP tcp/143
IMAPS tcp/993
IPIP 94
IPsec udp/500 50
IPsecah udp/500 51
IPsecnat udp/500 udp/4500 50
IRC tcp/6667
Jetdirect tcp/9100
L2TP udp/1701
LDAP tcp/389
LDAPS tcp/636
MDNS udp/5353
MSNP tcp/1863
MSSQL tcp/1433
Mail tcp/25 tcp/465 tcp/587
Munin tcp/4949
MySQL tcp/3306
NNTP tcp/119
NNTPS tcp/563
NTP udp/123
NeighborDiscovery icmpv6/router-solicitation icmpv6/router-advertisement icmpv6/neighbor-solicitation icmpv6/neighbor-advertisement
OSPF 89
OpenVPN udp/1194
PCA udp/5632 tcp/5631
PMG tcp/8006
POP3 tcp/110
POP3S tcp/995
PPtP 47 tcp/1723
Ping icmp/echo-request
PostgreSQL tcp/5432
Printer tcp/515
RDP tcp/3389
RIP udp/520
RNDC tcp/953
Razor tcp/2703
Rdate tcp/37
Rsync tcp/873
SANE tcp/6566
SMB udp/135,445 udp/137:139 tcp/135,139,445
SMBswat tcp/901
SMTP tcp/25
SMTPS tcp/465
SNMP udp/161:162 tcp/161
SPAMD tcp/783
SPICEproxy tcp/3128
SSH tcp/22
SVN tcp/3690
SixXS tcp/3874 udp/3740 41 udp/5072,8374
Squid tcp/3128
Submission tcp/587
Syslog udp/514 tcp/514
TFTP udp/69
Telnet tcp/23
Telnets tcp/992
Time tcp/37
Trcrt udp/33434:33524 icmp/echo-request
VNC tcp/5900:5999
VNCL tcp/5500
Web tcp/80 tcp/443
Webcache tcp/8080
Webmin tcp/10000
Whois tcp/43
";

fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    MACROS.lines().filter_map(|line| line.split_once(' '))
}

/// The macro's name as it is written, whatever the case it was asked in.
pub(super) fn preferred(name: &str) -> Option<&'static str> {
    all().map(|(known, _)| known).find(|known| known.eq_ignore_ascii_case(name))
}

/// What a rule says against the macro that it names.
pub(super) fn conflict(rule: &Rule, version: Option<u8>) -> Option<(String, String)> {
    let name = preferred(rule.get("macro")?)?;
    if version == Some(6) && name == "Ping" {
        return None;
    }
    let (_, ports) = all().find(|(known, _)| *known == name)?;
    for part in ports.split(' ') {
        let (protocol, port) = part.split_once('/').unwrap_or((part, ""));
        for (key, fixed) in [("dport", port), ("proto", protocol)] {
            if !fixed.is_empty() && rule.get(key).is_some_and(|said| said != fixed) {
                let text = format!("parameter '{key}' already define in macro (value = '{fixed}')");
                return Some((key.to_owned(), text));
            }
        }
    }
    None
}

pub(super) fn list(_: &mut World, _: &Call<'_>) -> Outcome {
    now(all().map(|(name, ports)| json!({"macro": name, "descr": format!("{name} ({ports})")})).collect::<Value>())
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_rule_may_not_contradict_its_macro() {
        let rule = |key: &str, value: &str| {
            Rule::from([("macro".to_owned(), "telnet".to_owned()), (key.to_owned(), value.to_owned())])
        };
        assert_eq!(preferred("telnet"), Some("Telnet"));
        let (key, text) = conflict(&rule("dport", "24"), None).unwrap();
        assert_eq!(
            (key.as_str(), text.as_str()),
            ("dport", "parameter 'dport' already define in macro (value = '23')")
        );
        assert_eq!(conflict(&rule("dport", "23"), None), None);
        assert_eq!(conflict(&rule("source", "10.0.0.1"), None), None);
    }
}

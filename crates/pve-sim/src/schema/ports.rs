//! Ports, protocols and ICMP types, as firewall rules name them.
//!
//! The names are those of Debian's `/etc/services` and `/etc/protocols`.

/// Services that have a name.
const SERVICES: &str = "acr-nema afpovertcp afs3-bos afs3-callback afs3-fileserver afs3-kaserver afs3-prserver afs3-rmtsys \
    afs3-update afs3-vlserver afs3-volser amanda amandaidx amidxtape amqp amqps asf-rmcp asp auth babel bacula- \
    dir bacula-fd bacula-sd bbs bgp bgpd biff binkp bootpc bootps canna cfengine chargen cisco-sccp clc-build- \
    daemon clearcase cmip-agent cmip-man codaauth2 codasrv codasrv-se csync2 cvspserver daap datametrics daytime \
    db-lsp dcap dhcpv6-client dhcpv6-server dicom dict dircproxy discard distcc domain domain-s echo epmap epmd \
    exec f5-globalsite f5-iquery fax fido finger font-service freeciv fsp ftp ftp-data ftps ftps-data gdomap \
    gds-db git gnunet gnutella-rtr gnutella-svc gopher gpsd gris groupwise gsidcap gsiftp gsigatekeeper hkp http \
    http-alt https hylafax iax icpv2 imap2 imaps ingreslock ipp iprop ipsec-nat-t ipx ircd ircs-u isakmp iscsi- \
    target isisd isns iso-tsap kamanda kerberos kerberos-adm kerberos-master kerberos4 kermit klogin kpasswd \
    krb-prop kshell l2f ldap ldaps ldp login lotusnote mailq mdns microsoft-ds moira-db moira-update moira-ureg \
    mon ms-sql-m ms-sql-s ms-wbt-server mtn munin mysql mysql-proxy nbd nbp netbios-dgm netbios-ns netbios-ssn \
    netstat nfs nntp nntps nqs nrpe nsca ntalk ntp ntske nut omniorb openvpn ospf6d ospfapi ospfd passwd-server \
    pawserv pop3 pop3s poppassd postgresql predict printer proofd ptp-event ptp-general puppet qmqp qmtp qotd \
    radius radius-acct radmin-port redis remctl ripd ripngd rmiregistry rmtcfg rootd route rpc2portmap rplay \
    rsync rtcm-sc104 rtmp rtsp sa-msg-port saft sane-port sge-execd sge-qmaster sgi-cad sgi-cmsd sgi-crsd sgi- \
    gcd shell sieve silc sip sip-tls skkserv smtp smux snmp snmp-trap snpp socks spamd ssh submission \
    submissions sunrpc supfiledbg supfilesrv suucp svn svrloc syslog syslog-tls sysrqd systat tacacs talk tcpmux \
    telnet telnets tfido tftp time tinc tproxy uucp venus venus-se webmin who whois wnn6 x11 x11-1 x11-2 x11-3 \
    x11-4 x11-5 x11-6 x11-7 xdmcp xinetd xmms2 xmpp-client xmpp-server xtel xtelw z3950 zabbix-agent zabbix- \
    trapper zebra zebrasrv zephyr-clt zephyr-hm zephyr-srv zip zope zope-ftp zserv";

/// Protocols that have a name.
const PROTOCOLS: &str = "ip hopopt icmp igmp ggp ipencap st tcp egp igp pup udp hmp xns-idp rdp iso-tp4 dccp xtp ddp idpr-cmtp ipv6 \
    ipv6-route ipv6-frag idrp rsvp gre esp ah skip ipv6-icmp ipv6-nonxt ipv6-opts rspf vmtp eigrp ospf ax.25 \
    ipip etherip encap pim ipcomp vrrp l2tp isis sctp fc mobility-header udplite mpls-in-ip manet hip shim6 wesp \
    rohc ethernet mptcp";

/// The numbers of those protocols.
const NUMBERS: &str = "0 1 2 3 4 5 6 8 9 12 17 20 22 27 29 33 36 37 38 41 43 44 45 46 47 50 51 57 58 59 60 73 81 88 89 93 94 97 98 \
    103 108 112 115 124 132 133 135 136 137 138 139 140 141 142 143 262";

/// What ICMP says.
const ICMP: &str = "any echo-reply destination-unreachable network-unreachable host-unreachable protocol-unreachable port- \
    unreachable fragmentation-needed source-route-failed network-unknown host-unknown network-prohibited host- \
    prohibited TOS-network-unreachable TOS-host-unreachable communication-prohibited host-precedence-violation \
    precedence-cutoff source-quench redirect network-redirect host-redirect TOS-network-redirect TOS-host- \
    redirect echo-request router-advertisement router-solicitation time-exceeded ttl-zero-during-transit ttl- \
    zero-during-reassembly parameter-problem ip-header-bad required-option-missing timestamp-request timestamp- \
    reply address-mask-request address-mask-reply";

/// What ICMPv6 says.
const ICMPV6: &str = "destination-unreachable no-route communication-prohibited beyond-scope address-unreachable port-unreachable \
    failed-policy reject-route packet-too-big time-exceeded ttl-zero-during-transit ttl-zero-during-reassembly \
    parameter-problem bad-header unknown-header-type unknown-option echo-request echo-reply router-solicitation \
    router-advertisement neighbor-solicitation neighbour-solicitation neighbor-advertisement neighbour- \
    advertisement redirect";

fn is_in(list: &str, word: &str) -> bool {
    list.split(' ').any(|known| known == word)
}

/// Whether a protocol has ports.
pub(crate) fn has_ports(protocol: &str) -> bool {
    is_in("tcp 6 udp 17 dccp 33 sctp 132 udplite 136", protocol)
}

/// Whether ICMP (of that version) has such a type.
pub(crate) fn is_icmp_type(word: &str, version: u8) -> bool {
    is_in(if version == 4 { ICMP } else { ICMPV6 }, word)
}

/// `tcp` or its number.
pub(super) fn protocol(word: &str) -> Result<(), String> {
    if word.is_empty() || word == "icmpv6" || is_in(PROTOCOLS, word) || is_in(NUMBERS, word) {
        return Ok(());
    }
    Err(format!("unknown protocol '{word}'\n"))
}

/// `echo-request`.
pub(super) fn icmp_type(word: &str) -> Result<(), String> {
    if word.is_empty() || is_icmp_type(word, 4) || is_icmp_type(word, 6) {
        return Ok(());
    }
    Err(format!("invalid icmp-type value '{word}'\n"))
}

/// Which end of a connection a list of ports is about; ICMP types are destinations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Source,
    Destination,
}

fn number(digits: &str) -> Result<u32, String> {
    digits.parse().ok().filter(|n| *n <= 65535).ok_or_else(|| format!("invalid port '{digits}'\n"))
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit())
}

/// `22`, `80:85`, `http,https`.
pub(super) fn ports(list: &str, end: End) -> Result<(), String> {
    if list.is_empty() {
        return Ok(());
    }
    if list.ends_with(',') {
        return Err("extraneous commas in list\n".to_owned());
    }
    let (mut count, mut icmp) = (0, false);
    for item in list.split(',') {
        let range = item.split_once(':').filter(|(from, to)| is_number(from) && is_number(to));
        if let Some((from, to)) = range {
            count += 2;
            if number(from)? > number(to)? {
                return Err(format!("backwards range '{from}:{to}' not allowed, did you mean '{to}:{from}'?\n"));
            }
        } else if is_number(item) {
            count += 1;
            number(item)?;
        } else if end == End::Destination && (is_icmp_type(item, 4) || is_icmp_type(item, 6)) {
            icmp = true;
        } else if is_in(SERVICES, item) {
            count += 1;
        } else {
            return Err(format!("invalid port '{item}'\n"));
        }
    }
    if icmp && count > 0 {
        return Err("ICPM ports not allowed in port range\n".to_owned());
    }
    if count > 15 {
        return Err("too many entries in port list (> 15 numbers)\n".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_range_of_ports_counts_twice_and_may_not_go_backwards() {
        assert_eq!(ports("1000:1010,ssh", End::Source), Ok(()));
        let backwards = ports("90:80", End::Source).unwrap_err();
        assert!(backwards.contains("did you mean '80:90'?"), "{backwards}");
        let many = "1:2,3:4,5:6,7:8,9:10,11:12,13:14,15:16";
        assert!(ports(many, End::Source).unwrap_err().starts_with("too many entries"));
        assert_eq!(ports("70000", End::Source).unwrap_err(), "invalid port '70000'\n");
    }

    #[test]
    fn an_icmp_type_is_a_destination_and_stands_alone() {
        assert_eq!(ports("echo-request", End::Destination), Ok(()));
        assert!(ports("echo-request", End::Source).is_err());
        assert!(ports("echo-request,22", End::Destination).is_err());
    }

    #[test]
    fn a_protocol_has_a_name_or_a_number() {
        assert!(protocol("tcp").is_ok() && protocol("47").is_ok() && protocol("icmpv6").is_ok());
        assert_eq!(protocol("smoke-signals").unwrap_err(), "unknown protocol 'smoke-signals'\n");
    }
}

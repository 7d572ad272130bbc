//! Step 1: Proxmox VE answers, and is in a state to do work.

use super::verdict::{Tally, Verdict, need};
use super::{CheckInfo, Of, scope};
use crate::evidence::{Cause, Evidence, Read, TrustSeen};
use crate::step::StepId;

/// An answer slower than this is a sign of trouble: a healthy node answers in a few milliseconds.
const SLOW_MS: u64 = 2_000;
/// A certificate that ends sooner than this wants attention; three weeks leave time for a person to act.
const CERTIFICATE_DAYS: i64 = 21;
/// Clocks farther apart than this spoil logs and leases; the server tells whole seconds only, so less is noise.
const SKEW_WARNING_MS: i64 = 5_000;
/// Clocks farther apart than this break tickets, tokens and certificates sooner or later.
const SKEW_ERROR_MS: i64 = 60_000;

pub(super) const REACHABLE: CheckInfo = CheckInfo {
    id: "api.reachable",
    step: StepId::Api,
    title: "Proxmox answers at each URL",
    looks_at: "Opens a connection to each configured URL and asks for the version. A refusal is an answer, too. \
               Slower than 2 seconds is a warning; so is one of several URLs that is dead.",
    matters: "Without the API nothing can be made, changed or removed. With several URLs a dead one costs time at each \
              failover and is one less to fall back on.",
    fix: "Check the URL (https://HOST:8006), name resolution, routes and firewalls between here and there, and on the \
          node that pveproxy runs: `systemctl status pveproxy`.",
    of: Of::Proxmox,
    needs: &[],
    judge: reachable,
};

fn reachable(evidence: &Evidence) -> Verdict {
    let proxmox = &evidence.proxmox;
    let mut tally = Tally::default();
    for door in &proxmox.doors {
        match &door.certificate {
            Read::Known(_) => tally.fine(format!("{} answers", door.url)),
            Read::Unread { cause: Cause::NotAsked, why } => tally.fine(format!("{}: {why}", door.url)),
            // The client has its answer, perhaps by a proxy that we do not take: the one URL works.
            Read::Unread { why, .. } if proxmox.doors.len() == 1 => tally.fine(format!("{} directly: {why}", door.url)),
            Read::Unread { why, .. } => tally.warning(format!("{} does not answer: {why}", door.url)),
        }
    }
    let passed = match &proxmox.version {
        Read::Known(seen) if seen.took_ms > SLOW_MS => {
            tally.warning(format!("Proxmox took {} ms to answer", seen.took_ms));
            String::new()
        }
        Read::Known(seen) => format!("Proxmox answers in {} ms", seen.took_ms),
        Read::Unread { cause: Cause::NoConnection | Cause::NoAnswer, why } => {
            tally.error(why.clone());
            String::new()
        }
        Read::Unread { cause: Cause::NotAsked, why } => {
            tally.unread(why.clone());
            String::new()
        }
        Read::Unread { why, .. } => {
            tally.fine(why.clone());
            "Proxmox answers".to_owned()
        }
    };
    tally.verdict(passed, "check the URL, the network between and that pveproxy runs (port 8006)")
}

pub(super) const TLS_CHAIN: CheckInfo = CheckInfo {
    id: "api.tls-chain",
    step: StepId::Api,
    title: "The certificate is trusted and valid",
    looks_at: "Whether the client's own rule (system, CA or fingerprint) accepts the certificate, and how long each \
               URL's certificate is still valid: 21 days or less is a warning. Trusting anyone is a warning, and so is \
               plain http (to this machine only).",
    matters: "The token travels on this connection. Whoever can pose as Proxmox can read it and do whatever it may do. \
              An expired certificate stops everything at once.",
    fix: "Give the CA of Proxmox (/etc/pve/pve-root-ca.pem) or compare the fingerprint shown here with the one in the \
          web interface (Node, System, Certificates) and trust that. Renew with `pvenode acme cert renew` or \
          `pvecm updatecerts --force`.",
    of: Of::Proxmox,
    needs: &["api.reachable"],
    judge: tls_chain,
};

fn tls_chain(evidence: &Evidence) -> Verdict {
    let proxmox = &evidence.proxmox;
    let mut tally = Tally::default();
    for door in &proxmox.doors {
        let url = &door.url;
        if url.starts_with("http://") {
            tally.warning(format!("{url} is no https: no certificate is looked at"));
        }
        let Read::Known(seen) = &door.certificate else { continue };
        tally.fine(format!("{url} shows {}", seen.fingerprint));
        let Some(end) = seen.not_after else { continue };
        let left = end.duration_since(evidence.started).as_hours() / 24;
        if left < 0 {
            tally.warning(format!("the certificate of {url} ended on {}", day(end)));
        } else if left <= CERTIFICATE_DAYS {
            tally.warning(format!("the certificate of {url} ends in {left} days, on {}", day(end)));
        } else {
            tally.fine(format!("valid until {}", day(end)));
        }
    }
    let hint = "trust Proxmox's CA (/etc/pve/pve-root-ca.pem) or the certificate's fingerprint, after comparing it";
    match (&proxmox.version, proxmox.trust) {
        (Read::Unread { cause: Cause::Certificate, why }, _) => tally.error(why.clone()),
        (Read::Unread { cause: Cause::NoConnection | Cause::NoAnswer | Cause::NotAsked, why }, _) => {
            tally.unread(why.clone());
        }
        (_, TrustSeen::Anyone) => tally.warning("anyone's certificate is taken: verification is switched off"),
        (_, TrustSeen::System | TrustSeen::Ca | TrustSeen::Fingerprint) => {}
    }
    let how = match proxmox.trust {
        TrustSeen::System => "by the system's authorities",
        TrustSeen::Ca => "by the CA that was given",
        TrustSeen::Fingerprint => "by its fingerprint",
        TrustSeen::Anyone => "without verification",
    };
    tally.verdict(format!("trusted {how}"), hint)
}

fn day(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%d").to_string()
}

pub(super) const AUTHENTICATED: CheckInfo = CheckInfo {
    id: "api.authenticated",
    step: StepId::Api,
    title: "Proxmox knows us",
    looks_at: "Whether Proxmox answers the version call with the configured token or password.",
    matters: "With credentials that Proxmox does not know, every call is refused.",
    fix: "Check the token's id (`user@realm!name`) and secret, that it has not expired and that its user is enabled: \
          `pveum user token list USER`. A secret is shown once, when the token is made.",
    of: Of::Proxmox,
    needs: &["api.reachable", "api.tls-chain"],
    judge: authenticated,
};

fn authenticated(evidence: &Evidence) -> Verdict {
    match &evidence.proxmox.version {
        Read::Known(_) => Verdict::passed("Proxmox knows the credentials"),
        Read::Unread { cause: Cause::NotKnown, why } => Verdict::failed(why.clone())
            .hint("check the token's id and secret, that it has not expired and its user is enabled"),
        Read::Unread { why, .. } => Verdict::unread(why.clone()),
    }
}

pub(super) const VERSION_SUPPORTED: CheckInfo = CheckInfo {
    id: "api.version-supported",
    step: StepId::Api,
    title: "The version is supported",
    looks_at: "Proxmox VE's version: 8.4 and 9.x are supported. Other 8.x and versions after 9 are a warning.",
    matters: "Calls, privileges and texts change between versions; what was never tried may do something else.",
    fix: "Upgrade Proxmox VE to 8.4 or 9.x (`pve8to9` names what is in the way), or oxmox to a release that names \
          your version.",
    of: Of::Proxmox,
    needs: &["api.authenticated"],
    judge: version_supported,
};

fn version_supported(evidence: &Evidence) -> Verdict {
    let seen = match need("the version", &evidence.proxmox.version) {
        Ok(seen) => seen,
        Err(verdict) => return verdict,
    };
    let mut numbers = seen.version.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let says = format!("Proxmox VE {}", seen.version);
    match (numbers.next(), numbers.next()) {
        (Some(8), Some(4)) | (Some(9), _) => Verdict::passed(says),
        (Some(8), _) => Verdict::warning(format!("{says} is older than 8.4, the oldest that is tested"))
            .hint("upgrade Proxmox VE to 8.4 or 9"),
        (Some(major), _) if major > 9 => Verdict::warning(format!("{says} is newer than any that was tested"))
            .hint("look for a release of oxmox that names it"),
        (Some(_), _) => Verdict::failed(format!("{says} is not supported")).hint("upgrade Proxmox VE to 8.4 or 9"),
        (None, _) => Verdict::unread(format!("`{}` does not read as a version", seen.version)),
    }
}

pub(super) const QUORATE: CheckInfo = CheckInfo {
    id: "api.quorate",
    step: StepId::Api,
    title: "The Proxmox cluster has a majority",
    looks_at: "What the answering node says of the cluster's votes, which only who has Sys.Audit on `/` may see; without \
               it which nodes it counts as online: more than half of them are a majority, unless votes are uneven or a \
               QDevice has some. One lost node away from no majority is a warning.",
    matters: "Without a majority Proxmox takes no writes: no machine can be made, changed, started or removed.",
    fix: "Bring nodes back, look at `pvecm status` on one of them and at corosync's network.",
    of: Of::Proxmox,
    needs: &["api.authenticated"],
    judge: quorate,
};

fn quorate(evidence: &Evidence) -> Verdict {
    let nodes = match need("the list of nodes", &evidence.proxmox.nodes) {
        Ok(nodes) => nodes,
        Err(verdict) => return verdict,
    };
    if nodes.is_empty() {
        return Verdict::unread("the list of nodes is empty");
    }
    let online = nodes.iter().filter(|node| node.status == "online").count();
    let says = format!("{online} of {} online", scope::count(nodes.len(), "node"));
    let lines = nodes.iter().map(|node| format!("{}: {}", node.name, node.status));
    let hint = "bring nodes back until more than half are online (`pvecm status`)";
    let voted = match &evidence.proxmox.majority {
        Read::Known(voted) => Some(*voted),
        Read::Unread { cause: Cause::Forbidden | Cause::NotAsked | Cause::Missing, .. } => None,
        Read::Unread { why, .. } => return Verdict::unread(format!("the cluster's votes could not be read: {why}")),
    };
    let half = online * 2 <= nodes.len();
    let verdict = if voted == Some(false) {
        Verdict::failed(format!("{says}, and Proxmox VE says that the cluster has no majority")).hint(hint)
    } else if half && voted == Some(true) {
        Verdict::warning(format!("{says}: what is left of the majority are votes of others")).hint(hint)
    } else if half {
        Verdict::failed(format!("{says}: no majority")).hint(hint)
    } else if online < nodes.len() && (online - 1) * 2 <= nodes.len() {
        Verdict::warning(format!("{says}: one more lost node, and the majority is gone")).hint(hint)
    } else if voted.is_none() {
        Verdict::passed(format!("{says} (counted; votes are seen with Sys.Audit on `/`)"))
    } else {
        Verdict::passed(says)
    };
    verdict.evidence(lines)
}

pub(super) const NODES_ONLINE: CheckInfo = CheckInfo {
    id: "api.nodes-online",
    step: StepId::Api,
    title: "The nodes for machines are there and online",
    looks_at: "Each node that `allowedNodes` (or the template's place) lets machines be on; without a named cluster \
               all nodes. A name that the Proxmox cluster has not is an error, an offline node a warning, all offline \
               an error.",
    matters: "Machines on a node that is away cannot be reached, and no new ones can be placed there.",
    fix: "Bring the node back, or correct `allowedNodes` in the ProxmoxCluster (and in ProxmoxMachineTemplates).",
    of: Of::Proxmox,
    needs: &["api.authenticated"],
    judge: nodes_online,
};

fn nodes_online(evidence: &Evidence) -> Verdict {
    let wanted = need("the list of nodes", &evidence.proxmox.nodes)
        .and_then(|nodes| scope::all_nodes(evidence).map(|wanted| (nodes, wanted)));
    let (nodes, wanted) = match wanted {
        Ok(both) => both,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    let mut online = 0;
    for name in &wanted {
        match nodes.iter().find(|node| node.name == *name) {
            Some(node) if node.status == "online" => {
                online += 1;
                tally.fine(format!("{name}: online"));
            }
            Some(node) => tally.warning(format!("node `{name}` is {}", node.status)),
            None => {
                let all: Vec<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
                tally.error(format!("there is no node `{name}`; there are: {}", all.join(", ")));
            }
        }
    }
    let cluster = evidence.management.cluster.known();
    for name in cluster.iter().flat_map(|cluster| &cluster.spec.allowed_nodes) {
        if name.parse::<pve_types::NodeName>().is_err() {
            tally.error(format!("`{name}` in `allowedNodes` is no name of a node"));
        }
    }
    if online == 0 {
        tally.error("no node for machines is online");
    }
    let passed = format!("{} online", scope::count(online, "node"));
    tally.verdict(passed, "bring the node back, or correct `allowedNodes`")
}

pub(super) const CLOCK_SKEW: CheckInfo = CheckInfo {
    id: "api.clock-skew",
    step: StepId::Api,
    title: "Clocks agree",
    looks_at: "The time in the headers of each URL's answer against the clock here: 5 seconds apart is a warning, 60 \
               an error. Unread when no time is told.",
    matters: "Tickets, tokens of clusters and certificates have dates; logs of both sides can only be compared when \
              the clocks agree.",
    fix: "Check `chronyc tracking` (or `timedatectl`) on the node and here.",
    of: Of::Proxmox,
    needs: &["api.reachable"],
    judge: clock_skew,
};

fn clock_skew(evidence: &Evidence) -> Verdict {
    let mut tally = Tally::default();
    for door in &evidence.proxmox.doors {
        let told = door.certificate.known().and_then(|seen| seen.clock_ahead_ms);
        match told {
            None => tally.unread(format!("{} tells no time", door.url)),
            Some(ms) => {
                let way = if ms < 0 { "behind" } else { "ahead of" };
                let line = format!("{} is {:.1} s {way} us", door.url, seconds(ms.abs()));
                match ms.abs() {
                    SKEW_ERROR_MS.. => tally.error(line),
                    SKEW_WARNING_MS.. => tally.warning(line),
                    _ => tally.fine(line),
                }
            }
        }
    }
    if evidence.proxmox.doors.is_empty() {
        tally.unread("no URL of Proxmox was given");
    }
    tally.verdict("clocks agree within 5 seconds", "set both clocks by NTP (`chronyc tracking`)")
}

#[expect(clippy::cast_precision_loss, reason = "a difference of clocks, printed with one decimal")]
fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

//! What Nodes say of themselves, and what they ask for.

use jiff::SignedDuration;

use super::{MEET, SETTLE, called, workers, younger};
use crate::evidence::{Evidence, SigningRequest};
use crate::judge::scope::count;
use crate::judge::verdict::{Tally, Verdict, need};

const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const SKEW_WARNING_MS: i128 = 5_000;
const SKEW_ERROR_MS: i128 = 60_000;
/// Kubernetes' policy of version skew: a kubelet may be this many minor versions older than the API server.
const OLDER: u32 = 3;

pub(super) fn nodes_ready(evidence: &Evidence) -> Verdict {
    let workers = match workers(evidence) {
        Ok(workers) => workers,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    for node in &workers.nodes {
        let name = called(node);
        let coming = younger(evidence, node.created, SETTLE);
        match node.ready {
            Some(true) if node.cordoned => tally.warning(format!("{name} is cordoned")),
            Some(true) if !node.pressure.is_empty() => {
                tally.warning(format!("{name} is under {}", node.pressure.join(", ")));
            }
            Some(true) => tally.fine(format!("{name}: kubelet {}", node.kubelet)),
            Some(false) | None if coming => tally.warning(format!("{name} has registered, and is not Ready yet")),
            Some(false) => tally.error(format!("{name} is not Ready: {}", node.message)),
            None => tally.error(format!("{name} has never said whether it is Ready")),
        }
    }
    let passed = format!("{} Ready", count(workers.nodes.len(), "Node"));
    tally.verdict(passed, "look at the Node's conditions, then at kubelet and containerd on the machine")
}

pub(super) fn initialised(evidence: &Evidence) -> Verdict {
    let workers = match workers(evidence) {
        Ok(workers) => workers,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    for node in &workers.nodes {
        let line = format!("{} waits for a cloud controller manager", called(node));
        match (node.uninitialized, younger(evidence, node.created, MEET)) {
            (false, _) => tally.fine(called(node)),
            (true, true) => tally.warning(line),
            (true, false) => tally.error(line),
        }
    }
    let passed = format!("{}, none of them waits", count(workers.nodes.len(), "Node"));
    tally.verdict(passed, "see that `oxmox run ccm` runs, and what its log says of that Node")
}

pub(super) fn version_skew(evidence: &Evidence) -> Verdict {
    let both = workers(evidence).and_then(|workers| {
        need("the API server's version", &evidence.workload.version).map(|server| (workers, server))
    });
    let (workers, server) = match both {
        Ok(both) => both,
        Err(verdict) => return verdict,
    };
    let Some(control) = minor(server) else {
        return Verdict::unread(format!("the API server's version `{server}` does not read"));
    };
    let mut tally = Tally::default();
    for node in &workers.nodes {
        let line = format!("{}: kubelet {}, API server {server}", called(node), node.kubelet);
        let Some(kubelet) = minor(&node.kubelet) else {
            tally.unread(format!("{}: the kubelet's version `{}` does not read", called(node), node.kubelet));
            continue;
        };
        match control.checked_sub(kubelet) {
            None => tally.error(format!("{line}: it is newer")),
            Some(older) if older > OLDER => tally.error(format!("{line}: it is {older} minor versions older")),
            Some(OLDER) => tally.warning(format!("{line}: the control plane can go no further")),
            Some(_) => tally.fine(line),
        }
    }
    tally.verdict(format!("all fit API server {server}"), "upgrade the control plane first, then roll the machines")
}

/// `36` of `v1.36.3`; of Kubernetes 1 only.
fn minor(version: &str) -> Option<u32> {
    let mut parts = version.strip_prefix('v').unwrap_or(version).split('.');
    if parts.next()? != "1" {
        return None;
    }
    parts.next()?.parse().ok()
}

pub(super) fn no_pending_csrs(evidence: &Evidence) -> Verdict {
    let requests = workers(evidence).and_then(|workers| need("CertificateSigningRequests", &workers.requests));
    let requests = match requests {
        Ok(requests) => requests,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    let mut signed = 0;
    for request in requests {
        let SigningRequest { name, signer, user, created, approved, refused, issued } = request;
        let what = format!("CertificateSigningRequest `{name}` of `{user}` for {signer}");
        let fresh = younger(evidence, *created, SETTLE);
        match (refused, issued, approved) {
            (Some(why), ..) => tally.warning(format!("{what}: {why}")),
            (None, true, _) => signed += 1,
            (None, false, _) if fresh => tally.fine(format!("{what} is fresh")),
            (None, false, true) => tally.error(format!("{what} is approved, and nobody signs it")),
            (None, false, false) if signer == CLIENT_SIGNER => {
                tally.error(format!("{what} waits for approval"));
            }
            (None, false, false) => tally.warning(format!("{what} waits for approval")),
        }
    }
    let passed = format!("{} signed, none waits", count(signed, "request"));
    tally.verdict(passed, "`kubectl get csr`, and approve what you know; see that kube-controller-manager runs")
}

pub(super) fn clocks(evidence: &Evidence) -> Verdict {
    let both = workers(evidence)
        .and_then(|workers| need("the Nodes' leases", &workers.leases).map(|leases| (workers, leases)));
    let (workers, leases) = match both {
        Ok(both) => both,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    for node in &workers.nodes {
        let Some(lease) = leases.get(&node.name) else {
            tally.unread(format!("{} renews no lease that tells its time", called(node)));
            continue;
        };
        // the API server's time has whole seconds: half a second is the better guess
        let ahead = (lease.renewed.duration_since(lease.taken) - SignedDuration::from_millis(500)).as_millis();
        let way = if ahead < 0 { "behind" } else { "ahead of" };
        let line = format!("{} is {:.1} s {way} the API server", called(node), seconds(ahead.abs()));
        match ahead.abs() {
            SKEW_ERROR_MS.. => tally.error(line),
            SKEW_WARNING_MS.. => tally.warning(line),
            _ => tally.fine(line),
        }
    }
    tally.verdict("clocks agree within 5 seconds", "set the clock of that machine by NTP (`chronyc tracking`)")
}

#[expect(clippy::cast_precision_loss, reason = "a difference of clocks, printed with one decimal")]
fn seconds(ms: i128) -> f64 {
    ms as f64 / 1000.0
}

//! Whether claims get their volumes.

use jiff::Timestamp;

use super::{GRACE, installed, since, younger};
use crate::evidence::{ClaimSeen, Evidence, Pending, Read};
use crate::judge::scope::count;
use crate::judge::verdict::{Tally, Verdict, need};

pub(super) fn claims_bound(evidence: &Evidence) -> Verdict {
    let both = installed(evidence).and_then(|seen| {
        let claims = need("the PersistentVolumeClaims", &seen.claims)?;
        need("the StorageClasses", &seen.classes).map(|classes| (claims, classes))
    });
    let (claims, classes) = match both {
        Ok(both) => both,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    let mut bound = 0;
    for claim in claims {
        let waits = classes.iter().any(|class| class.name == claim.class && class.waits);
        match (claim.phase.as_str(), &claim.pending) {
            ("Bound", _) => bound += 1,
            ("Pending", Some(pending)) => why_pending(evidence, claim, pending, waits, &mut tally),
            ("Pending", None) => tally.unread(format!("claim `{}` is Pending, and nobody looked why", claim.name)),
            ("Lost", _) => tally.error(format!("claim `{}` has lost its volume", claim.name)),
            (phase, _) => {
                tally.unread(format!("claim `{}` is in phase `{phase}`, which says nothing to us", claim.name));
            }
        }
    }
    let passed = match claims.len() - bound {
        0 => format!("{} bound", count(bound, "claim")),
        waiting => format!("{} bound, {waiting} on the way or waiting for a first pod", count(bound, "claim")),
    };
    tally.verdict(passed, "`kubectl describe pvc NAME`, and the log of csi-provisioner and of the controller")
}

fn why_pending(evidence: &Evidence, claim: &ClaimSeen, pending: &Pending, waits: bool, tally: &mut Tally) {
    let name = &claim.name;
    let pods = match &pending.pods {
        Read::Known(pods) => pods,
        Read::Unread { why, .. } if waits && !claim.node_chosen => {
            return tally.unread(format!("claim `{name}` is Pending; whether a pod uses it could not be read: {why}"));
        }
        Read::Unread { .. } => &std::collections::BTreeMap::new(),
    };
    if waits && !claim.node_chosen && pods.is_empty() {
        return tally.fine(format!("{name} waits for its first pod"));
    }
    // a claim that waits for a pod has waited since there is one
    let first: Option<Timestamp> = pods.values().min().copied().flatten();
    let begun = if waits { claim.created.max(first) } else { claim.created };
    if younger(evidence, begun, GRACE) {
        return tally.fine(format!("{name} is on its way"));
    }
    let (warns, event) = match &pending.event {
        Read::Known(Some(event)) => (event.warns, event.message.clone()),
        Read::Known(None) => (false, "no event says why".to_owned()),
        Read::Unread { why, .. } => (false, format!("its events could not be read: {why}")),
    };
    let line = format!("claim `{name}` is Pending {}: {event}", since(evidence, begun));
    match pods.keys().next() {
        Some(pod) if waits && !claim.node_chosen && !warns => {
            tally.warning(format!("{line} (its pod `{pod}` is scheduled nowhere)"));
        }
        _ => tally.error(line),
    }
}

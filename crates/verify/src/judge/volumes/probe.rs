//! What a volume of our own went through.

use super::installed;
use crate::evidence::{Evidence, Read, VolumeProbe};
use crate::judge::verdict::{Tally, Verdict, need};

const NEXT: &str = "look at the events and the logs of csi-provisioner, csi-attacher and of `oxmox run csi-controller` and \
                    `csi-node`";

pub(super) fn probe(evidence: &Evidence) -> Verdict {
    let probe = installed(evidence).and_then(|seen| need("the probe of a volume", &seen.probe));
    let VolumeProbe { class, writer, reader, handle, written, read, trouble, left } = match probe {
        Ok(probe) => probe,
        Err(verdict) => return verdict,
    };
    let mut tally = Tally::default();
    if let Some(trouble) = trouble {
        tally.error(format!("a volume of class `{class}`: {trouble}"));
    }
    let handle = handle.as_deref().unwrap_or("(no handle)");
    let names = (writer.as_deref().unwrap_or("(nowhere)"), reader.as_deref().unwrap_or("(nowhere)"));
    match (written, read) {
        (Some(written), Some(read)) if written != read => {
            tally.error(format!("`{handle}` has other data on Node `{}` than was written on `{}`", names.1, names.0));
        }
        (Some(sum), Some(_)) => tally.fine(format!("{handle}: SHA-256 {sum}")),
        // the trouble says why
        (Some(_) | None, _) if trouble.is_some() => {}
        (Some(_), None) => tally.unread("nobody read what was written"),
        (None, _) => tally.unread("nothing was written"),
    }
    match left {
        Read::Known(left) => left.iter().for_each(|one| tally.error(format!("{one} is still there"))),
        Read::Unread { why, .. } => tally.unread(format!("what is left could not be read: {why}")),
    }
    let (writer, reader) = names;
    let passed = if writer == reader {
        format!(
            "1 MiB of class `{class}`, written and read on `{writer}` (no other Node can have the volume), and gone"
        )
    } else {
        format!("1 MiB of class `{class}`, written on `{writer}`, read on `{reader}`, and gone")
    };
    tally.verdict(passed, NEXT)
}

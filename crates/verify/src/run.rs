//! Gather, judge, and say how far we are: what `oxmox verify` calls.

use jiff::Timestamp;

use crate::evidence::{Cause, CiliumSeen, Evidence, Read, StorySeen};
use crate::gather::{Probes, Sources, gather_with};
use crate::judge::{CHECKS, judge, judge_with};
use crate::report::Report;
use crate::selection::Selection;
use crate::step::StepId;

/// What to verify.
#[derive(Debug)]
pub struct Options {
    /// Where to look.
    pub sources: Sources,
    /// Which checks are asked for.
    pub selection: Selection,
    /// The story that a demo has played, if one is to be judged.
    pub story: Option<StorySeen>,
}

/// How far we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// A part of the evidence is being read.
    Reading {
        /// Which.
        part: &'static str,
        /// Its place, from 1.
        n: usize,
        /// How many there are.
        of: usize,
    },
    /// A check is being judged.
    Judging {
        /// Its id.
        check: &'static str,
        /// Its place, from 1.
        n: usize,
        /// How many there are.
        of: usize,
    },
}

/// What was read and what it comes to. Save the evidence beside the report.
#[derive(Debug, Clone)]
#[must_use = "a report that nobody renders helps no one"]
pub struct Run {
    /// What was read.
    pub evidence: Evidence,
    /// What it comes to.
    pub report: Report,
}

/// Reads and judges. Without a management cluster only Proxmox is judged, the other checks are listed as deselected.
/// `progress` is told each part before it is read and each check before it is judged.
pub async fn run(options: &Options, now: Timestamp, mut progress: impl FnMut(Progress) + Send) -> Run {
    let probes =
        Probes { policies: options.selection.probes(StepId::Policies), volumes: options.selection.probes(StepId::Csi) };
    let mut reading = |part, n, of| progress(Progress::Reading { part, n, of });
    let mut evidence = Box::pin(gather_with(&options.sources, probes, now, &mut reading)).await;
    if let Some(story) = &options.story {
        evidence.story = Read::Known(story.clone());
    }
    let mut n = 0;
    let selection = match options.sources.kube {
        Some(_) => options.selection.clone(),
        None => options.selection.clone().proxmox_only(),
    };
    let selection = if options.sources.probe.is_some() { selection } else { selection.without_probes() };
    let selection = cilium(&evidence, selection);
    let selection = if options.story.is_some() { selection } else { selection.without_story() };
    let selection = if options.sources.metrics.is_some() { selection } else { selection.without_metrics() };
    let selection = if options.sources.logs.is_some() { selection } else { selection.without_logs() };
    let report = judge_with(&evidence, &selection, &mut |check| {
        n += 1;
        progress(Progress::Judging { check, n, of: CHECKS.len() });
    });
    Run { evidence, report }
}

/// Judges what was read before. Probes count as asked for where the evidence has what they found.
pub fn again(mut evidence: Evidence, selection: Selection, story: Option<StorySeen>) -> Run {
    if let Some(story) = story {
        evidence.story = Read::Known(story);
    }
    let asked = |cause: Option<Cause>| cause != Some(Cause::NotAsked);
    let selection = if asked(cause(&evidence.management.version)) { selection } else { selection.proxmox_only() };
    let selection = if asked(cause(&evidence.workload.policies)) { selection } else { selection.without_probes() };
    let selection = cilium(&evidence, selection);
    let selection = if asked(cause(&evidence.story)) { selection } else { selection.without_story() };
    let report = judge(&evidence, &selection);
    Run { evidence, report }
}

/// Without the checks of Cilium's own policies where there is none, or nothing outside of it.
fn cilium(evidence: &Evidence, selection: Selection) -> Selection {
    match evidence.workload.policies.known().map(|seen| &seen.cilium) {
        Some(Read::Known(None) | Read::Unread { cause: Cause::NotAsked, .. }) => selection.without_cilium(),
        Some(Read::Known(Some(CiliumSeen { outside: None, .. }))) => selection.without_outside(),
        Some(Read::Known(Some(_)) | Read::Unread { .. }) | None => selection,
    }
}

fn cause<T>(read: &Read<T>) -> Option<Cause> {
    match read {
        Read::Known(_) => None,
        Read::Unread { cause, .. } => Some(*cause),
    }
}

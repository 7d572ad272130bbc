//! Gather, judge, and say how far we are: what `oxmox verify` calls.

use jiff::Timestamp;

use crate::evidence::Evidence;
use crate::gather::{Sources, gather_with};
use crate::judge::{CHECKS, judge_with};
use crate::report::Report;
use crate::selection::Selection;

/// What to verify.
#[derive(Debug)]
pub struct Options {
    /// Where to look.
    pub sources: Sources,
    /// Which checks are asked for.
    pub selection: Selection,
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
    let evidence =
        gather_with(&options.sources, now, &mut |part, n, of| progress(Progress::Reading { part, n, of })).await;
    let mut n = 0;
    let selection = match options.sources.kube {
        Some(_) => options.selection.clone(),
        None => options.selection.clone().proxmox_only(),
    };
    let selection = if options.sources.probe.is_some() { selection } else { selection.without_probes() };
    let report = judge_with(&evidence, &selection, &mut |check| {
        n += 1;
        progress(Progress::Judging { check, n, of: CHECKS.len() });
    });
    Run { evidence, report }
}

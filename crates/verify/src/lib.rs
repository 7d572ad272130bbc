//! The eight verification steps: evidence is gathered, then judged, then rendered.
//!
//! * What it is: [`gather()`] reads Proxmox, the management cluster and the workload cluster and writes nothing;
//!   [`judge()`] turns what was read into a [`Report`] without touching the world; [`render`] prints it.
//! * What it promises: what could not be read is never a pass; evidence holds no secrets and can be judged again
//!   without a cluster; each check has one id and one page of documentation.
//! * What it assumes: it shares no code with what it judges, only the clients and the vocabulary.

pub mod evidence;
pub mod gather;
mod judge;
mod page;
pub mod render;
mod report;
mod run;
mod selection;
mod step;

#[cfg(test)]
mod fixture;

pub use evidence::{Cause, Evidence, Read};
pub use gather::{Sources, gather};
pub use judge::{CHECKS, CheckInfo, Of, judge};
pub use page::check_pages;
pub use report::{Check, Deselected, Outcome, Report, Severity, StepReport, Summary, Versions};
pub use run::{Options, Progress, Run, again, run};
pub use selection::{BadSelection, Selection};
pub use step::{STEPS, StepId, StepInfo};

//! What a client has done so far, in numbers: calls with their failures and time, tasks with their ends.
//!
//! Promises: labels come from our own code (paths are templates, failures are variants of [`crate::Error`]); kinds of tasks are
//! Proxmox VE's, of which there are some dozens.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

/// One call, by its method and path template.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CallFigures {
    /// How often it was sent.
    pub sent: u64,
    /// How long its answers took, together; waiting for our own turn is not in it.
    pub took: Duration,
    /// How often it failed, by [`crate::Error::category`].
    pub failed: BTreeMap<&'static str, u64>,
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ended {
    /// Well.
    Ok,
    /// Well, with warnings.
    Warnings,
    /// It failed.
    Failed,
}

impl Ended {
    /// As a label says it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warnings => "warnings",
            Self::Failed => "failed",
        }
    }
}

/// Tasks of one kind with one end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskFigures {
    /// How many.
    pub ended: u64,
    /// How long we waited for them, together: from when they were watched until their end was seen.
    pub waited: Duration,
}

/// What was done so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// Calls, by `GET /nodes/{node}/tasks`.
    pub calls: BTreeMap<String, CallFigures>,
    /// Tasks that were waited for, by kind (`qmclone`) and end.
    pub tasks: BTreeMap<(String, Ended), TaskFigures>,
}

impl Figures {
    /// Adds up.
    pub fn add(&mut self, other: Self) {
        for (call, CallFigures { sent, took, failed }) in other.calls {
            let sum = self.calls.entry(call).or_default();
            sum.sent += sent;
            sum.took += took;
            for (category, count) in failed {
                *sum.failed.entry(category).or_default() += count;
            }
        }
        for (kind, TaskFigures { ended, waited }) in other.tasks {
            let sum = self.tasks.entry(kind).or_default();
            sum.ended += ended;
            sum.waited += waited;
        }
    }

    /// A call goes out; it counts even if nobody waits for its answer.
    pub(crate) fn sent(&mut self, call: String) {
        self.calls.entry(call).or_default().sent += 1;
    }

    pub(crate) fn answered(&mut self, call: String, took: Duration, failed: Option<&'static str>) {
        let of = self.calls.entry(call).or_default();
        of.took += took;
        if let Some(category) = failed {
            *of.failed.entry(category).or_default() += 1;
        }
    }
}

/// The word for a call that never left us, as [`crate::Error::category`] has it.
pub(crate) const UNSENT: &str = "Unsent";

/// A label with its value.
type Label = (&'static str, String);

/// Figures as metrics: `oxmox_pve_calls_total`, `oxmox_pve_call_seconds_total`, `oxmox_pve_call_errors_total`,
/// `oxmox_pve_tasks_total`, `oxmox_pve_task_seconds_total`. Each set of figures comes with labels of its own (a region).
pub struct Measures<F>(pub F);

impl<F> fmt::Debug for Measures<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Measures")
    }
}

impl<F> Collector for Measures<F>
where
    F: Fn() -> Vec<(Vec<Label>, Figures)> + Send + Sync + 'static,
{
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let all = (self.0)();
        let with = |labels: &[Label], more: &[(&'static str, &str)]| -> Vec<Label> {
            labels.iter().cloned().chain(more.iter().map(|(key, value)| (*key, (*value).to_owned()))).collect()
        };
        let calls = || all.iter().flat_map(|(labels, of)| of.calls.iter().map(move |(call, of)| (labels, call, of)));
        let tasks = || all.iter().flat_map(|(labels, of)| of.tasks.iter().map(move |(task, of)| (labels, task, of)));

        let help = "Calls to the Proxmox VE API";
        let mut family = encoder.encode_descriptor("oxmox_pve_calls", help, None, MetricType::Counter)?;
        for (labels, call, of) in calls() {
            ConstCounter::new(of.sent).encode(family.encode_family(&with(labels, &[("call", call)]))?)?;
        }
        let help = "Seconds that answers to calls took";
        let mut family = encoder.encode_descriptor("oxmox_pve_call_seconds", help, None, MetricType::Counter)?;
        for (labels, call, of) in calls() {
            let took = ConstCounter::new(of.took.as_secs_f64());
            took.encode(family.encode_family(&with(labels, &[("call", call)]))?)?;
        }
        let help = "Calls that failed, by what Proxmox VE may have done";
        let mut family = encoder.encode_descriptor("oxmox_pve_call_errors", help, None, MetricType::Counter)?;
        for (labels, call, of) in calls() {
            for (category, count) in &of.failed {
                let labels = with(labels, &[("call", call), ("category", category)]);
                ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "Tasks of Proxmox VE that were waited for, by their end";
        let mut family = encoder.encode_descriptor("oxmox_pve_tasks", help, None, MetricType::Counter)?;
        for (labels, (kind, end), of) in tasks() {
            let labels = with(labels, &[("type", kind), ("result", end.word())]);
            ConstCounter::new(of.ended).encode(family.encode_family(&labels)?)?;
        }
        let help = "Seconds that tasks were waited for";
        let mut family = encoder.encode_descriptor("oxmox_pve_task_seconds", help, None, MetricType::Counter)?;
        for (labels, (kind, end), of) in tasks() {
            let labels = with(labels, &[("type", kind), ("result", end.word())]);
            ConstCounter::new(of.waited.as_secs_f64()).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn figures_add_up_and_are_told_as_counters() {
        let mut sum = Figures::default();
        for failed in [None, Some(UNSENT)] {
            let mut one = Figures::default();
            one.sent("GET /version".into());
            one.answered("GET /version".into(), Duration::from_millis(250), failed);
            let of = TaskFigures { ended: 1, waited: Duration::from_secs(2) };
            one.tasks.insert(("qmclone".into(), Ended::Failed), of);
            sum.add(one);
        }
        let mut registry = prometheus_client::registry::Registry::default();
        let told = move || vec![(vec![("region", "dc1".to_owned())], sum.clone())];
        registry.register_collector(Box::new(Measures(told)));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "oxmox_pve_calls_total{region=\"dc1\",call=\"GET /version\"} 2",
            "oxmox_pve_call_seconds_total{region=\"dc1\",call=\"GET /version\"} 0.5",
            "oxmox_pve_call_errors_total{region=\"dc1\",call=\"GET /version\",category=\"Unsent\"} 1",
            "oxmox_pve_tasks_total{region=\"dc1\",type=\"qmclone\",result=\"failed\"} 2",
            "oxmox_pve_task_seconds_total{region=\"dc1\",type=\"qmclone\",result=\"failed\"} 4.0",
        ] {
            assert!(text.lines().any(|is| is == line), "{line} is not in\n{text}");
        }
    }
}

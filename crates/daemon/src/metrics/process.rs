//! The process's own metrics, read from `/proc/self` on each scrape.
//!
//! * What it is: resident memory, CPU time, start time and open files under Prometheus's usual names.
//! * What it promises: a file that cannot be read leaves its metric out; it never fails a scrape.
//! * What it assumes: Linux, where `/proc` counts time in 1/100 s on every architecture we build for
//!   (`USER_HZ`, part of the kernel's interface, independent of its own tick).

use std::fs;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

const USER_HZ: f64 = 100.0;

/// Reads `/proc/self` when scraped.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let stat = fs::read_to_string("/proc/self/stat").ok();
        let stat = stat.as_deref().and_then(Stat::parse);
        if let Some(bytes) = fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident_bytes) {
            let metric = ConstGauge::new(bytes);
            metric.encode(encoder.encode_descriptor(
                "process_resident_memory",
                "Memory of this process that is in RAM",
                Some(&Unit::Bytes),
                prometheus_client::metrics::MetricType::Gauge,
            )?)?;
        }
        if let Some(Stat { cpu_seconds, .. }) = stat {
            let metric = ConstCounter::new(cpu_seconds);
            metric.encode(encoder.encode_descriptor(
                "process_cpu",
                "CPU time that this process used",
                Some(&Unit::Seconds),
                prometheus_client::metrics::MetricType::Counter,
            )?)?;
        }
        let boot = fs::read_to_string("/proc/stat").ok().as_deref().and_then(boot_seconds);
        if let (Some(Stat { started_after_boot, .. }), Some(boot)) = (stat, boot) {
            let metric = ConstGauge::new(boot + started_after_boot);
            metric.encode(encoder.encode_descriptor(
                "process_start_time",
                "When this process started, since the Unix epoch",
                Some(&Unit::Seconds),
                prometheus_client::metrics::MetricType::Gauge,
            )?)?;
        }
        if let Some(files) = fs::read_dir("/proc/self/fd").ok().and_then(|dir| i64::try_from(dir.count()).ok()) {
            let metric = ConstGauge::new(files);
            metric.encode(encoder.encode_descriptor(
                "process_open_fds",
                "Open file descriptors of this process",
                None,
                prometheus_client::metrics::MetricType::Gauge,
            )?)?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    started_after_boot: f64,
}

impl Stat {
    /// `pid (name) state …`: the name may hold spaces and brackets, so that counting starts behind
    /// the last bracket, where field 3 is.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
        let ticks = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self { cpu_seconds: (ticks(14)? + ticks(15)?) / USER_HZ, started_after_boot: ticks(22)? / USER_HZ })
    }
}

fn resident_bytes(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<i64>().ok()?.checked_mul(1024)
}

fn boot_seconds(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_process_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let text = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 4 0 12345 1000 200 1844";
        assert_eq!(Stat::parse(text), Some(Stat { cpu_seconds: 2.0, started_after_boot: 123.45 }));
        assert_eq!(Stat::parse("7 (short) S 1"), None);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t1\n"), Some(2_097_152));
        assert_eq!(resident_bytes("Name:\tx\n"), None);
        assert_eq!(boot_seconds("cpu 1 2\nbtime 1700000000\n"), Some(1_700_000_000.0));
    }

    #[test]
    fn a_scrape_tells_of_this_very_process() {
        let text = crate::metrics::Registry::new().text().unwrap();
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
            line.unwrap_or_else(|| panic!("{name} is not in:\n{text}")).parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 100_000.0);
        assert!(value("process_cpu_seconds_total") >= 0.0);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_start_time_seconds") > 1_500_000_000.0);
        assert!(text.ends_with("# EOF\n"));
    }
}

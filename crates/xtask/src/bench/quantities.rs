//! What is read off the simulator and the manager's process.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Readings that all machines share, however many they are.
const SHARED: [&str; 2] = ["GET /cluster/resources", "GET /nodes/{node}/tasks"];

/// Whether a call is one of the poller's.
pub(super) fn shared(call: &str) -> bool {
    SHARED.contains(&call)
}

/// Calls of which each is made for one machine.
pub(super) fn own(calls: &BTreeMap<String, u64>) -> u64 {
    calls.iter().filter(|(call, _)| !shared(call)).map(|(_, times)| times).sum()
}

/// Destroys that were refused, as when a VM still runs.
pub(super) fn refused_destroys(writes: &[Value]) -> usize {
    let refused = |write: &&Value| {
        text(write, "method") == "DELETE"
            && text(write, "path").contains("/qemu/")
            && write.get("status").and_then(Value::as_u64).is_some_and(|status| status >= 400)
    };
    writes.iter().filter(refused).count()
}

/// Starts beyond the first of a VM.
pub(super) fn second_starts(writes: &[Value]) -> usize {
    let starts: Vec<&str> =
        writes.iter().map(|write| text(write, "path")).filter(|path| path.ends_with("/status/start")).collect();
    let vms: std::collections::BTreeSet<&&str> = starts.iter().collect();
    starts.len() - vms.len()
}

fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A memory figure of a process in MB, as `VmHWM` (the most it ever had) or `VmRSS`.
pub(super) fn memory(pid: u32, line: &str) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("read `{path}`"))?;
    let kib = status
        .lines()
        .find_map(|text| text.strip_prefix(line)?.strip_prefix(':')?.trim().strip_suffix(" kB")?.parse::<f64>().ok())
        .with_context(|| format!("`{path}` has no {line}"))?;
    Ok(kib * 1024.0 / 1e6)
}

/// Processor time that a process has taken so far, in seconds.
pub(super) fn processor(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("read `{path}`"))?;
    ticks(&stat).map(|ticks| ticks / TICKS).with_context(|| format!("`{path}` has no times"))
}

/// Ticks in a second, as Linux shows them on every machine.
const TICKS: f64 = 100.0;

/// What a process took itself and what the kernel took for it; its name may have spaces.
fn ticks(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some(number(11)? + number(12)?)
}

#[cfg(test)]
mod test {
    use super::*;
    use serde_json::json;

    #[test]
    fn processor_time_is_read_behind_the_name_whatever_the_name_is() {
        let stat = "17 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 3 0";
        assert_eq!(ticks(stat), Some(300.0));
        assert_eq!(ticks("17 (a) S 1"), None);
        assert!(processor(std::process::id()).unwrap() >= 0.0);
    }

    #[test]
    fn two_starts_of_one_vm_are_one_too_many() {
        let start = |vmid: u32| json!({"method": "POST", "path": format!("/nodes/pve1/qemu/{vmid}/status/start"), "status": 200});
        assert_eq!(second_starts(&[start(100), start(101)]), 0);
        assert_eq!(second_starts(&[start(100), start(101), start(100)]), 1);
    }

    #[test]
    fn only_destroys_of_vms_that_failed_count() {
        let call = |path: &str, status: u16| json!({"method": "DELETE", "path": path, "status": status});
        let writes = [
            call("/nodes/pve1/qemu/100", 200),
            call("/nodes/pve1/qemu/100", 500),
            call("/nodes/pve1/storage/shared/content/x", 500),
        ];
        assert_eq!(refused_destroys(&writes), 1);
    }
}

//! In front of kubeadm: what its checks would find wrong with a small machine is known.
//!
//! Promises: only whole runs of `init` and `join` are made lenient, and only for the checks that a guest's bare cgroup
//! tree and a small machine fail. Assumes kubeadm's rule that `all` stands alone, in flag and configuration together.

use std::fs;
use std::process::ExitCode;

use anyhow::Result;

const FLAG: &str = "--ignore-preflight-errors";
const CHECKS: &str = "SystemVerification,Mem,NumCPU,Swap";

pub(super) fn front(arguments: &[String]) -> Result<ExitCode> {
    super::become_real("kubeadm", &with_leniency(arguments, |file| fs::read_to_string(file).unwrap_or_default()))
}

fn with_leniency(arguments: &[String], read: impl Fn(&str) -> String) -> Vec<String> {
    let mut arguments = arguments.to_vec();
    let whole = matches!(arguments.first().map(String::as_str), Some("init" | "join"))
        && arguments.get(1).is_none_or(|word| word != "phase");
    let asked = arguments.iter().any(|word| word.starts_with(FLAG));
    if whole && !asked && !config_file(&arguments).is_some_and(|file| ignores_all(&read(file))) {
        arguments.push(format!("{FLAG}={CHECKS}"));
    }
    arguments
}

fn config_file(arguments: &[String]) -> Option<&str> {
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word == "--config" {
            return words.next().map(String::as_str);
        }
        if let Some(file) = word.strip_prefix("--config=") {
            return Some(file);
        }
    }
    None
}

/// Whether kubeadm's configuration itself ignores `all`; as an item of a block list or of a flow list.
fn ignores_all(text: &str) -> bool {
    let is_all = |item: &str| item.trim().trim_matches(['"', '\'']).eq_ignore_ascii_case("all");
    let Some((_, after)) = text.split_once("ignorePreflightErrors:") else { return false };
    match after.trim_start_matches(' ').strip_prefix('[') {
        Some(flow) => flow.split(']').next().is_some_and(|items| items.split(',').any(is_all)),
        None => after.lines().skip(1).map_while(|line| line.trim().strip_prefix("- ")).any(is_all),
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn lenient(line: &str, config: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        with_leniency(&words, |_| config.to_owned()).join(" ")
    }

    #[test]
    fn only_whole_runs_are_made_lenient_and_only_once() {
        assert_eq!(lenient("init --config k", ""), format!("init --config k {FLAG}={CHECKS}"));
        assert_eq!(lenient("init phase certs all", ""), "init phase certs all");
        assert_eq!(lenient("join --ignore-preflight-errors=Swap", ""), "join --ignore-preflight-errors=Swap");
        assert_eq!(lenient("version", ""), "version");
    }

    #[test]
    fn a_configuration_that_ignores_all_is_enough() {
        for config in ["  ignorePreflightErrors: [all]\n", "  ignorePreflightErrors:\n  - Swap\n  - all\n  name: x\n"] {
            assert_eq!(lenient("join --config=k", config), "join --config=k");
        }
        let some = "  ignorePreflightErrors:\n  - Swap\n  taints:\n  - all\n";
        assert!(lenient("join --config=k", some).contains(CHECKS));
    }
}

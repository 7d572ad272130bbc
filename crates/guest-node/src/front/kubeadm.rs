//! In front of kubeadm: what its checks would find wrong with a small machine is known.

use std::process::ExitCode;

use anyhow::Result;

const IGNORE: &str = "--ignore-preflight-errors";

pub(super) fn front(arguments: &[String]) -> Result<ExitCode> {
    super::become_real("kubeadm", &with_leniency(arguments))
}

fn with_leniency(arguments: &[String]) -> Vec<String> {
    let mut arguments = arguments.to_vec();
    let whole = matches!(arguments.first().map(String::as_str), Some("init" | "join"))
        && arguments.get(1).is_none_or(|word| word != "phase");
    if whole && !arguments.iter().any(|word| word.starts_with(IGNORE)) {
        arguments.push(format!("{IGNORE}=all"));
    }
    arguments
}

#[cfg(test)]
mod test {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn only_whole_runs_are_made_lenient_and_only_once() {
        let lenient = |line: &str| with_leniency(&words(line)).join(" ");
        assert_eq!(lenient("init --config k"), "init --config k --ignore-preflight-errors=all");
        assert_eq!(lenient("init phase certs all"), "init phase certs all");
        assert_eq!(lenient("join --ignore-preflight-errors=Swap"), "join --ignore-preflight-errors=Swap");
        assert_eq!(lenient("version"), "version");
    }
}

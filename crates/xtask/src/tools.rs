//! `cargo xtask tools`: builds what tests and the demo need of Kubernetes; tells on stderr, answers on stdout.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use testkit::{Prometheus, Tool, Tools};

/// What comes out of Debian's packages; one brings all.
const PACKAGED: [&str; 3] = ["promtool", "prometheus", "alertmanager"];

/// Build the Kubernetes tools that tests and the demo need, once, into the cache; print where they are.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these (`etcd`, `kube-apiserver`, `go-proxmox`, …); all of Kubernetes if none is
    /// named. `cilium` stands for all five of Cilium's. `promtool`, `prometheus` and `alertmanager` are unpacked from Debian's packages.
    names: Vec<String>,
    /// Also make this a directory of links to them, CNI plugins in `cni/`.
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let packaged = |name: &String| PACKAGED.contains(&name.as_str());
    let (of_debian, names): (Vec<String>, Vec<String>) = args.names.iter().cloned().partition(packaged);
    if !of_debian.is_empty() {
        let found = Prometheus::ensure(&|says| drop(writeln!(std::io::stderr(), "Debian's packages: {says}")))?;
        let mut out = std::io::stdout().lock();
        for path in [found.promtool(), found.prometheus(), found.alertmanager()] {
            writeln!(out, "{}", path.display()).context("print where the programs are")?;
        }
        if names.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let which = named(&names)?;
    let tools = Tools::ensure(&which, &|progress| {
        // Nobody to tell is no reason to stop building.
        let _ = writeln!(std::io::stderr(), "{progress}");
    })?;
    let mut out = std::io::stdout().lock();
    for (tool, path) in tools.iter() {
        writeln!(out, "{tool} {}", path.display()).context("print where the tools are")?;
    }
    if let Some(dir) = &args.into {
        tools.link_into(dir)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn named(names: &[String]) -> Result<Vec<Tool>> {
    if names.is_empty() {
        return Ok(Tool::ALL.to_vec());
    }
    let steps = || Tool::CSI.into_iter().chain(Tool::MONITORING).chain([Tool::CsiSanity]).chain(Tool::CILIUM);
    let all = || Tool::ALL.into_iter().chain(Tool::PVE_CLIENTS).chain(steps());
    let (cilium, names): (Vec<&String>, Vec<&String>) = names.iter().partition(|name| *name == "cilium");
    let cilium = if cilium.is_empty() { Vec::new() } else { Tool::CILIUM.to_vec() };
    let one_by_one = names.into_iter().map(|name| {
        all().find(|tool| tool.file_name() == name).with_context(|| {
            let known: Vec<&str> = all().map(Tool::file_name).collect();
            format!("build `{name}`: no such tool\nhint: one of {}", known.join(", "))
        })
    });
    one_by_one.chain(cilium.into_iter().map(Ok)).collect()
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_tool_that_does_not_exist_is_answered_with_those_that_do() {
        let error = named(&["kubctl".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("`kubctl`") && error.contains("kubectl"), "{error}");
    }

    #[test]
    fn cilium_is_one_word_for_all_of_its_own() {
        assert_eq!(named(&["cilium".to_owned()]).unwrap(), Tool::CILIUM);
    }

    #[test]
    fn no_name_means_all() {
        assert_eq!(named(&[]).unwrap().len(), Tool::ALL.len());
    }
}

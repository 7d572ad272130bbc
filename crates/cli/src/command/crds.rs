//! `oxmox crds`: the definitions of the custom resources.

use std::io::Write as _;
use std::process::ExitCode;

/// Prints them, a YAML document each.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for definition in api::definitions() {
        writeln!(out, "---\n{}", api::definition_yaml(&definition)?.trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

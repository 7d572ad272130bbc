//! `oxmox crds`: the definitions of the custom resources.

use std::process::ExitCode;

use anyhow::Context as _;

use super::say;

/// Prints them, a YAML document each.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let mut text = String::new();
    for definition in api::definitions() {
        text.push_str("---\n");
        text.push_str(api::definition_yaml(&definition)?.trim_end());
        text.push('\n');
    }
    say(&text).context("print the definitions")?;
    Ok(ExitCode::SUCCESS)
}

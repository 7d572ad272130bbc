//! `pve-sim script`: the fault scripts that are part of the binary.

use anyhow::Context as _;
use pve_sim::scripts;
use serde_json::Value;

use super::say;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print this one; without a name, list them
    name: Option<String>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(name) = &args.name {
        let known =
            || format!("print the script `{name}`: there are {}", scripts::names().collect::<Vec<_>>().join(", "));
        return say(scripts::text(name).with_context(known)?);
    }
    for name in scripts::names() {
        let script: Value = serde_json::from_str(scripts::text(name).unwrap_or_default())?;
        say(&format!("{name:18} {}\n", script["about"].as_str().unwrap_or_default()))?;
    }
    Ok(())
}

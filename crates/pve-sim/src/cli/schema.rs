//! `pve-sim schema`: which methods are real, which are checked and then answer 501.

use serde_json::{Value, json};

use super::{Output, say};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How to print them
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let methods = pve_sim::methods();
    if args.output == Output::Json {
        let row = |(method, real): &(String, bool)| {
            let (verb, path) = method.split_once(' ').unwrap_or_default();
            json!({"method": verb, "path": path, "real": real})
        };
        return say(&format!("{}\n", methods.iter().map(row).collect::<Value>()));
    }
    let line = |(method, real): &(String, bool)| format!("{} {method}\n", if *real { "real" } else { "501 " });
    say(&methods.iter().map(line).collect::<String>())
}

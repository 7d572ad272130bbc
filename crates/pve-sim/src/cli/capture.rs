//! `pve-sim capture`: a dump of a Proxmox VE that lives somewhere, by reading alone.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use pve_sim::capture::{self, Names, Readings};
use serde_json::Value;

use super::https::{Https, Trust};
use super::say;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// URL of the Proxmox VE, https://HOST:8006
    #[arg(long, env = "PVE_URL")]
    url: String,
    /// A token that may read, USER@REALM!TOKEN=SECRET; role PVEAuditor on / is enough
    #[arg(long, env = "PVE_TOKEN", hide_env_values = true)]
    token: String,
    /// The authority to trust, PEM
    #[arg(long, value_name = "FILE", required_unless_present = "fingerprint")]
    ca: Option<PathBuf>,
    /// Or SHA-256 of its certificate, AA:BB:...
    #[arg(long, conflicts_with = "ca")]
    fingerprint: Option<String>,
    /// Replace names of guests, nodes, pools and people, tags, addresses and descriptions
    #[arg(long)]
    anonymous: bool,
    /// Where chance starts for the secrets that are made anew
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write it here instead of stdout
    #[arg(short, long, value_name = "FILE")]
    to: Option<PathBuf>,
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let trust = match (&args.ca, args.fingerprint) {
        (Some(file), _) => Trust::Authority(std::fs::read(file).with_context(|| format!("read `{}`", file.display()))?),
        (None, Some(fingerprint)) => Trust::Fingerprint(fingerprint),
        (None, None) => bail!("whom to trust is not said\nhint: --ca or --fingerprint"),
    };
    let mut https = Https::new(&args.url, args.token, trust)?;
    let mut readings = Readings::new();
    loop {
        let paths = capture::wanted(&readings);
        if paths.is_empty() {
            break;
        }
        for path in paths {
            let first = readings.is_empty();
            let answer = match https.get(&path).await {
                Ok(answer) => answer,
                // Without the first nothing else will go well; what else is refused is left out, aloud.
                Err(error) if first => return Err(error),
                Err(error) => {
                    writeln!(std::io::stderr(), "left out: {error:#}").context("tell what is left out")?;
                    Value::Null
                }
            };
            readings.insert(path, answer);
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64());
    let names = if args.anonymous { Names::Anonymous } else { Names::Kept };
    let state = capture::state(&readings, names, args.seed, now)?;
    match &args.to {
        Some(file) => std::fs::write(file, state.to_string()).with_context(|| format!("write `{}`", file.display())),
        None => say(&format!("{state}\n")),
    }
}

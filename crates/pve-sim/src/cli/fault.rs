//! `pve-sim fault`: rules of a simulator that runs.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use http::StatusCode;
use serde_json::{Value, json};

use super::door::Door;
use super::{say, world};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Add a rule, or those of a file; prints their ids
    Add(Box<Add>),
    /// List the rules, with what they have seen and struck
    List {
        #[command(flatten)]
        door: Door,
    },
    /// Remove a rule, or all; calls that it holds end
    Remove {
        #[command(flatten)]
        door: Door,
        /// Its id; all if none is given
        id: Option<u64>,
    },
    /// Wait until a rule has struck; exit status 2 if it does not in time
    Wait {
        #[command(flatten)]
        door: Door,
        /// Its id
        id: u64,
        /// How long
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// How many strikes
        #[arg(long, default_value_t = 1)]
        count: u64,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Add {
    #[command(flatten)]
    door: Door,
    /// A file with a rule or `{"rules": [...]}`, as the control door takes them
    #[arg(conflicts_with = "then", required_unless_present = "then")]
    file: Option<PathBuf>,
    /// GET, POST, PUT or DELETE
    #[arg(long)]
    method: Option<String>,
    /// Path after the format, * for anything
    #[arg(long)]
    path: Option<String>,
    /// The node in the path
    #[arg(long)]
    node: Option<String>,
    /// The guest in the path
    #[arg(long)]
    vmid: Option<u32>,
    /// The storage in the path
    #[arg(long)]
    storage: Option<String>,
    /// Who calls, * for anything
    #[arg(long)]
    user: Option<String>,
    /// Only what is not GET
    #[arg(long)]
    writes: bool,
    /// The first call that it strikes
    #[arg(long, default_value_t = 1)]
    nth: u64,
    /// How many calls it strikes, 0 for all
    #[arg(long, default_value_t = 1)]
    times: u64,
    /// It strikes by chance, from 0 to 1
    #[arg(long)]
    probability: Option<f64>,
    /// What happens: a word (answer_lost) or JSON ({"delay": 500})
    #[arg(long)]
    then: Option<String>,
}

impl Add {
    fn rule(&self) -> anyhow::Result<Value> {
        if let Some(file) = &self.file {
            return world::read(file);
        }
        let then = self.then.as_deref().unwrap_or_default();
        let then: Value = if then.starts_with('{') {
            serde_json::from_str(then).with_context(|| format!("read `--then {then}`"))?
        } else {
            json!(then)
        };
        let mut of = json!({});
        let texts = [
            ("method", &self.method),
            ("path", &self.path),
            ("node", &self.node),
            ("storage", &self.storage),
            ("user", &self.user),
        ];
        for (key, value) in texts.into_iter().filter_map(|(k, v)| v.as_ref().map(|v| (k, v))) {
            of[key] = json!(value);
        }
        if let Some(vmid) = self.vmid {
            of["vmid"] = json!(vmid);
        }
        if self.writes {
            of["writes"] = json!(true);
        }
        let mut rule = json!({"match": of, "nth": self.nth, "times": self.times, "then": then});
        if let Some(probability) = self.probability {
            rule["probability"] = json!(probability);
        }
        Ok(rule)
    }
}

pub(super) async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let answer = match command {
        Command::Add(add) => add.door.call("POST", "/sim/faults", Some(&add.rule()?)).await?,
        Command::List { door } => door.call("GET", "/sim/faults", None).await?,
        Command::Remove { door, id } => {
            let path = id.map_or_else(|| "/sim/faults".to_owned(), |id| format!("/sim/faults/{id}"));
            door.call("DELETE", &path, None).await?
        }
        Command::Wait { door, id, seconds, count } => {
            let path = format!("/sim/faults/{id}/wait?seconds={seconds}&count={count}");
            let (status, answer) = door.ask("GET", &path, None).await?;
            if status == StatusCode::REQUEST_TIMEOUT {
                return Ok(ExitCode::from(2));
            }
            anyhow::ensure!(status.is_success(), "wait for rule `{id}`: {}", answer["error"]);
            answer
        }
    };
    say(&format!("{answer}\n"))?;
    Ok(ExitCode::SUCCESS)
}

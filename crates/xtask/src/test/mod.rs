//! `cargo xtask test`: everything that must hold before a change is taken, part by part.
//!
//! ```text
//! format → generated files → clippy → licences and bans → build → tools → tests → tests in the lab → the demo
//! ```
//!
//! Promises: each part runs whatever became of the one before, as long as it was built; what cannot run here is skipped
//! aloud, never silently; the exit code is 0 only when nothing failed; the last line is `N passed, N failed, N skipped`,
//! where tests count one each and so do the other parts. No compiler runs inside the lab.
//! Assumes: the workspace's root is where it was when this was built.

mod clock;
mod full;
mod run;
mod suite;
mod summary;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::builder::FalseyValueParser;

use self::run::{Row, Runner};

/// Longer than any single part takes on a small machine.
const DEMO_LIMIT: Duration = Duration::from_mins(30);
const FULL_DEMO_LIMIT: Duration = Duration::from_hours(1);
/// Broken worlds that the demo makes; a full run makes all.
const WORLDS: &str = "10";

/// Folders of recordings, and which share of each the simulator answers fully as recorded, in percent at least.
const RECORDED: [(&str, &str); 2] = [("golden", "97"), ("flows", "90")];

/// Lints, all tests, those that need private namespaces among them, and the demo as an end-to-end test.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Sweeps and long series at full length; goes on where an interrupted run of the same commit was.
    #[arg(long, env = "OXMOX_FULL", value_parser = FalseyValueParser::new())]
    full: bool,
    /// Leave the demo out.
    #[arg(long, env = "OXMOX_SKIP_DEMO", value_parser = FalseyValueParser::new())]
    skip_demo: bool,
    /// Seed of all that is random; today's date if none is given.
    #[arg(long, env = "OXMOX_SEED", value_name = "NUMBER")]
    seed: Option<u64>,
    /// Where recorded transcripts of a real Proxmox VE are, in `golden` and `flows`.
    #[arg(long, env = "OXMOX_GOLDEN", value_name = "DIR", default_value = "../shared/data")]
    golden: PathBuf,
    /// Only parts whose name contains this; may be given more than once.
    #[arg(long, value_name = "WORD")]
    only: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .context("find the workspace, which has moved since xtask was built")?;
    let seed = args.seed.unwrap_or_else(clock::day);
    let mut runner = Runner::new(root, seed, args)?;
    runner.say(&format!("seed {seed} (OXMOX_SEED={seed} repeats this run)"));
    // What an earlier run left that was killed.
    testkit::leash::clean(&testkit::leash::Scope::Orphans)?;
    parts(&mut runner, args);
    testkit::leash::clean(&testkit::leash::Scope::Orphans)?;
    if args.full {
        full::write_page(&runner)?;
    }
    runner.say(&summary::table(runner.rows(), runner.elapsed()));
    let total = summary::total(runner.rows());
    runner.say(&total.to_string());
    runner.keep(&total)?;
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn parts(runner: &mut Runner, args: &Args) {
    runner.command("format", &cargo(&["fmt", "--all", "--", "--check", "-l"]));
    let xtask = runner.binary("xtask");
    runner.command("generated files", &words(&xtask, &["gen", "--check"]));
    let lints = "clippy --workspace --all-targets --features cli/demo --keep-going -- -D warnings";
    let lints: Vec<&str> = lints.split(' ').collect();
    runner.command("clippy", &cargo(&lints));
    deny(runner);
    let suite = runner.part("build", suite::build);
    let tools = runner.command("tools", &words(&xtask, &["tools"]));
    // Else the storage driver's tests would skip it.
    runner.command("csi-sanity", &words(&xtask, &["tools", "csi-sanity"]));
    let Some(suite) = suite else {
        runner.skip("tests", "they were not built");
        runner.skip("demo", "it was not built");
        return;
    };
    for test in suite.iter().filter(|test| !test.needs_lab()) {
        runner.row(&test.name(), |runner| test.run(runner, suite::Place::Here));
    }
    let place = if runner.is_root() { suite::Place::Lab } else { suite::Place::Here };
    for test in suite.iter().filter(|test| test.needs_lab()) {
        runner.row(&test.name(), |runner| test.run(runner, place));
    }
    recorded(runner, args);
    demo(runner, args, tools, Cni::KubeRouter);
    if args.full {
        // Cold it takes ten minutes on two processors, which is too long for every change.
        let tools = runner.command("tools cilium", &words(&xtask, &["tools", "cilium"]));
        demo(runner, args, tools, Cni::Cilium);
    }
}

/// Which policy engine the demo has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cni {
    KubeRouter,
    Cilium,
}

/// The simulator beside a real Proxmox VE, where there are recordings of one.
fn recorded(runner: &mut Runner, args: &Args) {
    for (folder, least) in RECORDED {
        let name = format!("recorded {folder}");
        let dir = runner.root().join(&args.golden).join(folder);
        if !dir.is_dir() {
            runner.skip(&name, &format!("`{}` is not there; OXMOX_GOLDEN names another place", dir.display()));
            continue;
        }
        let mut command = words(&runner.binary("xtask"), &["golden", "--min", least]);
        command.push(dir);
        runner.command(&name, &command);
    }
}

fn deny(runner: &mut Runner) {
    let name = "licences and bans";
    if Command::new("cargo-deny").arg("--version").output().is_ok_and(|output| output.status.success()) {
        runner.command(name, &cargo(&["deny", "--offline", "check", "bans", "licenses", "sources"]));
    } else {
        runner.skip(name, "cargo-deny is not installed; `cargo install --locked cargo-deny` does it");
    }
}

fn demo(runner: &mut Runner, args: &Args, tools: bool, cni: Cni) {
    let (name, more): (&str, &[&str]) = match cni {
        Cni::KubeRouter => ("demo", &[]),
        Cni::Cilium => ("demo with cilium", &["--cni", "cilium", "--dir", "target/demo-cilium"]),
    };
    if args.skip_demo {
        runner.skip(name, "OXMOX_SKIP_DEMO is set");
    } else if !tools {
        runner.skip(name, "its tools could not be built");
    } else if !runner.is_root() {
        runner.skip(name, "real nodes need root; `make demo` runs that part through sudo");
    } else {
        // which worlds a sample has, OXMOX_SEED decides; Cilium's demo breaks none
        let (broken, limit) = match (args.full, cni) {
            (_, Cni::Cilium) => ("0", DEMO_LIMIT),
            (true, Cni::KubeRouter) => ("all", FULL_DEMO_LIMIT),
            (false, Cni::KubeRouter) => (WORLDS, DEMO_LIMIT),
        };
        let command = words(&runner.binary("oxmox"), &[&["demo", "--broken", broken], more].concat());
        runner.row(name, |runner| Ok(Row::of_command(runner.run(&command, Some(limit))?)));
    }
}

fn cargo(args: &[&str]) -> Vec<PathBuf> {
    words(Path::new("cargo"), args)
}

fn words(program: &Path, args: &[&str]) -> Vec<PathBuf> {
    std::iter::once(program.to_owned()).chain(args.iter().map(PathBuf::from)).collect()
}

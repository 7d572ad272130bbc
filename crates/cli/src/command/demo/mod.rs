//! `oxmox demo`: all of it on a simulated Proxmox VE, with real Kubernetes and real nodes.
//!
//! ```text
//!   prepare (no root)      tools and node image, cached
//!      │
//!   leash (root)           private namespaces with no way out; one SIGKILL ends everything in them
//!      │
//!   story                  simulator, guests, management cluster, quickstart, scaling, repair, verify, clean end
//! ```

mod cilium;
mod cloud;
mod driver;
mod logs;
mod lost;
mod monitoring;
mod outside;
mod plot;
mod policies;
mod prepare;
mod proxmox;
mod resizer;
mod say;
mod set;
mod stages;
mod story;
mod volumes;
mod workload;
mod worlds;

use std::ffi::OsString;
use std::path::{self, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use testkit::leash::{self, Scope};

/// Show everything on a simulated Proxmox VE, with real Kubernetes. Needs root for the part with real nodes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    oxmox demo               the whole story, to its clean end\n  \
    oxmox demo --keep        stop before the end and leave everything running\n  \
    oxmox demo --step 3      up to step 3 (VM management), and leave everything running\n  \
    oxmox demo --cni cilium  with Cilium instead of the nodes' bridge and kube-router; its first build takes minutes\n  \
    oxmox demo --step 3 --broken all    each fault of these steps is made, seen, explained and healed\n  \
    oxmox demo shell         a shell in there, with kubectl and KUBECONFIG set\n  \
    oxmox demo clean         end what is left running, remove what it left")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Run,
}

#[derive(Debug, Clone, clap::Args)]
struct Run {
    /// Stop before the cluster is deleted; leave everything running.
    #[arg(long)]
    keep: bool,
    /// Go up to this step, verify the steps so far, and leave everything running: 1 Proxmox API, 2 network and storage,
    /// 3 VM management, 4 workers, 5 volumes, 6 network policies, 7 monitoring, 8 end to end.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=8))]
    step: Option<u8>,
    /// Who brings the pods' network and enforces policies: kube-router beside a bridge of each node, or Cilium.
    #[arg(long, value_enum, default_value_t, value_name = "ENGINE")]
    cni: Cni,
    /// Where logs, reports and the nodes' files go.
    #[arg(long, default_value = "target/demo", value_name = "DIRECTORY")]
    dir: PathBuf,
    /// Then break so many worlds on the living demo, `all` that there are for its steps, or those whose ids begin so (`csi`):
    /// each fault has to be seen and explained by exactly the right checks of `oxmox verify`, and is healed.
    #[arg(long, value_name = "COUNT|all|ID", default_value = "0")]
    broken: worlds::Count,
    /// Chooses which worlds are broken; the same seed chooses the same.
    #[arg(long, env = "OXMOX_SEED", value_name = "N", default_value = "1")]
    seed: u64,
}

/// Who brings the pods' network and enforces policies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Cni {
    /// kube-router enforces, beside a bridge that each node has.
    #[default]
    KubeRouter,
    /// Cilium does both.
    Cilium,
}

impl Cni {
    /// As `--cni` takes it.
    const fn as_str(self) -> &'static str {
        match self {
            Self::KubeRouter => "kube-router",
            Self::Cilium => "cilium",
        }
    }
}

impl Run {
    /// Whether everything stays alive when the story rests.
    fn stays(&self) -> bool {
        self.keep || self.step.is_some()
    }

    /// Whether worlds are broken.
    fn breaks(&self) -> bool {
        self.broken != worlds::Count::Some(0)
    }

    /// What its leash is called: a demo in another directory is another demo. The directory need not be there.
    fn leash(&self) -> Result<String> {
        let dir = path::absolute(&self.dir).with_context(|| format!("find `{}`", self.dir.display()))?;
        let real = dir.ancestors().find_map(|there| {
            let rest = dir.strip_prefix(there).ok()?;
            Some(there.canonicalize().ok()?.join(rest).components().collect::<PathBuf>())
        });
        Ok(format!("oxmox-demo in {}", real.unwrap_or(dir).display()))
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the tools and the node image, and nothing else. Needs no root.
    Prepare,
    /// Open a shell in the running demo, with kubectl and KUBECONFIG set; or run a command there.
    Shell {
        /// The command; a shell if none is given.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<OsString>,
    },
    /// End what is left running of a demo, and remove what it left.
    Clean,
    /// The story itself, inside the private namespaces.
    #[command(hide = true)]
    Inside {
        #[arg(long)]
        image: PathBuf,
    },
    /// Stands in for external-resizer.
    #[command(hide = true)]
    Resizer(resizer::Args),
    /// Holds the leash of a demo that is kept.
    #[command(hide = true)]
    Hold {
        #[arg(long)]
        image: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    match args.command {
        None => {
            let image = prepare::prepare(args.run.cni)?;
            leash::block_on(outside::run(&args.run, &image)).map(leash::exit_code)
        }
        Some(Command::Prepare) => prepare::prepare(args.run.cni).map(|_| ExitCode::SUCCESS),
        Some(Command::Inside { image }) => super::block_on(story::tell(args.run, image)),
        Some(Command::Resizer(args)) => super::block_on(resizer::run(args)),
        Some(Command::Hold { image }) => leash::block_on(outside::hold(&args.run, &image)).map(leash::exit_code),
        Some(Command::Shell { command }) => leash::block_on(outside::shell(&args.run, command)).map(leash::exit_code),
        Some(Command::Clean) => {
            for line in leash::clean(&Scope::Named(args.run.leash()?))? {
                say::line(&line);
            }
            if args.run.dir.exists() {
                std::fs::remove_dir_all(&args.run.dir)
                    .with_context(|| format!("remove `{}`", args.run.dir.display()))?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// The hidden first process on the leash.
pub(crate) fn init(args: &InitArgs) -> Result<ExitCode> {
    leash::block_on(leash::init(&args.command)).map(leash::exit_code)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_demos_leash_is_named_after_its_directory_there_or_not_however_it_is_written() {
        let name = |dir: PathBuf| {
            let broken = worlds::Count::Some(0);
            Run { keep: false, step: None, cni: Cni::default(), dir, broken, seed: 1 }.leash().unwrap()
        };
        let here = std::env::current_dir().unwrap();
        let plain = name(here.join("src"));
        assert_eq!(name("src".into()), plain);
        assert_eq!(name("./src/".into()), plain);
        assert_ne!(name("not-there".into()), plain);
        assert_eq!(name("not-there".into()), name(here.join("not-there")));
    }
}

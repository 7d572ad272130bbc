//! `oxmox verify`: the verification steps on a Proxmox VE and a cluster on it.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use verify::render::{self, Colour};
use verify::{Options, Progress, Report, Selection, Sources};

use super::say;
use crate::args::Kubernetes;
use crate::proxmox::{self, Proxmox};

/// What the pods of probes run unless told otherwise.
const PROBE_IMAGE: &str = "docker.io/library/busybox:1.37";

/// Check a Proxmox VE, and a cluster on it. Reads only, and changes nothing but with `--probe`.
///
/// Exit codes: 0 all passed, 1 warnings, or something blocked or unread, 2 something failed, 3 could not run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    oxmox verify --proxmox-url https://pve1:8006 --proxmox-token 'capi@pve!oxmox' --proxmox-secret UUID\n  \
    oxmox verify --proxmox-only                               no Kubernetes; $PROXMOX_URL and so on are set\n  \
    oxmox verify --only api,network-storage.iso-storage       some steps or checks\n  \
    oxmox verify --only policies --probe                      what network policies do, by packets\n  \
    oxmox verify --report reports/ -o json                    files for people and CI, JSON on stdout\n\n\
    Each check has a page in docs/reference/checks.md.")]
pub(crate) struct Args {
    #[command(flatten)]
    kubernetes: Kubernetes,
    #[command(flatten)]
    proxmox: Proxmox,
    /// Check Proxmox VE alone, no Kubernetes.
    #[arg(long, conflicts_with_all = ["cluster", "namespace"])]
    proxmox_only: bool,
    /// Namespace of the cluster.
    #[arg(long, short = 'n', default_value = "default", value_name = "NAMESPACE")]
    namespace: String,
    /// The cluster; without it, the only one in the namespace.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Only these steps or checks (`api`, `vm-management.*`).
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    only: Vec<String>,
    /// Not these steps or checks.
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    skip: Vec<String>,
    /// Let pods of its own prove what network policies do. They live in two namespaces of the workload cluster that are
    /// made for it and removed again; nothing else is written.
    #[arg(long, conflicts_with = "proxmox_only")]
    probe: bool,
    /// The image of those pods: busybox, or anything with its `sh`, `nc` and `httpd`.
    #[arg(long, value_name = "IMAGE", default_value = PROBE_IMAGE, requires = "probe")]
    probe_image: String,
    /// Write report.html, report.json, report.junit.xml and evidence.json into this directory.
    #[arg(long, value_name = "DIRECTORY")]
    report: Option<PathBuf>,
    /// What is printed.
    #[arg(long, short = 'o', default_value = "text", value_parser = ["text", "json"])]
    output: String,
}

/// Checks and prints. What cannot even begin ends with 3: a 2 would say that a check has failed.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    Box::pin(check(args)).await.or_else(|why| {
        // stderr may be closed; then nobody reads this
        let _unheard = writeln!(std::io::stderr(), "error: {}", daemon::chain(why.as_ref()));
        Ok(ExitCode::from(3))
    })
}

const ALONE: &str = "--proxmox-only checks Proxmox VE alone, without a Kubernetes";

#[expect(clippy::disallowed_methods, reason = "the edge: here the time is taken")]
async fn check(args: Args) -> anyhow::Result<ExitCode> {
    let selection = Selection::new(args.only, args.skip).context("--only, --skip")?;
    let credentials = args.proxmox.credentials()?.context(
        "no Proxmox VE is given\nhint: --proxmox-url, --proxmox-token and --proxmox-secret, or $PROXMOX_URL …",
    )?;
    let config = proxmox::config(&credentials)?;
    let trust = (&config.trust).into();
    let urls = config.urls.clone();
    let pve = proxmox::client(config)?;
    if let Some(directory) = &args.report {
        std::fs::create_dir_all(directory).with_context(|| format!("--report: make `{}`", directory.display()))?;
    }
    let kube = if args.proxmox_only {
        None
    } else {
        let client = args.kubernetes.client().await;
        Some(client.map_err(|why| anyhow::anyhow!("{}\nhint: {ALONE}", daemon::chain(why.as_ref())))?)
    };
    let probe = args.probe.then_some(args.probe_image);
    let sources = Sources { urls, trust, pve, kube, namespace: args.namespace, cluster: args.cluster, probe };
    let talks = std::io::stderr().is_terminal();
    let options = Options { sources, selection };
    let run = verify::run(&options, jiff::Timestamp::now(), |progress| {
        if talks && let Progress::Reading { part, n, of } = progress {
            let _unheard = write!(std::io::stderr(), "\r\x1b[Kreading {part} ({n} of {of}) … ");
        }
    })
    .await;
    if talks {
        let _unheard = write!(std::io::stderr(), "\r\x1b[K");
    }
    if let Some(directory) = &args.report {
        write_files(directory, &run)?;
    }
    print(&args.output, &run.report)?;
    if let Some(directory) = &args.report {
        let _unheard = writeln!(std::io::stderr(), "reports: {}", directory.join("report.html").display());
    }
    Ok(ExitCode::from(run.report.exit_code()))
}

fn write_files(directory: &Path, run: &verify::Run) -> anyhow::Result<()> {
    let write = |name: &str, text: String| {
        let path = directory.join(name);
        std::fs::write(&path, text).with_context(|| format!("--report: write `{}`", path.display()))
    };
    write("report.html", render::html(&run.report))?;
    write("report.json", render::json(&run.report))?;
    write("report.junit.xml", render::junit(&run.report))?;
    write("evidence.json", serde_json::to_string_pretty(&run.evidence).context("print the evidence")?)
}

fn print(output: &str, report: &Report) -> anyhow::Result<()> {
    let text = if output == "json" {
        render::json(report)
    } else {
        let colour = daemon::logs::coloured(std::io::stdout().is_terminal());
        render::terminal(report, width(), if colour { Colour::Yes } else { Colour::No })
    };
    say(&format!("{}\n", text.trim_end())).context("print the report")
}

/// Columns of the terminal; a hundred where there is none.
fn width() -> usize {
    100
}

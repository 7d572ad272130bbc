//! `oxmox verify`: the verification steps on a Proxmox VE and a cluster on it.

use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use verify::evidence::StorySeen;
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
    oxmox verify policies --probe                             what network policies do, by packets\n  \
    oxmox verify policies --probe --probe-outside 10.0.0.1:80 with Cilium: rules by CIDR as well\n  \
    oxmox verify csi --probe                                  volumes: one is written, read elsewhere, and deleted\n  \
    oxmox verify all --probe --cluster prod                   everything that may be tried on a living cluster\n  \
    oxmox verify --from reports/evidence.json                 judge again what was read, without any cluster\n  \
    oxmox verify monitoring --prometheus-url http://prometheus:9090    whether metrics tell the truth\n  \
    oxmox verify --report reports/ -o json                    files for people and CI, JSON on stdout\n\n\
    Each check has a page in docs/reference/checks.md.")]
pub(crate) struct Args {
    /// Steps to verify, by number or name: 1 api, 2 network-storage, 3 vm-management, 4 worker, 5 csi, 6 policies,
    /// 7 monitoring, 8 end-to-end; or `all`, which is what none means.
    #[arg(value_name = "STEP", value_parser = step)]
    steps: Vec<Step>,
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
    /// Let pods of its own prove volumes and what network policies do. They live in namespaces of their own in the workload cluster
    /// that are made for it and removed again; the volume is made by the storage driver and deleted; nothing else is written.
    #[arg(long, conflicts_with = "proxmox_only")]
    probe: bool,
    /// The image of those pods: busybox, or anything with its `sh`, `nc`, `httpd`, `dd` and `sha256sum`.
    #[arg(long, value_name = "IMAGE", default_value = PROBE_IMAGE, requires = "probe")]
    probe_image: String,
    /// An address outside of the cluster that speaks HTTP and that pods can reach. Where Cilium runs, its rules by CIDR are
    /// tried with it; without it that one check is left out.
    #[arg(long, value_name = "IP:PORT", requires = "probe")]
    probe_outside: Option<SocketAddr>,
    /// Judge again what was read before: the evidence.json beside a report. Nothing is read.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["probe", "proxmox_only", "cluster"])]
    from: Option<PathBuf>,
    /// The record of a story that `oxmox demo` has played (story.json): what step 8 judges.
    #[arg(long, value_name = "FILE")]
    story: Option<PathBuf>,
    /// A store of metrics to ask: Prometheus, VictoriaMetrics, or whatever answers Prometheus's query API. For step 7.
    #[arg(long, value_name = "URL")]
    prometheus_url: Option<String>,
    /// A VictoriaLogs to ask. For step 7.
    #[arg(long, value_name = "URL")]
    logs_url: Option<String>,
    /// Write report.html, report.json, report.junit.xml and evidence.json into this directory.
    #[arg(long, value_name = "DIRECTORY")]
    report: Option<PathBuf>,
    /// What is printed.
    #[arg(long, short = 'o', default_value = "text", value_parser = ["text", "json"])]
    output: String,
}

/// A step that was named; `None`: all of them.
type Step = Option<&'static str>;

fn step(text: &str) -> Result<Step, String> {
    if text == "all" {
        return Ok(None);
    }
    let found = verify::STEPS.iter().find(|step| step.id.as_str() == text || step.number.to_string() == text);
    let names = || verify::STEPS.map(|step| format!("{} {}", step.number, step.id.as_str())).join(", ");
    found.map(|step| Some(step.id.as_str())).ok_or_else(|| format!("no such step; there are: all, {}", names()))
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

async fn check(args: Args) -> anyhow::Result<ExitCode> {
    let all = args.steps.contains(&None);
    let named = args.steps.iter().flatten().map(|step| (*step).to_owned()).filter(|_| !all);
    let selection = Selection::new(args.only.iter().cloned().chain(named).collect(), args.skip.clone());
    let selection = selection.context("--only, --skip")?;
    if let Some(directory) = &args.report {
        std::fs::create_dir_all(directory).with_context(|| format!("--report: make `{}`", directory.display()))?;
    }
    let story = args.story.as_deref().map(|file| {
        let text = std::fs::read_to_string(file).with_context(|| format!("--story: read `{}`", file.display()))?;
        StorySeen::from_record(&text).with_context(|| format!("--story: `{}` is no story of a demo", file.display()))
    });
    let story = story.transpose()?;
    let run = match &args.from {
        Some(file) => again(file, selection, story)?,
        None => read(&args, selection, story).await?,
    };
    if let Some(directory) = &args.report {
        write_files(directory, &run)?;
    }
    print(&args.output, &run.report)?;
    if let Some(directory) = &args.report {
        let _unheard = writeln!(std::io::stderr(), "reports: {}", directory.join("report.html").display());
    }
    Ok(ExitCode::from(run.report.exit_code()))
}

/// Judges saved evidence.
fn again(file: &Path, selection: Selection, story: Option<StorySeen>) -> anyhow::Result<verify::Run> {
    let text = std::fs::read_to_string(file).with_context(|| format!("--from: read `{}`", file.display()))?;
    let evidence =
        serde_json::from_str(&text).with_context(|| format!("--from: `{}` is no evidence", file.display()))?;
    Ok(verify::again(evidence, selection, story))
}

/// Reads the world and judges it.
#[expect(clippy::disallowed_methods, reason = "the edge: here the time is taken")]
async fn read(args: &Args, selection: Selection, story: Option<StorySeen>) -> anyhow::Result<verify::Run> {
    let credentials = args.proxmox.credentials()?.context(
        "no Proxmox VE is given\nhint: --proxmox-url, --proxmox-token and --proxmox-secret, or $PROXMOX_URL …",
    )?;
    let config = proxmox::config(&credentials)?;
    let trust = (&config.trust).into();
    let urls = config.urls.clone();
    let pve = proxmox::client(config)?;
    let kube = if args.proxmox_only {
        None
    } else {
        let client = args.kubernetes.client().await;
        Some(client.map_err(|why| anyhow::anyhow!("{}\nhint: {ALONE}", daemon::chain(why.as_ref())))?)
    };
    let probe = args.probe.then(|| args.probe_image.clone());
    let (namespace, cluster) = (args.namespace.clone(), args.cluster.clone());
    let (metrics, logs) = (args.prometheus_url.clone(), args.logs_url.clone());
    let sources =
        Sources { urls, trust, pve, kube, namespace, cluster, probe, outside: args.probe_outside, metrics, logs };
    let talks = std::io::stderr().is_terminal();
    let options = Options { sources, selection, story };
    let run = verify::run(&options, jiff::Timestamp::now(), |progress| {
        if talks && let Progress::Reading { part, n, of } = progress {
            let _unheard = write!(std::io::stderr(), "\r\x1b[Kreading {part} ({n} of {of}) … ");
        }
    })
    .await;
    if talks {
        let _unheard = write!(std::io::stderr(), "\r\x1b[K");
    }
    Ok(run)
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

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_step_has_a_number_and_a_name() {
        assert_eq!(step("5"), Ok(Some("csi")));
        assert_eq!(step("policies"), Ok(Some("policies")));
        assert_eq!(step("all"), Ok(None));
        assert!(step("9").unwrap_err().contains("8 end-to-end"));
    }
}

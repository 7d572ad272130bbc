//! `oxmox worker`: this machine as a node of a cluster.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use jiff::Timestamp;
use worker::observe::{self, Place};
use worker::run::Join;
use worker::token::Wish;
use worker::{Bundle, CloudProvider, Report, Taint, drain, join, leave, run as worker_run, token};

use super::say;
use crate::args::Kubernetes;

/// Join this machine to a cluster as a worker, and take it out again.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  \
    oxmox worker bundle --kubeconfig admin.conf --ttl 1h --file w-0.json    where the cluster's administrator is\n  \
    oxmox worker check --bundle w-0.json                                    on the machine: what would stop a join\n  \
    oxmox worker join --bundle w-0.json                                     joins and waits until it is Ready\n  \
    oxmox worker leave                                                      takes away all that the join has made")]
pub(crate) enum Command {
    Check(Check),
    Join(JoinArgs),
    Leave(Leave),
    Bundle(Box<BundleArgs>),
}

#[derive(Debug, clap::Args)]
struct Machine {
    /// The container runtime's socket.
    #[arg(long, default_value = "unix:///run/containerd/containerd.sock", value_name = "unix:///PATH")]
    cri_socket: String,
}

/// Say what would stop a join. Changes nothing.
///
/// Exit codes: 0 all passed, 1 warnings or something unread, 2 something failed, 3 could not run.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    #[command(flatten)]
    machine: Machine,
    /// The join bundle, or `-` for standard input; without it the control plane is not looked at.
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// A check whose failure does not matter here (`host.swap`); may be given several times.
    #[arg(long, value_name = "ID")]
    ignore: Vec<String>,
    /// What is printed.
    #[arg(long, short = 'o', default_value = "text", value_parser = ["text", "json", "yaml"])]
    output: String,
    /// Look at the files below this directory instead of this machine's, and run no programs: for tests.
    #[arg(long, default_value = "/", value_name = "DIRECTORY")]
    host_root: PathBuf,
}

/// Join a cluster by kubeadm, and wait until the Node is Ready.
///
/// Nothing is begun while a check fails. A join that fails takes away what it has made; one that was interrupted is taken
/// up again by the next.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    oxmox worker join --bundle w-0.json\n  \
    oxmox worker join --bundle w-0.json --dry-run                what would be done, and kubeadm's configuration\n  \
    oxmox worker join --bundle w-0.json --ignore host.swap       where the cluster's kubelets take swap")]
pub(crate) struct JoinArgs {
    #[command(flatten)]
    machine: Machine,
    /// The join bundle, or `-` for standard input.
    #[arg(long, value_name = "FILE")]
    bundle: PathBuf,
    /// A check whose failure does not matter here (`host.swap`); may be given several times.
    #[arg(long, value_name = "ID")]
    ignore: Vec<String>,
    /// Seconds that the Node may take to become Ready.
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    timeout: u64,
    /// Print what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Take this machine out of its cluster: everything that came with the join goes, all else stays.
///
/// With --kubeconfig the Node is emptied first and deleted last; without it, both are left to the cluster's administrator.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    oxmox worker leave --dry-run\n  \
    oxmox worker leave                                      the machine alone\n  \
    oxmox worker leave --kubeconfig admin.conf              cordon, evict, leave, delete the Node\n\n\
    Images in the container runtime stay. Without a record of the join (it was joined by other means) CNI configurations\n\
    stay as well, since they may be somebody else's.")]
pub(crate) struct Leave {
    #[command(flatten)]
    machine: Machine,
    /// A kubeconfig of somebody who may evict pods and delete Nodes.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The Node; without it, the one that the join wrote down.
    #[arg(long, value_name = "NAME", requires = "kubeconfig")]
    node: Option<String>,
    /// Evict pods that nothing would make again as well.
    #[arg(long, requires = "kubeconfig")]
    force: bool,
    /// Seconds that emptying the Node may take.
    #[arg(long, default_value_t = 300, value_name = "SECONDS", requires = "kubeconfig")]
    timeout: u64,
    /// Print what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Make a join bundle: a bootstrap token of its own, which expires, and the cluster's authority.
///
/// The bundle is a secret until the token has expired.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    oxmox worker bundle --kubeconfig admin.conf --file w-0.json\n  \
    oxmox worker bundle --node-name pve1 --label disk=ssd --taint 'hypervisor=true:NoSchedule' --ttl 30m\n  \
    oxmox worker bundle | ssh root@pve1 oxmox worker join --bundle -")]
pub(crate) struct BundleArgs {
    #[command(flatten)]
    kubernetes: Kubernetes,
    /// How long the token is good for: `30m`, `1h`, `2d`.
    #[arg(long, default_value = "1h", value_name = "TIME", value_parser = ttl)]
    ttl: jiff::SignedDuration,
    /// The API server as nodes reach it; without it, what the cluster says of itself.
    #[arg(long, value_name = "https://HOST:PORT")]
    server: Option<String>,
    /// The Node's name; without it, the machine's own.
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
    /// A label of the Node; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    label: Vec<(String, String)>,
    /// A taint of the Node; may be given several times.
    #[arg(long, value_name = "KEY[=VALUE]:EFFECT", value_parser = taint)]
    taint: Vec<Taint>,
    /// The Node's provider ID; without it a cloud controller manager writes it.
    #[arg(long, value_name = "ID")]
    provider_id: Option<String>,
    /// `external` where a cloud controller manager describes Nodes: the Node takes no pods before.
    #[arg(long, default_value = "none", value_parser = ["none", "external"], value_name = "WHO")]
    cloud_provider: String,
    /// Write the bundle into this file, readable by its owner only; without it, print it.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

fn ttl(text: &str) -> Result<jiff::SignedDuration, String> {
    let time: jiff::SignedDuration = text.parse().map_err(|_| "a time such as `30m`, `1h`, `2d`".to_owned())?;
    if time < jiff::SignedDuration::from_mins(1) { Err("a minute at the least".to_owned()) } else { Ok(time) }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is wanted")?;
    Ok((key.to_owned(), value.to_owned()))
}

fn taint(text: &str) -> Result<Taint, String> {
    let (what, effect) = text.rsplit_once(':').ok_or("KEY[=VALUE]:EFFECT is wanted")?;
    let (key, value) = what.split_once('=').unwrap_or((what, ""));
    Ok(Taint { key: key.to_owned(), value: value.to_owned(), effect: effect.to_owned() })
}

/// Runs it.
pub(crate) async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        // A 2 would say that a check has failed.
        Command::Check(args) => check(args).await.or_else(|why| {
            told(&format!("error: {}", daemon::chain(why.as_ref())));
            Ok(ExitCode::from(3))
        }),
        Command::Join(args) => join_it(args).await,
        Command::Leave(args) => leave_it(args).await,
        Command::Bundle(args) => bundle(*args).await,
    }
}

fn here(machine: &Machine) -> Place {
    Place { root: PathBuf::from("/"), cri_socket: machine.cri_socket.clone() }
}

#[expect(clippy::disallowed_methods, reason = "the edge: here the time is taken")]
fn now() -> Timestamp {
    Timestamp::now()
}

fn told(text: &str) {
    // stderr may be closed; then nobody reads this
    let _unheard = writeln!(std::io::stderr(), "{text}");
}

fn read_bundle(path: &Path) -> anyhow::Result<Bundle> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("--bundle: read standard input")?;
        text
    } else {
        std::fs::read_to_string(path).with_context(|| format!("--bundle: read `{}`", path.display()))?
    };
    Ok(Bundle::parse(&text)?)
}

async fn check(args: Check) -> anyhow::Result<ExitCode> {
    let bundle = args.bundle.as_deref().map(read_bundle).transpose()?;
    let place = Place { root: args.host_root, cri_socket: args.machine.cri_socket };
    let (_, report) = worker_run::look(&place, bundle.as_ref(), &args.ignore, now).await?;
    say(&printed(&args.output, &report)?).context("print the findings")?;
    if bundle.is_none() && args.output == "text" {
        told("the control plane was not looked at: no --bundle was given");
    }
    Ok(ExitCode::from(report.exit_code()))
}

fn printed(output: &str, report: &Report) -> anyhow::Result<String> {
    Ok(match output {
        "json" => format!("{}\n", serde_json::to_string_pretty(report).context("print the findings as JSON")?),
        "yaml" => serde_saphyr::to_string(report).context("print the findings as YAML")?,
        _ => report.text(),
    })
}

async fn join_it(args: JoinArgs) -> anyhow::Result<ExitCode> {
    let place = here(&args.machine);
    let bundle = read_bundle(&args.bundle)?;
    if args.dry_run {
        return dry_join(&place, &bundle, &args.ignore).await;
    }
    let ready_within = Duration::from_secs(args.timeout);
    let order = Join { place, bundle, ignore: args.ignore, ready_within };
    let node = worker_run::join(&order, now, &mut told).await?;
    say(&format!("Node `{node}` is Ready\n")).context("print the end")?;
    Ok(ExitCode::SUCCESS)
}

async fn dry_join(place: &Place, bundle: &Bundle, ignore: &[String]) -> anyhow::Result<ExitCode> {
    let (host, report) = worker_run::look(place, Some(bundle), ignore, now).await?;
    let (code, more) = match join::next(bundle, &host, &report) {
        join::Next::Done { node } => (0, format!("Node `{node}` is Ready already: nothing to do")),
        join::Next::Wait { message } => (0, format!("would wait for the Node to become Ready: {message}")),
        join::Next::Undo => {
            let steps = leave::next(&observe::traces(place).await).map_err(anyhow::Error::msg)?;
            let steps: Vec<String> = steps.iter().map(|step| format!("  {step}")).collect();
            (0, format!("would take away what an earlier join has left, and then join:\n{}", steps.join("\n")))
        }
        join::Next::Refuse { why } => (2, format!("would refuse:\n{why}")),
        join::Next::Join { node } => {
            let names = join::kubeadm_errors(ignore);
            let mut words = join::configuration(bundle, &node, &place.cri_socket, &names);
            for secret in ["/discovery/bootstrapToken/token", "/discovery/tlsBootstrapToken"] {
                if let Some(value) = words.pointer_mut(secret) {
                    *value = format!("{}.(not shown)", bundle.token_id()).into();
                }
            }
            (0, format!("would run `kubeadm join` with\n{words:#}\nand wait until Node `{node}` is Ready"))
        }
    };
    say(&format!("{}\n{more}\n", report.text())).context("print what would be done")?;
    Ok(ExitCode::from(code))
}

async fn leave_it(args: Leave) -> anyhow::Result<ExitCode> {
    let place = here(&args.machine);
    let seen = observe::traces(&place).await;
    let steps = leave::next(&seen).map_err(|why| anyhow::anyhow!("leave the cluster: {why}"))?;
    let node = args.node.clone().or_else(|| seen.record.known().map(|record| record.node.clone()));
    if args.dry_run {
        let mut lines: Vec<String> = steps.iter().map(|step| format!("would {step}")).collect();
        if lines.is_empty() {
            lines.push("nothing of Kubernetes is left here".to_owned());
        }
        if let (Some(_), Some(node)) = (&args.kubeconfig, &node) {
            lines.insert(0, format!("would cordon and empty Node `{node}`, and delete it at the end"));
        }
        say(&format!("{}\n", lines.join("\n"))).context("print what would be done")?;
        return Ok(ExitCode::SUCCESS);
    }
    let client = match &args.kubeconfig {
        Some(file) => Some(Kubernetes { kubeconfig: Some(file.clone().into()) }.client().await?),
        None => None,
    };
    if let Some(client) = &client {
        let Some(node) = &node else {
            bail!("which Node this machine is was not written down\nhint: --node NAME");
        };
        drain::drain(client, node, args.force, Duration::from_secs(args.timeout), &mut told).await?;
    }
    worker_run::leave(&place, &mut told).await?;
    // Only now: a kubelet that runs would register it again.
    match (&client, &node) {
        (Some(client), Some(node)) => {
            drain::delete_node(client, node).await?;
            told(&format!("Node `{node}` is deleted"));
        }
        (None, Some(node)) => told(&format!("the Node object is still there: `kubectl delete node {node}`")),
        (_, None) => {}
    }
    say("nothing of Kubernetes is left here\n").context("print the end")?;
    Ok(ExitCode::SUCCESS)
}

async fn bundle(args: BundleArgs) -> anyhow::Result<ExitCode> {
    let client = args.kubernetes.client().await?;
    let wish = Wish {
        server: args.server,
        node_name: args.node_name,
        labels: args.label.into_iter().collect::<BTreeMap<_, _>>(),
        taints: args.taint,
        provider_id: args.provider_id,
        cloud_provider: if args.cloud_provider == "external" { CloudProvider::External } else { CloudProvider::None },
    };
    let mut chance = [0; 22];
    let mut source = std::fs::File::open("/dev/urandom").context("open `/dev/urandom`")?;
    source.read_exact(&mut chance).context("read `/dev/urandom`")?;
    let text = token::make(&client, wish, &token::token_from(chance), now() + args.ttl).await?;
    match &args.file {
        None => say(&text).context("print the bundle")?,
        Some(path) => {
            let shown = || format!("--file: write `{}`", path.display());
            let opened = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
            opened.and_then(|mut out| out.write_all(text.as_bytes())).with_context(shown)?;
            told(&format!("written to `{}`: a secret until it expires", path.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn taints_and_times_are_read_as_kubectl_writes_them() {
        let read = taint("hypervisor=true:NoSchedule").unwrap();
        assert_eq!(
            (read.key.as_str(), read.value.as_str(), read.effect.as_str()),
            ("hypervisor", "true", "NoSchedule")
        );
        assert_eq!(taint("a:NoExecute").unwrap().value, "");
        assert!(taint("a").is_err());
        assert_eq!(ttl("30m").unwrap().as_mins(), 30);
        assert!(ttl("10s").is_err() && ttl("soon").is_err());
    }
}

//! One file a command.

pub(crate) mod crds;
#[cfg(feature = "demo")]
pub(crate) mod demo;
pub(crate) mod run_capi;
pub(crate) mod run_ccm;
pub(crate) mod run_csi_controller;
pub(crate) mod run_csi_node;
pub(crate) mod run_exporter;
pub(crate) mod verify;
pub(crate) mod worker;

use std::future::Future;
use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::args::{Args, Command, Run};

/// Runs what the command line says.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let format = args.log_format.parse().context("--log-format")?;
    let log = match &args.command {
        // Before the authority is known nobody is trusted, and nothing secret is sent: no news to who joins a machine.
        Command::Worker(_) if args.log == "info" => "info,kube_client::client::tls=error",
        _ => args.log.as_str(),
    };
    daemon::logs::init(format, log).context("--log")?;
    match args.command {
        Command::Crds => crds::run(),
        Command::Run(Run::Capi(args)) => block_on(run_capi::run(*args)),
        Command::Run(Run::Ccm(args)) => block_on(run_ccm::run(*args)),
        Command::Run(Run::CsiController(args)) => block_on(run_csi_controller::run(*args)),
        Command::Run(Run::CsiNode(args)) => block_on(run_csi_node::run(*args)),
        Command::Run(Run::Exporter(args)) => on_one_thread(run_exporter::run(*args)),
        Command::Verify(args) => block_on(verify::run(*args)),
        Command::Worker(command) => block_on(worker::run(command)),
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::run(args),
        #[cfg(feature = "demo")]
        Command::LabInit(args) => demo::init(&args),
    }
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(work)
}

/// For what mostly waits, and whose memory matters more than its cores: one thread has one heap.
fn on_one_thread<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(work)
}

/// Writes `text` to stdout. Who reads it may stop when he has seen enough (`| head`): that is no failure.
fn say(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(why) if why.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

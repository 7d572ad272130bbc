//! The part outside of the namespaces: puts the story on its leash, keeps it there when it is to stay, opens shells.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use testkit::leash::{self, Leash, Scope};
use tokio::net::{TcpListener, UnixStream};

use super::{Run, say};

/// The story's word that it now rests.
pub(super) const KEPT: &str = "kept.json";
/// The simulator's API, for those outside.
pub(super) const SIM_SOCKET: &str = "sim.sock";
/// The simulator's port outside.
const PORT: u16 = 8006;

fn words(run: &Run, command: &str, image: &Path) -> Result<Vec<OsString>> {
    let mut words: Vec<OsString> = vec![std::env::current_exe()?.into(), "demo".into()];
    if run.keep {
        words.push("--keep".into());
    }
    if let Some(step) = run.step {
        words.extend(["--step".into(), step.to_string().into()]);
    }
    words.extend(["--cni".into(), run.cni.as_str().into()]);
    words.extend(["--broken".into(), run.broken.to_string().into(), "--seed".into(), run.seed.to_string().into()]);
    words.extend(["--dir".into(), run.dir.clone().into(), command.into(), "--image".into(), image.into()]);
    Ok(words)
}

/// Cleans up behind an earlier run, then runs the story.
pub(super) async fn run(run: &Run, image: &Path) -> Result<ExitStatus> {
    for line in leash::clean(&Scope::Named(run.leash()?))? {
        say::line(&line);
    }
    if run.dir.exists() {
        fs::remove_dir_all(&run.dir).with_context(|| format!("remove `{}`", run.dir.display()))?;
    }
    fs::create_dir_all(&run.dir).with_context(|| format!("make `{}`", run.dir.display()))?;
    let run = Run { dir: run.dir.canonicalize()?, ..run.clone() };
    if run.stays() { keep(&run, image).await } else { hold(&run, image).await }
}

/// Holds the leash until the story ends.
pub(super) async fn hold(run: &Run, image: &Path) -> Result<ExitStatus> {
    let leash = Leash::new(&run.leash()?)?;
    let relay = relay(run.dir.join(SIM_SOCKET));
    let words = words(run, "inside", image)?;
    tokio::select! {
        status = leash.run(&words) => status,
        why = relay => Err(why),
    }
}

/// Starts a holder in the background and watches until the story rests, or ends.
async fn keep(run: &Run, image: &Path) -> Result<ExitStatus> {
    let log = run.dir.join("demo.log");
    let out = File::create(&log).with_context(|| format!("make `{}`", log.display()))?;
    let words = words(run, "hold", image)?;
    let mut holder = Command::new("setsid");
    holder.args(&words).stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
    let mut holder = holder.spawn().context("start `setsid` (util-linux)")?;
    let mut log = File::open(&log)?;
    let mut every = tokio::time::interval(Duration::from_millis(200));
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    loop {
        let stop = tokio::select! {
            _ = every.tick() => false,
            _ = &mut interrupted => true,
        };
        copy(&mut log)?;
        if stop {
            for line in leash::clean(&Scope::Named(run.leash()?))? {
                say::line(&line);
            }
            bail!("interrupted; everything has been ended");
        }
        if let Some(status) = holder.try_wait()? {
            copy(&mut log)?;
            return Ok(status);
        }
        if run.dir.join(KEPT).exists() {
            copy(&mut log)?;
            return Ok(ExitStatus::from_raw(0));
        }
    }
}

fn copy(from: &mut File) -> Result<()> {
    let at = from.stream_position()?;
    let mut text = Vec::new();
    from.seek(SeekFrom::Start(at))?;
    from.read_to_end(&mut text)?;
    let mut out = std::io::stdout().lock();
    let _unheard = out.write_all(&text);
    let _unheard = out.flush();
    Ok(())
}

/// Lets those outside reach the simulator: a loopback port, passed on through a socket in the demo's directory.
/// Comes back only when it cannot go on.
async fn relay(socket: PathBuf) -> anyhow::Error {
    let listener = match TcpListener::bind(("127.0.0.1", PORT)).await {
        Ok(listener) => listener,
        Err(why) => {
            say::line(&format!("(no relay to the simulator: port {PORT} on loopback is taken: {why})"));
            return std::future::pending().await;
        }
    };
    loop {
        let (mut outside, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(why) => return anyhow::Error::new(why).context("accept a connection to the simulator"),
        };
        let socket = socket.clone();
        tokio::spawn(async move {
            if let Ok(mut inside) = UnixStream::connect(&socket).await {
                // either side may hang up
                let _ended = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
            }
        });
    }
}

/// A shell, or a command, in the running demo.
pub(super) async fn shell(run: &Run, command: Vec<OsString>) -> Result<ExitStatus> {
    let kept = run.dir.join(KEPT);
    let text = fs::read_to_string(&kept).with_context(|| {
        format!("no demo is kept in `{}`\nhint: start one with `make demo KEEP=1`", run.dir.display())
    })?;
    let kept: serde_json::Value = serde_json::from_str(&text).context("read what the demo left")?;
    let mut words: Vec<OsString> = vec!["env".into()];
    for (name, value) in kept.as_object().into_iter().flatten() {
        words.push(format!("{name}={}", value.as_str().unwrap_or_default()).into());
    }
    if command.is_empty() {
        say::line(
            "kubectl speaks to the workload cluster; for the management cluster: kubectl --kubeconfig $MANAGEMENT",
        );
        words.extend(["bash".into(), "--norc".into()]);
    } else {
        words.extend(command);
    }
    leash::enter(&run.leash()?, &words).await
}

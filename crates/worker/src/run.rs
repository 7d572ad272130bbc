//! Joining and leaving as a whole: observe, plan, act, and again.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::join::{self, Next};
use crate::leave::Step;
use crate::observe::{self, Place};
use crate::{Bundle, Host, Report, act, check, leave};

/// How to join.
#[derive(Debug)]
pub struct Join {
    /// The machine.
    pub place: Place,
    /// What to join with.
    pub bundle: Bundle,
    /// Checks that are told not to matter.
    pub ignore: Vec<String>,
    /// How long the Node may take to become Ready.
    pub ready_within: Duration,
}

/// What did not go well.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was begun.
    #[error("{0}")]
    Refused(String),
    /// kubeadm failed; what it had made is gone again.
    #[error("join as a worker{}", .hint.map(|hint| format!("\nhint: {hint}")).unwrap_or_default())]
    Join {
        /// kubeadm's failure.
        source: act::Error,
        /// The next move, if it is known.
        hint: Option<&'static str>,
    },
    /// What a failed join had made could not be taken away.
    #[error("take away what the failed join has made\nhint: `oxmox worker leave` tries again")]
    Undo(#[source] Box<Error>),
    /// The Node is there and does not become Ready.
    #[error("Node not Ready after {} s: {message}\nhint: it stays joined; often the CNI plugin is missing, or `journalctl -u kubelet` says more. `oxmox worker join` waits again, `oxmox worker leave` goes back", .within.as_secs())]
    NotReady {
        /// What it says.
        message: String,
        /// How long was waited.
        within: Duration,
    },
    /// A step failed.
    #[error("{step}")]
    Step {
        /// Which.
        step: String,
        /// Why.
        source: act::Error,
    },
    /// A step changed nothing.
    #[error("`{0}` was done, and there is as much to do as before")]
    InVain(String),
    /// The way out is barred.
    #[error("leave the cluster: {0}")]
    Kept(String),
}

/// Reads the host and judges it, with what is told not to matter.
pub async fn look(
    place: &Place,
    bundle: Option<&Bundle>,
    ignore: &[String],
    now: impl Fn() -> Timestamp + Send + Sync,
) -> Result<(Host, Report), Error> {
    let host = observe::host(place, bundle, now).await;
    let report = check(&host).ignoring(ignore).map_err(|why| Error::Refused(format!("--ignore: {why}")))?;
    Ok((host, report))
}

/// Joins; the Node's name. `tell` hears what is done.
pub async fn join(
    order: &Join,
    now: impl Fn() -> Timestamp + Send + Sync + Copy,
    tell: &mut (dyn FnMut(&str) + Send),
) -> Result<String, Error> {
    let Join { place, bundle, ignore, ready_within } = order;
    let until = Instant::now() + *ready_within;
    let mut undone = false;
    let mut told = String::new();
    loop {
        let (host, report) = look(place, Some(bundle), ignore, now).await?;
        match join::next(bundle, &host, &report) {
            Next::Done { node } => {
                if let Some(record) = host.record.known() {
                    act::joined(place, record.clone()).map_err(step("write down that this machine has joined"))?;
                }
                return Ok(node);
            }
            Next::Refuse { why } => return Err(Error::Refused(why)),
            Next::Undo if undone => return Err(Error::InVain("take an unfinished join away".to_owned())),
            Next::Undo => {
                tell("an earlier join did not end: taking away what it has made");
                leave(place, tell).await?;
                undone = true;
            }
            Next::Join { node } => {
                let before = observe::traces(place).await;
                let record =
                    act::begin(place, bundle, &node, &before).map_err(step("write down what is here before"))?;
                tell(&format!("joining {} as `{node}`", bundle.server));
                let names = join::kubeadm_errors(ignore);
                let words = join::configuration(bundle, &node, &place.cri_socket, &names);
                if let Err(source) = act::kubeadm_join(&words).await {
                    tell("kubeadm failed: taking away what it has made");
                    leave(place, tell).await.map_err(|why| Error::Undo(Box::new(why)))?;
                    let hint = join::explain(&source.to_string());
                    return Err(Error::Join { source, hint });
                }
                act::joined(place, record).map_err(step("write down that this machine has joined"))?;
            }
            Next::Wait { message } => {
                if Instant::now() >= until {
                    return Err(Error::NotReady { message, within: *ready_within });
                }
                if told != message {
                    tell(&format!("waiting for the Node to become Ready: {message}"));
                    told = message;
                }
                pause(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Leaves: step by step, until nothing is left to do.
pub async fn leave(place: &Place, tell: &mut (dyn FnMut(&str) + Send)) -> Result<(), Error> {
    let mut last: Option<Vec<Step>> = None;
    loop {
        let steps = leave::next(&observe::traces(place).await).map_err(Error::Kept)?;
        let Some(first) = steps.first() else { return Ok(()) };
        if last.as_ref() == Some(&steps) {
            return Err(Error::InVain(first.to_string()));
        }
        tell(&first.to_string());
        act::step(place, first).await.map_err(step(&first.to_string()))?;
        last = Some(steps);
    }
}

fn step(what: &str) -> impl FnOnce(act::Error) -> Error {
    let step = what.to_owned();
    move |source| Error::Step { step, source }
}

#[expect(clippy::disallowed_methods, reason = "the edge: a kubelet does not say when its Node has become Ready")]
pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}

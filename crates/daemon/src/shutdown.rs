//! Stopping when asked.
//!
//! * What it is: a token that is cancelled by SIGTERM or SIGINT.
//! * What it promises: the first signal asks everything to finish its work; the second ends the
//!   process at once, with the exit code a shell gives to a process ended by that signal.
//! * What it assumes: called once, inside a runtime. Whoever holds a lease gives it back after its
//!   controllers ended, not when the token is cancelled.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// A token that the first SIGTERM or SIGINT cancels; the second such signal exits at once.
pub fn on_signal() -> CancellationToken {
    let token = CancellationToken::new();
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(term), Ok(int)) => {
            tokio::spawn(listen(term, int, token.clone()));
        }
        // Without our listener the signals end the process by themselves.
        (Err(why), _) | (_, Err(why)) => warn!(%why, "cannot listen for signals: a stop will be abrupt"),
    }
    token
}

async fn listen(mut term: Signal, mut int: Signal, token: CancellationToken) {
    let first = either(&mut term, &mut int).await;
    info!(signal = first.name(), "stopping; a second signal ends at once");
    token.cancel();
    let second = either(&mut term, &mut int).await;
    warn!(signal = second.name(), "second signal: ending at once");
    std::process::exit(second.exit_code());
}

#[derive(Clone, Copy)]
enum Asked {
    Term,
    Int,
}

impl Asked {
    fn name(self) -> &'static str {
        match self {
            Self::Term => "SIGTERM",
            Self::Int => "SIGINT",
        }
    }

    /// 128 and the signal's number, as shells say it.
    fn exit_code(self) -> i32 {
        match self {
            Self::Term => 128 + 15,
            Self::Int => 128 + 2,
        }
    }
}

async fn either(term: &mut Signal, int: &mut Signal) -> Asked {
    tokio::select! {
        _ = term.recv() => Asked::Term,
        _ = int.recv() => Asked::Int,
    }
}

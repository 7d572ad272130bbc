//! How an owner of a leash waits for its end, and with which code it ends itself.

use std::future::Future;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context as _, Result};

/// Runs `work` on this very thread: children die with the thread that started them.
pub fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(work)
}

/// A command's end as a shell would say it: its code, or 128 and the number of the signal.
pub fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_signal_is_said_as_a_shell_says_it() {
        let said = |raw| format!("{:?}", exit_code(ExitStatus::from_raw(raw)));
        assert_eq!(said(9), format!("{:?}", ExitCode::from(137)));
        assert_eq!(said(3 << 8), format!("{:?}", ExitCode::from(3)));
    }
}

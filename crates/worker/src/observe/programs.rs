//! Versions of programs, as they say themselves.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::process::Command;

use super::Place;
use crate::{Seen, Version};

const LIMIT: Duration = Duration::from_secs(20);

/// Runs a program for its version. Below another root nothing is run: there a file that says it stands in the program's
/// place.
pub(super) async fn version(place: &Place, program: &str, words: &[&str]) -> Seen<Version> {
    if !place.is_here() {
        return match std::fs::read_to_string(place.path(&format!("/usr/bin/{program}"))) {
            Ok(text) => text.parse::<Version>().into(),
            Err(why) if why.kind() == ErrorKind::NotFound => Seen::Absent,
            Err(why) => Seen::Unread(why.to_string()),
        };
    }
    let output = Command::new(program).args(words).stdin(std::process::Stdio::null()).kill_on_drop(true).output();
    match tokio::time::timeout(LIMIT, output).await {
        Err(_) => Seen::Unread(format!("`{program}` does not tell its version in {} s", LIMIT.as_secs())),
        Ok(Err(why)) if why.kind() == ErrorKind::NotFound => Seen::Absent,
        Ok(Err(why)) => Seen::Unread(format!("run `{program}`: {why}")),
        Ok(Ok(output)) if output.status.success() => String::from_utf8_lossy(&output.stdout).parse::<Version>().into(),
        Ok(Ok(output)) => Seen::Unread(format!("`{program}` ended with {}", output.status)),
    }
}

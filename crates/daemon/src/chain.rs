//! An error and its causes in one line.
//!
//! * What it is: `outer: cause: cause`, for the place where an error leaves the process.
//! * What it promises: no text twice, even where a library prints its cause inside its own message
//!   (as `kube::Error` does); a refusal by the Kubernetes API is its message, not a debug dump.
//! * What it assumes: our own errors keep their cause in `source()` and out of their message.

use std::error::Error;

/// The error and its causes, `outer: cause: cause`.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = own_words(error);
    let mut next = error.source();
    while let Some(cause) = next {
        let words = own_words(cause);
        if !says(&line, &words) {
            match words.strip_prefix(line.as_str()) {
                // The cause repeats all that was said and goes on: say the longer one.
                Some(rest) if !starts_word(rest) => line = words,
                Some(_) | None => {
                    line.push_str(": ");
                    line.push_str(&words);
                }
            }
        }
        next = cause.source();
    }
    line
}

fn own_words(error: &(dyn Error + 'static)) -> String {
    if let Some(kube::Error::Api(status)) = error.downcast_ref::<kube::Error>() {
        return status_words(status);
    }
    if let Some(status) = error.downcast_ref::<kube::core::Status>() {
        return status_words(status);
    }
    error.to_string()
}

fn status_words(status: &kube::core::Status) -> String {
    match (status.message.as_str(), status.reason.as_str()) {
        ("", "") => format!("the Kubernetes API answered {}", status.code),
        ("", reason) => format!("the Kubernetes API answered {} {reason}", status.code),
        (message, "") => format!("{message} ({})", status.code),
        (message, reason) => format!("{message} ({} {reason})", status.code),
    }
}

/// Whether `line` already has `words` in it, as whole words.
fn says(line: &str, words: &str) -> bool {
    if words.is_empty() {
        return true;
    }
    line.match_indices(words).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(char::is_alphanumeric) && !starts_word(&line[at + words.len()..])
    })
}

fn starts_word(rest: &str) -> bool {
    rest.chars().next().is_some_and(char::is_alphanumeric)
}

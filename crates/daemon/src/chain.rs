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
    let mut next = source(error);
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
        next = source(cause);
    }
    line
}

/// A refusal by Kubernetes is a leaf: its source is the same status in other words.
fn source<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(_)) => None,
        Some(_) | None => error.source(),
    }
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

#[cfg(test)]
mod test {
    use kube::core::Status;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{words}")]
    struct Told {
        words: &'static str,
        #[source]
        cause: Option<Box<dyn Error + Send + Sync>>,
    }

    fn told(words: &'static str, cause: impl Into<Option<Told>>) -> Told {
        Told { words, cause: cause.into().map(Into::into) }
    }

    #[test]
    fn each_cause_follows_its_effect() {
        let error = told("create machine", told("clone template `9000`", told("connection refused", None)));
        assert_eq!(chain(&error), "create machine: clone template `9000`: connection refused");
    }

    #[test]
    fn a_cause_inside_the_message_is_not_said_again_but_its_own_cause_is() {
        let error = told("send: connect failed", told("connect failed", told("connection refused", None)));
        assert_eq!(chain(&error), "send: connect failed: connection refused");
    }

    #[test]
    fn a_cause_that_repeats_its_effect_and_goes_on_is_said_once() {
        let error = told("connect failed", told("connect failed: no route", None));
        assert_eq!(chain(&error), "connect failed: no route");
    }

    #[test]
    fn a_part_of_a_word_is_no_repetition() {
        let error = told("cannot be notified", told("not", None));
        assert_eq!(chain(&error), "cannot be notified: not");
    }

    #[test]
    fn a_refusal_by_kubernetes_is_its_message_without_the_debug_dump() {
        let status = Status::failure("leases \"l\" is forbidden", "Forbidden").with_code(403);
        let error = kube::Error::Api(status.boxed());
        assert_eq!(chain(&error), "leases \"l\" is forbidden (403 Forbidden)");
    }

    #[test]
    fn what_kube_prints_of_its_cause_is_printed_once() {
        let cause = told("client error (Connect)", told("tcp connect error: connection refused", None));
        let error = kube::Error::Service(Box::new(cause));
        assert_eq!(chain(&error), "ServiceError: client error (Connect): tcp connect error: connection refused");
    }
}

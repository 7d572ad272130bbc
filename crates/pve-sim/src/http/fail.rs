//! How a call fails: status, message and complaints about parameters.

use std::fmt::Write as _;

use crate::schema::Errors;

/// A failure as Proxmox VE answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fail {
    pub(crate) status: u16,
    pub(crate) message: String,
    pub(crate) errors: Errors,
    /// Answered without an envelope: before the formatter was chosen, or by a dying connection.
    pub(crate) bare: bool,
}

impl Fail {
    /// Something went wrong in the handler: the usual failure of Proxmox VE.
    pub(crate) fn die(message: impl Into<String>) -> Self {
        Self::with(500, message)
    }

    pub(crate) fn with(status: u16, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if !message.ends_with('\n') {
            message.push('\n');
        }
        Self { status, message, errors: Errors::new(), bare: false }
    }

    /// A text that has no line end in the body either.
    pub(crate) fn exact(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), errors: Errors::new(), bare: false }
    }

    /// Text as plain body without a content type; an empty `body` is no body at all.
    pub(crate) fn bare(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), errors: Errors::new(), bare: true }
    }

    pub(crate) fn forbidden(detail: &str) -> Self {
        if detail.is_empty() {
            return Self::with(403, "Permission check failed");
        }
        Self::with(403, format!("Permission check failed ({detail})"))
    }

    pub(crate) fn params(errors: Errors) -> Self {
        Self { errors, ..Self::with(400, "Parameter verification failed.") }
    }

    pub(crate) fn param(name: &str, text: impl Into<String>) -> Self {
        Self::params(Errors::from([(name.to_owned(), text.into())]))
    }

    /// The message on one line, as a task ends with it.
    pub(crate) fn line(&self) -> String {
        let mut out = self.message.trim_end().replace('\n', " ");
        if self.status == 403 || (self.status == 400 && !self.errors.is_empty()) {
            out = format!("{} {out}", self.status);
        }
        for (name, text) in &self.errors {
            let _ = write!(out, " {name}: {}", text.trim_end());
        }
        out
    }
}

//! What is written down of a call when it has been answered.

use std::sync::Arc;

use serde_json::Value;

use super::envelope::Beside;
use super::fail::Fail;
use crate::record::{Answered, Witness};
use crate::schema::Method;
use crate::shared::Shared;

/// A call, as it will be written down.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) shared: Arc<Shared>,
    pub(super) verb: String,
    pub(super) method: Option<&'static Method>,
    pub(super) path: String,
    pub(super) user: String,
    pub(super) client: String,
    pub(super) witness: Witness,
}

impl Note {
    /// It was answered so; 0 for not at all.
    pub(super) fn write(&self, status: u16, upid: Option<&str>) {
        let Self { shared, verb, method, path, user, client, witness } = self;
        let now = shared.now();
        shared.record().add(&Answered { verb, method: *method, path, user, client, status, now, upid, witness });
    }

    /// It came to this end.
    pub(super) fn end(&self, result: &Result<(Value, Beside), Fail>) {
        let (status, upid) = said(result);
        self.write(status, upid);
    }
}

/// The status, and the UPID if a task was started.
pub(super) fn said(result: &Result<(Value, Beside), Fail>) -> (u16, Option<&str>) {
    match result {
        Ok((Value::String(text), _)) if text.starts_with("UPID:") => (200, Some(text.as_str())),
        Ok(_) => (200, None),
        Err(fail) => (fail.status, None),
    }
}

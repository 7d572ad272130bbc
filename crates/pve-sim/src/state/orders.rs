//! What a fault ordered for one call, and for the task that it starts.

use serde::{Deserialize, Serialize};

/// Orders; none by default. While a handler or the step of a task runs they are in [`super::World::orders`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Orders {
    /// The task that is started fails with this text.
    pub(crate) task_fails: Option<String>,
    /// Plugging something into a running guest fails with this text.
    pub(crate) plug_fails: Option<String>,
    /// A running guest doesn't let go of what is unplugged.
    pub(crate) unplug_refused: bool,
}

impl Orders {
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

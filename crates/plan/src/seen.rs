//! What we know of one thing in the world.

use std::time::Duration;

/// What we know of one thing in the world. "Could not look" is never "is not there".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen<T> {
    /// Looked, and there it is.
    Known(T),
    /// Looked, and it is not there.
    Absent,
    /// Could not look; the text says why.
    Unread(String),
    /// Did not look yet.
    Unasked,
}

impl<T> Seen<T> {
    /// The thing, where it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(thing) => Some(thing),
            Self::Absent | Self::Unread(_) | Self::Unasked => None,
        }
    }
}

/// When to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// When something changes: an object, the inventory, a task.
    OnChange,
    /// At once: a step was ordered, its effect is to be seen.
    Now,
    /// After this long, or on a change before that.
    After(Duration),
}

/// How much a note matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// All is well or under way.
    Info,
    /// Somebody has to do something, or wait longer than usual.
    Warning,
}

//! What was looked for.

/// A fact, or what became of looking for it. Unknown is not absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Seen<T> {
    /// It is so.
    Known(T),
    /// It was looked for, and is not there.
    Absent,
    /// It could not be looked at, and why.
    Unread(String),
    /// Nobody asked.
    #[default]
    Unasked,
}

impl<T> Seen<T> {
    /// The fact, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Unread(_) | Self::Unasked => None,
        }
    }
}

impl<T, E: std::fmt::Display> From<Result<T, E>> for Seen<T> {
    fn from(read: Result<T, E>) -> Self {
        read.map_or_else(|why| Self::Unread(why.to_string()), Self::Known)
    }
}

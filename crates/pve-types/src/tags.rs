//! A guest's tags: a set, lower-case, `;` between them.
//!
//! Reading takes whatever Proxmox shows; adding checks what Proxmox would accept.

use std::collections::{BTreeSet, btree_set};
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use crate::Invalid;
use crate::invalid::serde_as_text;

/// A guest's tags. Proxmox sorts and lower-cases them, so they compare as sets.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tags(BTreeSet<String>);

impl Tags {
    /// No tags.
    pub const fn new() -> Self {
        Self(BTreeSet::new())
    }

    /// Reads tags parted by `;`, `,` or space. Nothing is refused: these are another's words.
    pub fn parse(text: &str) -> Self {
        Self(
            text.split(|c: char| matches!(c, ';' | ',' | '\0') || c.is_whitespace())
                .filter(|tag| !tag.is_empty())
                .map(str::to_ascii_lowercase)
                .collect(),
        )
    }

    /// Adds a tag, lower-cased; says whether it is new.
    pub fn insert(&mut self, tag: &str) -> Result<bool, Invalid> {
        let lower = tag.to_ascii_lowercase();
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if lower.starts_with(word) && lower.chars().all(|c| word(c) || "-+.".contains(c)) {
            Ok(self.0.insert(lower))
        } else {
            Err(Invalid::new("a tag", tag, "letters, digits and `_`, and after the first also `-`, `+`, `.`"))
        }
    }

    /// Takes a tag away; says whether it was there.
    pub fn remove(&mut self, tag: &str) -> bool {
        self.0.remove(&tag.to_ascii_lowercase())
    }

    /// Whether the tag is there, in any case.
    pub fn contains(&self, tag: &str) -> bool {
        self.0.contains(&tag.to_ascii_lowercase())
    }

    /// The tags in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for Tags {
    type Item = String;
    type IntoIter = btree_set::IntoIter<String>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromStr for Tags {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::parse(text))
    }
}

impl fmt::Display for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, tag) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(";")?;
            }
            f.write_str(tag)?;
        }
        Ok(())
    }
}

serde_as_text!(Tags);

//! Proxmox's option texts: `first,key=value,key=value`.

use std::fmt;
use std::str::FromStr;

use crate::Invalid;
use crate::invalid::serde_as_text;

/// An option text taken apart: a leading value without a key (the "default key"), then pairs in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PropertyString {
    head: Option<String>,
    pairs: Vec<(String, String)>,
}

const WHAT: &str = "an option text";

impl PropertyString {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { head: None, pairs: Vec::new() }
    }

    /// The value that stands without a key.
    pub fn head(&self) -> Option<&str> {
        self.head.as_deref()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// The value of a key that may also stand without its key: `enabled` in `1,type=virtio`.
    pub fn head_or(&self, key: &str) -> Option<&str> {
        self.head().or_else(|| self.get(key))
    }

    /// All pairs in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// Takes it apart for good: the head and the pairs.
    pub fn into_parts(self) -> (Option<String>, Vec<(String, String)>) {
        (self.head, self.pairs)
    }
}

impl FromStr for PropertyString {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = |why| Invalid::new(WHAT, text, why);
        let mut out = Self::new();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            match part.split_once('=') {
                Some(("", _)) => return Err(bad("a value has an empty key")),
                Some((key, value)) => {
                    if out.get(key).is_some() {
                        return Err(bad("a key stands twice"));
                    }
                    out.pairs.push((key.to_owned(), value.to_owned()));
                }
                None if out.head.is_some() => return Err(bad("two values have no key")),
                None => out.head = Some(part.to_owned()),
            }
        }
        Ok(out)
    }
}

impl fmt::Display for PropertyString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        if let Some(head) = &self.head {
            f.write_str(head)?;
            comma = ",";
        }
        for (key, value) in &self.pairs {
            write!(f, "{comma}{key}={value}")?;
            comma = ",";
        }
        Ok(())
    }
}

serde_as_text!(PropertyString);

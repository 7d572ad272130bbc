//! Names that Proxmox checks: of nodes, storages and pools.
//!
//! A value of these types can stand in a URL path or an option text without escaping, save the `/` of
//! a nested pool.

use std::fmt;
use std::str::FromStr;

use crate::Invalid;
use crate::invalid::serde_as_text;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:expr, $why:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(Invalid::new($what, text, $why))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                text.parse()
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Invalid;

            fn try_from(text: &str) -> Result<Self, Invalid> {
                text.parse()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        serde_as_text!($name);
    };
}

name!(
    /// A Proxmox node (one host) by its name.
    NodeName,
    "a node name",
    is_node,
    "letters, digits and inner dashes only"
);
name!(
    /// A storage as the datacentre configuration calls it.
    StorageId,
    "a storage name",
    is_storage,
    "at least two characters: a letter, then letters, digits, `-`, `_`, `.`, ending in a letter or digit"
);
name!(
    /// A resource pool, nested ones with `/`.
    PoolId,
    "a pool name",
    is_pool,
    "letters, digits, `.`, `-`, `_`, in at most three levels parted by `/`"
);

fn is_node(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(text.chars().next())
        && edge(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

fn is_storage(text: &str) -> bool {
    text.len() >= 2
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn is_pool(text: &str) -> bool {
    let level = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            // These two would walk about in a URL path.
            && !matches!(part, "." | "..")
    };
    text.split('/').count() <= 3 && text.split('/').all(level)
}

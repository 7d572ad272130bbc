//! Versions of Kubernetes.

use std::fmt;
use std::str::FromStr;

/// `v1.36.3`; what comes after the numbers is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// `1`.
    pub major: u32,
    /// `36`.
    pub minor: u32,
    /// `3`.
    pub patch: u32,
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is no version");
        let plain = text.trim().rsplit(' ').next().unwrap_or_default();
        let plain = plain.strip_prefix('v').unwrap_or(plain);
        let plain = plain.split(['-', '+']).next().unwrap_or_default();
        let mut parts = plain.split('.').map(str::parse);
        let mut part = || parts.next().and_then(Result::ok).ok_or_else(bad);
        Ok(Self { major: part()?, minor: part()?, patch: part()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { major, minor, patch } = self;
        write!(f, "v{major}.{minor}.{patch}")
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn versions_are_read_as_programs_print_them() {
        let read = |text: &str| text.parse::<Version>();
        let version = Version { major: 1, minor: 36, patch: 3 };
        for text in ["v1.36.3", "1.36.3", "Kubernetes v1.36.3", "v1.36.3-eks.1", "v1.36.3+k3s1\n"] {
            assert_eq!(read(text), Ok(version), "{text}");
        }
        assert_eq!(version.to_string(), "v1.36.3");
        for text in ["", "v1", "latest", "v1.x.2"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}

//! What a guest's firmware says about the machine; its UUID is how a guest knows itself.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::invalid::serde_as_text;
use crate::{Invalid, PropertyString};

/// A machine's UUID; prints lower-case, as the kernel shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SmbiosUuid([u8; 16]);

impl SmbiosUuid {
    /// From its bytes, in the order they print.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];

impl FromStr for SmbiosUuid {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = || Invalid::new("a UUID", text, "32 hexadecimal digits in groups of 8, 4, 4, 4, 12");
        let lengths: Vec<usize> = text.split('-').map(str::len).collect();
        let digits: String = text.split('-').collect();
        if lengths != GROUPS || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        u128::from_str_radix(&digits, 16).map(|n| Self(n.to_be_bytes())).map_err(|_| bad())
    }
}

impl fmt::Display for SmbiosUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

serde_as_text!(SmbiosUuid);

/// The `smbios1` line of a guest's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Smbios1 {
    /// The machine's UUID. Proxmox makes a new one for each clone.
    pub uuid: Option<SmbiosUuid>,
    /// Everything else as it stands.
    pub options: BTreeMap<String, String>,
}

impl FromStr for Smbios1 {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (head, pairs) = text.parse::<PropertyString>()?.into_parts();
        if head.is_some() {
            return Err(Invalid::new("an smbios1 line", text, "a value has no key"));
        }
        let mut options: BTreeMap<String, String> = pairs.into_iter().collect();
        let uuid = options.remove("uuid").map(|u| u.parse()).transpose()?;
        Ok(Self { uuid, options })
    }
}

impl fmt::Display for Smbios1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        if let Some(uuid) = self.uuid {
            write!(f, "uuid={uuid}")?;
            comma = ",";
        }
        for (key, value) in &self.options {
            write!(f, "{comma}{key}={value}")?;
            comma = ",";
        }
        Ok(())
    }
}

serde_as_text!(Smbios1);

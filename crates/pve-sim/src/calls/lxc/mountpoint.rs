//! `rootfs` and `mpN`: what a mount point asks for, who may use it.

use crate::http::fail::Fail;
use crate::schema::{Param, Parsed, Schema, parse_property_string};
use crate::state::drive::parse_size;

/// Where a mount point's content comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Volume,
    Bind,
    Device,
}

impl Kind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Volume => "volume",
            Self::Bind => "bind",
            Self::Device => "device",
        }
    }
}

/// Keys of this kind hold a mount point.
pub(crate) fn is_mountpoint_key(key: &str) -> bool {
    key == "rootfs" || key.strip_prefix("mp").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

fn keys<'a>(schema: &'a Schema, key: &str) -> &'a [Param] {
    let format = if key == "rootfs" { "rootfs" } else { "mpn" };
    schema.formats.get(format).map(Vec::as_slice).unwrap_or_default()
}

/// Reads a mount point; verification has made sure that it reads.
pub(crate) fn parse(schema: &Schema, key: &str, text: &str) -> Parsed {
    parse_property_string(text, keys(schema, key)).unwrap_or_default()
}

/// What a stored or asked text points at.
pub(crate) fn volume(text: &str) -> &str {
    crate::state::drive::file_of(text)
}

pub(crate) fn kind(volume: &str) -> Kind {
    if volume.starts_with("/dev/") {
        Kind::Device
    } else if volume.starts_with('/') {
        Kind::Bind
    } else {
        Kind::Volume
    }
}

/// `STORAGE:GIB`: a volume that is to be made.
pub(crate) fn fresh(volume: &str) -> Option<(&str, u64)> {
    let (storage, size) = volume.split_once(':')?;
    let mut parts = size.split('.');
    let number = |p: Option<&str>| p.is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    let whole = number(parts.next());
    let fraction = parts.next().is_none_or(|p| number(Some(p)));
    if !whole || !fraction || parts.next().is_some() {
        return None;
    }
    // Whole MiB, as the image tool gets them.
    parse_size(&format!("{size}G")).map(|bytes| (storage, bytes >> 20 << 20))
}

/// The text to store: the volume, then what is required, then the rest in order.
pub(crate) fn print(parsed: &Parsed) -> String {
    required_first(parsed, Some("volume"), "mp")
}

/// Prints a property string with one key first, without its name if it is the default key.
pub(crate) fn required_first(parsed: &Parsed, default: Option<&str>, required: &str) -> String {
    let mut out: Vec<String> = default.and_then(|k| parsed.get(k)).cloned().into_iter().collect();
    out.extend(parsed.get(required).map(|v| format!("{required}={v}")));
    let rest = parsed.iter().filter(|(k, _)| Some(k.as_str()) != default && *k != required);
    out.extend(rest.map(|(k, v)| format!("{k}={v}")));
    out.join(",")
}

/// The storage of a volume that is there or to be made.
pub(crate) fn storage(volume: &str) -> Result<&str, Fail> {
    match volume.split_once(':') {
        Some((storage, name)) if !storage.is_empty() && !name.is_empty() => Ok(storage),
        _ => Err(Fail::die(format!("unable to parse volume ID '{volume}'"))),
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_mount_point_that_is_to_be_made_says_storage_and_gib() {
        assert_eq!(fresh("data:8"), Some(("data", 8 << 30)));
        assert_eq!(fresh("data:0.5"), Some(("data", 512 << 20)));
        assert_eq!(fresh("data:8G"), None);
        assert_eq!(fresh("data:200/vm-200-disk-0.raw"), None);
        assert_eq!(fresh("/srv"), None);
    }

    #[test]
    fn a_mount_point_is_stored_with_volume_and_path_first() {
        let text = parse(Schema::get(), "mp3", "backup=yes,mp=/srv,volume=data:4,acl=0");
        assert_eq!(print(&text), "data:4,mp=/srv,acl=0,backup=1");
        assert_eq!(kind("/dev/sdb"), Kind::Device);
        assert_eq!(kind("/srv/x"), Kind::Bind);
        assert!(is_mountpoint_key("mp255") && !is_mountpoint_key("mp") && !is_mountpoint_key("mpx"));
    }
}

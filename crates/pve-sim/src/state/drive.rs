//! Drives as words of a VM's configuration: which keys are drives, sizes in text.

/// Keys of this kind hold a drive.
pub(crate) fn is_drive_key(key: &str) -> bool {
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    stem.len() < key.len() && ["ide", "sata", "scsi", "virtio", "efidisk", "tpmstate"].contains(&stem)
}

/// Keys of this kind hold a network card.
pub(crate) fn is_net_key(key: &str) -> bool {
    key.strip_prefix("net").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Keys of this kind remember a disk that is not attached.
pub(crate) fn is_unused_key(key: &str) -> bool {
    key.strip_prefix("unused").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// The volume of a drive's text.
pub(crate) fn file_of(text: &str) -> &str {
    let first = text.split(',').next().unwrap_or_default();
    first.strip_prefix("file=").or_else(|| first.strip_prefix("volume=")).unwrap_or(first)
}

/// One option of a drive's text.
pub(crate) fn option_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split(',').filter_map(|p| p.split_once('=')).find(|(k, _)| *k == name).map(|(_, v)| v)
}

pub(crate) fn is_cdrom(text: &str) -> bool {
    option_of(text, "media") == Some("cdrom")
}

/// `32G`, `528K`, or bytes; without a unit, bytes.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = match text.strip_suffix(|c: char| c.is_ascii_alphabetic()) {
        Some(number) => (number, text.chars().last().unwrap_or('B')),
        None => (text, 'B'),
    };
    let factor: u64 = match unit {
        'K' => 1 << 10,
        'M' => 1 << 20,
        'G' => 1 << 30,
        'T' => 1 << 40,
        'B' => 1,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let number: f64 = number.parse().ok()?;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "sizes of disks"
    )]
    Some((number * factor as f64) as u64)
}

/// The largest unit that divides the size.
pub(crate) fn print_size(bytes: u64) -> String {
    let mut left = bytes;
    for unit in ["", "K", "M", "G"] {
        if left == 0 || !left.is_multiple_of(1024) {
            return format!("{left}{unit}");
        }
        left /= 1024;
    }
    format!("{left}T")
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn sizes_print_with_the_largest_exact_unit() {
        for (bytes, text) in [(1 << 30, "1G"), (374_784, "366K"), (8 << 20, "8M"), (1000, "1000"), (2 << 40, "2T")] {
            assert_eq!(print_size(bytes), text);
            assert_eq!(parse_size(text), Some(bytes));
        }
        assert_eq!(parse_size("0.5G"), Some(512 << 20));
    }

    #[test]
    fn efidisks_are_drives_and_network_cards_are_not() {
        assert!(is_drive_key("scsi0") && is_drive_key("efidisk0") && is_drive_key("virtio15"));
        assert!(!is_drive_key("net0") && !is_drive_key("scsihw") && !is_drive_key("ide"));
        assert!(is_net_key("net0") && !is_net_key("net"));
    }
}

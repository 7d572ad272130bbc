//! Quantities of Kubernetes, as bytes.

/// `1Gi`, `1.5G`, `512`, `1e9`; `None`: it does not read, or is less than nothing.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '+').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let unit: u128 = match unit {
        "" => 1,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        "Pi" => 1 << 50,
        "Ei" => 1 << 60,
        "k" => 1000,
        "M" => 1000_u128.pow(2),
        "G" => 1000_u128.pow(3),
        "T" => 1000_u128.pow(4),
        "P" => 1000_u128.pow(5),
        "E" => 1000_u128.pow(6),
        exponent => 10_u128.checked_pow(exponent.strip_prefix(['e', 'E'])?.parse().ok()?)?,
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let digits = u32::try_from(part.len()).ok()?;
    let part: u128 = if part.is_empty() { 0 } else { part.parse().ok()? };
    let part = part.checked_mul(unit)?.div_ceil(10_u128.checked_pow(digits)?);
    u64::try_from(whole.checked_mul(unit)?.checked_add(part)?).ok()
}

#[cfg(test)]
mod test {
    use super::bytes;

    #[test]
    fn quantities_read_as_kubernetes_writes_them() {
        for (text, is) in [
            ("512", 512),
            ("1Gi", 1 << 30),
            ("1.5Gi", 3 << 29),
            ("10G", 10_000_000_000),
            ("1e9", 1_000_000_000),
            ("2E", 2_000_000_000_000_000_000),
            ("0.1k", 100),
        ] {
            assert_eq!(bytes(text), Some(is), "{text}");
        }
        for text in ["", "-1", "1Xi", "1.2.3", "lots", "100m", "99E99"] {
            assert!(bytes(text).is_none_or(|is| text.is_empty() && is == 0), "{text}");
        }
    }
}

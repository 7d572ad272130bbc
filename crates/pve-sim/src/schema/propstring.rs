//! Property strings: `virtio=BC:24:11:00:00:01,bridge=vmbr0`.
//!
//! Promises to read them as Proxmox VE reads them (default key, aliases, key aliases such as
//! `virtio=MAC` for `model=virtio,macaddr=MAC`, booleans in words) and to print them again with the
//! default key first and the others in order of the alphabet.

use std::collections::BTreeMap;

use super::verify::check_value;
use super::{Kind, Param};

/// The keys of a property string.
pub(crate) type Parsed = BTreeMap<String, String>;

/// Reads `text`; the error is the list of complaints, each with its key.
pub(crate) fn parse(text: &str, keys: &[Param]) -> Result<Parsed, Vec<(String, String)>> {
    let mut parsed = Parsed::new();
    let mut wrong = Vec::new();
    for part in text.split(',').filter(|p| !p.trim().is_empty()) {
        let (key, value) = if let Some((key, value)) = part.split_once('=') {
            (key.trim().to_owned(), value.trim().to_owned())
        } else {
            let Some(default) = keys.iter().find(|k| k.default_key) else {
                let text = "value without key, but schema does not define a default key";
                wrong.push((String::new(), text.to_owned()));
                continue;
            };
            (default.name.clone(), part.trim().to_owned())
        };
        let Some(known) = keys.iter().find(|k| k.name == key) else {
            let text = "property is not defined in schema and the schema does not allow additional properties";
            wrong.push((key, text.to_owned()));
            continue;
        };
        if known.alias.as_deref() == Some("macaddr") {
            // The driver's name in front, as in `virtio=MAC`, says the model too.
            parsed.insert("model".to_owned(), key);
            parsed.insert("macaddr".to_owned(), value);
            continue;
        }
        let key = known.alias.clone().unwrap_or_else(|| known.name.clone());
        if parsed.contains_key(&key) {
            wrong.push((key, "duplicate key in comma-separated list property".to_owned()));
            continue;
        }
        let value = match known.kind {
            Kind::Boolean => match value.as_str() {
                "1" | "on" | "yes" | "true" => "1".to_owned(),
                "0" | "off" | "no" | "false" => "0".to_owned(),
                _ => value,
            },
            Kind::Integer | Kind::Number | Kind::String | Kind::Array => value,
        };
        parsed.insert(key, value);
    }
    for (key, value) in &parsed {
        if let Some(known) = keys.iter().find(|k| &k.name == key)
            && let Err(text) = check_value(known, value)
        {
            wrong.push((key.clone(), text));
        }
    }
    for key in keys.iter().filter(|k| !k.optional && k.alias.is_none() && !parsed.contains_key(&k.name)) {
        wrong.push((key.name.clone(), "property is missing and it is not optional".to_owned()));
    }
    if wrong.is_empty() { Ok(parsed) } else { Err(wrong) }
}

/// Prints what [`parse`] read, the `first` key without its name.
pub(crate) fn print(parsed: &Parsed, first: &str) -> String {
    let mut out = Vec::new();
    if let Some(value) = parsed.get(first) {
        out.push(value.clone());
    }
    out.extend(parsed.iter().filter(|(k, _)| *k != first).map(|(k, v)| format!("{k}={v}")));
    out.join(",")
}

//! Parameter verification: what the server says before a handler sees anything.
//!
//! Promises the texts of Proxmox VE, all complaints of a call at once.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::formats::{check, matches_whole};
use super::{Kind, Method, Param, Schema, propstring};

/// Parameter to complaint.
pub(crate) type Errors = BTreeMap<String, String>;

/// Checks all parameters of a call; values come out as the text that handlers work on.
pub(crate) fn verify(
    schema: &Schema,
    method: &Method,
    given: &BTreeMap<String, Value>,
) -> Result<BTreeMap<String, String>, Errors> {
    let mut errors = Errors::new();
    let mut values = BTreeMap::new();
    for (name, value) in given {
        if value.is_null() {
            continue;
        }
        let Some(param) = lookup(method, name) else {
            let text = "property is not defined in schema and the schema does not allow additional properties";
            errors.insert(name.clone(), text.to_owned());
            continue;
        };
        match text_of(param, value) {
            Ok(text) => {
                if let Err(wrong) = check_param(schema, param, name, &text) {
                    errors.insert(name.clone(), wrong);
                }
                values.insert(name.clone(), text);
            }
            Err(wrong) => {
                errors.insert(name.clone(), wrong);
            }
        }
    }
    for param in method.params.values() {
        if !param.optional && given.get(&param.name).is_none_or(Value::is_null) {
            errors.insert(param.name.clone(), "property is missing and it is not optional".to_owned());
        }
        if let Some(other) = &param.requires
            && values.contains_key(&param.name)
            && !values.contains_key(other)
        {
            errors.insert(other.clone(), format!("missing property required by '{}'", param.name));
        }
    }
    if errors.is_empty() { Ok(values) } else { Err(errors) }
}

/// The parameter behind a name, `scsi3` by way of `scsi[n]`.
pub(crate) fn lookup<'a>(method: &'a Method, name: &str) -> Option<&'a Param> {
    if let Some(param) = method.params.get(name).filter(|p| !p.name.ends_with("[n]")) {
        return Some(param);
    }
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let index = name[stem.len()..].parse::<u32>().ok()?;
    if name[stem.len()..].len() > 1 && name[stem.len()..].starts_with('0') {
        return None;
    }
    let limit = match stem {
        "ide" | "serial" => 4,
        "sata" => 6,
        "virtio" | "hostpci" => 16,
        "scsi" => 31,
        "net" | "ipconfig" => 32,
        "unused" | "mp" | "dev" => 256,
        "parallel" => 3,
        "usb" => 14,
        "numa" => 8,
        "virtiofs" => 10,
        _ => 0,
    };
    method.params.get(&format!("{stem}[n]")).filter(|_| index < limit)
}

fn text_of(param: &Param, value: &Value) -> Result<String, String> {
    let kind = match param.kind {
        Kind::Integer => "integer",
        Kind::Number => "number",
        Kind::Boolean => "boolean",
        Kind::String => "string",
        Kind::Array => "array",
    };
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(yes) => Ok(if *yes { "1".to_owned() } else { "0".to_owned() }),
        Value::Array(words) if param.kind == Kind::Array => Ok(serde_json::to_string(words).unwrap_or_default()),
        Value::Array(words) if param.format.as_deref().is_some_and(|f| f.ends_with("-list")) => {
            let words: Vec<String> =
                words.iter().map(|w| w.as_str().map_or_else(|| w.to_string(), str::to_owned)).collect();
            Ok(words.join(","))
        }
        Value::Array(_) => Err(format!("type check ('{kind}') failed - got ARRAY")),
        Value::Object(_) => Err(format!("type check ('{kind}') failed - got HASH")),
        Value::Null => Ok(String::new()),
    }
}

fn check_param(schema: &Schema, param: &Param, name: &str, text: &str) -> Result<(), String> {
    if let Some(format) = param.format.as_deref().and_then(|f| f.strip_prefix('@')) {
        let Some(keys) = schema.formats.get(format) else { return Ok(()) };
        return propstring::parse(text, keys).map(|_| ()).map_err(|wrong| format_error(name, &wrong));
    }
    if param.format.as_deref() == Some("pve-qm-ipconfig") {
        return check_ipconfig(name, text);
    }
    if param.format.as_deref() == Some("pve-qm-smbios1") {
        return check_smbios(name, text);
    }
    check_value(param, text)
}

fn format_error(name: &str, wrong: &[(String, String)]) -> String {
    let mut out = "invalid format - format error\n".to_owned();
    for (key, text) in wrong {
        let at = if key.is_empty() { name.to_owned() } else { format!("{name}.{key}") };
        let _ = writeln!(out, "{at}: {text}");
    }
    out
}

fn check_ipconfig(name: &str, text: &str) -> Result<(), String> {
    let mut wrong = Vec::new();
    let mut keys = BTreeMap::new();
    for (key, value) in text.split(',').filter_map(|p| p.split_once('=')) {
        let format = match key {
            "ip" => "ipv4-config",
            "ip6" => "ipv6-config",
            "gw" => "ipv4",
            "gw6" => "ipv6",
            _ => {
                let text = "property is not defined in schema and the schema does not allow additional properties";
                wrong.push((key.to_owned(), text.to_owned()));
                continue;
            }
        };
        keys.insert(key, value);
        if let Err(text) = check(format, value) {
            wrong.push((key.to_owned(), format!("invalid format - {text}")));
        }
    }
    for (gateway, address) in [("gw", "ip"), ("gw6", "ip6")] {
        if keys.contains_key(gateway) && !keys.contains_key(address) {
            wrong.push((address.to_owned(), format!("missing property required by '{gateway}'")));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(format_error(name, &wrong)) }
}

fn check_smbios(name: &str, text: &str) -> Result<(), String> {
    let pattern = "[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}";
    let wrong: Vec<(String, String)> = text
        .split(',')
        .filter_map(|p| p.split_once('='))
        .filter(|(key, value)| *key == "uuid" && !matches_whole(value, pattern))
        .map(|(key, _)| (key.to_owned(), "value does not match the regex pattern".to_owned()))
        .collect();
    if wrong.is_empty() { Ok(()) } else { Err(format_error(name, &wrong)) }
}

/// One value against type, format, length, limits, words and pattern.
pub(crate) fn check_value(param: &Param, text: &str) -> Result<(), String> {
    match param.kind {
        Kind::Integer => {
            let Ok(number) = text.parse::<i64>() else {
                return Err(format!("type check ('integer') failed - got '{text}'"));
            };
            #[expect(clippy::cast_precision_loss, reason = "limits are small")]
            check_limits(param, number as f64)?;
        }
        Kind::Number => {
            let Ok(number) = text.parse::<f64>() else {
                return Err(format!("type check ('number') failed - got '{text}'"));
            };
            check_limits(param, number)?;
        }
        Kind::Boolean => {
            if text != "0" && text != "1" {
                return Err(format!("type check ('boolean') failed - got '{text}'"));
            }
        }
        Kind::String | Kind::Array => {}
    }
    if let Some(format) = param.format.as_deref().filter(|f| !f.starts_with('@'))
        && let Err(wrong) = check(format, text)
    {
        return Err(format!("invalid format - {wrong}"));
    }
    if let Some(longest) = param.maxlen.filter(|n| text.chars().count() > *n) {
        return Err(format!("value may only be {longest} characters long"));
    }
    if let Some(shortest) = param.minlen.filter(|n| text.chars().count() < *n) {
        return Err(format!("value must be at least {shortest} characters long"));
    }
    if !param.words.is_empty() && !param.words.iter().any(|w| w == text) {
        return Err(format!("value '{text}' does not have a value in the enumeration '{}'", param.words.join(", ")));
    }
    if let Some(pattern) = &param.pattern
        && param.kind == Kind::String
        && !matches_whole(text, pattern)
    {
        return Err("value does not match the regex pattern".to_owned());
    }
    Ok(())
}

fn check_limits(param: &Param, number: f64) -> Result<(), String> {
    if let Some(max) = param.max.filter(|m| number > *m) {
        // A VM id out of range is said by its format.
        if param.format.as_deref() == Some("pve-vmid") {
            return Ok(());
        }
        return Err(format!("value must have a maximum value of {max}"));
    }
    if let Some(min) = param.min.filter(|m| number < *m) {
        if param.format.as_deref() == Some("pve-vmid") {
            return Ok(());
        }
        return Err(format!("value must have a minimum value of {min}"));
    }
    Ok(())
}

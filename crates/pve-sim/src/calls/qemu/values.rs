//! The texts that a configuration keeps: how what was asked for is written down.

use std::collections::BTreeSet;

use crate::schema::{Parsed, Schema, lookup_format, parse_property_string, print_property_string};
use crate::state::World;

/// Tags as they are stored: small letters, each once, in order; a space for none.
pub(crate) fn tags(world: &World, text: &str) -> String {
    let style = world.cluster.options.get("tag-style").map_or("", String::as_str);
    let option = |name: &str| crate::state::drive::option_of(style, name);
    let keep_case = option("case-sensitive") == Some("1");
    let tags = text.split([',', ';', ' ']).filter(|t| !t.is_empty());
    let mut seen = BTreeSet::new();
    let cased = tags.map(|t| if keep_case { t.to_owned() } else { t.to_lowercase() });
    let mut tags: Vec<String> = cased.filter(|t| seen.insert(t.clone())).collect();
    if option("ordering") != Some("config") {
        tags.sort();
    }
    if tags.is_empty() { " ".to_owned() } else { tags.join(";") }
}

/// A network card as it is stored: with a hardware address.
pub(crate) fn net(world: &mut World, schema: &Schema, text: &str) -> String {
    let keys = schema.formats.get("netn").map(Vec::as_slice).unwrap_or_default();
    let mut parsed: Parsed = parse_property_string(text, keys).unwrap_or_default();
    let model = parsed.remove("model").unwrap_or_else(|| "virtio".to_owned());
    let mac = parsed.remove("macaddr").map_or_else(|| world.mac(), |m| m.to_uppercase());
    let rest = print_property_string(&parsed, "");
    if rest.is_empty() { format!("{model}={mac}") } else { format!("{model}={mac},{rest}") }
}

/// Every other value as it is stored.
pub(crate) fn plain(world: &mut World, schema: &Schema, key: &str, value: &str) -> String {
    match key {
        "tags" => tags(world, value),
        "description" => value.trim_end().to_owned(),
        "boot" if value.is_empty() => " ".to_owned(),
        "vmgenid" if value == "1" => world.chance.uuid(),
        "cpuunits" => value.parse::<u32>().map_or_else(|_| value.to_owned(), |n| n.clamp(1, 10_000).to_string()),
        "cipassword" => password(world, value),
        _ => match lookup_format(schema, key) {
            // Booleans in words become digits; the rest of the text stays as it was written.
            Some(keys) if key == "agent" => parse_property_string(value, keys).map_or_else(
                |_| value.to_owned(),
                |_| value.split(',').map(boolean_word).collect::<Vec<_>>().join(","),
            ),
            _ => value.to_owned(),
        },
    }
}

/// Something that looks like a hash; a hash is kept.
fn password(world: &mut World, value: &str) -> String {
    let is_hash = ["$1$", "$5$", "$6$", "$2a$", "$2y$"].iter().any(|start| value.starts_with(start));
    if is_hash { value.to_owned() } else { format!("$5${}${}", world.chance.hex(8), world.chance.hex(43)) }
}

fn boolean_word(part: &str) -> String {
    let (key, value) = part.split_once('=').map_or((None, part), |(k, v)| (Some(k), v));
    let value = match value {
        "on" | "yes" | "true" => "1",
        "off" | "no" | "false" => "0",
        other => other,
    };
    key.map_or_else(|| value.to_owned(), |k| format!("{k}={value}"))
}
